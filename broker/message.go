package broker

import (
	"time"
)

// Message is an Application Message. Once it has been handed to anybody it is
// immutable and shared by all receivers.
//
// The Message that an Observer or a LocalClient is shown lives only as long as
// the call: its bytes are the connection's read buffer. Keep makes one to hold on to.
type Message struct {
	Topic   string
	Payload []byte
	// Properties holds the MQTT 5 properties that travel with the message
	// (Payload Format Indicator, Content Type, Response Topic, Correlation
	// Data, User Properties) in wire form; packet.DecodeProperties reads them.
	Properties []byte
	QoS        byte
	Retain     bool // RETAIN as the publisher set it
	// Expires is when the message stops being worth delivering; zero: never.
	Expires time.Time
	// Received is when the broker got it.
	Received time.Time
	// Publisher is who sent it; nil after a restart.
	Publisher *Identity
	// PublisherID and PublisherUser name the publisher, also after a restart.
	PublisherID, PublisherUser string
	// PublisherAccount says that PublisherUser had an account here when it published: who is
	// none of ours any more is no outsider after a restart.
	PublisherAccount bool
	// Vouched says that no client published the message but the broker itself, a part of
	// it or its owner: as a retained one it is nobody's whose right could be lost.
	Vouched bool

	// Slot is a place for the Observer, one per topic and route: whatever it
	// stores there is there again at the next message of the topic, as long as
	// the broker's routing table stands. Only an Observer may touch it.
	Slot *Slot

	id   int64 // row in the store, 0 when it was never stored
	kept bool
}

// Keep returns a message with bytes of its own, valid for ever. It returns m
// itself when m is one already.
func (m *Message) Keep() *Message {
	if m.kept {
		return m
	}
	k := new(Message)
	*k = *m
	// One allocation for both: they live and die together.
	b := make([]byte, len(m.Payload)+len(m.Properties))
	n := copy(b, m.Payload)
	copy(b[n:], m.Properties)
	k.Payload, k.Properties = b[:n:n], b[n:]
	k.Slot = nil
	k.kept = true
	return k
}

// NewMessage makes a message for LocalClient.Publish and Broker.Publish. It keeps
// payload, which the caller must not change afterwards.
func NewMessage(topicName string, payload []byte, qos byte, retain bool) *Message {
	return &Message{Topic: topicName, Payload: payload, QoS: qos, Retain: retain, kept: true}
}

// Size is what the message counts as against limits in bytes.
func (m *Message) Size() int { return len(m.Topic) + len(m.Payload) + len(m.Properties) }

// Expired reports whether the Message Expiry Interval has passed [MQTT-3.3.2-5].
func (m *Message) Expired(now time.Time) bool {
	return !m.Expires.IsZero() && !now.Before(m.Expires)
}
