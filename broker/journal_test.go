package broker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// watchedStore counts what reaches the store, and can be made to fail.
type watchedStore struct {
	broker.Store
	mu      sync.Mutex
	fail    error
	batches int
	queued  int // deliveries that were written: not done in the same batch
	changes int
}

func (s *watchedStore) Apply(ctx context.Context, changes []broker.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.batches++
	s.changes += len(changes)
	done := map[int64]bool{}
	for i := len(changes) - 1; i >= 0; i-- {
		switch c := changes[i].(type) {
		case broker.Done:
			done[c.Seq] = true
		case broker.Queued:
			if !done[c.Delivery.Seq] {
				s.queued++
			}
		}
	}
	return s.Store.Apply(ctx, changes)
}

func (s *watchedStore) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func watched(d *broker.Deps) *watchedStore {
	s := &watchedStore{Store: d.Store}
	d.Store = s
	return s
}

// A message that every receiver takes at once is acknowledged without the disk.
func TestTakenMessagesAreNotWritten(t *testing.T) {
	var store *watchedStore
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { store = watched(d) }, func(w *world) {
		sub, _ := w.durable(packet.V50, "sub")
		sub.Subscribe("t", 1)
		pub := w.clean(packet.V50, "pub")
		written := store.queued
		for i := range 100 {
			pub.Publish("t", "x", 1, false, uint16(i+1))
			m := w.expectPublish(sub, "t", "x", 1, false)
			brokertest.Pass(4 * time.Millisecond) // the client thinks
			if _, ok := pub.Peek(); ok {
				w.Fatal("acknowledged before it was stored or taken")
			}
			sub.Send(ack(packet.TypePuback, m.PacketID))
			if p, ok := pub.Peek(); !ok || p.(*packet.Ack).PacketID != uint16(i+1) {
				w.Fatal("not acknowledged when everybody had it")
			}
			pub.All()
		}
		if n := store.queued - written; n > 4 {
			w.Errorf("%d of 100 messages were written, want less than 5 %%", n)
		}
	})
}

func TestAcknowledgedOnceStored(t *testing.T) {
	var store *watchedStore
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { store = watched(d) }, func(w *world) {
		sub, _ := w.durable(packet.V311, "sub")
		sub.Subscribe("t", 2)
		sub.Close()
		pub := w.clean(packet.V311, "pub")
		store.setFail(errors.New("disk full"))
		pub.Publish("t", "one", 1, false, 1)
		pub.Publish("t", "two", 1, false, 2)
		pub.Publish("nobody", "three", 1, false, 3) // may not overtake [MQTT-4.6.0-2]
		brokertest.Pass(time.Minute)
		if got := pub.All(); len(got) > 0 {
			w.Fatalf("acknowledged what is not stored: %v", got)
		}
		live := w.clean(packet.V311, "live")
		live.Subscribe("q0", 0)
		pub.Publish("q0", "goes on", 0, false, 0) // case S5
		w.expectPublish(live, "q0", "goes on", 0, false)
		if w.b.Stats().StoreError == nil {
			w.Error("the trouble does not show")
		}
		store.setFail(nil)
		brokertest.Pass(11 * time.Second)
		for id := range uint16(3) {
			w.expectAck(pub, packet.TypePuback, id+1)
		}
		w.restart()
		sub, _ = w.durable(packet.V311, "sub")
		w.expectPublish(sub, "t", "one", 1, false)
		w.expectPublish(sub, "t", "two", 1, false)
	})
}

// A QoS 2 message leaves only once its Packet Identifier is stored (case S4).
func TestQoS2WaitsForItsIdentifier(t *testing.T) {
	var store *watchedStore
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { store = watched(d) }, func(w *world) {
		sub, _ := w.durable(packet.V50, "sub")
		sub.Subscribe("t", 2)
		pub := w.clean(packet.V50, "pub")
		store.setFail(errors.New("disk full"))
		pub.Publish("t", "x", 2, false, 1)
		brokertest.Pass(time.Minute)
		sub.Nothing()
		store.setFail(nil)
		brokertest.Pass(11 * time.Second)
		w.expectPublish(sub, "t", "x", 2, false)
		w.expectAck(pub, packet.TypePubrec, 1)
	})
}

// What each mode lets acknowledgements wait for.
func TestDurabilityModes(t *testing.T) {
	tests := []struct {
		mode             broker.Durability
		offline, retains time.Duration // until PUBACK, when nothing is in the way
	}{
		{broker.Durable, 20 * time.Millisecond, 20 * time.Millisecond},
		{broker.Balanced, 20 * time.Millisecond, 0},
		{broker.SDSaver, 0, 0},
		{broker.Memory, 0, 0},
	}
	for _, tt := range tests {
		t.Run(string(tt.mode), func(t *testing.T) {
			inWorld(t, func(c *broker.Config, _ *broker.Deps) { c.Durability = tt.mode }, func(w *world) {
				sub, _ := w.durable(packet.V311, "sub")
				sub.Subscribe("t", 1)
				sub.Close()
				pub := w.clean(packet.V311, "pub")
				brokertest.Pass(time.Minute)
				for i, wait := range []time.Duration{tt.offline, tt.retains} {
					pub.Publish([]string{"t", "r"}[i], "x", 1, i == 1, 1)
					if wait > 0 {
						brokertest.Pass(wait - time.Millisecond)
						if _, ok := pub.Peek(); ok {
							w.Errorf("message %d: acknowledged early", i)
						}
						brokertest.Pass(time.Millisecond)
					}
					if _, ok := pub.Peek(); !ok {
						w.Errorf("message %d: not acknowledged after %v", i, wait)
					}
					pub.All()
				}
			})
		})
	}
}

// An identical retained message writes nothing (case D8).
func TestIdenticalRetainedWritesNothing(t *testing.T) {
	var store *watchedStore
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { store = watched(d) }, func(w *world) {
		pub := w.clean(packet.V50, "pub")
		for range 3 {
			for i := range 500 {
				pub.Publish(fmt.Sprint("homeassistant/", i, "/config"), "{}", 0, true, 0)
			}
			brokertest.Pass(5 * time.Second)
		}
		if store.changes != 500 {
			w.Errorf("%d changes reached the store, want 500", store.changes)
		}
	})
}

// A store that stays away does not fill the memory: retained values coalesce, and
// publishers who wait for acknowledgements are not read any more.
func TestStoreAwayForLong(t *testing.T) {
	var store *watchedStore
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { store = watched(d) }, func(w *world) {
		sub, _ := w.durable(packet.V311, "sub")
		sub.Subscribe("q", 1)
		sub.Close()
		store.setFail(errors.New("disk full"))
		pub, loud := w.clean(packet.V311, "pub"), w.clean(packet.V311, "loud")
		for i := range 1000 {
			pub.Publish("r", fmt.Sprint(i), 0, true, 0)
			if i%100 == 0 {
				brokertest.Pass(time.Second)
			}
		}
		go func() { // ends when the broker goes on reading, or with the connection
			for i := range 30_000 {
				loud.Publish("q", "x", 1, false, uint16(i%65_000+1))
			}
		}()
		brokertest.Pass(time.Minute)
		if n := w.b.Stats().JournalPending; n > 25_000 {
			w.Errorf("%d changes wait in memory", n)
		}
		store.setFail(nil)
		brokertest.Pass(time.Minute)
		if got := len(loud.All()); got != 30_000 {
			w.Errorf("%d acknowledgements, want all", got)
		}
		if st := w.b.Stats(); st.JournalPending != 0 || st.StoreError != nil {
			w.Errorf("did not recover: %+v", st)
		}
	})
}
