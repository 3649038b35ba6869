package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// What a session holds is bounded in messages and bytes, and what is dropped is
// counted and told (case S17).
func TestQueueLimits(t *testing.T) {
	const size = 30 // bytes of a payload
	tests := []struct {
		name            string
		messages, bytes int
		full            broker.QueuePolicy
		want            []int // of the messages 0 to 14
	}{
		{"oldest, messages", 10, 0, broker.DropOldest, span(5, 15)},
		{"newest, messages", 10, 0, broker.DropNewest, span(0, 10)},
		{"disconnect, nobody there", 10, 0, broker.DisconnectSlow, span(0, 10)},
		{"oldest, bytes", 0, 10 * size, broker.DropOldest, span(5, 15)},
		{"newest, bytes", 0, 10 * size, broker.DropNewest, span(0, 10)},
		{"one always fits", 0, 1, broker.DropOldest, span(14, 15)},
		{"no limit reached", 15, 0, broker.DropOldest, span(0, 15)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(c *broker.Config, _ *broker.Deps) {
				c.QueueFull = tt.full
				if tt.messages > 0 {
					c.MaxQueuedMessages = tt.messages
				}
				if tt.bytes > 0 {
					c.MaxQueuedBytes = tt.bytes
				}
			}, func(w *world) {
				sub, _ := w.durable(packet.V311, "sub")
				sub.Subscribe("t", 1)
				sub.Close()
				pub := w.clean(packet.V311, "pub")
				for i := range 15 {
					pub.Publish("t", fmt.Sprintf("%0*d", size-1, i), 1, false, uint16(i+1))
				}
				if got := len(pub.All()); got != 15 {
					w.Errorf("%d acknowledgements", got)
				}
				brokertest.Pass(2 * time.Second)
				dropped := uint64(15 - len(tt.want))
				if s := w.b.Stats(); s.PublishDropped != dropped || s.QueuedMessages != len(tt.want) {
					w.Errorf("%d dropped, %d queued, want %d and %d", s.PublishDropped, s.QueuedMessages, dropped, len(tt.want))
				}
				if s, _, err := w.b.Session("sub"); err != nil || s.Dropped != dropped {
					w.Errorf("the session says %d dropped, %v", s.Dropped, err)
				}
				w.restart() // what was dropped does not come back
				sub, _ = w.durable(packet.V311, "sub")
				for _, i := range tt.want {
					m := brokertest.Get[*packet.Publish](sub)
					if got := strings.TrimLeft(string(m.Payload[:size-2]), "0") + string(m.Payload[size-2:]); got != fmt.Sprint(i) {
						w.Errorf("got message %s, want %d", got, i)
					}
				}
				sub.Nothing()
			})
		})
	}
}

func span(from, to int) (list []int) {
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

// With disconnect, a connected client that takes nothing is told why it has to go.
func TestQueueFullDisconnects(t *testing.T) { // case S17
	inWorld(t, func(c *broker.Config, _ *broker.Deps) {
		c.QueueFull, c.MaxQueuedMessages, c.MaxInflight = broker.DisconnectSlow, 10, 5
	}, func(w *world) {
		sub, _ := w.durable(packet.V50, "sub")
		sub.Subscribe("t", 1)
		pub := w.clean(packet.V311, "pub")
		for i := range 16 {
			pub.Publish("t", fmt.Sprint(i), 1, false, uint16(i+1))
		}
		got := sub.All()
		last, ok := got[len(got)-1].(*packet.Disconnect)
		if len(got) != 6 || !ok || last.Code != packet.QuotaExceeded || !sub.Closed() {
			w.Errorf("%d packets, the last is %+v", len(got), got[len(got)-1])
		}
	})
}

// What Home Assistant is sent while it starts fits: 8,192 messages beside those that
// are under way.
func TestBurstToStalledClient(t *testing.T) { // case S17
	inWorld(t, nil, func(w *world) {
		sub, _ := w.durable(packet.V311, "homeassistant")
		sub.Subscribe("#", 1)
		pub := w.clean(packet.V311, "pub")
		const burst = 8192 + 20
		for i := range burst {
			pub.Publish(fmt.Sprint("t/", i), "x", 1, false, uint16(i+1))
		}
		if got := len(pub.All()); got != burst {
			w.Fatalf("%d acknowledgements", got)
		}
		for n := 0; n < burst; {
			for _, p := range sub.All() {
				m := p.(*packet.Publish)
				if want := fmt.Sprint("t/", n); string(m.Topic) != want {
					w.Fatalf("got %s, want %s", m.Topic, want)
				}
				n++
				sub.Send(ack(packet.TypePuback, m.PacketID))
			}
		}
		if s := w.b.Stats(); s.PublishDropped != 0 {
			w.Errorf("%d dropped", s.PublishDropped)
		}
	})
}
