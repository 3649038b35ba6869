package broker

import (
	"context"
	"time"

	"hearthmq/broker/packet"
)

// Store keeps what must survive the process: sessions, subscriptions, queued
// and retained messages. It is used by one goroutine, the journal's.
//
// Apply is all or nothing: when it returns nil the changes are as durable as
// the implementation promises; when it returns an error none of them happened.
// Changes come in the order in which they happened in memory. A change that
// names a session that does not exist (any more) is ignored.
type Store interface {
	// Load returns everything stored. It is called once, before Apply.
	Load(ctx context.Context) (*State, error)
	Apply(ctx context.Context, changes []Change) error
	Close() error
}

// State is the stored state of a broker.
type State struct {
	Sessions []StoredSession
	Retained []*Message
	// NextMessage is larger than any message ID in use.
	NextMessage int64
}

// StoredSession is a session with everything that belongs to it.
type StoredSession struct {
	SessionRecord
	Subscriptions []Subscription
	// Queue holds what was not sent yet and what was sent and not acknowledged, by Seq.
	Queue []StoredDelivery
	// Received are the Packet Identifiers of QoS 2 messages that were received and not released.
	Received []uint16
	Will     *Will
}

// SessionRecord is a session's own row.
type SessionRecord struct {
	ClientID string
	User     string
	// Account says that the user had an account, with a Version, when the client came in last.
	Account  bool
	Listener string
	Version  packet.Version
	// Expiry is the Session Expiry Interval in seconds; NeverExpires stands for "never".
	Expiry uint32
	// Disconnected is when the Network Connection ended; zero while it stands.
	// A session that was connected when the process died counts as disconnected then.
	Disconnected time.Time
	Created      time.Time
}

// NeverExpires is the Session Expiry Interval of a session that does not expire [MQTT-3.1.2-23].
const NeverExpires = 0xFFFFFFFF

// Subscription is one Topic Filter of a session.
type Subscription struct {
	Filter            string // without the $share part
	Share             string // Share Name, "" for an ordinary subscription
	QoS               byte
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte
	ID                uint32 // Subscription Identifier, 0: none
}

// FullFilter is the Topic Filter as the client wrote it.
func (s *Subscription) FullFilter() string {
	if s.Share == "" {
		return s.Filter
	}
	return "$share/" + s.Share + "/" + s.Filter
}

// Will is a Will Message with its delay.
type Will struct {
	Message *Message
	// Expiry is the will's Message Expiry Interval in seconds, 0: none. It
	// counts from the moment the will is published.
	Expiry uint32
	// Delay is the Will Delay Interval.
	Delay time.Duration
}

// topic is where the will is published, "" without one.
func (w *Will) topic() string {
	if w == nil {
		return ""
	}
	return w.Message.Topic
}

// DeliveryState is how far the delivery of a message to a session has come.
type DeliveryState byte

const (
	StateQueued   DeliveryState = iota // not sent yet
	StateSent                          // PUBLISH sent, no acknowledgement
	StateReleased                      // QoS 2: PUBREC received, PUBREL sent
)

// StoredDelivery is one message of a session's queue.
type StoredDelivery struct {
	Seq      int64 // order within the session
	Message  *Message
	QoS      byte
	Retain   bool // RETAIN flag towards this session
	SubIDs   []uint32
	State    DeliveryState
	PacketID uint16 // for StateSent and StateReleased
}

// Change is one thing that happened. The sealed sum type: SessionSaved,
// SessionDeleted, SubscriptionSaved, SubscriptionDeleted, RetainedSet,
// RetainedCleared, Queued, Sent, Done, Received, Released, WillSaved, WillDeleted.
type Change interface{ change() }

type (
	// SessionSaved creates or updates a session's own row.
	SessionSaved struct{ Session SessionRecord }
	// SessionDeleted removes a session with all that belongs to it.
	SessionDeleted struct{ ClientID string }
	// SubscriptionSaved adds or replaces the subscription with this full filter.
	SubscriptionSaved struct {
		ClientID     string
		Subscription Subscription
	}
	// SubscriptionDeleted removes the subscription with this full filter.
	SubscriptionDeleted struct{ ClientID, FullFilter string }
	// RetainedSet makes the message the retained one of its topic.
	RetainedSet struct{ Message *Message }
	// RetainedCleared removes the topic's retained message.
	RetainedCleared struct{ Topic string }
	// Queued adds a delivery to a session. MessageID is the same for all
	// deliveries of one message: the payload is stored once.
	Queued struct {
		ClientID  string
		MessageID int64
		Delivery  StoredDelivery
	}
	// Sent notes that a delivery got a Packet Identifier (StateSent) or was released (StateReleased).
	Sent struct {
		ClientID string
		Seq      int64
		PacketID uint16
		State    DeliveryState
	}
	// Done removes a delivery: acknowledged, expired or dropped.
	Done struct {
		ClientID string
		Seq      int64
	}
	// Received notes the Packet Identifier of a QoS 2 message that was received.
	Received struct {
		ClientID string
		PacketID uint16
	}
	// Released forgets such an identifier.
	Released struct {
		ClientID string
		PacketID uint16
	}
	// WillSaved stores the session's will.
	WillSaved struct {
		ClientID string
		Will     *Will
	}
	// WillDeleted removes it: published, cancelled or discarded.
	WillDeleted struct{ ClientID string }
)

func (SessionSaved) change()        {}
func (SessionDeleted) change()      {}
func (SubscriptionSaved) change()   {}
func (SubscriptionDeleted) change() {}
func (RetainedSet) change()         {}
func (RetainedCleared) change()     {}
func (Queued) change()              {}
func (Sent) change()                {}
func (Done) change()                {}
func (Received) change()            {}
func (Released) change()            {}
func (WillSaved) change()           {}
func (WillDeleted) change()         {}
