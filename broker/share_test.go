package broker_test

import (
	"fmt"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// payloads collects what a client got, acknowledging nothing.
func payloads(c *brokertest.Client) (list []string) {
	for _, p := range c.All() {
		if m, ok := p.(*packet.Publish); ok {
			list = append(list, string(m.Payload))
		}
	}
	return list
}

// A member whose session ends: QoS 1 under way and all that waits goes to another [MQTT-4.8.2-3].
func TestShareMemberEnds(t *testing.T) { // case P27
	inWorld(t, nil, func(w *world) {
		connect := packet.Connect{ClientID: "a", CleanStart: true}
		connect.Properties.SetReceiveMaximum(2)
		a, _ := w.login(packet.V50, connect)
		a.Subscribe("$share/g/t", 1)
		pub := w.clean(packet.V50, "pub")
		for i := range 6 {
			pub.Publish("t", fmt.Sprint(i), 1, false, uint16(i+1))
		}
		if got := payloads(a); len(got) != 2 {
			t.Fatalf("a has %v under way", got)
		}
		b := w.clean(packet.V50, "b")
		b.Subscribe("$share/g/t", 1)
		a.Close()
		if got := fmt.Sprint(payloads(b)); got != "[0 1 2 3 4 5]" {
			t.Errorf("b got %s", got)
		}
	})
}

// A connection ends and its session stays: QoS 2 that was sent stays with it
// [MQTT-4.8.2-4], all else goes to a member that is connected.
func TestShareMemberAway(t *testing.T) { // case P27
	inWorld(t, nil, func(w *world) {
		a, _ := w.durable(packet.V50, "a")
		a.Subscribe("$share/g/t", 2)
		pub := w.clean(packet.V50, "pub")
		pub.Publish("t", "two", 2, false, 1)
		pub.Publish("t", "one", 1, false, 2)
		two := w.expectPublish(a, "t", "two", 2, false)
		w.expectPublish(a, "t", "one", 1, false)
		b, _ := w.durable(packet.V50, "b")
		b.Subscribe("$share/g/t", 2)
		b.Close()
		a.Close() // nobody else is connected: it stays
		a, _ = w.durable(packet.V50, "a")
		if m := w.expectPublish(a, "t", "two", 2, false); !m.Dup || m.PacketID != two.PacketID {
			t.Errorf("%+v", m)
		}
		w.expectPublish(a, "t", "one", 1, false)
		b, _ = w.durable(packet.V50, "b")
		a.Close()
		w.expectPublish(b, "t", "one", 1, false)
		b.Nothing()
		w.restart() // handed over in the store, too
		a, _ = w.durable(packet.V50, "a")
		w.expectPublish(a, "t", "two", 2, false)
		a.Nothing()
		b, _ = w.durable(packet.V50, "b")
		w.expectPublish(b, "t", "one", 1, false)

		a.Close()
		brokertest.Pass(2 * time.Hour) // a's session ends with the QoS 2 message
		if got := payloads(b); len(got) != 0 {
			t.Errorf("b got %v", got) // [MQTT-4.8.2-5]
		}
	})
}

// UNSUBSCRIBE completes what was sent and hands over what was not.
func TestShareMemberUnsubscribes(t *testing.T) { // case P27
	versions(t, nil, func(w *world, v packet.Version) {
		w.b.Sessions()
		connect := packet.Connect{ClientID: "a", CleanStart: true}
		a, _ := w.login(v, connect)
		a.Subscribe("$share/g/t", 1)
		a.Subscribe("t", 0)
		pub := w.clean(v, "pub")
		for i := range 22 { // 20 are under way
			pub.Publish("t", fmt.Sprint(i), 1, false, uint16(i+1))
		}
		a.All()
		b := w.clean(v, "b")
		b.Subscribe("$share/g/t", 1)
		a.Send(&packet.Unsubscribe{PacketID: 9, Filters: []string{"$share/g/t"}})
		if got := fmt.Sprint(payloads(b)); got != "[20 21]" {
			t.Errorf("b got %s", got)
		}
		a.All()
		a.Send(ackOf(packet.TypePuback, 1)) // [MQTT-3.10.4-3]
		pub.Publish("t", "x", 0, false, 0)
		if got := fmt.Sprint(payloads(a)); got != "[x]" { // the plain subscription is another one
			t.Errorf("a got %s", got)
		}
	})
}

// What a member refuses is gone [MQTT-4.8.2-6] [MQTT-4.4.0-2].
func TestShareMemberRefuses(t *testing.T) { // case P27
	inWorld(t, nil, func(w *world) {
		a := w.clean(packet.V50, "a")
		a.Subscribe("$share/g/t", 2)
		pub := w.clean(packet.V50, "pub")
		pub.Publish("t", "1", 1, false, 1)
		pub.Publish("t", "2", 2, false, 2)
		b := w.clean(packet.V50, "b")
		b.Subscribe("$share/g/t", 2)
		one, two := brokertest.Get[*packet.Publish](a), brokertest.Get[*packet.Publish](a)
		a.Send(&packet.Ack{Type: packet.TypePuback, PacketID: one.PacketID, Code: packet.QuotaExceeded},
			&packet.Ack{Type: packet.TypePubrec, PacketID: two.PacketID, Code: packet.QuotaExceeded})
		a.Nothing()
		a.Close()
		b.Nothing()
	})
}

// Turns are fair; members that are away or behind are passed over.
func TestShareStrategy(t *testing.T) { // case P27
	inWorld(t, nil, func(w *world) {
		counts := map[string]int{}
		members := map[string]*brokertest.Client{}
		for _, id := range []string{"a", "b", "c"} {
			members[id], _ = w.durable(packet.V50, id)
			members[id].Subscribe("$share/g/t/#", 0)
			members[id].Subscribe("$share/other/t/#", 0)
		}
		pub := w.clean(packet.V50, "pub")
		for i := range 90 {
			pub.Publish(fmt.Sprint("t/", i), "x", 1, false, 1)
		}
		for id, c := range members {
			counts[id] = len(payloads(c))
		}
		for id, n := range counts {
			if n != 60 {
				t.Errorf("%s got %d of 180, want 60", id, n)
			}
		}
		members["b"].Close()
		for i := range 30 {
			pub.Publish(fmt.Sprint("t/", i), "x", 1, false, 1)
		}
		if a, c := len(payloads(members["a"])), len(payloads(members["c"])); a+c != 60 {
			t.Errorf("a %d, c %d: something was lost while b is away", a, c)
		}
	})
}
