package broker_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// With No Local a client gets back nothing that it said itself, retained or not, and all that
// others said [MQTT-3.8.3-3]; after a restart as well.
func TestNoLocalOfRetained(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for _, id := range []string{"own", "other"} {
			c := w.clean(packet.V50, id)
			c.Publish("home/"+id, id, 1, true, 1)
			w.expectAck(c, packet.TypePuback, 1)
			c.Close()
		}
		for _, when := range []string{"at once", "after a restart"} {
			c := w.clean(packet.V50, "own")
			ask := func(noLocal bool) (got []string) {
				c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "home/#", NoLocal: noLocal}}})
				brokertest.Get[*packet.Suback](c)
				for _, p := range c.All() {
					got = append(got, string(p.(*packet.Publish).Topic))
				}
				return got
			}
			if got := ask(true); fmt.Sprint(got) != "[home/other]" {
				t.Errorf("%s, with No Local: %q", when, got)
			}
			if got := ask(false); len(got) != 2 {
				t.Errorf("%s, without: %q", when, got)
			}
			w.restart()
		}
	})
}

// interrupter calls during once, when a client may be given the second of its retained messages.
type interrupter struct {
	brokertest.Everything
	asked  atomic.Int32
	during func(first string)
	first  atomic.Value
}

func (i *interrupter) Authorize(id *broker.Identity, act broker.Action, name string) broker.Decision {
	if act == broker.Receive && id.ClientID == "reader" {
		switch i.asked.Add(1) {
		case 1:
			i.first.Store(name)
		case 2:
			i.during(i.first.Load().(string))
		}
	}
	return i.Everything.Authorize(id, act, name)
}

// What is published while a client is given the retained messages does not overtake them: the
// last that it hears of a topic is the newest [MQTT-4.6.0-6].
func TestNewMessageComesAfterTheRetainedOne(t *testing.T) {
	rules := &interrupter{}
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { d.Authorizer = rules }, func(w *world) {
		rules.during = func(first string) {
			if err := w.b.Publish(w.Context(), broker.NewMessage(first, []byte("new"), 0, false)); err != nil {
				t.Error(err)
			}
		}
		for _, name := range []string{"home/1", "home/2"} {
			if err := w.b.Publish(w.Context(), broker.NewMessage(name, []byte("old"), 0, true)); err != nil {
				t.Fatal(err)
			}
		}
		reader := w.clean(packet.V50, "reader")
		reader.Subscribe("home/#", 0)
		synctest.Wait()
		first := rules.first.Load().(string)
		var heard []string
		for _, p := range reader.All() {
			if m := p.(*packet.Publish); string(m.Topic) == first {
				heard = append(heard, string(m.Payload))
			}
		}
		if fmt.Sprint(heard) != "[old new]" {
			t.Errorf("of %s: %q", first, heard)
		}
	})
}

// A retained message that is replayed names the subscription that it is for [MQTT-3.3.4-3].
func TestRetainedNamesItsSubscription(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.clean(packet.V50, "lamp").Publish("home/lamp", "on", 0, true, 0)
		c := w.clean(packet.V50, "panel")
		for _, id := range []uint32{7, 300_000, 0} {
			s := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: fmt.Sprint("home/", []string{"+", "#", "lamp"}[id%3])}}}
			want := "[]"
			if id > 0 {
				s.Properties.SubscriptionIDs = []uint32{id}
				want = fmt.Sprint([]uint32{id})
			}
			c.Send(&s)
			brokertest.Get[*packet.Suback](c)
			if p := w.expectPublish(c, "home/lamp", "on", 0, true); fmt.Sprint(p.SubscriptionIDs) != want {
				t.Errorf("names %v, want %s", p.SubscriptionIDs, want)
			}
		}
	})
}

// Who asks for more retained messages than an honest client does is disconnected with 0x97
// (case R9); Home Assistant, whom nobody may lock out, is given no more and stays.
func TestSystemUserIsNotEndedForReplays(t *testing.T) {
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { d.Authenticator = guests{} }, func(w *world) {
		for i := range 1000 {
			if err := w.b.Publish(w.Context(), broker.NewMessage(fmt.Sprint("home/", i), []byte("x"), 1, true)); err != nil {
				t.Fatal(err)
			}
		}
		for user, stays := range map[string]bool{"homeassistant": true, "lamp": false} {
			c := w.dial(packet.V50)
			w.connect(c, user, user)
			for i := 1; i <= 20 && !c.Closed(); i++ { // acknowledges nothing
				c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "home/#", QoS: 1}}},
					&packet.Unsubscribe{PacketID: 2, Filters: []string{"home/#"}})
				synctest.Wait()
			}
			if c.Closed() == stays {
				t.Errorf("%s stays: %v", user, !stays)
			}
			if stays {
				continue
			}
			c.Take(func(p packet.Packet) bool {
				d, is := p.(*packet.Disconnect)
				if is && d.Code != packet.QuotaExceeded {
					t.Errorf("%s is told %v", user, d.Code)
				}
				return is
			})
		}
	})
}

// While memory is short all retained messages fit once all the same: who subscribes then
// has the state of the house (case R6).
func TestRetainedFitOnceInShortMemory(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		const topics = 500
		for i := range topics {
			if err := w.b.Publish(w.Context(), broker.NewMessage(fmt.Sprint("home/", i), []byte("x"), 1, true)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // nobody reads the limit now
		w.b.Press(1<<10, broker.High)
		p := packet.Connect{ClientID: "panel", CleanStart: true}
		p.Properties.SetReceiveMaximum(1)
		c, _ := w.login(packet.V50, p)
		c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "home/#", QoS: 1}}})
		brokertest.Get[*packet.Suback](c)
		for i := range topics {
			m := brokertest.Get[*packet.Publish](c)
			if !m.Retain {
				t.Fatalf("message %d: %q", i, m.Topic)
			}
			c.Send(ack(packet.TypePuback, m.PacketID))
		}
	})
}
