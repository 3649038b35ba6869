package broker_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// cases R5 and R6: what the levels of pressure begin and end at.
func TestPressureLevels(t *testing.T) {
	for _, tt := range []struct {
		before  broker.Pressure
		percent int64
		want    broker.Pressure
	}{
		{broker.Calm, 54, broker.Calm}, {broker.Calm, 55, broker.High}, {broker.Calm, 70, broker.Critical},
		{broker.High, 50, broker.High}, {broker.High, 49, broker.Calm}, {broker.High, 70, broker.Critical},
		{broker.Critical, 65, broker.Critical}, {broker.Critical, 64, broker.High}, {broker.Critical, 49, broker.Calm},
	} {
		if got := broker.Judge(tt.before, tt.percent); got != tt.want {
			t.Errorf("%v, then %d %%: %v, want %v", tt.before, tt.percent, got, tt.want)
		}
	}
}

// case R5: while memory is short nothing new is taken that stays; what is there goes on.
func TestShortMemoryTakesNothingNew(t *testing.T) {
	mod := func(_ *broker.Config, deps *broker.Deps) { deps.Authenticator = guests{} }
	inWorld(t, mod, func(w *world) {
		lamp := w.dial(packet.V50)
		w.connect(lamp, "lamp", "lamp")
		retain := func(topic string) packet.ReasonCode {
			lamp.Publish(topic, "x", 1, true, 1)
			return brokertest.Get[*packet.Ack](lamp).Code
		}
		retain("old")
		w.b.Press(205<<20, broker.High)
		if code := retain("new"); code != packet.QuotaExceeded {
			t.Errorf("a new topic: %v", code)
		}
		if code := retain("old"); code.Failed() {
			t.Errorf("a topic that is there: %v", code)
		}
		if code := w.connect(w.dial(packet.V50), "tv", "tv"); code != packet.Success {
			t.Errorf("a client at high pressure: %v", code)
		}
		w.b.Press(205<<20, broker.Critical)
		if code := w.connect(w.dial(packet.V50), "door", "door"); code != packet.ServerUnavailable {
			t.Errorf("a client at critical pressure: %v", code)
		}
		if code := w.connect(w.dial(packet.V50), "ha", "homeassistant"); code != packet.Success {
			t.Errorf("Home Assistant at critical pressure: %v", code)
		}
		w.b.Press(205<<20, broker.Calm)
		if code := w.connect(w.dial(packet.V50), "door", "door"); code != packet.Success {
			t.Errorf("a client afterwards: %v", code)
		}
		if code := retain("new"); code.Failed() {
			t.Errorf("a new topic afterwards: %v", code)
		}
	})
}

// cases R5 and R6: while memory is short each queue and each slow socket has its share of it,
// and when it is critical the worst of them are let go, those who read stay.
func TestShortMemoryIsShared(t *testing.T) {
	const limit, clients, size = 24 << 20, 20, 16 << 10
	inWorld(t, func(c *broker.Config, d *broker.Deps) { d.Store = nil }, func(w *world) {
		flood := func(topic string, qos byte, n int) {
			payload := bytes.Repeat([]byte("x"), size)
			for i := range n {
				if err := w.b.Publish(t.Context(), broker.NewMessage(topic, append([]byte(fmt.Sprint(i)), payload...), qos, false)); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		for i := range clients {
			c := w.deaf(fmt.Sprint("slow", i), packet.V311)
			p := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "sockets/#"}}}
			if _, err := c.Write(p.Append(nil, packet.V311)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			away, _ := w.durable(packet.V311, fmt.Sprint("away", i))
			away.Subscribe("queues/#", 1)
			away.Close()
		}
		reader := w.clean(packet.V311, "reader")
		reader.Subscribe("#", 0)

		w.b.Press(limit, broker.High)
		flood("sockets/x", 0, 200)
		reader.All()
		conns := clients + 1
		share := limit / 8 / conns
		if held, most := w.b.Stats().Memory.Backlog, int64(clients*(share+3*size)); held < most/4 || held > most {
			t.Errorf("%d bytes wait for slow sockets, want at most %d", held, most)
		}
		flood("queues/x", 1, 200)
		w.b.Press(limit, broker.High) // the shares of queues that are there
		flood("queues/x", 1, 200)
		if queued, most := w.b.Stats().QueuedBytes, int64(limit/3+clients*2*size); queued < most/4 || queued > most {
			t.Errorf("%d bytes wait in queues, want at most %d", queued, most)
		}
		dropped := w.b.Stats().PublishDropped
		if dropped == 0 {
			t.Error("nothing is counted as dropped")
		}

		before := w.b.Stats()
		w.b.Press(limit, broker.Critical)
		w.b.Shed()
		brokertest.Pass(5 * time.Second)
		after := w.b.Stats()
		if gone := before.Connections - after.Connections; gone != clients/10 {
			t.Errorf("%d slow readers were let go, want the worst %d", gone, clients/10)
		}
		if reader.Closed() {
			t.Error("who reads was let go")
		}
		if after.QueuedBytes >= before.QueuedBytes || after.PublishDropped <= dropped || w.b.Stats().Memory.Shed == 0 {
			t.Errorf("queues hold %d bytes of %d, %d dropped after %d, %d shed", after.QueuedBytes, before.QueuedBytes, after.PublishDropped, dropped, w.b.Stats().Memory.Shed)
		}
		for range 200 { // it goes on until there is enough
			w.b.Shed()
			brokertest.Pass(5 * time.Second)
		}
		if n := w.b.Stats().Connections; n != 1 {
			t.Errorf("%d connections are left, want the one that reads", n)
		}
	})
}
