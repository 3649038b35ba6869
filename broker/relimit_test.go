package broker_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// landlord has limits for its guests that change while they are here.
type landlord struct {
	brokertest.Everything
	limits *atomic.Pointer[broker.Limits]
}

func (h landlord) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	return guests{*h.limits.Load()}.Authenticate(ctx, c)
}

func (h landlord) LimitsOf(id *broker.Identity) (l broker.Limits, system, known bool) {
	return *h.limits.Load(), id.User == "homeassistant", true
}

// withHost runs f with a function that changes everybody's limits.
func withHost(t *testing.T, mod func(*broker.Config), f func(w *world, limit func(broker.Limits))) {
	t.Helper()
	h := landlord{limits: new(atomic.Pointer[broker.Limits])}
	h.limits.Store(new(broker.Limits))
	inWorld(t, func(cfg *broker.Config, deps *broker.Deps) {
		deps.Authenticator, deps.Authorizer = h, h
		if mod != nil {
			mod(cfg)
		}
	}, func(w *world) {
		f(w, func(l broker.Limits) {
			h.limits.Store(&l)
			w.b.Revalidate("lamp")
			synctest.Wait()
		})
	})
}

func (w *world) lamp(id string) *brokertest.Client {
	w.Helper()
	c := w.dial(packet.V50)
	if code := w.connect(c, id, "lamp"); code != packet.Success {
		w.Fatalf("%s: %v", id, code)
	}
	return c
}

// tell publishes numbers of QoS 1.
func (w *world) tell(from, to int) {
	w.Helper()
	for i := from; i < to; i++ {
		if err := w.b.Publish(w.Context(), broker.NewMessage("t", fmt.Append(nil, i), 1, false)); err != nil {
			w.Fatal(err)
		}
	}
	synctest.Wait()
}

// got takes all messages that came, in text.
func got(c *brokertest.Client) (payloads []string, ids []uint16) {
	for _, p := range c.All() {
		if m, ok := p.(*packet.Publish); ok {
			payloads, ids = append(payloads, string(m.Payload)), append(ids, m.PacketID)
		}
	}
	return payloads, ids
}

// Fewer may be under way: what is stays so, and nothing more is sent until acknowledgements
// have brought it below the bound. More may be: more is sent at once.
func TestRelimitInflight(t *testing.T) {
	withHost(t, nil, func(w *world, limit func(broker.Limits)) {
		c := w.lamp("a")
		c.Subscribe("t", 1)
		w.tell(0, 5)
		_, ids := got(c)
		if len(ids) != 5 {
			t.Fatalf("%d under way", len(ids))
		}
		limit(broker.Limits{Inflight: 2})
		w.tell(5, 10)
		c.Nothing()
		for i, id := range ids {
			c.Send(ack(packet.TypePuback, id))
			if _, more := got(c); len(more) != max(0, i-2) && i < 4 {
				t.Errorf("%d more after %d acknowledgements", len(more), i+1)
			} else if i == 3 {
				ids = append(ids, more...)
			}
		}
		limit(broker.Limits{})
		if p, _ := got(c); len(p) != 3 {
			t.Errorf("without a limit %v came at once", p)
		}
	})
}

// Receive Maximum stays above all.
func TestRelimitReceiveMaximum(t *testing.T) {
	withHost(t, nil, func(w *world, limit func(broker.Limits)) {
		c := w.dial(packet.V50)
		p := &packet.Connect{Version: packet.V50, ClientID: "a", CleanStart: true, HasUserName: true, UserName: "lamp"}
		p.Properties.SetReceiveMaximum(2)
		c.Send(p)
		brokertest.Get[*packet.Connack](c)
		c.Subscribe("t", 1)
		limit(broker.Limits{Inflight: 1})
		limit(broker.Limits{Inflight: 100})
		w.tell(0, 5)
		if p, _ := got(c); len(p) != 2 {
			t.Errorf("%v under way, Receive Maximum is 2", p)
		}
	})
}

// A shorter queue: what waits is thrown away only when the next message finds no room. It
// holds for clients that are away, and after a restart.
func TestRelimitQueue(t *testing.T) {
	withHost(t, func(cfg *broker.Config) { cfg.QueueFull = broker.DropOldest }, func(w *world, limit func(broker.Limits)) {
		c := w.dial(packet.V50)
		p := &packet.Connect{Version: packet.V50, ClientID: "a", HasUserName: true, UserName: "lamp"}
		p.Properties.SetSessionExpiry(3600)
		c.Send(p)
		brokertest.Get[*packet.Connack](c)
		c.Subscribe("t", 1)
		c.Close()
		w.tell(0, 5)
		waits := func(want int) {
			t.Helper()
			if s, _, err := w.b.Session("a"); err != nil || s.Queued != want {
				t.Errorf("%d wait, %v, want %d", s.Queued, err, want)
			}
		}
		limit(broker.Limits{QueuedMessages: 3})
		waits(5)
		w.tell(5, 6)
		waits(3)
		w.restart()
		w.tell(6, 8)
		waits(3)
		c = w.dial(packet.V50)
		c.Send(p)
		brokertest.Get[*packet.Connack](c)
		if p, _ := got(c); fmt.Sprint(p) != "[5 6 7]" {
			t.Errorf("came %v", p)
		}
	})
}

// Fewer subscriptions: those that are there stay, new ones are refused.
func TestRelimitSubscriptions(t *testing.T) {
	withHost(t, nil, func(w *world, limit func(broker.Limits)) {
		c := w.lamp("a")
		want := func(filter string, code packet.ReasonCode) {
			t.Helper()
			if got := c.Subscribe(filter, 0); got != code {
				t.Errorf("%s: %v, want %v", filter, got, code)
			}
		}
		want("one", packet.Success)
		want("two", packet.Success)
		limit(broker.Limits{Subscriptions: 1})
		want("three", packet.QuotaExceeded)
		want("two", packet.Success) // it is there already
		if s, _, _ := w.b.Session("a"); s.Subscriptions != 2 {
			t.Errorf("%d subscriptions", s.Subscriptions)
		}
		limit(broker.Limits{Subscriptions: 3})
		want("three", packet.Success)
		want("four", packet.QuotaExceeded)
	})
}

// Rates hold for the next message; who rests for a long time goes on as soon as it may.
func TestRelimitRates(t *testing.T) {
	withHost(t, nil, func(w *world, limit func(broker.Limits)) {
		reader := w.clean(packet.V50, "reader")
		reader.Subscribe("#", 0)
		c := w.lamp("a")
		count := func() int {
			brokertest.Pass(0)
			p, _ := got(reader)
			return len(p)
		}
		send := func(n int) {
			for range n {
				c.Publish("t", "x", 0, false, 0)
			}
		}
		send(20)
		if n := count(); n != 20 {
			t.Errorf("without a limit: %d of 20", n)
		}
		limit(broker.Limits{MessageRate: 0.001}) // one in 17 minutes
		send(5)
		if n := count(); n > 2 {
			t.Errorf("with one of 0.001 a second: %d of 5", n)
		}
		brokertest.Pass(time.Minute)
		if n := count(); n != 0 {
			t.Errorf("a minute later: %d more", n)
		}
		limit(broker.Limits{})
		brokertest.Pass(2 * time.Second)
		if n := count(); n < 3 {
			t.Errorf("when there is none any more: %d more", n)
		}
	})
}

// Connections above a lower bound stay, new ones are refused; retained messages above it
// stay, new ones are not kept; packets may be as large as the client was told.
func TestRelimitWhatIsThere(t *testing.T) {
	withHost(t, nil, func(w *world, limit func(broker.Limits)) {
		a, b := w.lamp("a"), w.lamp("b")
		retain := func(topic string, want packet.ReasonCode) {
			t.Helper()
			a.Publish(topic, "0123456789", 1, true, 1)
			if got := brokertest.Get[*packet.Ack](a).Code; got != want {
				t.Errorf("%s: %v, want %v", topic, got, want)
			}
		}
		retain("one", packet.NoMatchingSubscribers)
		retain("two", packet.NoMatchingSubscribers)
		limit(broker.Limits{Connections: 1, RetainedMessages: 1, PacketSize: 10})
		if code := w.connect(w.dial(packet.V50), "c", "lamp"); code != packet.ServerUnavailable {
			t.Errorf("a third connection: %v", code)
		}
		retain("three", packet.QuotaExceeded)
		retain("two", packet.QuotaExceeded) // of two, one too many
		n := 0
		for range w.b.Retained("#") {
			n++
		}
		if a.Closed() || b.Closed() || n != 2 {
			t.Errorf("closed %v %v, %d retained", a.Closed(), b.Closed(), n)
		}
		b.Close()
		w.lamp("a") // takes its own place over
		late := w.dial(packet.V50)
		late.Send(&packet.Connect{Version: packet.V50, ClientID: "a", CleanStart: true, HasUserName: true, UserName: "lamp"})
		if ack := brokertest.Get[*packet.Connack](late); ack.Properties.MaximumPacketSize != 10 {
			t.Errorf("the next connection is told %d", ack.Properties.MaximumPacketSize)
		}
	})
}
