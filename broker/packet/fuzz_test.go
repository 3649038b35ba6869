package packet_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	. "hearthmq/broker/packet"
)

var versions = []Version{V31, V311, V50}

// What was decoded can be encoded, and decodes to the same packet again.
func FuzzDecode(f *testing.F) {
	for _, v := range vectors {
		f.Add(byte(v.version), unhex(f, v.hex))
	}
	for _, b := range [][]byte{
		{0x10, 0xFF, 0xFF, 0xFF, 0x7F}, {0x30, 0x80, 0x00}, {0x82, 7, 0, 1, 0, 0, 2, 'a', 'b'}, {0x38, 3, 0, 1, 'a'},
	} {
		for _, v := range versions {
			f.Add(byte(v), b)
		}
	}
	f.Fuzz(func(t *testing.T, level byte, b []byte) {
		v := versions[int(level)%3]
		f, n, need, err := Split(b, 1<<16)
		if err != nil || n == 0 {
			if n != 0 || need != 0 && need <= len(b) {
				t.Fatalf("Split = %d, %d, %v", n, need, err)
			}
			wantViolation(t, err)
			return
		}
		p, err := Decode(v, f)
		if err != nil {
			wantViolation(t, err)
			return
		}
		if p, ok := p.(*Publish); ok {
			if p.QoS == 0 {
				p.Dup = false // only 3.1 lets it in, and nothing lets it out
			}
			if size := PublishSize(v, p); size != len(p.Append(nil, v)) {
				t.Errorf("PublishSize %d", size)
			}
		}
		encoded := p.Append(nil, v)
		again, err := Decode(v, frame(t, encoded))
		if err != nil {
			t.Fatalf("encoded as % x: %v", encoded, err)
		}
		if diff := cmp.Diff(p, again, same); diff != "" {
			t.Fatalf("encoded as % x (-first +second):\n%s", encoded, diff)
		}
		if twice := again.Append(nil, v); !bytes.Equal(encoded, twice) {
			t.Errorf("encoded % x, then % x", encoded, twice)
		}
	})
}

// wantViolation fails unless err is nil or an *Error with a failure code.
func wantViolation(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if e, ok := errors.AsType[*Error](err); !ok || !e.Code.Failed() || e.Msg == "" {
		t.Errorf("error %#v", err)
	}
}

// case P32: chunks do not matter. pieces are the sizes of the reads.
func FuzzSplit(f *testing.F) {
	b, _ := stream(f)
	f.Add(b[:200], []byte{1}, uint16(0))
	f.Add(b[:500], []byte{3, 1, 200}, uint16(100))
	f.Add([]byte{0xC0, 0, 0x30, 0x80, 0x01, 0}, []byte{0, 5}, uint16(0))
	f.Add([]byte{0xC0, 0, 0x30, 0x80, 0x80, 0x80, 0x80, 0x01}, []byte{7}, uint16(9))
	f.Fuzz(func(t *testing.T, b, pieces []byte, max uint16) {
		r := NewReader(&pieceReader{b: b, pieces: pieces}, uint32(max))
		for rest := b; ; {
			f, n, _, err := Split(rest, uint32(max))
			g, gerr := r.ReadFrame()
			switch {
			case err != nil:
				if gerr != err {
					t.Fatalf("Split: %v, Reader: %v", err, gerr)
				}
				return
			case n == 0:
				want := io.EOF
				if len(rest) > 0 {
					want = io.ErrUnexpectedEOF
				}
				if gerr != want {
					t.Fatalf("at the end: %v, want %v", gerr, want)
				}
				return
			case gerr != nil || !bytes.Equal(f.Raw, g.Raw) || f.First != g.First || !bytes.Equal(f.Body, g.Body):
				t.Fatalf("Split: % x, Reader: % x, %v", f.Raw, g.Raw, gerr)
			}
			rest = rest[n:]
		}
	})
}

type pieceReader struct {
	b, pieces []byte
	i         int
}

func (r *pieceReader) Read(b []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := 1
	if len(r.pieces) > 0 {
		n = max(1, int(r.pieces[r.i%len(r.pieces)]))
		r.i++
	}
	n = copy(b[:min(n, len(b))], r.b)
	r.b = r.b[n:]
	return n, nil
}

// Properties in any packet: no panic, and encoding keeps them.
func FuzzProperties(f *testing.F) {
	for _, row := range propRows {
		b := append([]byte{byte(row.id)}, unhex(f, row.sample)...)
		for i := range carriers {
			f.Add(byte(i), b)
		}
		f.Add(byte(3), append(bytes.Clone(b), unhex(f, "26 'k' 'v' 02 00000001 26 'k' 'w'")...))
	}
	f.Fuzz(func(t *testing.T, carrier byte, b []byte) {
		typ := carriers[int(carrier)%len(carriers)]
		p, err := Decode(V50, carry(t, typ, b))
		if err != nil {
			wantViolation(t, err)
			return
		}
		props := propertiesOf(t, typ, p)
		if n := len(props.User); n > MaxUserProperties {
			t.Errorf("%d User Properties", n)
		}
		again, err := Decode(V50, frame(t, p.Append(nil, V50)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(props, propertiesOf(t, typ, again)); diff != "" {
			t.Error(diff)
		}
		forward, err := DecodeProperties(props.AppendForward(nil))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []PropID{PropPayloadFormat, PropContentType, PropResponseTopic, PropCorrelationData, PropUser} {
			if forward.Has(id) != props.Has(id) {
				t.Errorf("%v: forwarded %v, there %v", id, forward.Has(id), props.Has(id))
			}
		}
		if pub, ok := p.(*Publish); ok { // the bytes that go through are those that came
			if want, err := DecodeProperties(pub.Properties); err != nil || !want.Equal(forward) {
				t.Errorf("Publish.Properties % x: %v", pub.Properties, err)
			}
		}
	})
}

// case P8: the fast checks agree with the slow ones, as ValidText and as topic.
func FuzzUTF8(f *testing.F) {
	for _, s := range []string{
		"", "home/kitchen/temperature", "\x00", "1234567\x00", "12345678\x00", "\x01\x1f", "\x7f\u0080\u009f", "\ufffe\uffff\U0010ffff",
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xc0\x80", "\xf8\x88\x80\x80\x80", "\xf4\x90\x80\x80", "\ufefftopic", "\xef\xbb", "1234567\xc3\xa9",
		"küche/größe/日本", "aaaaaaaa\x00\xff", "é\x00", "a/+/b", "12345678#", "1234567+", "\x01\x00\x01\x00", strings.Repeat("x", 70_000),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		valid := utf8.Valid(b) && !bytes.Contains(b, []byte{0})
		if got := ValidText(string(b)); got != (valid && len(b) <= 65_535) {
			t.Errorf("ValidText = %v", got)
		}
		if len(b) > 65_535 {
			return
		}
		var p Publish
		err := p.Decode(V311, frame(t, AppendPublish(nil, V311, &Publish{Topic: b, Payload: []byte("+#\x00")})))
		switch {
		case !valid || len(b) == 0:
			wantCode(t, err, MalformedPacket)
		case bytes.ContainsAny(b, "+#"):
			wantCode(t, err, TopicNameInvalid)
		case err != nil || !bytes.Equal(p.Topic, b):
			t.Errorf("topic %q: %v", p.Topic, err)
		}
	})
}
