package crashtest

import (
	"fmt"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// model is what broker and clients have said to each other up to a step, and
// thereby what the broker has promised.
type model struct {
	sessions map[string]*session // those that outlive their connections, by Client Identifier
	messages map[string]*promised
	states   map[string]*state // retained messages by topic
	balanced bool              // the mode's promises are those of balanced, not of durable
}

// session is what has been said in one session.
type session struct {
	name    string
	subs    map[string]*subscription // by filter
	asked   map[uint16][]string      // filters of SUBSCRIBE and UNSUBSCRIBE under way
	sending map[uint16]*incoming     // the client's messages under way, by identifier
	queue   map[string]*outbound     // messages for the client, by key
	byID    map[uint16]*outbound     // the last one sent with an identifier
}

type subscription struct {
	qos       byte
	confirmed bool // SUBACK was sent, and UNSUBSCRIBE has not come
	ended     bool // UNSUBACK was sent
}

// incoming is a PUBLISH of a client that is not complete.
type incoming struct {
	m        *promised
	version  int  // of the retained message, counted from 1; 0: none
	recorded bool // PUBREC was sent
	released bool // PUBREL has come
}

// promised is a message that a client has sent.
type promised struct {
	*message
	accepted bool // PUBACK or PUBREC was sent
	receiver []*session
}

// outbound is a message on its way to a client.
type outbound struct {
	m        *promised
	qos      byte
	id       uint16 // of the last PUBLISH with it; 0: none was sent
	received bool   // QoS 2: PUBREC has come
	released bool   // PUBREL was sent
	done     bool   // PUBACK or PUBCOMP has come
}

func newModel() *model {
	return &model{sessions: map[string]*session{}, messages: map[string]*promised{}, states: map[string]*state{}}
}

func (m *model) session(name string) *session {
	s := m.sessions[name]
	if s == nil {
		s = &session{name: name, subs: map[string]*subscription{}, asked: map[uint16][]string{},
			sending: map[uint16]*incoming{}, queue: map[string]*outbound{}, byID: map[uint16]*outbound{}}
		m.sessions[name] = s
	}
	return s
}

// heard is told of packets that the broker has read.
func (m *model) heard(w *wire, ps []packet.Packet) error {
	if !w.keep {
		return nil // such clients only look
	}
	s := m.session(w.client)
	for _, p := range ps {
		switch p := p.(type) {
		case *packet.Publish:
			if err := m.published(s, p); err != nil {
				return err
			}
		case *packet.Subscribe:
			for _, f := range p.Subscriptions {
				s.asked[p.PacketID] = append(s.asked[p.PacketID], f.Filter)
				s.subs[f.Filter] = &subscription{qos: f.QoS}
			}
		case *packet.Unsubscribe:
			for _, f := range p.Filters {
				s.asked[p.PacketID] = append(s.asked[p.PacketID], f)
				s.subs[f].confirmed = false
			}
		case *packet.Ack:
			s.heardAck(p)
		}
	}
	return nil
}

func (m *model) published(s *session, p *packet.Publish) error {
	if p.QoS == 2 && s.sending[p.PacketID] != nil {
		return nil // again
	}
	in := &incoming{}
	key := keyOf(p.Payload)
	if key == "" && len(p.Payload) > 0 {
		return fmt.Errorf("%s sent what is not of the load: %.60q", s.name, p.Payload)
	}
	_, number := splitKey(key)
	if in.m = m.messages[key]; in.m == nil || key == "" {
		in.m = &promised{message: &message{key: key, number: number, topic: string(p.Topic), qos: p.QoS, retain: p.Retain, clears: key == ""}}
		for _, r := range m.sessions {
			if r.confirmed(in.m.topic) > 0 {
				in.m.receiver = append(in.m.receiver, r)
			}
		}
	}
	if key != "" {
		m.messages[key] = in.m
	}
	if p.Retain {
		st := m.states[in.m.topic]
		if st == nil {
			st = new(state)
			m.states[in.m.topic] = st
		}
		st.versions = append(st.versions, in.m.message)
		in.version = len(st.versions)
	}
	s.sending[p.PacketID] = in
	return nil
}

// confirmed is the QoS of the session's subscriptions that match, plus one; 0: none.
func (s *session) confirmed(name string) byte {
	var qos byte
	for f, sub := range s.subs {
		if sub.confirmed && topic.Match(f, name) {
			qos = max(qos, sub.qos+1)
		}
	}
	return qos
}

// heardAck takes an acknowledgement that the client has sent.
func (s *session) heardAck(p *packet.Ack) {
	if p.Type == packet.TypePubrel {
		if in := s.sending[p.PacketID]; in != nil {
			in.released = true
		}
		return
	}
	out := s.byID[p.PacketID]
	switch {
	case out == nil:
	case p.Type == packet.TypePubrec:
		out.received = true
	default:
		out.done = true
	}
}

// said is told of packets that the broker has written.
func (m *model) said(w *wire, ps []packet.Packet) error {
	if !w.keep {
		return nil
	}
	s := m.session(w.client)
	for _, p := range ps {
		switch p := p.(type) {
		case *packet.Suback:
			for _, f := range s.asked[p.PacketID] {
				s.subs[f].confirmed = true
			}
			delete(s.asked, p.PacketID)
		case *packet.Unsuback:
			for _, f := range s.asked[p.PacketID] {
				s.subs[f].ended = true
			}
			delete(s.asked, p.PacketID)
		case *packet.Publish:
			if err := m.delivered(s, p); err != nil {
				return err
			}
		case *packet.Ack:
			m.saidAck(s, p)
		}
	}
	return nil
}

func (m *model) delivered(s *session, p *packet.Publish) error {
	key := keyOf(p.Payload)
	if key == "" {
		if p.QoS > 0 {
			s.byID[p.PacketID] = nil // cleared retained messages are not followed
		}
		return nil
	}
	msg := m.messages[key]
	if msg == nil {
		return fmt.Errorf("%s got %s, which nobody sent", s.name, key)
	}
	out := s.queue[key]
	if out == nil {
		out = &outbound{m: msg, qos: p.QoS}
		s.queue[key] = out
	}
	if p.QoS == 2 && out.done {
		return fmt.Errorf("%s got %s (QoS 2) again after it was complete", s.name, key)
	}
	out.id = p.PacketID
	s.byID[p.PacketID] = out
	return nil
}

// saidAck takes an acknowledgement that the broker has sent.
func (m *model) saidAck(s *session, p *packet.Ack) {
	if p.Type == packet.TypePubrel {
		if out := s.byID[p.PacketID]; out != nil {
			out.released = true
		}
		return
	}
	in := s.sending[p.PacketID]
	if in == nil {
		return
	}
	switch p.Type {
	case packet.TypePubrec:
		in.recorded = true
	default:
		delete(s.sending, p.PacketID)
	}
	in.m.accepted = true
	if st := m.states[in.m.topic]; st != nil {
		st.accepted = max(st.accepted, in.version)
	}
}
