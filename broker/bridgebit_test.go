package broker_test

import (
	"testing"

	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// A client that marks itself as a bridge, as Mosquitto's do, gets nothing of its own
// back and RETAIN as it was published, though it speaks 3.1.1.
func TestBridgeBit(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c := brokertest.Dial(w, w.b, packet.V311)
		c.Send(&packet.Connect{Version: packet.V311, Bridge: true, ClientID: "theirs", CleanStart: true,
			Will: &packet.Will{Topic: "$SYS/broker/connection/theirs/state", Payload: []byte("0"), QoS: 1, Retain: true}})
		if ack := brokertest.Get[*packet.Connack](c); ack.Code != packet.Success {
			w.Fatalf("CONNACK %s", ack.Code)
		}
		c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "#", QoS: 0}}})
		brokertest.Get[*packet.Suback](c)
		c.Publish("own", "x", 0, true, 0)
		c.Publish("$SYS/broker/connection/theirs/state", "1", 1, true, 2)
		if ack := brokertest.Get[*packet.Ack](c); ack.PacketID != 2 {
			w.Errorf("%+v", ack)
		}
		c.Nothing()
		other := w.clean(packet.V50, "other")
		other.Publish("others", "x", 0, true, 0)
		if p := brokertest.Get[*packet.Publish](c); string(p.Topic) != "others" || !p.Retain {
			w.Errorf("%+v", p)
		}
		state := func() (text string) {
			for m := range w.b.Retained("$SYS/broker/connection/theirs/state") {
				text = string(m.Payload)
			}
			return text
		}
		if state() != "1" {
			w.Errorf("state %q", state())
		}
		// Nobody says so of others (case A12).
		other.Publish("$SYS/broker/connection/theirs/state", "0", 1, true, 1)
		if ack := brokertest.Get[*packet.Ack](other); ack.Code != packet.NotAuthorized || state() != "1" {
			w.Errorf("PUBACK %s, state %q", ack.Code, state())
		}
		c.Close()
		brokertest.Pass(0)
		if state() != "0" {
			w.Errorf("state %q after the connection was lost", state())
		}
	})
}
