package broker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// The tests that stand behind the table "What a crash or a power cut may cost" of
// DOCS.md. That what Apply has taken survives both, in every mode, is shown by
// TestKill and TestPowerCut of broker/crashtest and TestPragmas of broker/sqlite:
// the modes differ only in when Apply is called and what waits for it. So what a
// mode may lose is what was acknowledged and had not been given to Apply:
//
//	durable, both cells    TestDurabilityBounds/durable, TestKill, TestPowerCut
//	balanced, both cells   TestDurabilityBounds/balanced, TestPowerCutBalanced
//	sd_saver, both cells   TestDurabilityBounds/sd_saver
//	memory, both cells     TestDurabilityBounds/memory, TestDurability of cmd/hearthmq
//	beyond 2 GB a day      TestDurabilityBounds/…, 2 GB later, TestWriteBudget

// boundStore notes when each payload was stored; a commit takes a while.
type boundStore struct {
	broker.Store
	mu      sync.Mutex
	stored  map[string]time.Time
	written int64
	takes   atomic.Int64 // nanoseconds, of a commit
	down    bool
}

const (
	boundCommit = 30 * time.Millisecond
	// boundTold is how much later the broker learns that something is stored: what
	// waits for that can be told from what happens at the same time.
	boundTold = time.Millisecond
)

func (s *boundStore) Apply(ctx context.Context, changes []broker.Change) error {
	time.Sleep(time.Duration(s.takes.Load())) // in the bubble
	if s.down {
		return errors.New("no disk")
	}
	s.note(changes)
	time.Sleep(boundTold)
	return s.Store.Apply(ctx, changes)
}

func (s *boundStore) note(changes []broker.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		switch c := c.(type) {
		case broker.Queued:
			s.stored[string(c.Delivery.Message.Payload)] = time.Now()
		case broker.RetainedSet:
			s.stored[string(c.Message.Payload)] = time.Now()
		}
	}
}

func (s *boundStore) Written() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written
}

// What each mode may have acknowledged and not stored, to the millisecond.
func TestDurabilityBounds(t *testing.T) {
	const never = -boundTold // acknowledged after it is stored
	// The kinds of messages, as the table of DOCS.md tells them apart.
	kinds := []struct {
		name, topic string
		qos         byte
		retain      bool
	}{
		{"for somebody who is away", "away/", 1, false},
		{"of QoS 2", "two/", 2, false},
		{"for somebody who is connected and has not acknowledged", "online/", 1, false},
		{"retained", "state/", 1, true},
		{"retained, of QoS 0", "state0/", 0, true}, // counts as acknowledged when it is sent
	}
	for _, tt := range []struct {
		mode    broker.Durability
		written int64
		bounds  [5]time.Duration
	}{
		{broker.Durable, 0, [5]time.Duration{never, never, never, never, time.Second}},
		{broker.Durable, 4 << 30, [5]time.Duration{never, never, never, never, 10 * time.Second}},
		{broker.Balanced, 0, [5]time.Duration{never, never, time.Second, time.Second, time.Second}},
		{broker.Balanced, 4 << 30, [5]time.Duration{never, never, 10 * time.Second, 10 * time.Second, 10 * time.Second}},
		{broker.SDSaver, 0, [5]time.Duration{5 * time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second}},
		{broker.SDSaver, 4 << 30, [5]time.Duration{5 * time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second}},
	} {
		name := string(tt.mode)
		if tt.written > 0 {
			name += ", 2 GB later"
		}
		for k, kind := range kinds { // one kind at a time: others would hurry its commits
			t.Run(name+"/"+kind.name, func(t *testing.T) {
				store := &boundStore{stored: map[string]time.Time{}}
				inWorld(t, func(c *broker.Config, d *broker.Deps) {
					c.Durability = tt.mode
					store.Store, d.Store = d.Store, store
				}, func(w *world) {
					away, _ := w.durable(packet.V311, "away")
					away.Subscribe("away/#", 1)
					away.Subscribe("two/#", 2)
					away.Close()
					online, _ := w.durable(packet.V311, "online") // it acknowledges nothing
					online.Subscribe("online/#", 1)
					pub := w.clean(packet.V311, "pub")
					brokertest.Pass(time.Minute)
					store.mu.Lock()
					store.written += tt.written
					store.mu.Unlock()
					store.takes.Store(int64(boundCommit))
					pub.Publish("state0/first", "first", 0, true, 0) // so that the journal looks at the meter
					brokertest.Pass(time.Minute)

					rnd := rand.New(rand.NewPCG(uint64(k), 1))
					acked := map[string]time.Time{}
					for n := 1; n <= 40; n++ {
						payload := fmt.Sprint(n)
						pub.Publish(kind.topic+payload, payload, kind.qos, kind.retain, uint16(n))
						if kind.qos == 0 {
							acked[payload] = time.Now()
						}
						for steps := 1 + rnd.IntN(800); steps > 0; steps-- {
							brokertest.Pass(time.Millisecond)
							note(pub, acked)
						}
					}
					brokertest.Pass(15 * time.Second)
					note(pub, acked)
					worst := -time.Hour
					for payload, at := range acked {
						stored, ok := store.stored[payload]
						if !ok {
							w.Fatalf("message %s was never stored", payload)
						}
						worst = max(worst, stored.Sub(at))
					}
					// What comes while a commit is under way waits for its end, and a
					// commit takes time itself.
					bound := tt.bounds[k]
					least := -time.Hour
					if bound > 0 {
						least = bound / 2 // or the bound would be a better one
						bound += 2 * (boundCommit + boundTold)
					}
					if len(acked) != 40 || worst > bound || worst < least {
						w.Errorf("%d acknowledged; at worst %v before it was stored, the bound is %v", len(acked), worst, bound)
					}
				})
			})
		}
	}
	t.Run(string(broker.Memory), func(t *testing.T) {
		store := &boundStore{stored: map[string]time.Time{}, down: true} // nobody asks it
		inWorld(t, func(c *broker.Config, d *broker.Deps) {
			c.Durability = broker.Memory
			store.Store, d.Store = d.Store, store
		}, func(w *world) {
			pub := w.clean(packet.V311, "pub")
			pub.Publish("state", "x", 1, true, 1)
			w.expectAck(pub, packet.TypePuback, 1)
			w.restart()
			sub := w.clean(packet.V311, "sub")
			sub.Subscribe("#", 1)
			for _, p := range sub.All() {
				if m, ok := p.(*packet.Publish); ok && !strings.HasPrefix(string(m.Topic), "$SYS") {
					w.Errorf("%s outlived the process", m.Topic)
				}
			}
		})
	})
}

// note takes the acknowledgements that have come, without letting time pass.
func note(c *brokertest.Client, acked map[string]time.Time) {
	for {
		if _, ok := c.Peek(); !ok {
			return
		}
		if a, ok := c.Next().(*packet.Ack); ok {
			acked[fmt.Sprint(a.PacketID)] = time.Now()
		}
	}
}
