package broker_test

import (
	"bytes"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// cases R5 and R6: the memory that the process uses is looked at five times a second. As long
// as it is critical load is shed once a second, one slow reader of up to ten at a time, and
// the log tells of the level once.
func TestMemoryIsWatched(t *testing.T) {
	runtime.GC() // figures there are only of what it has looked at
	const slow = 3
	var told bytes.Buffer
	mod := func(cfg *broker.Config, d *broker.Deps) {
		cfg.MemoryLimit = 100 << 10 // the test alone takes more
		d.Store, d.Log = nil, slog.New(slog.NewTextHandler(&told, nil))
	}
	inWorld(t, mod, func(w *world) {
		for i := range slow {
			c := w.deaf(string(rune('a'+i)), packet.V311)
			p := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t"}}}
			if _, err := c.Write(p.Append(nil, packet.V311)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			if err := w.b.Publish(w.Context(), broker.NewMessage("t", make([]byte, 4<<10), 0, false)); err != nil {
				t.Fatal(err)
			}
		}
		left := func() int { synctest.Wait(); return w.b.Stats().Connections }
		brokertest.Pass(199 * time.Millisecond)
		if m := w.b.Stats().Memory; m.Pressure != broker.Calm || left() != slow {
			t.Errorf("before the first look: %+v, %d connections", m, left())
		}
		brokertest.Pass(2 * time.Millisecond)
		if m := w.b.Stats().Memory; m.Pressure != broker.Critical || m.Live < m.Limit || m.Limit != 100<<10 {
			t.Errorf("after the first look: %+v", m)
		}
		for _, want := range []int{2, 1, 0} {
			if n := left(); n != want {
				t.Errorf("%d slow readers are left, want %d", n, want)
			}
			brokertest.Pass(990 * time.Millisecond)
			if n := left(); n != want {
				t.Errorf("%d slow readers are left before the next second, want %d", n, want)
			}
			brokertest.Pass(10 * time.Millisecond)
		}
		if shed := w.b.Stats().Memory.Shed; shed != slow {
			t.Errorf("%d shed, want %d", shed, slow)
		}
	})
	if n := strings.Count(told.String(), "memory: critical"); n != 1 {
		t.Errorf("told %d times: %s", n, told.String())
	}
}

// With memory to spare nothing is let go, and without a limit nothing is measured.
func TestMemoryToSpare(t *testing.T) {
	runtime.GC()
	for _, limit := range []int64{0, 1 << 50} {
		inWorld(t, func(cfg *broker.Config, _ *broker.Deps) { cfg.MemoryLimit = limit }, func(w *world) {
			w.clean(packet.V50, "lamp")
			brokertest.Pass(5 * time.Second)
			m := w.b.Stats().Memory
			if m.Pressure != broker.Calm || m.Shed != 0 || m.Limit != limit || (m.Live > 0) != (limit > 0) {
				t.Errorf("limit %d: %+v", limit, m)
			}
			if n := w.b.Stats().Connections; n != 1 {
				t.Errorf("limit %d: %d connections", limit, n)
			}
		})
	}
}
