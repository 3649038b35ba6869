package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// memoryStore is the Store of brokers that need not outlive the process, and of
// tests: Close keeps the state, so that a second broker on it finds what the
// first one left.
type memoryStore struct {
	mu       sync.Mutex
	sessions map[string]*memorySession
	retained map[string]*Message
	next     int64
}

type memorySession struct {
	record        SessionRecord
	subscriptions map[string]Subscription
	queue         map[int64]Queued
	received      map[uint16]bool
	will          *Will
}

// NewMemoryStore returns an empty Store that keeps everything in memory.
func NewMemoryStore() Store {
	return &memoryStore{sessions: map[string]*memorySession{}, retained: map[string]*Message{}, next: 1}
}

// Load implements Store.
func (s *memoryStore) Load(ctx context.Context) (*State, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state := &State{NextMessage: s.next}
	shared := map[int64]*Message{}
	for _, id := range slices.Sorted(maps.Keys(s.sessions)) {
		state.Sessions = append(state.Sessions, s.sessions[id].load(shared))
	}
	for _, name := range slices.Sorted(maps.Keys(s.retained)) {
		state.Retained = append(state.Retained, reloaded(s.retained[name]))
	}
	return state, nil
}

func (s *memorySession) load(shared map[int64]*Message) StoredSession {
	out := StoredSession{SessionRecord: s.record, Received: slices.Sorted(maps.Keys(s.received))}
	for _, f := range slices.Sorted(maps.Keys(s.subscriptions)) {
		out.Subscriptions = append(out.Subscriptions, s.subscriptions[f])
	}
	for _, q := range s.queue {
		m := shared[q.MessageID]
		if m == nil {
			m = reloaded(q.Delivery.Message)
			shared[q.MessageID] = m
		}
		d := q.Delivery
		d.Message = m
		out.Queue = append(out.Queue, d)
	}
	slices.SortFunc(out.Queue, func(a, b StoredDelivery) int { return cmp.Compare(a.Seq, b.Seq) })
	if s.will != nil {
		w := *s.will
		w.Message = reloaded(w.Message)
		out.Will = &w
	}
	return out
}

// reloaded is the message as it is after a restart. The bytes are shared.
func reloaded(m *Message) *Message {
	return &Message{
		Topic: m.Topic, Payload: m.Payload, Properties: m.Properties, QoS: m.QoS, Retain: m.Retain,
		Expires: m.Expires, Received: m.Received, PublisherID: m.PublisherID, PublisherUser: m.PublisherUser,
		PublisherAccount: m.PublisherAccount, Vouched: m.Vouched, kept: m.kept,
	}
}

// Apply implements Store.
func (s *memoryStore) Apply(ctx context.Context, changes []Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, c := range changes {
		if err := CheckChange(c); err != nil {
			return fmt.Errorf("change %d: %w", i, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		s.apply(c)
	}
	return nil
}

// CheckChange reports a change that no Store can apply because it lacks what it is about.
func CheckChange(c Change) error {
	var lacks bool
	switch c := c.(type) {
	case nil:
		lacks = true
	case RetainedSet:
		lacks = c.Message == nil
	case Queued:
		lacks = c.Delivery.Message == nil
	case WillSaved:
		lacks = c.Will == nil || c.Will.Message == nil
	}
	if lacks {
		return fmt.Errorf("%T: %w", c, errIncomplete)
	}
	return nil
}

var errIncomplete = errors.New("change is incomplete")

func (s *memoryStore) apply(c Change) {
	switch c := c.(type) {
	case SessionSaved:
		if old := s.sessions[c.Session.ClientID]; old != nil {
			old.record = c.Session
			return
		}
		s.sessions[c.Session.ClientID] = &memorySession{
			record: c.Session, subscriptions: map[string]Subscription{}, queue: map[int64]Queued{}, received: map[uint16]bool{},
		}
	case SessionDeleted:
		delete(s.sessions, c.ClientID)
	case RetainedSet:
		s.retained[c.Message.Topic] = c.Message
	case RetainedCleared:
		delete(s.retained, c.Topic)
	case SubscriptionSaved:
		s.with(c.ClientID, func(x *memorySession) { x.subscriptions[c.Subscription.FullFilter()] = c.Subscription })
	case SubscriptionDeleted:
		s.with(c.ClientID, func(x *memorySession) { delete(x.subscriptions, c.FullFilter) })
	case Queued:
		s.next = max(s.next, c.MessageID+1)
		s.with(c.ClientID, func(x *memorySession) { x.queue[c.Delivery.Seq] = c })
	case Sent:
		s.with(c.ClientID, func(x *memorySession) {
			if q, ok := x.queue[c.Seq]; ok {
				q.Delivery.State, q.Delivery.PacketID = c.State, c.PacketID
				x.queue[c.Seq] = q
			}
		})
	case Done:
		s.with(c.ClientID, func(x *memorySession) { delete(x.queue, c.Seq) })
	case Received:
		s.with(c.ClientID, func(x *memorySession) { x.received[c.PacketID] = true })
	case Released:
		s.with(c.ClientID, func(x *memorySession) { delete(x.received, c.PacketID) })
	case WillSaved:
		s.with(c.ClientID, func(x *memorySession) { x.will = c.Will })
	case WillDeleted:
		s.with(c.ClientID, func(x *memorySession) { x.will = nil })
	}
}

func (s *memoryStore) with(clientID string, f func(*memorySession)) {
	if x := s.sessions[clientID]; x != nil {
		f(x)
	}
}

// Close implements Store. The state stays.
func (s *memoryStore) Close() error { return nil }
