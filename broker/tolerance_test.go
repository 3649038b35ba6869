package broker_test

import (
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// strict asks for the letter of the specification.
func strict(c *broker.Config, _ *broker.Deps) { c.StrictProtocol = true }

// What the world's clients do is tolerated and counted; strict ends it.
func TestViolations(t *testing.T) { // case P19
	overrun := func(w *world, c *brokertest.Client, n int) {
		for i := range n {
			c.Publish("t", "x", 2, false, uint16(i+1))
		}
	}
	small := func(c *broker.Config, _ *broker.Deps) { c.ReceiveMaximum = 5 }
	count := func(w *world, id string) uint64 {
		w.Helper()
		in, _, err := w.b.Session(id)
		if err != nil {
			w.Fatal(err)
		}
		return in.Violations
	}
	inWorld(t, small, func(w *world) {
		c := w.clean(packet.V50, "dev")
		overrun(w, c, 10)
		if c.Closed() || count(w, "dev") != 5 {
			w.Errorf("closed %v, %d violations, want 5", c.Closed(), count(w, "dev"))
		}
		if got := len(c.All()); got != 10 {
			w.Errorf("%d PUBREC, want 10", got)
		}
		overrun(w, c, 11) // ten of them again, the eleventh is too much
		for _, p := range c.All() {
			if d, ok := p.(*packet.Disconnect); ok && d.Code != packet.ReceiveMaximumExceeded {
				w.Errorf("DISCONNECT %s", d.Code)
			}
		}
		if !c.Closed() {
			w.Error("open beyond twice Receive Maximum")
		}
		old := w.clean(packet.V311, "old") // 3.1.1 knows no limit
		overrun(w, old, 50)
		if old.Closed() || count(w, "old") != 0 {
			w.Error("a limit for 3.1.1")
		}
		w.clean(packet.V311, "home/light #1")
		if count(w, "home/light #1") != 1 {
			w.Error("odd client identifier was not counted")
		}
		old.Send(ackOf(packet.TypePuback, 99))
		if old.Closed() || count(w, "old") != 1 {
			w.Error("stray acknowledgement was not counted")
		}
	})
	inWorld(t, func(c *broker.Config, d *broker.Deps) { small(c, d); strict(c, d) }, func(w *world) {
		c := w.clean(packet.V50, "dev")
		overrun(w, c, 5)
		if got := len(c.All()); c.Closed() || got != 5 {
			w.Fatalf("closed %v, %d acknowledged", c.Closed(), got)
		}
		c.Publish("t", "x", 1, false, 6)
		w.expectBye(c, packet.ReceiveMaximumExceeded) // [MQTT-3.3.4-7]
		w.refused(packet.V50, packet.Connect{ClientID: "a/b"}, packet.ClientIDNotValid)
		w.refused(packet.V311, packet.Connect{ClientID: "a/b"}, packet.ClientIDNotValid) // [MQTT-3.1.3-8] [MQTT3-3.1.3-9]
		c = w.clean(packet.V50, "stray")
		c.Send(ackOf(packet.TypePuback, 99))
		w.expectBye(c, packet.ProtocolError)
	})
}

// case P9: the claim to be text is checked only where the letter is asked for.
func TestPayloadFormat(t *testing.T) {
	props := packet.Properties{}
	props.SetPayloadFormat(1)
	message := func(qos byte, id uint16) *packet.Publish {
		return &packet.Publish{Topic: []byte("t"), Payload: []byte{0xC0, 0x80}, QoS: qos, PacketID: id, Properties: props.AppendForward(nil)}
	}
	inWorld(t, nil, func(w *world) {
		c := w.clean(packet.V50, "dev")
		c.Subscribe("t", 0)
		c.Send(message(0, 0))
		w.expectPublish(c, "t", "\xC0\x80", 0, false) // [MQTT-3.3.2-4]
	})
	inWorld(t, strict, func(w *world) {
		c := w.clean(packet.V50, "dev")
		c.Send(message(1, 1), message(2, 2))
		if a := w.expectAck(c, packet.TypePuback, 1); a.Code != packet.PayloadFormatInvalid {
			w.Errorf("PUBACK %s", a.Code)
		}
		if a := w.expectAck(c, packet.TypePubrec, 2); a.Code != packet.PayloadFormatInvalid {
			w.Errorf("PUBREC %s", a.Code)
		}
		c.Send(message(0, 0))
		w.expectBye(c, packet.PayloadFormatInvalid)
		will := packet.Will{Topic: "w", Payload: []byte{0xFF}, Properties: props}
		w.refused(packet.V50, packet.Connect{ClientID: "w", Will: &will}, packet.PayloadFormatInvalid)
	})
}

func TestMaximumQoSAndRetain(t *testing.T) {
	one := byte(1)
	limits := func(c *broker.Config, _ *broker.Deps) { c.MaximumQoS, c.NoRetain = &one, true }
	inWorld(t, limits, func(w *world) {
		c, ack := w.login(packet.V50, packet.Connect{ClientID: "dev", CleanStart: true})
		pr := &ack.Properties
		if pr.MaximumQoS != 1 || !pr.Has(packet.PropRetainAvailable) || pr.RetainAvailable != 0 {
			w.Errorf("CONNACK %+v", pr) // [MQTT-3.2.2-9]
		}
		if code := c.Subscribe("t", 2); code != packet.GrantedQoS1 {
			w.Errorf("SUBSCRIBE with QoS 2: %s", code) // [MQTT-3.2.2-10]
		}
		c.Publish("t", "x", 2, false, 1)
		w.expectBye(c, packet.QoSNotSupported)
		for qos := byte(0); qos <= 1; qos++ {
			c = w.clean(packet.V50, "dev")
			c.Publish("t", "x", qos, true, uint16(qos))
			w.expectBye(c, packet.RetainNotSupported)
		}
		w.refused(packet.V50, packet.Connect{ClientID: "w", Will: &packet.Will{Topic: "w", QoS: 2}}, packet.QoSNotSupported)          // [MQTT-3.2.2-12]
		w.refused(packet.V50, packet.Connect{ClientID: "w", Will: &packet.Will{Topic: "w", Retain: true}}, packet.RetainNotSupported) // [MQTT-3.2.2-13]
	})
}
