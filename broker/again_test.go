package broker_test

import (
	"errors"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// What a client asks for a second time may be done in memory and not stored yet:
// the answer stands for the first time, too, and waits for it (case S3). An answer
// that came early would be taken back by a power cut.
func TestAskedAgainBeforeItIsStored(t *testing.T) {
	tests := []struct {
		name string
		// before is stored; once and again ask for the same, from one connection and the next.
		before, once, again []packet.Packet
		answer              packet.Type
	}{
		{"PUBREL", // the client would use the identifier for the next message, which would be taken for this one
			[]packet.Packet{publish("t", "x", 2, false, 1)},
			[]packet.Packet{ack(packet.TypePubrel, 1)}, []packet.Packet{ack(packet.TypePubrel, 1)}, packet.TypePubcomp},
		{"UNSUBSCRIBE",
			[]packet.Packet{&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "f"}}}},
			[]packet.Packet{&packet.Unsubscribe{PacketID: 2, Filters: []string{"f"}}},
			[]packet.Packet{&packet.Unsubscribe{PacketID: 2, Filters: []string{"f"}}}, packet.TypeUnsuback},
		{"retained message", nil,
			[]packet.Packet{publish("r", "x", 0, true, 0), publish("r", "y", 1, true, 1)},
			[]packet.Packet{publish("r", "y", 1, true, 1)}, packet.TypePuback},
		{"retained message is cleared",
			[]packet.Packet{publish("r", "x", 1, true, 1)},
			[]packet.Packet{publish("r", "", 0, true, 0)}, []packet.Packet{publish("r", "", 1, true, 1)}, packet.TypePuback},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var store *watchedStore
			inWorld(t, func(_ *broker.Config, d *broker.Deps) { store = watched(d) }, func(w *world) {
				c, _ := w.durable(packet.V50, "c")
				c.Send(tt.before...)
				if got := c.All(); len(tt.before) > 0 && len(got) == 0 {
					w.Fatal("no answer to what was to be stored")
				}
				store.setFail(errors.New("disk full"))
				c.Send(tt.once...)
				c.Nothing()
				c.Close()
				c, _ = w.durable(packet.V50, "c")
				c.Send(tt.again...)
				c.Nothing()
				store.setFail(nil)
				brokertest.Pass(11 * time.Second)
				if p := c.Next(); p.Kind() != tt.answer {
					w.Errorf("got %s, want %s", p.Kind(), tt.answer)
				}
				// Now it is stored, and a third time needs no waiting.
				c.Send(tt.again...)
				if p, ok := c.Peek(); !ok || p.Kind() != tt.answer {
					w.Errorf("what is stored is not answered at once: %v", p)
				}
			})
		})
	}
}

func publish(topic, payload string, qos byte, retain bool, id uint16) *packet.Publish {
	return &packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos, Retain: retain, PacketID: id}
}
