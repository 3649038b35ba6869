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

func TestPublishSubscribe(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		pub, sub := w.clean(v, "pub"), w.clean(v, "sub")
		for qos := byte(0); qos <= 2; qos++ {
			if got := sub.Subscribe(fmt.Sprintf("q%d/+", qos), qos); byte(got) != qos {
				w.Errorf("granted %v, want QoS %d", got, qos) // [MQTT-3.8.4-6]
			}
		}
		pub.Publish("q0/a", "zero", 0, false, 0)
		w.expectPublish(sub, "q0/a", "zero", 0, false)

		pub.Publish("q1/a", "one", 1, false, 10)
		w.expectAck(pub, packet.TypePuback, 10)
		m := w.expectPublish(sub, "q1/a", "one", 1, false)
		sub.Send(ack(packet.TypePuback, m.PacketID))

		pub.Publish("q2/a", "two", 2, false, 11)
		w.expectAck(pub, packet.TypePubrec, 11)
		m = w.expectPublish(sub, "q2/a", "two", 2, false)
		pub.Publish("q2/a", "two", 2, false, 11) // again, before PUBREL [MQTT-4.3.3-10]
		w.expectAck(pub, packet.TypePubrec, 11)
		sub.Nothing()
		pub.Send(ack(packet.TypePubrel, 11))
		w.expectAck(pub, packet.TypePubcomp, 11)
		sub.Send(ack(packet.TypePubrec, m.PacketID))
		w.expectAck(sub, packet.TypePubrel, m.PacketID)
		sub.Send(ack(packet.TypePubcomp, m.PacketID))

		pub.Publish("q0/a", "downgraded", 2, false, 12) // [MQTT-3.8.4-8]
		w.expectPublish(sub, "q0/a", "downgraded", 0, false)
		sub.Nothing()
	})
}

// Versions among each other: the frame may not be passed on as it is.
func TestAcrossVersions(t *testing.T) {
	all := []packet.Version{packet.V31, packet.V311, packet.V50}
	inWorld(t, nil, func(w *world) {
		subs := map[packet.Version]*brokertest.Client{}
		for _, v := range all {
			subs[v] = w.clean(v, "sub"+v.String())
			subs[v].Subscribe("a/b", 1)
		}
		for _, v := range all {
			pub := w.clean(v, "pub"+v.String())
			for qos := byte(0); qos <= 1; qos++ {
				pub.Publish("a/b", "x", qos, false, uint16(qos))
				for _, s := range subs {
					w.expectPublish(s, "a/b", "x", qos, false)
				}
			}
		}
	})
}

func TestPropertiesTravel(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		pub, sub, old := w.clean(packet.V50, "pub"), w.clean(packet.V50, "sub"), w.clean(packet.V311, "old")
		sub.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "#"}},
			Properties: packet.Properties{SubscriptionIDs: []uint32{7}}})
		brokertest.Get[*packet.Suback](sub)
		old.Subscribe("#", 0)
		props := packet.Properties{ContentType: "text/plain", ResponseTopic: "r", CorrelationData: []byte{1}}
		props.AddUser("k", "v1")
		props.AddUser("k", "v2")
		forward := props.AppendForward(nil)
		pub.Send(&packet.Publish{Topic: []byte("t"), Payload: []byte("x"), Properties: forward, HasExpiry: true, MessageExpiry: 60})
		m := w.expectPublish(sub, "t", "x", 0, false)
		if string(m.Properties) != string(forward) || m.MessageExpiry != 60 || len(m.SubscriptionIDs) != 1 || m.SubscriptionIDs[0] != 7 {
			w.Errorf("properties did not travel: %+v", m) // [MQTT-3.3.2-17] [MQTT-3.3.2-18]
		}
		w.expectPublish(old, "t", "x", 0, false)
	})
}

func TestRetained(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		pub := w.clean(v, "pub")
		pub.Publish("home/a", "1", 1, true, 1)
		w.expectAck(pub, packet.TypePuback, 1)
		pub.Publish("home/a", "2", 0, true, 0)
		pub.Publish("home/b", "3", 0, true, 0)

		sub := w.clean(v, "sub")
		sub.Subscribe("home/a", 1)
		w.expectPublish(sub, "home/a", "2", 0, true) // replaced [MQTT-3.3.1-5]
		pub.Publish("home/a", "live", 0, true, 0)
		w.expectPublish(sub, "home/a", "live", 0, false) // [MQTT-3.3.1-12]

		pub.Publish("home/a", "", 0, true, 0) // [MQTT-3.3.1-6]
		w.expectPublish(sub, "home/a", "", 0, false)
		late := w.clean(v, "late")
		late.Subscribe("home/#", 0)
		w.expectPublish(late, "home/b", "3", 0, true)
		late.Nothing()
		late.Subscribe("home/#", 0) // again: retained ones come again [MQTT-3.8.4-3]
		w.expectPublish(late, "home/b", "3", 0, true)
	})
}

func TestRetainHandling(t *testing.T) { // case P28
	inWorld(t, nil, func(w *world) {
		w.clean(packet.V50, "pub").Publish("t", "x", 0, true, 0)
		for handling, want := range map[byte][2]int{0: {1, 1}, 1: {1, 0}, 2: {0, 0}} {
			c := w.clean(packet.V50, fmt.Sprint("sub", handling))
			for i := range 2 {
				c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{
					{Filter: "t", RetainHandling: handling, RetainAsPublished: true}}})
				brokertest.Get[*packet.Suback](c)
				if got := len(c.All()); got != want[i] {
					w.Errorf("retain handling %d, subscribe %d: %d messages, want %d", handling, i+1, got, want[i])
				}
			}
			w.clean(packet.V50, "pub2").Publish("t", "x", 0, true, 0)
			w.expectPublish(c, "t", "x", 0, true) // Retain As Published [MQTT-3.3.1-13]
		}
	})
}

func TestWill(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		sub := w.clean(v, "sub")
		sub.Subscribe("#", 1)
		connect := packet.Connect{ClientID: "dev", CleanStart: true,
			Will: &packet.Will{Topic: "dev/state", Payload: []byte("offline"), QoS: 1, Retain: true}}
		c, _ := w.login(v, connect)
		c.Close()
		w.expectPublish(sub, "dev/state", "offline", 1, false) // [MQTT-3.1.2-8]
		late := w.clean(v, "late")
		late.Subscribe("dev/#", 0)
		w.expectPublish(late, "dev/state", "offline", 0, true)

		c, _ = w.login(v, connect)
		c.Send(&packet.Disconnect{})
		if !c.Closed() {
			w.Error("open after DISCONNECT") // [MQTT-3.14.4-1]
		}
		sub.Nothing() // [MQTT-3.1.2-10]
	})
}

func TestWillDelay(t *testing.T) { // cases P24, P25
	inWorld(t, nil, func(w *world) {
		sub := w.clean(packet.V50, "sub")
		sub.Subscribe("#", 0)
		connect := packet.Connect{ClientID: "dev", Will: &packet.Will{Topic: "w", Payload: []byte("x")}}
		connect.Will.Properties.SetWillDelay(10)
		connect.Properties.SetSessionExpiry(100)

		c, _ := w.login(packet.V50, connect)
		c.Close()
		brokertest.Pass(9 * time.Second)
		c, ack := w.login(packet.V50, connect) // back in time
		if !ack.SessionPresent {
			w.Error("session is gone")
		}
		brokertest.Pass(time.Minute)
		sub.Nothing()
		c.Close()
		brokertest.Pass(10 * time.Second)
		w.expectPublish(sub, "w", "x", 0, false)

		connect.Properties.SetSessionExpiry(5) // shorter than the delay
		c, _ = w.login(packet.V50, connect)
		c.Close()
		brokertest.Pass(4 * time.Second)
		sub.Nothing()
		brokertest.Pass(time.Second)
		w.expectPublish(sub, "w", "x", 0, false)
		sub.Nothing()
	})
}

func TestKeepAlive(t *testing.T) { // case P23
	versions(t, nil, func(w *world, v packet.Version) {
		sub := w.clean(v, "sub")
		sub.Subscribe("#", 0)
		c, _ := w.login(v, packet.Connect{ClientID: "dev", CleanStart: true, KeepAlive: 10,
			Will: &packet.Will{Topic: "w", Payload: []byte("x")}})
		for range 5 {
			brokertest.Pass(14 * time.Second)
			c.Send(&packet.Pingreq{})
			brokertest.Get[*packet.Pingresp](c)
		}
		brokertest.Pass(14900 * time.Millisecond)
		if c.Closed() {
			w.Fatal("closed before 1.5 times the keep alive")
		}
		brokertest.Pass(200 * time.Millisecond)
		if v == packet.V50 {
			if d := brokertest.Get[*packet.Disconnect](c); d.Code != packet.KeepAliveTimeout {
				w.Errorf("DISCONNECT %s", d.Code)
			}
		}
		if !c.Closed() {
			w.Fatal("open after 1.5 times the keep alive") // [MQTT-3.1.2-22]
		}
		w.expectPublish(sub, "w", "x", 0, false)
	})
}

func TestTakeOver(t *testing.T) { // case P24
	versions(t, nil, func(w *world, v packet.Version) {
		watch := w.clean(v, "watch")
		watch.Subscribe("w", 0)
		connect := packet.Connect{ClientID: "dev", Will: &packet.Will{Topic: "w", Payload: []byte("x")}}
		if v == packet.V50 {
			connect.Properties.SetSessionExpiry(100)
		}
		first, _ := w.login(v, connect)
		first.Subscribe("t", 1)
		second, ack := w.login(v, connect)
		if v != packet.V31 && !ack.SessionPresent {
			w.Error("session not present after take-over")
		}
		if v == packet.V50 {
			if d := brokertest.Get[*packet.Disconnect](first); d.Code != packet.SessionTakenOver {
				w.Errorf("DISCONNECT %s", d.Code) // [MQTT-3.1.4-3]
			}
		}
		if !first.Closed() {
			w.Error("first connection is still open")
		}
		w.expectPublish(watch, "w", "x", 0, false)
		watch.Nothing()
		w.clean(v, "pub").Publish("t", "to the second", 1, false, 1)
		w.expectPublish(second, "t", "to the second", 1, false)
	})
}

func TestOfflineQueue(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		c, ack := w.durable(v, "dev")
		if ack.SessionPresent {
			w.Error("new session is present")
		}
		c.Subscribe("t/#", 2)
		c.Close()
		pub := w.clean(v, "pub")
		for i := range 50 {
			pub.Publish(fmt.Sprint("t/", i), "x", byte(i%3), false, uint16(i+1))
			if i%3 == 2 {
				pub.Send(ackOf(packet.TypePubrel, uint16(i+1)))
			}
		}
		acks := 0
		for _, p := range pub.All() {
			if k := p.Kind(); k == packet.TypePuback || k == packet.TypePubcomp {
				acks++
			}
		}
		if acks != 33 {
			w.Fatalf("%d messages acknowledged, want 33", acks)
		}
		w.restart() // what was acknowledged is still there
		c, ack = w.durable(v, "dev")
		if v != packet.V31 && !ack.SessionPresent {
			w.Error("session is gone") // [MQTT-3.2.2-3]
		}
		var got []string
		for len(got) < 33 {
			p := brokertest.Get[*packet.Publish](c)
			got = append(got, string(p.Topic))
			if p.QoS == 1 {
				c.Send(ackOf(packet.TypePuback, p.PacketID))
			} else {
				c.Send(ackOf(packet.TypePubrec, p.PacketID))
				w.expectEventually(c, packet.TypePubrel)
				c.Send(ackOf(packet.TypePubcomp, p.PacketID))
			}
		}
		for i, name := range got {
			if want := fmt.Sprint("t/", i/2*3+1+i%2); name != want {
				w.Fatalf("message %d is %s, want %s", i, name, want) // [MQTT-4.6.0-6] [MQTT-4.6.0-5]
			}
		}
		c.Nothing()
	})
}

func ackOf(t packet.Type, id uint16) *packet.Ack { return ack(t, id) }

// expectEventually finds an acknowledgement among what has come and puts the rest back in order.
func (w *world) expectEventually(c *brokertest.Client, t packet.Type) {
	w.Helper()
	if !c.Take(func(p packet.Packet) bool { return p.Kind() == t }) {
		w.Fatalf("no %s", t)
	}
}

func TestInflightReplay(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		c, _ := w.durable(v, "dev")
		c.Subscribe("t", 2)
		pub := w.clean(v, "pub")
		pub.Publish("t", "one", 1, false, 1)
		pub.Publish("t", "two", 2, false, 2)
		pub.Publish("t", "three", 2, false, 3)
		one := w.expectPublish(c, "t", "one", 1, false)
		two := w.expectPublish(c, "t", "two", 2, false)
		three := w.expectPublish(c, "t", "three", 2, false)
		c.Send(ack(packet.TypePubrec, three.PacketID))
		w.expectAck(c, packet.TypePubrel, three.PacketID)
		c.Close()

		for _, again := range []func(){func() {}, w.restart} {
			again()
			c, _ = w.durable(v, "dev")
			m := w.expectPublish(c, "t", "one", 1, false) // [MQTT3-4.6.0-1]
			if !m.Dup || m.PacketID != one.PacketID {
				w.Errorf("not the same again: %+v", m) // [MQTT-4.4.0-1] [MQTT-3.3.1-1]
			}
			m = w.expectPublish(c, "t", "two", 2, false)
			if !m.Dup || m.PacketID != two.PacketID {
				w.Errorf("not the same again: %+v", m)
			}
			w.expectAck(c, packet.TypePubrel, three.PacketID)
			c.Close()
		}
	})
}

func TestSessionExpiry(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		connect := packet.Connect{ClientID: "dev"}
		connect.Properties.SetSessionExpiry(60)
		c, _ := w.login(packet.V50, connect)
		c.Close()
		brokertest.Pass(59 * time.Second)
		c, ack := w.login(packet.V50, connect)
		if !ack.SessionPresent {
			w.Fatal("expired early")
		}
		c.Send(&packet.Disconnect{Properties: packet.Properties{SessionExpiry: 10}}) // (3.14.2.2.2)
		brokertest.Pass(11 * time.Second)
		_, ack = w.login(packet.V50, connect)
		if ack.SessionPresent {
			w.Fatal("did not expire")
		}
	})
}

func TestMessageExpiry(t *testing.T) { // case P26
	inWorld(t, nil, func(w *world) {
		c, _ := w.durable(packet.V50, "dev")
		c.Subscribe("t", 1)
		c.Close()
		pub := w.clean(packet.V50, "pub")
		for i, expiry := range []uint32{10, 100} {
			pub.Send(&packet.Publish{Topic: []byte("t"), Payload: []byte(fmt.Sprint(i)), QoS: 1, PacketID: uint16(i + 1),
				HasExpiry: true, MessageExpiry: expiry})
		}
		brokertest.Pass(30 * time.Second)
		c, _ = w.durable(packet.V50, "dev")
		m := w.expectPublish(c, "t", "1", 1, false) // [MQTT-3.3.2-5]
		if m.MessageExpiry != 70 {
			w.Errorf("expiry %d, want 70", m.MessageExpiry) // [MQTT-3.3.2-6]
		}
		c.Nothing()
	})
}

func TestReceiveMaximum(t *testing.T) { // case P20
	inWorld(t, nil, func(w *world) {
		connect := packet.Connect{ClientID: "dev", CleanStart: true}
		connect.Properties.SetReceiveMaximum(1)
		c, _ := w.login(packet.V50, connect)
		c.Subscribe("t", 2)
		pub := w.clean(packet.V50, "pub")
		for i := range 60 {
			pub.Publish("t", fmt.Sprint(i), byte(1+i%2), false, uint16(i+1))
		}
		for i := range 60 {
			m := w.expectPublish(c, "t", fmt.Sprint(i), byte(1+i%2), false)
			c.Nothing() // never two under way [MQTT-3.3.4-9]
			if m.QoS == 1 {
				c.Send(ack(packet.TypePuback, m.PacketID))
				continue
			}
			c.Send(ack(packet.TypePubrec, m.PacketID))
			w.expectAck(c, packet.TypePubrel, m.PacketID)
			c.Nothing()
			c.Send(ack(packet.TypePubcomp, m.PacketID))
		}
	})
}

func TestMaximumPacketSize(t *testing.T) { // case P21
	inWorld(t, nil, func(w *world) {
		connect := packet.Connect{ClientID: "dev", CleanStart: true}
		connect.Properties.SetMaximumPacketSize(100)
		c, _ := w.login(packet.V50, connect)
		c.Subscribe("t", 1)
		other := w.clean(packet.V50, "other")
		other.Subscribe("t", 0)
		pub := w.clean(packet.V50, "pub")
		pub.Publish("t", strings.Repeat("x", 200), 1, false, 1)
		pub.Publish("t", "small", 1, false, 2)
		w.expectPublish(c, "t", "small", 1, false) // [MQTT-3.1.2-24]
		if got := len(other.All()); got != 2 {
			w.Errorf("the other got %d", got)
		}
	})
}

func TestOverlappingSubscriptions(t *testing.T) { // case P29
	inWorld(t, nil, func(w *world) {
		c := w.clean(packet.V50, "dev")
		for i, f := range []string{"a/#", "a/+", "a/b"} {
			c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: f, QoS: byte(i)}},
				Properties: packet.Properties{SubscriptionIDs: []uint32{uint32(i + 1)}}})
			brokertest.Get[*packet.Suback](c)
		}
		w.clean(packet.V50, "pub").Publish("a/b", "x", 2, false, 1)
		m := w.expectPublish(c, "a/b", "x", 2, false)
		if len(m.SubscriptionIDs) != 3 {
			w.Errorf("identifiers %v", m.SubscriptionIDs) // [MQTT-3.3.4-3]
		}
		c.Nothing()
	})
}

func TestSharedSubscription(t *testing.T) { // case P27
	inWorld(t, nil, func(w *world) {
		a, b := w.clean(packet.V50, "a"), w.clean(packet.V50, "b")
		a.Subscribe("$share/g/t", 0)
		b.Subscribe("$share/g/t", 0)
		a.Subscribe("t", 0)
		pub := w.clean(packet.V50, "pub")
		for range 10 {
			pub.Publish("t", "x", 0, false, 0)
		}
		if na, nb := len(a.All()), len(b.All()); na != 15 || nb != 5 {
			w.Errorf("a got %d, b got %d, want 15 and 5", na, nb)
		}
		a.Send(&packet.Unsubscribe{PacketID: 9, Filters: []string{"t"}})
		brokertest.Get[*packet.Unsuback](a)
		b.Close()
		for range 4 {
			pub.Publish("t", "x", 0, false, 0)
		}
		if na := len(a.All()); na != 4 {
			w.Errorf("a got %d of 4 while b is away", na)
		}
	})
}

func TestTopicAliases(t *testing.T) { // case P6
	inWorld(t, nil, func(w *world) {
		connect := packet.Connect{ClientID: "sub", CleanStart: true}
		connect.Properties.SetTopicAliasMaximum(1)
		sub, _ := w.login(packet.V50, connect)
		sub.Subscribe("#", 0)
		pub := w.clean(packet.V50, "pub")
		for i := range 2 {
			p := &packet.Publish{Topic: []byte("some/long/topic"), HasAlias: true, TopicAlias: 3, Payload: []byte("x")}
			if i == 1 {
				p.Topic = nil
			}
			pub.Send(p)
		}
		m := w.expectPublish(sub, "some/long/topic", "x", 0, false)
		if m.TopicAlias != 1 {
			w.Errorf("alias %d", m.TopicAlias)
		}
		m = w.expectPublish(sub, "", "x", 0, false)
		if m.TopicAlias != 1 {
			w.Errorf("alias %d", m.TopicAlias)
		}
		pub.Send(&packet.Publish{HasAlias: true, TopicAlias: 4})
		if d := brokertest.Get[*packet.Disconnect](pub); d.Code != packet.ProtocolError {
			w.Errorf("unknown alias: %s", d.Code)
		}
		for _, alias := range []uint16{0, 11} {
			pub = w.clean(packet.V50, "pub")
			pub.Send(&packet.Publish{Topic: []byte("t"), HasAlias: true, TopicAlias: alias})
			if d := brokertest.Get[*packet.Disconnect](pub); d.Code != packet.TopicAliasInvalid {
				w.Errorf("alias %d: %s", alias, d.Code)
			}
		}
	})
}

func TestSys(t *testing.T) {
	inWorld(t, func(c *broker.Config, _ *broker.Deps) { c.Version = "HearthMQ 1.2.3" }, func(w *world) {
		brokertest.Pass(25 * time.Second)
		c := w.clean(packet.V311, "dev")
		c.Subscribe("$SYS/broker/version", 0)
		w.expectPublish(c, "$SYS/broker/version", "HearthMQ 1.2.3", 0, true)
		c.Subscribe("$SYS/broker/uptime", 0)
		w.expectPublish(c, "$SYS/broker/uptime", "20 seconds", 0, true)
		c.Subscribe("#", 0)
		c.Nothing() // [MQTT-4.7.2-1]
	})
}
