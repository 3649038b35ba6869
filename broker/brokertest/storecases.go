package brokertest

import (
	"slices"
	"strings"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

var storeCases = []struct {
	name string
	run  func(s *storeTest)
}{
	{"empty", func(s *storeTest) {
		state := s.restart()
		if len(state.Sessions)+len(state.Retained) > 0 || state.NextMessage < 1 {
			s.Fatalf("a new store holds %+v", state)
		}
		s.apply()
		s.expect(broker.State{})
	}},
	{"session", func(s *storeTest) {
		never := broker.SessionRecord{ClientID: "Ünïcode 🏠", Version: packet.V31, Expiry: broker.NeverExpires, Created: at(0)}
		s.apply(save("a"), broker.SessionSaved{Session: never})
		s.expect(sessions(session(record("a")), session(never)))

		changed := record("a")
		changed.Expiry, changed.Disconnected, changed.User, changed.Account, changed.Version = 0, time.Time{}, "", false, packet.V311
		s.apply(broker.SessionSaved{Session: changed})
		s.expect(sessions(session(changed), session(never)))
	}},
	{"saving a session again keeps what it has", func(s *storeTest) {
		s.apply(save("a"), broker.SubscriptionSaved{ClientID: "a", Subscription: broker.Subscription{Filter: "x"}}, queued("a", 1))
		s.apply(save("a"))
		s.expect(sessions(session(record("a"), withSubscriptions(broker.Subscription{Filter: "x"}), withQueue(queued("a", 1).Delivery))))
	}},
	{"subscriptions", func(s *storeTest) {
		full := broker.Subscription{Filter: "home/+/#", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2, ID: 268_435_455}
		shared := broker.Subscription{Filter: "home/+/#", Share: "workers", QoS: 1}
		plain := broker.Subscription{Filter: "$SYS/#"}
		s.apply(save("a"),
			broker.SubscriptionSaved{ClientID: "a", Subscription: full},
			broker.SubscriptionSaved{ClientID: "a", Subscription: shared},
			broker.SubscriptionSaved{ClientID: "a", Subscription: plain})
		s.expect(sessions(session(record("a"), withSubscriptions(full, shared, plain))))

		full.QoS, full.ID, full.NoLocal = 0, 0, false
		s.apply(broker.SubscriptionSaved{ClientID: "a", Subscription: full},
			broker.SubscriptionDeleted{ClientID: "a", FullFilter: "$share/workers/home/+/#"},
			broker.SubscriptionDeleted{ClientID: "a", FullFilter: "never/there"})
		s.expect(sessions(session(record("a"), withSubscriptions(full, plain))))
		s.apply(broker.SubscriptionDeleted{ClientID: "a", FullFilter: "home/+/#"}, broker.SubscriptionDeleted{ClientID: "a", FullFilter: "$SYS/#"})
		s.expect(sessions(session(record("a"))))
	}},
	{"retained messages", func(s *storeTest) {
		bare := broker.NewMessage("bare", []byte{0, 255, 0}, 0, true)
		s.apply(broker.RetainedSet{Message: retained("a", "1")}, broker.RetainedSet{Message: retained("b", "1")}, broker.RetainedSet{Message: bare})
		s.expect(broker.State{Retained: []*broker.Message{retained("a", "1"), retained("b", "1"), bare}})

		s.apply(broker.RetainedSet{Message: retained("a", "2")}, broker.RetainedCleared{Topic: "b"}, broker.RetainedCleared{Topic: "none"})
		s.expect(broker.State{Retained: []*broker.Message{retained("a", "2"), bare}})
	}},
	{"the last of several retained messages in a batch", func(s *storeTest) {
		s.apply(
			broker.RetainedSet{Message: retained("a", "1")}, broker.RetainedSet{Message: retained("b", "1")},
			broker.RetainedSet{Message: retained("a", "2")}, broker.RetainedCleared{Topic: "b"},
			broker.RetainedSet{Message: retained("c", "1")}, broker.RetainedCleared{Topic: "c"}, broker.RetainedSet{Message: retained("c", "2")})
		s.expect(broker.State{Retained: []*broker.Message{retained("a", "2"), retained("c", "2")}})
	}},
	{"a retained message that differs in one thing", func(s *storeTest) {
		s.apply(broker.RetainedSet{Message: retained("a", "1")})
		for _, change := range []func(*broker.Message){
			func(m *broker.Message) { m.Payload = []byte("one") },
			func(m *broker.Message) { m.Properties = nil },
			func(m *broker.Message) { m.QoS = 2 },
			func(m *broker.Message) { m.Expires = time.Time{} },
			func(m *broker.Message) { m.Expires = at(601) },
			func(m *broker.Message) { m.PublisherID = "other" },
			func(m *broker.Message) { m.PublisherUser = "other" },
			func(m *broker.Message) { m.PublisherAccount = true },
			func(m *broker.Message) { m.Vouched = true },
		} {
			m := retained("a", "1")
			change(m)
			s.apply(broker.RetainedSet{Message: m})
			s.expect(broker.State{Retained: []*broker.Message{m}})
		}
	}},
	{"deliveries keep their order and their fields", func(s *storeTest) {
		m := message("a/b", strings.Repeat("payload ", 10_000))
		m.QoS, m.Retain = 2, true
		empty := broker.NewMessage("empty", nil, 0, false)
		want := []broker.StoredDelivery{
			{Seq: 3, Message: m, QoS: 1, Retain: true, SubIDs: []uint32{1, 268_435_455}},
			{Seq: 7, Message: empty},
			{Seq: 1 << 40, Message: m, QoS: 2, State: broker.StateReleased, PacketID: 65535},
		}
		s.apply(save("a"),
			broker.Queued{ClientID: "a", MessageID: 9, Delivery: want[2]},
			broker.Queued{ClientID: "a", MessageID: 8, Delivery: want[1]},
			broker.Queued{ClientID: "a", MessageID: 9, Delivery: want[0]})
		s.expect(sessions(session(record("a"), withQueue(want...))))
	}},
	{"a delivery's way", func(s *storeTest) {
		d := queued("a", 1).Delivery
		s.apply(save("a"), queued("a", 1))
		s.apply(broker.Sent{ClientID: "a", Seq: 1, PacketID: 77, State: broker.StateSent})
		d.State, d.PacketID = broker.StateSent, 77
		s.expect(sessions(session(record("a"), withQueue(d))))
		s.apply(broker.Sent{ClientID: "a", Seq: 1, PacketID: 77, State: broker.StateReleased})
		d.State = broker.StateReleased
		s.expect(sessions(session(record("a"), withQueue(d))))
		s.apply(broker.Done{ClientID: "a", Seq: 1})
		s.expect(sessions(session(record("a"))))
	}},
	{"a delivery's way in one batch", func(s *storeTest) {
		sent := func(seq int64) broker.Change {
			return broker.Sent{ClientID: "a", Seq: seq, PacketID: uint16(seq), State: broker.StateSent}
		}
		done := func(seq int64) broker.Change { return broker.Done{ClientID: "a", Seq: seq} }
		s.apply(save("a"), queued("a", 1), queued("a", 2), sent(1), queued("a", 3), sent(2), done(1), queued("a", 4), done(4))
		two := queued("a", 2).Delivery
		two.State, two.PacketID = broker.StateSent, 2
		s.expect(sessions(session(record("a"), withQueue(two, queued("a", 3).Delivery))))
		// The same over rows that are there: done and queued anew, sent and done.
		s.apply(sent(3), done(3), queued("a", 3), sent(2), done(2), sent(2))
		s.expect(sessions(session(record("a"), withQueue(queued("a", 3).Delivery))))
	}},
	{"unknown deliveries are ignored", func(s *storeTest) {
		s.apply(save("a"), queued("a", 1))
		s.apply(broker.Done{ClientID: "a", Seq: 5}, broker.Sent{ClientID: "a", Seq: 6, PacketID: 1, State: broker.StateSent})
		s.expect(sessions(session(record("a"), withQueue(queued("a", 1).Delivery))))
	}},
	{"several sessions share a message", func(s *storeTest) {
		m := message("a/b", "shared")
		to := func(clientID string, seq int64) broker.Change {
			return broker.Queued{ClientID: clientID, MessageID: 42, Delivery: delivery(seq, m)}
		}
		s.apply(save("a"), save("b"), save("c"), to("a", 1), to("b", 1))
		s.apply(to("c", 1))
		s.expect(sessions(
			session(record("a"), withQueue(delivery(1, m))),
			session(record("b"), withQueue(delivery(1, m))),
			session(record("c"), withQueue(delivery(1, m)))))
		if x := s.restart().Sessions; x[0].Queue[0].Message != x[1].Queue[0].Message {
			s.Error("two sessions got two copies of one message")
		}
		s.apply(broker.Done{ClientID: "a", Seq: 1}, broker.SessionDeleted{ClientID: "b"})
		s.expect(sessions(session(record("a")), session(record("c"), withQueue(delivery(1, m)))))
		// The last one goes while another one comes, and comes back after it went.
		s.apply(broker.Done{ClientID: "c", Seq: 1}, to("a", 2))
		s.expect(sessions(session(record("a"), withQueue(delivery(2, m))), session(record("c"))))
		s.apply(broker.Done{ClientID: "a", Seq: 2})
		s.apply(to("a", 3))
		s.expect(sessions(session(record("a"), withQueue(delivery(3, m))), session(record("c"))))
	}},
	{"next message", func(s *storeTest) {
		s.apply(save("a"), broker.Queued{ClientID: "a", MessageID: 1 << 33, Delivery: delivery(1, message("a", "1"))})
		for range 2 {
			if state := s.restart(); state.NextMessage <= 1<<33 {
				s.Fatalf("NextMessage is %d, a message in use has %d", state.NextMessage, 1<<33)
			}
		}
	}},
	{"received and released", func(s *storeTest) {
		s.apply(save("a"), broker.Received{ClientID: "a", PacketID: 65535}, broker.Received{ClientID: "a", PacketID: 1}, broker.Received{ClientID: "a", PacketID: 2})
		s.expect(sessions(session(record("a"), withReceived(1, 2, 65535))))
		s.apply(broker.Received{ClientID: "a", PacketID: 1}, broker.Released{ClientID: "a", PacketID: 2}, broker.Released{ClientID: "a", PacketID: 9},
			broker.Received{ClientID: "a", PacketID: 3}, broker.Released{ClientID: "a", PacketID: 3},
			broker.Released{ClientID: "a", PacketID: 65535}, broker.Received{ClientID: "a", PacketID: 65535})
		s.expect(sessions(session(record("a"), withReceived(1, 65535))))
	}},
	{"will", func(s *storeTest) {
		m := message("will/topic", "gone")
		m.QoS, m.Retain, m.Expires = 2, true, time.Time{}
		will := &broker.Will{Message: m, Expiry: 4_294_967_295, Delay: 4_294_967_295 * time.Second}
		s.apply(save("a"), broker.WillSaved{ClientID: "a", Will: will})
		s.expect(sessions(session(record("a"), withWill(will))))
		bare := &broker.Will{Message: broker.NewMessage("w", nil, 0, false)}
		s.apply(broker.WillSaved{ClientID: "a", Will: bare})
		s.expect(sessions(session(record("a"), withWill(bare))))
		s.apply(broker.WillDeleted{ClientID: "a"}, broker.WillDeleted{ClientID: "a"})
		s.expect(sessions(session(record("a"))))
	}},
	{"deleting a session deletes what belongs to it", func(s *storeTest) {
		s.apply(filled("a")...)
		s.apply(filled("b")...)
		s.apply(broker.SessionDeleted{ClientID: "a"})
		want := filledSession("b")
		s.expect(sessions(want))
		s.apply(save("a"))
		s.expect(sessions(session(record("a")), want))
	}},
	{"deleted and begun anew in one batch", func(s *storeTest) {
		s.apply(filled("a")...)
		s.apply(append([]broker.Change{broker.Done{ClientID: "a", Seq: 1}, broker.SessionDeleted{ClientID: "a"}, save("a")}, queued("a", 5))...)
		s.expect(sessions(session(record("a"), withQueue(queued("a", 5).Delivery))))
		s.apply(slices.Concat([]broker.Change{broker.SessionDeleted{ClientID: "a"}}, filled("a"), []broker.Change{broker.SessionDeleted{ClientID: "a"}})...)
		s.expect(broker.State{})
		s.apply(slices.Concat(filled("a"), []broker.Change{broker.SessionDeleted{ClientID: "a"}}, filled("a"))...)
		s.expect(sessions(filledSession("a")))
	}},
	{"unknown sessions are ignored", func(s *storeTest) {
		s.apply(save("a"))
		s.apply(filled("ghost")[1:]...)
		s.apply(broker.SessionDeleted{ClientID: "ghost"},
			broker.SubscriptionDeleted{ClientID: "ghost", FullFilter: "x"}, broker.Done{ClientID: "ghost", Seq: 1},
			broker.Sent{ClientID: "ghost", Seq: 1, PacketID: 1, State: broker.StateSent},
			broker.Released{ClientID: "ghost", PacketID: 1}, broker.WillDeleted{ClientID: "ghost"})
		// After its end a session is as unknown as one that never was.
		s.apply(slices.Concat([]broker.Change{broker.SessionDeleted{ClientID: "a"}}, filled("a")[1:])...)
		s.expect(broker.State{})
	}},
	{"the same batch twice", func(s *storeTest) {
		batch := append(filled("a"), broker.RetainedSet{Message: retained("r", "1")})
		s.apply(batch...)
		s.apply(batch...)
		s.expect(broker.State{Sessions: []broker.StoredSession{filledSession("a")}, Retained: []*broker.Message{retained("r", "1")}})
	}},
	{"all or nothing", func(s *storeTest) {
		s.apply(filled("a")...)
		good := slices.Concat(filled("b"), []broker.Change{broker.Done{ClientID: "a", Seq: 1}, broker.RetainedSet{Message: retained("r", "1")}})
		for _, bad := range []broker.Change{
			nil, broker.RetainedSet{}, broker.Queued{ClientID: "a", MessageID: 3}, broker.WillSaved{ClientID: "a"}, broker.WillSaved{ClientID: "a", Will: &broker.Will{}},
		} {
			if err := s.store.Apply(s.Context(), append(slices.Clone(good), bad)); err == nil {
				s.Errorf("Apply took %#v", bad)
			}
		}
		if err := s.store.Apply(cancelled(), good); err == nil {
			s.Error("Apply did not heed the end of its context")
		}
		s.expect(sessions(filledSession("a")))
		s.apply(good...) // the store is as good as before
		s.expect(broker.State{
			Sessions: []broker.StoredSession{session(record("a"), withSubscriptions(filledSession("a").Subscriptions...), withReceived(4), withWill(filledSession("a").Will)), filledSession("b")},
			Retained: []*broker.Message{retained("r", "1")},
		})
	}},
	{"a large batch", func(s *storeTest) {
		in, out := []broker.Change{save("a")}, []broker.Change{}
		var want []broker.StoredDelivery
		for seq := int64(1); seq <= 2000; seq++ {
			in = append(in, queued("a", seq))
			if seq%100 == 0 {
				want = append(want, queued("a", seq).Delivery)
			} else {
				out = append(out, broker.Done{ClientID: "a", Seq: seq})
			}
		}
		s.apply(in...)
		if got := len(s.restart().Sessions[0].Queue); got != 2000 {
			s.Errorf("%d deliveries of 2000", got)
		}
		s.apply(out...)
		s.expect(sessions(session(record("a"), withQueue(want...))))
	}},
}

// filled makes a session with something of everything.
func filled(clientID string) []broker.Change {
	x := filledSession(clientID)
	return []broker.Change{
		broker.SessionSaved{Session: x.SessionRecord},
		broker.SubscriptionSaved{ClientID: clientID, Subscription: x.Subscriptions[0]},
		broker.Queued{ClientID: clientID, MessageID: 1, Delivery: x.Queue[0]},
		broker.Received{ClientID: clientID, PacketID: x.Received[0]},
		broker.WillSaved{ClientID: clientID, Will: x.Will},
	}
}

func filledSession(clientID string) broker.StoredSession {
	will := message("will", "of a filled session")
	will.Expires = time.Time{}
	return session(record(clientID),
		withSubscriptions(broker.Subscription{Filter: "#", QoS: 1}),
		withQueue(delivery(1, message("a", "in every filled session"))),
		withReceived(4),
		withWill(&broker.Will{Message: will, Expiry: 5, Delay: 30 * time.Second}))
}
