package crashtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

// recording is a load under strace.
type recording struct {
	durability broker.Durability
	messages   int           // the load goes on until so many are acknowledged
	limit      time.Duration // or that time is over
	inject     []string      // into system calls, as strace wants it
	processors int           // for the broker, 0: all
	stuck      bool          // the broker is not expected to acknowledge to the end
}

// record runs a broker under load and strace and returns its history. With nothing
// injected the history must end in the very files that are there.
func (r recording) record(t *testing.T, rnd *rand.Rand) *history {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	trace := dir + ".strace"
	defer os.RemoveAll(dir)
	defer os.Remove(trace)
	h := newHome(dir, rnd)
	h.settings.Durability = r.durability
	h.settings.MaxInflight, h.settings.Processors = 20, r.processors
	c := start(t, h.settings, tracer(trace, r.inject...)...)
	r.load(t, h, c)
	if r.stuck {
		c.kill()
	} else {
		c.stop(t)
	}
	h.wg.Wait()
	past := newHistory(dir)
	if err := readTraceFile(trace, past); err != nil {
		t.Fatal(err)
	}
	if err := past.verify(dir); err != nil {
		t.Fatalf("the record is not complete: %v", err)
	}
	if st, err := os.Stat(trace); err == nil {
		t.Logf("recorded %d steps: %d writes of %d bytes, %d fsyncs (%d failed), %d bytes of trace",
			len(past.steps), past.writes, past.bytes, past.syncs, past.failures, st.Size())
	}
	return past
}

// load has devices at work for a while. Some publishers and one subscriber drop
// their connections now and then, so that handshakes are resumed.
func (r recording) load(t *testing.T, h *home, c *child) {
	t.Helper()
	h.connect(t, c)
	h.dismiss()
	ended := make(chan struct{})
	var devices sync.WaitGroup
	for i, p := range h.pubs {
		restless := i%2 == 1
		devices.Go(func() {
			for over := false; !over; over = closed(ended) {
				until := 40 + p.rnd.IntN(60)
				p.run(c.addr, false, func(l *link) { // until the connection ends
					if until--; closed(ended) || restless && until < 0 {
						l.close()
					}
				})
			}
		})
	}
	devices.Go(func() {
		if err := churn(c.addr, ended); err != nil && !r.stuck {
			t.Error(err)
		}
	})
	flapping := h.subs[2]
	devices.Go(func() {
		for !closed(ended) {
			<-time.After(time.Duration(50+rnd(h).IntN(100)) * time.Millisecond)
			flapping.link.close()
			if err := flapping.connect(c.addr); err != nil {
				return
			}
			h.wg.Go(func() { flapping.run(0) })
		}
	})
	h.book.wait(r.messages, r.limit)
	close(ended)
	if r.stuck { // nobody would be told
		c.kill()
	}
	devices.Wait()
	for _, s := range h.subs {
		s.link.close()
	}
}

func rnd(h *home) *rand.Rand { return rand.New(rand.NewPCG(uint64(len(h.subs)), 1)) }

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// churn subscribes and unsubscribes, to what nobody publishes.
func churn(addr string, ended chan struct{}) error {
	l, err := dial(addr, "churn", packet.V50, true, 0)
	if err != nil {
		return err
	}
	defer l.close()
	for i := uint16(1); !closed(ended); i++ {
		filter := fmt.Sprintf("churn/%d/+", i%7)
		err := l.send(&packet.Subscribe{PacketID: i, Subscriptions: []packet.Subscription{{Filter: filter, QoS: byte(i % 3)}}})
		if err == nil {
			_, err = next[*packet.Suback](l)
		}
		if err == nil && i%7 < 5 {
			if err = l.send(&packet.Unsubscribe{PacketID: i, Filters: []string{filter}}); err == nil {
				_, err = next[*packet.Unsuback](l)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// verify goes through the whole history and compares what it comes to with the
// files that are there.
func (h *history) verify(dir string) error {
	d, m := newDisk(), newModel()
	for i, s := range h.steps {
		if s.do == nil {
			return fmt.Errorf("step %d never ended", i)
		}
		if err := s.do(d, m); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return d.compare(dir)
}
