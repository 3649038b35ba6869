package broker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// Acknowledgements leave in the order of what they acknowledge, also when one must
// wait for the store and the next need not.
func TestAcknowledgementsInOrder(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		away, _ := w.durable(v, "away")
		away.Subscribe("stored", 2)
		away.Close()
		pub := w.clean(v, "pub")
		for i, name := range []string{"stored", "nobody", "stored", "nobody"} {
			pub.Publish(name, "x", byte(1+i/2), false, uint16(i+1))
			pub.Publish(name, "x", byte(1+i/2), false, uint16(i+11))
		}
		for _, id := range []uint16{1, 11, 2, 12, 3, 13, 4, 14} { // [MQTT3-4.6.0-2] [MQTT3-4.6.0-3]
			want := packet.TypePuback
			if id%10 > 2 {
				want = packet.TypePubrec
			}
			w.expectAck(pub, want, id)
		}
	})
}

// PUBRELs leave in the order of their PUBRECs [MQTT3-4.6.0-4].
func TestPubrelsInOrder(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		sub, _ := w.durable(v, "sub")
		sub.Subscribe("t", 2)
		pub := w.clean(v, "pub")
		for i := range 5 {
			pub.Publish("t", "x", 2, false, uint16(i+1))
		}
		brokertest.Pass(time.Second)
		sub.All()
		for _, id := range []uint16{3, 1, 5, 2, 4} {
			sub.Send(ackOf(packet.TypePubrec, id))
		}
		for _, id := range []uint16{3, 1, 5, 2, 4} {
			w.expectAck(sub, packet.TypePubrel, id)
		}
	})
}

// A socket that takes nothing any more ends its connection [MQTT3-4.8.0-2].
func TestSocketThatTakesNothing(t *testing.T) {
	inWorld(t, func(c *broker.Config, _ *broker.Deps) { c.WriteTimeout = 5 * time.Second }, func(w *world) {
		client, server := brokertest.PipeSize(1000)
		defer client.Close()
		go w.b.ServeConn(context.Background(), server, broker.ListenerInfo{Name: "mqtt"})
		p := packet.Connect{Version: packet.V311, ClientID: "deaf", CleanStart: true}
		s := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t"}}}
		if _, err := client.Write(s.Append(p.Append(nil, packet.V311), packet.V311)); err != nil {
			t.Fatal(err)
		}
		other := w.clean(packet.V311, "other")
		other.Subscribe("t", 0)
		w.clean(packet.V311, "pub").Publish("t", strings.Repeat("x", 10_000), 0, false, 0)
		if got := len(other.All()); got != 1 {
			t.Errorf("the other got %d", got)
		}
		brokertest.Pass(6 * time.Second)
		if _, _, err := w.b.Session("deaf"); err == nil {
			t.Error("still there")
		}
	})
}
