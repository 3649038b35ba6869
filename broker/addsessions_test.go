package broker_test

import (
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// Sessions of another broker are as good as own ones: at once, and after a restart.
func TestAddSessions(t *testing.T) {
	for _, restart := range []bool{false, true} {
		inWorld(t, nil, func(w *world) {
			w.durable(packet.V50, "here")
			m := broker.NewMessage("alarm", []byte("on"), 1, false)
			of := func(id string) broker.StoredSession {
				return broker.StoredSession{
					SessionRecord: broker.SessionRecord{ClientID: id, Version: packet.V311, Expiry: 3600, Created: time.Now(), Disconnected: time.Now()},
					Subscriptions: []broker.Subscription{{Filter: "alarm", QoS: 1}},
					Queue: []broker.StoredDelivery{
						{Seq: 1, Message: m, QoS: 1, State: broker.StateSent, PacketID: 77}, {Seq: 2, Message: m, QoS: 1},
					},
				}
			}
			added, queued, err := w.b.AddSessions(w.Context(), []broker.StoredSession{of("here"), of("one"), of("two")})
			if err != nil || added != 2 || queued != 4 || !w.b.HasSession("one") || w.b.HasSession("three") {
				w.Fatal(added, queued, err)
			}
			if restart {
				w.restart()
			}
			w.clean(packet.V311, "pub").Publish("alarm", "off", 1, false, 5)
			brokertest.Pass(time.Second)
			for _, id := range []string{"one", "two"} {
				c, ack := w.login(packet.V311, packet.Connect{ClientID: id})
				if !ack.SessionPresent {
					w.Errorf("%s has no session", id)
				}
				if p := w.expectPublish(c, "alarm", "on", 1, false); p.PacketID != 77 || !p.Dup {
					w.Errorf("%+v", p)
				}
				w.expectPublish(c, "alarm", "on", 1, false)
				w.expectPublish(c, "alarm", "off", 1, false)
			}
		})
	}
}

// An added session expires as others do.
func TestAddedSessionExpires(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		st := broker.StoredSession{SessionRecord: broker.SessionRecord{ClientID: "old", Version: packet.V50, Expiry: 60, Disconnected: time.Now().Add(-30 * time.Second)}}
		if added, _, err := w.b.AddSessions(w.Context(), []broker.StoredSession{st}); err != nil || added != 1 {
			w.Fatal(added, err)
		}
		brokertest.Pass(29 * time.Second)
		if !w.b.HasSession("old") {
			w.Error("gone too early")
		}
		brokertest.Pass(2 * time.Second)
		if w.b.HasSession("old") {
			w.Error("still there")
		}
	})
}
