package broker

import "time"

// WillInfo is a Will for people.
type WillInfo struct {
	Topic   string
	QoS     byte
	Retain  bool
	Size    int // of its payload
	Delay   time.Duration
	Payload []byte // the beginning of it
}

// WaitingInfo is a message that waits for a session.
type WaitingInfo struct {
	Topic    string
	Size     int
	QoS      byte
	Retain   bool
	Received time.Time
}

// willPreview is how much of a Will's payload is shown.
const willPreview = 1024

// Will describes a session's Will, nil when it has none. It fails with ErrNotFound.
func (b *Broker) Will(clientID string) (*WillInfo, error) {
	s := b.sessions.get(clientID)
	if s == nil {
		return nil, ErrNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.will == nil {
		return nil, nil
	}
	m := s.will.Message
	return &WillInfo{
		Topic: m.Topic, QoS: m.QoS, Retain: m.Retain, Size: len(m.Payload), Delay: s.will.Delay,
		Payload: m.Payload[:min(len(m.Payload), willPreview)], // messages don't change
	}, nil
}

// Waiting describes the messages that wait for a session, the oldest first, at most
// limit. It fails with ErrNotFound.
func (b *Broker) Waiting(clientID string, limit int) ([]WaitingInfo, error) {
	s := b.sessions.get(clientID)
	if s == nil {
		return nil, ErrNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []WaitingInfo
	add := func(d *delivery) {
		if len(list) < limit {
			list = append(list, WaitingInfo{d.msg.Topic, len(d.msg.Payload), d.qos, d.retain, d.msg.Received})
		}
	}
	s.queue.each(add)
	s.replay.each(add)
	return list, nil
}
