package broker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// expectBye takes the next packet, which must be DISCONNECT with this code, and the end of the connection.
func (w *world) expectBye(c *brokertest.Client, code packet.ReasonCode) *packet.Disconnect {
	w.Helper()
	d := brokertest.Get[*packet.Disconnect](c)
	if d.Code != code || !c.Closed() {
		w.Fatalf("DISCONNECT %s, closed %v, want %s", d.Code, c.Closed(), code)
	}
	return d
}

// refused opens a connection whose CONNECT must be answered by this code.
func (w *world) refused(v packet.Version, p packet.Connect, code packet.ReasonCode) *packet.Connack {
	w.Helper()
	c := w.dial(v)
	p.Version = v
	c.Send(&p)
	ack := brokertest.Get[*packet.Connack](c)
	if ack.Code != code || !c.Closed() { // [MQTT-3.2.2-7] [MQTT3-3.2.2-5] [MQTT-3.1.4-2]
		w.Fatalf("CONNACK %s, closed %v, want %s", ack.Code, c.Closed(), code)
	}
	return ack
}

// A will is discarded by a normal DISCONNECT only [MQTT-3.14.4-3] [MQTT-3.1.2-10].
func TestWillAfterDisconnectWithError(t *testing.T) { // case P25
	inWorld(t, nil, func(w *world) {
		sub := w.clean(packet.V50, "sub")
		sub.Subscribe("w", 0)
		for code, want := range map[packet.ReasonCode]bool{
			packet.Success: false, packet.DisconnectWithWill: true, packet.UnspecifiedError: true,
			packet.QuotaExceeded: true, packet.AdministrativeAction: true, packet.SessionTakenOver: true, // a server's: a Protocol Error
		} {
			c, _ := w.login(packet.V50, packet.Connect{ClientID: "dev", CleanStart: true, Will: &packet.Will{Topic: "w", Payload: []byte("x")}})
			c.Send(&packet.Disconnect{Code: code})
			if got := len(sub.All()) == 1; got != want {
				w.Errorf("DISCONNECT %s: will %v, want %v", code, got, want)
			}
			if code == packet.SessionTakenOver {
				w.expectBye(c, packet.ProtocolError)
			}
		}
	})
}

// A client may come back with a smaller Receive Maximum than it had.
func TestReceiveMaximumAfterReconnect(t *testing.T) { // case P20
	inWorld(t, nil, func(w *world) {
		c, _ := w.durable(packet.V50, "dev")
		c.Subscribe("t", 2)
		pub := w.clean(packet.V50, "pub")
		for i := range 10 {
			pub.Publish("t", fmt.Sprint(i), 2, false, uint16(i+1))
		}
		var ids []uint16
		for i := range 10 {
			ids = append(ids, w.expectPublish(c, "t", fmt.Sprint(i), 2, false).PacketID)
		}
		c.Send(ackOf(packet.TypePubrec, ids[8]))
		w.expectAck(c, packet.TypePubrel, ids[8])
		c.Close()
		connect := packet.Connect{ClientID: "dev"}
		connect.Properties.SetSessionExpiry(3600)
		connect.Properties.SetReceiveMaximum(3)
		c, _ = w.login(packet.V50, connect)
		for i := range 2 {
			if m := w.expectPublish(c, "t", fmt.Sprint(i), 2, false); !m.Dup || m.PacketID != ids[i] {
				w.Errorf("not the same again: %+v", m)
			}
		}
		third := c.Next()
		if p, ok := third.(*packet.Publish); !ok || string(p.Payload) != "2" {
			w.Fatalf("third is %s", third.Kind())
		}
		w.expectAck(c, packet.TypePubrel, ids[8]) // does not wait [MQTT-3.3.4-10] [MQTT-4.9.0-3]
		c.Nothing()                               // [MQTT-4.9.0-1] [MQTT-4.9.0-2]
		c.Send(ackOf(packet.TypePubcomp, ids[8]))
		c.Nothing() // still three PUBLISH under way
		for i := range 5 {
			c.Send(ackOf(packet.TypePubrec, ids[i]))
			w.expectAck(c, packet.TypePubrel, ids[i])
			c.Nothing()
			c.Send(ackOf(packet.TypePubcomp, ids[i]))
			if m := w.expectPublish(c, "t", fmt.Sprint(i+3), 2, false); !m.Dup || m.PacketID != ids[i+3] {
				w.Errorf("not the same again: %+v", m)
			}
		}
	})
}

// The alias property must not push a packet over the client's Maximum Packet Size.
func TestAliasWithinMaximumPacketSize(t *testing.T) { // case P21
	inWorld(t, nil, func(w *world) {
		connect := packet.Connect{ClientID: "dev", CleanStart: true}
		connect.Properties.SetTopicAliasMaximum(5)
		connect.Properties.SetMaximumPacketSize(40)
		c, _ := w.login(packet.V50, connect)
		c.Subscribe("long/topic", 1)
		pub := w.clean(packet.V50, "pub")
		for n := 15; n <= 30; n++ {
			for qos := byte(0); qos <= 1; qos++ {
				pub.Publish("long/topic", strings.Repeat("x", n), qos, false, uint16(qos))
				for _, p := range c.All() {
					m := p.(*packet.Publish)
					if size := packet.PublishSize(packet.V50, m); size > 40 { // [MQTT-3.1.2-24]
						w.Errorf("%d bytes, alias %d", size, m.TopicAlias)
					}
					if m.QoS == 1 {
						c.Send(ackOf(packet.TypePuback, m.PacketID))
					}
				}
			}
		}
	})
}

// What was under way may not fit any more when a client comes back.
func TestSmallerMaximumPacketSizeAfterReconnect(t *testing.T) { // case P21
	inWorld(t, nil, func(w *world) {
		c, _ := w.durable(packet.V50, "dev")
		c.Subscribe("t", 1)
		pub := w.clean(packet.V50, "pub")
		pub.Publish("t", strings.Repeat("x", 100), 1, false, 1)
		pub.Publish("t", "small", 1, false, 2)
		c.All()
		c.Close()
		connect := packet.Connect{ClientID: "dev"}
		connect.Properties.SetSessionExpiry(3600)
		connect.Properties.SetMaximumPacketSize(60)
		c, _ = w.login(packet.V50, connect)
		w.expectPublish(c, "t", "small", 1, false) // [MQTT-3.1.2-25]
		c.Nothing()
		connect.Properties.SetMaximumPacketSize(8) // CONNACK does not fit
		x := w.dial(packet.V50)
		connect.Version = packet.V50
		x.Send(&connect)
		if a := brokertest.Get[*packet.Connack](x); a.Code != packet.PacketTooLarge || !x.Closed() {
			w.Errorf("CONNACK %s", a.Code)
		}
	})
}

// A SUBACK that the client can't take ends the connection.
func TestSubackTooLarge(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		connect := packet.Connect{ClientID: "dev", CleanStart: true}
		connect.Properties.SetMaximumPacketSize(40)
		c, _ := w.login(packet.V50, connect)
		p := &packet.Subscribe{PacketID: 1}
		for i := range 60 {
			p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: fmt.Sprint(i)})
		}
		c.Send(p)
		w.expectBye(c, packet.PacketTooLarge) // [MQTT-3.1.2-24]
	})
}

// A QoS 0 message larger than MaxOutboundBytes still gets through.
func TestLargeQoS0(t *testing.T) {
	inWorld(t, func(c *broker.Config, _ *broker.Deps) { c.MaxOutboundBytes = 1000 }, func(w *world) {
		sub, pub := w.clean(packet.V311, "sub"), w.clean(packet.V311, "pub")
		sub.Subscribe("camera", 0)
		big := strings.Repeat("x", 100_000)
		pub.Publish("camera", big, 0, false, 0)
		w.expectPublish(sub, "camera", big, 0, false)
	})
}

func TestReasonStrings(t *testing.T) {
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { d.Authorizer = denyTopic("secret") }, func(w *world) {
		for _, wanted := range []bool{true, false} {
			connect := packet.Connect{ClientID: "dev", CleanStart: true}
			if !wanted {
				connect.Properties.SetRequestProblemInfo(0) // [MQTT-3.1.2-29]
			}
			c, _ := w.login(packet.V50, connect)
			check := func(code packet.ReasonCode, pr *packet.Properties) {
				w.Helper()
				if has := pr.ReasonString != ""; has != wanted || !code.Failed() {
					w.Errorf("%s, reason string %q, wanted %v", code, pr.ReasonString, wanted)
				}
			}
			c.Publish("secret", "x", 1, false, 1)
			a := w.expectAck(c, packet.TypePuback, 1)
			check(a.Code, &a.Properties)
			c.Publish("secret", "x", 2, false, 2)
			a = w.expectAck(c, packet.TypePubrec, 2)
			check(a.Code, &a.Properties)
			c.Send(&packet.Subscribe{PacketID: 3, Subscriptions: []packet.Subscription{{Filter: "ok"}, {Filter: "secret"}}})
			s := brokertest.Get[*packet.Suback](c)
			check(s.Codes[1], &s.Properties)
			c.Send(&packet.Unsubscribe{PacketID: 4, Filters: []string{"a/#/b"}})
			u := brokertest.Get[*packet.Unsuback](c)
			check(u.Codes[0], &u.Properties)
			c.Send(&packet.Pingresp{})
			d := w.expectBye(c, packet.ProtocolError)
			check(d.Code, &d.Properties)
		}
		// [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.9.2-1] [MQTT-3.11.2-1] [MQTT-3.14.2-3]: not beyond Maximum Packet Size [MQTT-3.2.2-20] [MQTT-3.4.2-3] [MQTT-3.5.2-3] [MQTT-3.9.2-2]
		connect := packet.Connect{ClientID: "dev", CleanStart: true}
		connect.Properties.SetMaximumPacketSize(20)
		c, _ := w.login(packet.V50, connect)
		c.Publish("secret", "x", 1, false, 1)
		if a := w.expectAck(c, packet.TypePuback, 1); a.Code != packet.NotAuthorized || a.Properties.ReasonString != "" {
			w.Errorf("%+v", a)
		}
		c.Publish("secret", "x", 2, false, 2)
		c.Publish("allowed", "x", 2, false, 2) // the identifier is free again [MQTT-4.3.3-9]
		if a := w.expectAck(c, packet.TypePubrec, 2); a.Properties.ReasonString != "" {
			w.Errorf("%+v", a)
		}
		if a := w.expectAck(c, packet.TypePubrec, 2); a.Code.Failed() {
			w.Errorf("%+v", a)
		}
		if code := c.Subscribe("a/#/b", 0); code != packet.TopicFilterInvalid {
			w.Errorf("%s", code)
		}
		c.Send(&packet.Unsubscribe{PacketID: 4, Filters: []string{"a/#/b"}})
		if u := brokertest.Get[*packet.Unsuback](c); u.Properties.ReasonString != "" {
			w.Errorf("%+v", u)
		}
		c.Send(&packet.Pingresp{})
		if d := w.expectBye(c, packet.ProtocolError); d.Properties.ReasonString != "" {
			w.Errorf("%+v", d)
		}
		will := packet.Connect{ClientID: "w", Will: &packet.Will{Topic: strings.Repeat("a/", 300)}}
		will.Properties.SetMaximumPacketSize(20) // [MQTT-3.2.2-19]
		if a := w.refused(packet.V50, will, packet.TopicNameInvalid); a.Properties.ReasonString != "" {
			w.Errorf("%+v", a)
		}
		will.Properties = packet.Properties{}
		if a := w.refused(packet.V50, will, packet.TopicNameInvalid); a.Properties.ReasonString == "" {
			w.Errorf("%+v", a)
		}
	})
}

// denyTopic allows everything but one Topic Name and filter.
type denyTopic string

func (d denyTopic) Authorize(_ *broker.Identity, _ broker.Action, name string) broker.Decision {
	return broker.Decision{Allow: name != string(d), MaxQoS: 2}
}
func (denyTopic) Generation() uint64 { return 1 }

func TestResponseInformation(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		seen := map[string]string{}
		for _, id := range []string{"dev", "a/b", "#", "+", "$SYS", "dev2"} {
			connect := packet.Connect{ClientID: id, CleanStart: true}
			connect.Properties.SetRequestResponseInfo(1)
			c, ack := w.login(packet.V50, connect)
			prefix := ack.Properties.ResponseInfo
			if prefix == "" || strings.ContainsAny(prefix, "+#") || seen[prefix] != "" {
				w.Errorf("client %q: response information %q, also of %q", id, prefix, seen[prefix])
			}
			seen[prefix] = id
			if code := c.Subscribe(prefix+"/#", 0); code.Failed() {
				w.Error(code)
			}
			connect.Properties.SetRequestResponseInfo(0)
			if _, ack = w.login(packet.V50, connect); ack.Properties.Has(packet.PropResponseInfo) {
				w.Error("not asked for") // [MQTT-3.1.2-28]
			}
		}
	})
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { d.Authorizer = denyTopic("response/dev/#") }, func(w *world) {
		connect := packet.Connect{ClientID: "dev", CleanStart: true}
		connect.Properties.SetRequestResponseInfo(1)
		if _, ack := w.login(packet.V50, connect); ack.Properties.ResponseInfo != "" {
			w.Error("told where it may not subscribe")
		}
	})
}

// Topics of the broker itself are read-only (case A12).
func TestReservedTopics(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		watch, c := w.clean(v, "watch"), w.clean(v, "dev")
		watch.Subscribe("$SYS/mine", 0)
		for i, name := range []string{"$SYS/mine", "$SYS", "$CONTROL/x", "$hearthmq/x"} {
			c.Publish(name, "x", 1, true, uint16(i+1))
			a := w.expectAck(c, packet.TypePuback, uint16(i+1)) // [MQTT3-3.3.5-2]
			if v == packet.V50 && a.Code != packet.NotAuthorized {
				w.Errorf("%s: %s", name, a.Code)
			}
			w.refused(v, packet.Connect{ClientID: "w", CleanStart: true, Will: &packet.Will{Topic: name}}, packet.NotAuthorized)
		}
		watch.Nothing()
		c.Publish("$SYSTEM", "x", 1, false, 9)
		if a := w.expectAck(c, packet.TypePuback, 9); a.Code.Failed() {
			w.Error("other topics with $ are everybody's")
		}
	})
}

// No Local holds for a Will, too: the taken over connection's comes to nobody of the same name.
func TestWillNoLocal(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		connect := packet.Connect{ClientID: "dev", Will: &packet.Will{Topic: "w", Payload: []byte("x")}}
		connect.Properties.SetSessionExpiry(60)
		c, _ := w.login(packet.V50, connect)
		c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "w", NoLocal: true}}})
		brokertest.Get[*packet.Suback](c)
		other := w.clean(packet.V50, "other")
		other.Subscribe("w", 0)
		c, _ = w.login(packet.V50, connect)
		w.expectPublish(other, "w", "x", 0, false)
		c.Nothing() // [MQTT-3.8.3-3]
	})
}

// Whole packets keep a connection alive, and what is on its way of a large one.
func TestKeepAliveCountsPackets(t *testing.T) { // case P23
	inWorld(t, nil, func(w *world) {
		c, _ := w.login(packet.V311, packet.Connect{ClientID: "dev", CleanStart: true, KeepAlive: 10})
		c.Write([]byte{0x30, 0x7F})
		for range 20 {
			brokertest.Pass(time.Second)
			c.Write([]byte{0})
		}
		if !c.Closed() {
			w.Error("a byte now and then keeps a connection alive") // [MQTT-3.1.2-22] [MQTT3-3.1.2-24]
		}
		c, _ = w.login(packet.V311, packet.Connect{ClientID: "dev", CleanStart: true, KeepAlive: 10})
		c.Write([]byte{0x30, 0xFF, 0x7F, 0, 1, 't'})
		for range 20 {
			brokertest.Pass(time.Second)
			c.Write(make([]byte, 800))
		}
		if c.Closed() {
			w.Error("a large packet over a slow link was cut")
		}
	})
}

func TestShutdownTellsClients(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c, old := w.clean(packet.V50, "new"), w.clean(packet.V311, "old")
		w.stop()
		w.expectBye(c, packet.ServerShuttingDown)
		old.Nothing()
		if !old.Closed() {
			w.Error("open")
		}
		w.start()
	})
}

func TestAdministratorsCodes(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c := w.clean(packet.V50, "dev")
		if err := w.b.Disconnect("dev", packet.AdministrativeAction); err != nil {
			w.Fatal(err)
		}
		if d := w.expectBye(c, packet.AdministrativeAction); d.Properties.Has(packet.PropSessionExpiry) {
			w.Error("Session Expiry Interval from a server") // [MQTT-3.14.2-2]
		}
		if err := w.b.Disconnect("dev", packet.AdministrativeAction); err != broker.ErrNotFound {
			w.Error(err)
		}
		m := broker.NewMessage("$SYS/x", []byte("1"), 0, false)
		if err := w.b.Publish(context.Background(), m); err != nil {
			w.Error(err) // the broker itself may
		}
	})
}
