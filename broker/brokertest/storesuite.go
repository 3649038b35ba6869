package brokertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

// TestStore runs what every broker.Store must pass. open returns an empty store
// and a function that closes the one in use and opens what it left behind, as a
// new process would. Stores are loaded by the suite; those still open at the end
// are for open to clean up.
func TestStore(t *testing.T, open func(t *testing.T) (broker.Store, func() broker.Store)) {
	for _, c := range storeCases {
		t.Run(c.name, func(t *testing.T) {
			s := &storeTest{T: t}
			s.store, s.reopen = open(t)
			s.load(s.store)
			c.run(s)
		})
	}
	t.Run("random changes", func(t *testing.T) { testRandomChanges(t, open) })
}

// storeTest is one case under way.
type storeTest struct {
	*testing.T
	store  broker.Store
	reopen func() broker.Store
}

func (s *storeTest) load(store broker.Store) *broker.State {
	s.Helper()
	state, err := store.Load(s.Context())
	if err != nil {
		s.Fatalf("Load: %v", err)
	}
	return state
}

func (s *storeTest) apply(changes ...broker.Change) {
	s.Helper()
	if err := s.store.Apply(s.Context(), changes); err != nil {
		s.Fatalf("Apply: %v", err)
	}
}

// restart reopens the store and returns what is in it.
func (s *storeTest) restart() *broker.State {
	s.Helper()
	s.store = s.reopen()
	return s.load(s.store)
}

// expect restarts the store and compares. Twice: what a store remembers after
// Load must be as good as what it remembers of its own writes.
func (s *storeTest) expect(want broker.State) {
	s.Helper()
	for _, when := range []string{"after a restart", "after another restart"} {
		if diff := diffStates(&want, s.restart()); diff != "" {
			s.Fatalf("%s the state is not as wanted (-want +got):\n%s", when, diff)
		}
	}
}

// at is a moment in whole milliseconds, which is as exact as stores have to be.
func at(seconds int) time.Time {
	return time.UnixMilli(1_790_000_000_123).Add(time.Duration(seconds) * time.Second)
}

func record(clientID string) broker.SessionRecord {
	return broker.SessionRecord{
		ClientID: clientID, User: "user of " + clientID, Account: true, Listener: "mqtts", Version: packet.V50,
		Expiry: 3600, Disconnected: at(5), Created: at(1),
	}
}

func save(clientID string) broker.Change { return broker.SessionSaved{Session: record(clientID)} }

// message has every field set that a store keeps.
func message(topicName, payload string) *broker.Message {
	m := broker.NewMessage(topicName, []byte(payload), 1, false)
	m.Properties = userProperty("first word", payload[:min(len(payload), 10)])
	m.Expires, m.Received = at(600), at(2)
	m.PublisherID, m.PublisherUser = "sensor", "anna"
	return m
}

func userProperty(key, value string) []byte {
	var p packet.Properties
	p.AddUser(key, value)
	return p.AppendForward(nil)
}

func retained(topicName, payload string) *broker.Message {
	m := message(topicName, payload)
	m.Retain = true
	return m
}

func delivery(seq int64, m *broker.Message) broker.StoredDelivery {
	return broker.StoredDelivery{Seq: seq, Message: m, QoS: m.QoS}
}

// queued is a delivery whose message belongs to it alone.
func queued(clientID string, seq int64) broker.Queued {
	return broker.Queued{ClientID: clientID, MessageID: seq, Delivery: delivery(seq, message("a/b", fmt.Sprint("message ", seq)))}
}

func session(r broker.SessionRecord, with ...func(*broker.StoredSession)) broker.StoredSession {
	x := broker.StoredSession{SessionRecord: r}
	for _, f := range with {
		f(&x)
	}
	return x
}

func withQueue(q ...broker.StoredDelivery) func(*broker.StoredSession) {
	return func(x *broker.StoredSession) { x.Queue = q }
}

func withSubscriptions(s ...broker.Subscription) func(*broker.StoredSession) {
	return func(x *broker.StoredSession) { x.Subscriptions = s }
}

func withReceived(ids ...uint16) func(*broker.StoredSession) {
	return func(x *broker.StoredSession) { x.Received = ids }
}

func withWill(w *broker.Will) func(*broker.StoredSession) {
	return func(x *broker.StoredSession) { x.Will = w }
}

func sessions(x ...broker.StoredSession) broker.State { return broker.State{Sessions: x} }

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
