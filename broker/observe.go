package broker

import (
	"sync/atomic"
	"time"

	"hearthmq/broker/packet"
)

// Observer is told of what happens. Its methods run on the connections' own
// goroutines and must return at once: no I/O, no long locks.
type Observer interface {
	// OnPublish is called for every message that the broker accepted, after it
	// was given to its receivers. m is valid during the call only.
	OnPublish(m *Message)
	// OnEvent is called for rare things.
	OnEvent(e Event)
}

// Slot holds what an Observer remembers of a topic. Safe for concurrent use.
type Slot struct{ v atomic.Pointer[any] }

// Load returns what was stored, or nil.
func (s *Slot) Load() any {
	if p := s.v.Load(); p != nil {
		return *p
	}
	return nil
}

// Store remembers v.
func (s *Slot) Store(v any) { s.v.Store(&v) }

// Event is one rare thing. The sealed sum type: Connected, Disconnected,
// Refused, Subscribed, Unsubscribed, Denied, Dropped, Expired, StoreFailed.
type Event interface{ event() }

type (
	// Connected: a client got its CONNACK.
	Connected struct {
		At             time.Time
		Identity       *Identity
		Version        packet.Version
		SessionPresent bool
		KeepAlive      time.Duration
		WillTopic      string // "": it has no will
	}
	// Disconnected: a Network Connection of a client ended.
	Disconnected struct {
		At       time.Time
		Identity *Identity
		// Code is the Reason Code sent or received, Success after a normal DISCONNECT.
		Code   packet.ReasonCode
		Reason string // for people
	}
	// Refused: a client was not let in.
	Refused struct {
		At       time.Time
		ClientID string
		User     string
		Remote   string
		Listener string
		Reason   Reason
		Detail   string
	}
	// Subscribed: a subscription was added or changed.
	Subscribed struct {
		At           time.Time
		Identity     *Identity
		Subscription Subscription
		Narrowed     bool
	}
	// Unsubscribed: a subscription ended, by the client or because its right was revoked.
	Unsubscribed struct {
		At       time.Time
		Identity *Identity
		Filter   string
		Revoked  bool
	}
	// Denied: somebody was not allowed to do something.
	Denied struct {
		At       time.Time
		Identity *Identity
		Action   Action
		Name     string // Topic Name or Topic Filter
		Rule     RuleRef
	}
	// Dropped: a message did not reach a session. Sent at most once a second per session; Count adds up.
	Dropped struct {
		At       time.Time
		ClientID string
		Count    uint64
		Why      string
	}
	// Expired: a session's Session Expiry Interval passed.
	Expired struct {
		At       time.Time
		ClientID string
	}
	// StoreFailed: changes could not be stored; with Err nil they could again.
	StoreFailed struct {
		At  time.Time
		Err error
	}
)

func (Connected) event()    {}
func (Disconnected) event() {}
func (Refused) event()      {}
func (Subscribed) event()   {}
func (Unsubscribed) event() {}
func (Denied) event()       {}
func (Dropped) event()      {}
func (Expired) event()      {}
func (StoreFailed) event()  {}

// Observers calls several one after the other.
type Observers []Observer

// OnPublish implements Observer. The Slot belongs to the first of them.
func (o Observers) OnPublish(m *Message) {
	for i, x := range o {
		if i == 1 {
			m.Slot = nil
		}
		x.OnPublish(m)
	}
}

// OnEvent implements Observer.
func (o Observers) OnEvent(e Event) {
	for _, x := range o {
		x.OnEvent(e)
	}
}
