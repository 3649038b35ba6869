package packet_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"testing"
	"testing/iotest"

	. "hearthmq/broker/packet"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name string
		hex  string
		max  uint32
		n    int
		need int
		code ReasonCode
	}{
		{"nothing", "", 0, 0, 0, 0},
		{"one byte", "30", 0, 0, 0, 0},
		{"whole", "c000", 0, 2, 2, 0},
		{"whole and more", "c000 c0", 0, 2, 2, 0},
		{"length known", "3005 00", 0, 0, 7, 0},
		{"two length bytes, one here", "3080", 0, 0, 0, 0},
		{"two length bytes", "308001", 0, 0, 131, 0},
		{"four length bytes, three here", "30ffffff", 0, 0, 0, 0},
		{"largest length", "30ffffff7f", 0, 0, MaxSize, 0},
		{"at the limit", "3005 00", 7, 0, 7, 0},
		{"above the limit", "3005", 6, 0, 0, PacketTooLarge},
		{"far above the limit, case P1", "10ffffff7f", 65_536, 0, 0, PacketTooLarge},
		{"five length bytes, case P4", "3080808080", 0, 0, 0, MalformedPacket},
		{"five length bytes and limit", "30ffffffff 01", 10, 0, 0, MalformedPacket},
		{"not minimal, case P4", "308000", 0, 0, 0, MalformedPacket},
		{"not minimal in three", "30ff8000", 0, 0, 0, MalformedPacket},
		{"not minimal in four", "30ffff8000", 0, 0, 0, MalformedPacket},
		{"type 0", "00", 0, 0, 0, MalformedPacket},
		{"type 0 with length", "0000", 0, 0, 0, MalformedPacket},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, n, need, err := Split(unhex(t, c.hex), c.max)
			if c.code != 0 {
				wantCode(t, err, c.code)
			} else if err != nil {
				t.Fatal(err)
			}
			if n != c.n || need != c.need || len(f.Raw) != n {
				t.Errorf("n %d, need %d, Raw of %d bytes; want n %d, need %d", n, need, len(f.Raw), c.n, c.need)
			}
		})
	}
}

func TestFrameClone(t *testing.T) {
	b := []byte{0x30, 3, 0, 1, 'a'}
	f := frame(t, b)
	g := f.Clone()
	clear(b)
	if g.Type() != TypePublish || !bytes.Equal(g.Raw, []byte{0x30, 3, 0, 1, 'a'}) || !bytes.Equal(g.Body, g.Raw[2:]) {
		t.Errorf("clone is %+v", g)
	}
}

// stream is all vectors one after the other, and a large packet between them.
func stream(t testing.TB) (b []byte, frames [][]byte) {
	large := AppendPublish(nil, V311, &Publish{Topic: []byte("a"), Payload: make([]byte, 200_000)})
	for i, v := range vectors {
		frames = append(frames, unhex(t, v.hex))
		if i%20 == 0 {
			frames = append(frames, large)
		}
	}
	return bytes.Join(frames, nil), frames
}

// case P32: the same bytes in whatever pieces give the same packets.
func TestReaderChunks(t *testing.T) {
	b, frames := stream(t)
	for name, r := range map[string]io.Reader{
		"at once":           bytes.NewReader(b),
		"one by one":        iotest.OneByteReader(bytes.NewReader(b)),
		"half":              iotest.HalfReader(bytes.NewReader(b)),
		"EOF with data":     iotest.DataErrReader(bytes.NewReader(b)),
		"sometimes no data": &stutter{r: bytes.NewReader(b)},
	} {
		t.Run(name, func(t *testing.T) {
			rd := NewReader(r, 0)
			for i, want := range frames {
				f, err := rd.ReadFrame()
				if err != nil {
					t.Fatalf("packet %d: %v", i, err)
				}
				if !bytes.Equal(f.Raw, want) {
					t.Fatalf("packet %d differs", i)
				}
			}
			if _, err := rd.ReadFrame(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

// stutter returns no bytes and no error every other time, as io.Reader may.
type stutter struct {
	r   io.Reader
	odd bool
}

func (s *stutter) Read(b []byte) (int, error) {
	if s.odd = !s.odd; s.odd {
		return 0, nil
	}
	return s.r.Read(b[:min(len(b), 1000)])
}

func TestReaderErrors(t *testing.T) {
	if _, err := NewReader(bytes.NewReader([]byte{0x30, 5, 0}), 0).ReadFrame(); err != io.ErrUnexpectedEOF {
		t.Errorf("end within a packet: %v", err)
	}
	_, err := NewReader(bytes.NewReader([]byte{0x10, 0xFF, 0xFF, 0xFF, 0x7F}), 100).ReadFrame()
	wantCode(t, err, PacketTooLarge)
	if _, err := NewReader(iotest.ErrReader(os.ErrClosed), 0).ReadFrame(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error of the stream: %v", err)
	}
	if _, err := NewReader(nothing{}, 0).ReadFrame(); err != io.ErrNoProgress {
		t.Errorf("a stream that gives nothing: %v", err)
	}
	// Reading goes on after a deadline, within the packet.
	r := NewReader(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader([]byte{0xC0, 0}))), 0)
	if _, err := r.ReadFrame(); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("deadline: %v", err)
	}
	if f, err := r.ReadFrame(); err != nil || f.Type() != TypePingreq {
		t.Errorf("after the deadline: %v, %v", f, err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

// cases P1, P2: an announced length costs nothing before the bytes arrive.
func TestReaderAllocatesByArrival(t *testing.T) {
	for typ := TypeConnect; typ <= TypeAuth; typ++ {
		for _, arrived := range []int{0, 10_000} {
			b := append([]byte{byte(typ) << 4, 0xFF, 0xFF, 0xFF, 0x7F}, make([]byte, arrived)...)
			used := allocated(func() {
				if _, err := NewReader(bytes.NewReader(b), 0).ReadFrame(); err != io.ErrUnexpectedEOF {
					t.Errorf("%v: %v", typ, err)
				}
			})
			if limit := uint64(4096 + 4*arrived); used > limit {
				t.Errorf("%v announcing 256 MB with %d bytes there: %d bytes allocated, limit %d", typ, arrived, used, limit)
			}
		}
	}
}

// allocated returns the bytes f allocates; the least of a few runs, since other
// goroutines of the test binary allocate too.
func allocated(f func()) uint64 {
	var least uint64 = 1 << 62
	var before, after runtime.MemStats
	for range 5 {
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}
