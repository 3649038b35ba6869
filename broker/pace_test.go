package broker_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// meteredStore is a disk with a price: of time per commit, of bytes for what it is told.
type meteredStore struct {
	broker.Store
	slow    atomic.Int64 // nanoseconds a commit takes
	written atomic.Int64
	page    atomic.Int64 // bytes per commit
}

func (s *meteredStore) Apply(ctx context.Context, changes []broker.Change) error {
	time.Sleep(time.Duration(s.slow.Load())) // in the bubble
	s.written.Add(max(4096, s.page.Load()))
	return s.Store.Apply(ctx, changes)
}

func (s *meteredStore) Written() int64 { return s.written.Load() }

func metered(d *broker.Deps) *meteredStore {
	s := &meteredStore{Store: d.Store}
	d.Store = s
	return s
}

// ackTime publishes with QoS 1 and returns after how long it was acknowledged, to a
// millisecond.
func ackTime(w *world, c *brokertest.Client, topic, payload string, retain bool) time.Duration {
	w.Helper()
	began := time.Now()
	c.Publish(topic, payload, 1, retain, 1)
	for range 30_000 {
		if _, ok := c.Peek(); ok {
			c.All()
			return time.Since(began).Truncate(time.Millisecond) - 60*time.Millisecond // that All takes
		}
		brokertest.Pass(time.Millisecond)
	}
	w.Fatal("not acknowledged")
	return 0
}

// The window follows the cost of a commit (case S18): 20 ms to 50 ms, and never is an
// acknowledgement earlier than its commit.
func TestWindowFollowsTheDisk(t *testing.T) {
	var store *meteredStore
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { store = metered(d) }, func(w *world) {
		sub, _ := w.durable(packet.V311, "sub")
		sub.Subscribe("t", 1)
		sub.Close()
		pub := w.clean(packet.V311, "pub")
		for _, tt := range []struct{ cost, window time.Duration }{
			{0, 20 * time.Millisecond}, {5 * time.Millisecond, 20 * time.Millisecond}, {15 * time.Millisecond, 30 * time.Millisecond},
			{200 * time.Millisecond, 50 * time.Millisecond}, {time.Millisecond, 20 * time.Millisecond},
		} {
			store.slow.Store(int64(tt.cost))
			var took time.Duration
			for range 60 { // until the average has come there
				took = ackTime(w, pub, "t", "x", false)
			}
			if f := w.b.Stats().Store; (f.Window-tt.window).Abs() > 2*time.Millisecond || (f.Cost-tt.cost).Abs() > 2*time.Millisecond {
				w.Errorf("a commit of %v: window %v, cost %v", tt.cost, f.Window, f.Cost)
			}
			if late := took - tt.cost - tt.window; late.Abs() > 3*time.Millisecond {
				w.Errorf("a commit of %v: acknowledged after %v", tt.cost, took)
			}
		}
	})
}

// Beyond the day's budget commits are fewer, acknowledgements later and as honest as
// before (case S20); what was saved up comes back with time.
func TestWriteBudget(t *testing.T) {
	var store *meteredStore
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { store = metered(d) }, func(w *world) {
		sub, _ := w.durable(packet.V311, "sub")
		sub.Subscribe("t", 1)
		sub.Close()
		pub := w.clean(packet.V311, "pub")
		brokertest.Pass(time.Minute)
		if took := ackTime(w, pub, "t", "x", false); took > 25*time.Millisecond {
			w.Errorf("at first acknowledged after %v", took)
		}
		store.written.Add(900 << 20) // a busy hour is no slower
		if took := ackTime(w, pub, "t", "x", false); took > 25*time.Millisecond || w.b.Stats().Store.Strained {
			w.Errorf("with 900 MiB acknowledged after %v", took)
		}
		store.written.Add(200 << 20)
		ackTime(w, pub, "t", "x", false)
		if took := ackTime(w, pub, "t", "x", false); took < 240*time.Millisecond || took > 260*time.Millisecond {
			w.Errorf("beyond the budget acknowledged after %v", took)
		}
		f := w.b.Stats().Store
		if !f.Strained || f.Left >= 0 || f.LastDay < 1100<<20 || f.LastDay > 1101<<20 || f.Budget != 2<<30 {
			w.Errorf("%+v", f)
		}
		w.durable(packet.V311, "new") // a session to store, which nobody waits for
		brokertest.Pass(9 * time.Second)
		if n := w.b.Stats().JournalPending; n != 1 {
			w.Errorf("%d changes pending", n)
		}
		brokertest.Pass(2 * time.Second)
		if n := w.b.Stats().JournalPending; n != 0 {
			w.Errorf("%d changes pending after 11 s", n)
		}
		watch := w.clean(packet.V311, "watch")
		watch.Subscribe("$SYS/broker/store/bytes/+", 0)
		sys := map[string]string{}
		for _, p := range watch.All() {
			if m, ok := p.(*packet.Publish); ok {
				sys[string(m.Topic)] = string(m.Payload)
			}
		}
		if n, err := strconv.Atoi(sys["$SYS/broker/store/bytes/day"]); err != nil || n < 1100<<20 || sys["$SYS/broker/store/bytes/left"] != "0" {
			w.Errorf("%v", sys)
		}
		watch.Close()
		brokertest.Pass(2 * time.Hour) // brings back 170 MiB
		if took := ackTime(w, pub, "t", "x", false); took > 25*time.Millisecond {
			w.Errorf("two hours later acknowledged after %v", took)
		}
		brokertest.Pass(23 * time.Hour)
		if f := w.b.Stats().Store; f.LastDay > 1<<20 || f.Left != 1<<30 {
			w.Errorf("a day later %+v", f)
		}
	})
}

// In a home where values of QoS 0 change all the time they are written together: once
// a second as long as that is little, else less often (case S20). What has an
// acknowledgement is not held up by that.
func TestValuesOfQoS0(t *testing.T) {
	var store *meteredStore
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { store = metered(d) }, func(w *world) {
		store.page.Store(100 << 10) // what 300 values come to
		pub := w.clean(packet.V311, "pub")
		n := 0
		pass := func(seconds int) (commits uint64, bytes int64) {
			c, b := w.b.Stats().Store.Commits, store.written.Load()
			for range seconds * 10 {
				n++
				pub.Publish(fmt.Sprint("device/", n%300), fmt.Sprint(n), 0, true, 0)
				brokertest.Pass(100 * time.Millisecond)
			}
			return w.b.Stats().Store.Commits - c, store.written.Load() - b
		}
		if commits, _ := pass(60); commits < 55 || commits > 61 {
			w.Errorf("%d commits in the first minute", commits)
		}
		pass(300)
		commits, bytes := pass(3600)
		if day := bytes * 24; day > 300<<20 || commits < 50 {
			w.Errorf("%d bytes a day in %d commits an hour", day, commits)
		}
		pub.Publish("device/0", "now", 1, true, 1)
		brokertest.Pass(25 * time.Millisecond)
		w.expectAck(pub, packet.TypePuback, 1)
	})
}
