package broker_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// What other brokers got wrong, and parts of cases that no other test looks at.

// More QoS 2 messages under way than the broker announced, by clients that know of no
// limit: each that was acknowledged is delivered, once. Mosquitto delivers 20.
func TestManyQoS2UnderWay(t *testing.T) {
	for _, v := range []packet.Version{packet.V31, packet.V311} {
		inWorld(t, nil, func(w *world) {
			const n = 300
			sub, pub := w.clean(v, "sub"), w.clean(v, "pub")
			sub.Subscribe("t", 0)
			for i := range n {
				pub.Publish("t", fmt.Sprint(i), 2, false, uint16(i+1))
			}
			for i := range n {
				w.expectAck(pub, packet.TypePubrec, uint16(i+1))
			}
			for i := range n {
				pub.Send(ackOf(packet.TypePubrel, uint16(i+1)))
				w.expectAck(pub, packet.TypePubcomp, uint16(i+1))
				w.expectPublish(sub, "t", fmt.Sprint(i), 0, false)
			}
			sub.Nothing()
		})
	}
}

// case P17: one QoS 2 message sent again and again without PUBREL is one message, and
// takes no memory.
func TestQoS2SentAgainAndAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		sub, pub := w.clean(packet.V311, "sub"), w.clean(packet.V311, "pub")
		sub.Subscribe("t", 2)
		batch := make([]packet.Packet, 500)
		for i := range batch {
			batch[i] = &packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: 7, Dup: true, Payload: []byte("x")}
		}
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		var before uint64
		for round := range 40 {
			pub.Send(batch...)
			if got := len(pub.All()); got != len(batch) {
				w.Fatalf("%d PUBREC for %d", got, len(batch))
			}
			if round == 5 {
				before = heap()
			}
		}
		if after := heap(); after > before+1<<20 {
			w.Errorf("the heap grew from %d to %d", before, after)
		}
		w.expectPublish(sub, "t", "x", 2, false)
		sub.Nothing()
	})
}

// case P20: a thousand messages for a client that takes one at a time; no identifier is
// given to another message before the acknowledgement.
func TestOneAtATime(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		connect := packet.Connect{ClientID: "dev", CleanStart: true}
		connect.Properties.SetReceiveMaximum(1)
		c, _ := w.login(packet.V50, connect)
		c.Subscribe("t", 1)
		pub := w.clean(packet.V311, "pub")
		for i := range 1000 {
			pub.Publish("t", fmt.Sprint(i), 1, false, uint16(i+1))
		}
		for i := range 1000 {
			all := c.All()
			if len(all) != 1 {
				w.Fatalf("%d under way after %d, want 1", len(all), i)
			}
			m := all[0].(*packet.Publish)
			if string(m.Payload) != fmt.Sprint(i) {
				w.Fatalf("%s is the message after %d", m.Payload, i)
			}
			c.Send(ackOf(packet.TypePuback, m.PacketID))
		}
	})
}

// case P24: two clients with one Client Identifier throw each other out as fast as they
// can. One of them has the session in the end, and everybody else notices nothing.
func TestTwoClientsWithOneIdentifier(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		sentinel := w.clean(v, "sentinel")
		sentinel.Subscribe("s", 1)
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				for range 100 {
					connect := &packet.Connect{Version: v, ClientID: "same"}
					if v == packet.V50 {
						connect.Properties.SetSessionExpiry(3600)
					}
					w.dial(v).Send(connect, &packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t", QoS: 1}}},
						&packet.Publish{Topic: []byte("t"), QoS: 1, PacketID: 2, Payload: []byte("x")})
				}
			})
		}
		both.Wait()
		brokertest.Pass(time.Second) // what was sent is dealt with: the last one comes last
		last, ack := w.durable(v, "same")
		if v != packet.V31 && !ack.SessionPresent {
			w.Error("the session is gone")
		}
		last.All()
		pub := w.clean(v, "pub")
		pub.Publish("s", "still here", 1, false, 1)
		w.expectPublish(sentinel, "s", "still here", 1, false)
		if n := len(w.b.Sessions()); n != 3 {
			w.Errorf("%d sessions, want 3", n)
		}
	})
}

// case P25: the broker restarts within the Will Delay Interval: the will comes once, and
// not before its time has passed since.
func TestWillDelayOverRestart(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		connect := packet.Connect{ClientID: "dev", Will: &packet.Will{Topic: "w", Payload: []byte("x"), QoS: 1}}
		connect.Will.Properties.SetWillDelay(10)
		connect.Properties.SetSessionExpiry(100)
		c, _ := w.login(packet.V50, connect)
		c.Close()
		brokertest.Pass(4 * time.Second)
		w.restart()
		sub := w.clean(packet.V50, "sub")
		sub.Subscribe("w", 0)
		brokertest.Pass(5 * time.Second)
		sub.Nothing()
		brokertest.Pass(11 * time.Second)
		w.expectPublish(sub, "w", "x", 0, false)
		w.restart()
		sub = w.clean(packet.V50, "sub")
		sub.Subscribe("w", 0)
		brokertest.Pass(time.Minute)
		sub.Nothing()

		// Session Expiry Interval 0: the session ends with the connection, and the delay with it.
		connect.Properties.SetSessionExpiry(0)
		c, _ = w.login(packet.V50, connect)
		c.Close()
		w.expectPublish(sub, "w", "x", 0, false)
	})
}

// case P26: what has expired at the head of a queue does not hold up the rest, over a
// restart as well; a session expires while the broker is down.
func TestExpiryOverRestart(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		sub, _ := w.durable(packet.V50, "dev")
		sub.Subscribe("t", 1)
		sub.Close()
		pub := w.clean(packet.V50, "pub")
		for i := range 30 {
			p := &packet.Publish{Topic: []byte("t"), QoS: 1, PacketID: uint16(i + 1), Payload: fmt.Append(nil, i)}
			if i < 29 {
				p.HasExpiry, p.MessageExpiry = true, 5
			}
			pub.Send(p)
		}
		pub.All()
		brokertest.Pass(2 * time.Second)
		w.restart()
		brokertest.Pass(4 * time.Second)
		sub, ack := w.durable(packet.V50, "dev")
		if !ack.SessionPresent {
			w.Fatal("the session is gone")
		}
		w.expectPublish(sub, "t", "29", 1, false)
		sub.Nothing()
		sub.Close()
		w.stop()
		brokertest.Pass(2 * time.Hour)
		w.start()
		brokertest.Pass(time.Second)
		if _, ack := w.durable(packet.V50, "dev"); ack.SessionPresent {
			w.Error("the session outlived its interval")
		}
	})
}

// case P28: a retained QoS 2 message that was not acknowledged keeps RETAIN when it comes again.
func TestRetainedComesAgain(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		w.clean(v, "pub").Publish("t", "kept", 2, true, 1)
		brokertest.Pass(time.Second)
		sub, _ := w.durable(v, "dev")
		sub.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t", QoS: 2}}})
		first := w.expectPublish(sub, "t", "kept", 2, true) // SUBACK waits for the store, this does not (may, 3.8.4)
		sub.Close()
		sub, _ = w.durable(v, "dev")
		if m := w.expectPublish(sub, "t", "kept", 2, true); !m.Dup || m.PacketID != first.PacketID {
			w.Errorf("not the same again: %+v", m)
		}
	})
}

// case P7: a Will Topic deeper than any topic may be.
func TestDeepWillTopic(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for levels, code := range map[int]packet.ReasonCode{201: packet.Success, 202: packet.TopicNameInvalid, 65_000: packet.TopicNameInvalid} {
			c := w.dial(packet.V50)
			c.Send(&packet.Connect{Version: packet.V50, ClientID: "dev", CleanStart: true,
				Will: &packet.Will{Topic: strings.Repeat("/", levels-1), Payload: []byte("x")}})
			if got := brokertest.Get[*packet.Connack](c); got.Code != code {
				w.Errorf("%d levels: CONNACK %s, want %s", levels, got.Code, code)
			}
		}
	})
}
