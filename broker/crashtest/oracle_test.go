package crashtest

import (
	"fmt"
	"slices"
	"strings"

	"hearthmq/broker"
)

// verdict collects what is wrong with one image.
type verdict struct {
	lost, duplicates, other []string
}

func (v *verdict) bad() bool { return len(v.lost)+len(v.duplicates)+len(v.other) > 0 }

func (v *verdict) String() string {
	return fmt.Sprintf("lost %d %q, possible duplicates %d %q, other %d %q",
		len(v.lost), first(v.lost), len(v.duplicates), first(v.duplicates), len(v.other), first(v.other))
}

func first(list []string) []string { return list[:min(len(list), 5)] }

func (v *verdict) losing(format string, args ...any) {
	v.lost = append(v.lost, fmt.Sprintf(format, args...))
}
func (v *verdict) doubling(format string, args ...any) {
	v.duplicates = append(v.duplicates, fmt.Sprintf(format, args...))
}
func (v *verdict) wrong(format string, args ...any) {
	v.other = append(v.other, fmt.Sprintf(format, args...))
}

// check holds what a database holds against what had been promised.
func (m *model) check(st *broker.State) *verdict {
	v := new(verdict)
	stored := map[string]*broker.StoredSession{}
	for i := range st.Sessions {
		stored[st.Sessions[i].ClientID] = &st.Sessions[i]
		if m.sessions[st.Sessions[i].ClientID] == nil {
			v.wrong("session %s, which nobody began", st.Sessions[i].ClientID)
		}
	}
	for name, s := range m.sessions {
		x := stored[name]
		if x == nil {
			x = new(broker.StoredSession)
		}
		s.checkSubscriptions(v, x)
		m.checkReceived(v, s, x, stored)
		s.checkQueue(v, m, x, stored)
	}
	if !m.balanced {
		m.checkRetained(v, st.Retained)
	}
	return v
}

// checkSubscriptions: SUBACK and UNSUBACK stand for what is stored.
func (s *session) checkSubscriptions(v *verdict, x *broker.StoredSession) {
	for f, sub := range s.subs {
		there := slices.ContainsFunc(x.Subscriptions, func(y broker.Subscription) bool { return y.FullFilter() == f && y.QoS == sub.qos })
		switch {
		case sub.confirmed && !there:
			v.losing("%s: subscription %s was confirmed", s.name, f)
		case sub.ended && there:
			v.wrong("%s: subscription %s was ended and is back", s.name, f)
		}
	}
}

// checkReceived: a PUBREC stands for a Packet Identifier that is stored, a PUBCOMP
// for one that is not, and an identifier for deliveries: they come and go together.
func (m *model) checkReceived(v *verdict, s *session, x *broker.StoredSession, stored map[string]*broker.StoredSession) {
	for id, in := range s.sending {
		if in.m.qos != 2 {
			continue
		}
		has := slices.Contains(x.Received, id)
		switch {
		case in.recorded && !in.released && !has:
			v.doubling("%s: PUBREC %d was sent for %s, and its sender would send it again as new", s.name, id, in.m.key)
		case has && !in.m.accepted:
			for _, r := range in.m.receiver {
				if !r.has(in.m, stored[r.name]) {
					v.losing("%s for %s: identifier %d of %s is stored without it", in.m.key, r.name, id, s.name)
				}
			}
		case !has && !in.recorded && in.m.key != "":
			for _, r := range in.m.receiver {
				if find(stored[r.name], in.m.key) != nil {
					v.doubling("%s for %s is stored without identifier %d of %s", in.m.key, r.name, id, s.name)
				}
			}
		}
	}
	for _, id := range x.Received {
		if s.sending[id] == nil {
			v.losing("%s: PUBCOMP %d was sent, and the next message with it would be taken for that one", s.name, id)
		}
	}
}

// has reports whether a message is stored for the session, or the client has it.
func (s *session) has(m *promised, x *broker.StoredSession) bool {
	if out := s.queue[m.key]; out != nil && out.done {
		return true
	}
	return m.clears || find(x, m.key) != nil
}

func find(x *broker.StoredSession, key string) *broker.StoredDelivery {
	if x == nil {
		return nil
	}
	for i := range x.Queue {
		if keyOf(x.Queue[i].Message.Payload) == key {
			return &x.Queue[i]
		}
	}
	return nil
}

// checkQueue: accepted messages are stored or were acknowledged by the client, and
// a QoS 2 message is stored as far as the client has heard of it.
func (s *session) checkQueue(v *verdict, m *model, x *broker.StoredSession, stored map[string]*broker.StoredSession) {
	queue := map[string]*broker.StoredDelivery{}
	highest := map[string]int{}
	for i := range x.Queue {
		d := &x.Queue[i]
		key := keyOf(d.Message.Payload)
		msg := m.messages[key]
		switch {
		case key == "" && len(d.Message.Payload) == 0:
			continue
		case msg == nil:
			v.wrong("%s: %.60q is stored, which nobody sent", s.name, d.Message.Payload)
			continue
		case d.QoS == 2 && queue[key] != nil:
			v.doubling("%s: %s is stored twice", s.name, key)
		case d.QoS == 2:
			who, number := splitKey(key)
			if who += d.Message.Topic; number < highest[who] {
				v.wrong("%s: %s stands behind message %d", s.name, key, highest[who])
			} else {
				highest[who] = number
			}
		}
		queue[key] = d
	}
	for _, msg := range m.messages {
		if m.balanced && msg.qos == 1 && !strings.HasPrefix(s.name, "away") {
			continue // its receiver was connected
		}
		if msg.accepted && slices.Contains(msg.receiver, s) && queue[msg.key] == nil {
			if out := s.queue[msg.key]; out == nil || !out.done {
				v.losing("%s for %s was acknowledged", msg.key, s.name)
			}
		}
	}
	for key, out := range s.queue {
		if out.qos != 2 {
			continue
		}
		d := queue[key]
		switch {
		case out.done:
			if d != nil && d.State != broker.StateReleased {
				v.doubling("%s: %s is complete and stored as state %d", s.name, key, d.State)
			}
		case d == nil:
			v.losing("%s for %s is under way", key, s.name)
		case d.State == broker.StateQueued || d.PacketID != out.id:
			v.doubling("%s: PUBLISH %d was sent for %s, stored are state %d and identifier %d", s.name, out.id, key, d.State, d.PacketID)
		case out.released && d.State != broker.StateReleased:
			v.doubling("%s: PUBREL %d was sent for %s, stored is state %d", s.name, out.id, key, d.State)
		}
	}
}

// checkRetained: of each topic the last acknowledged message or a later one is kept.
func (m *model) checkRetained(v *verdict, list []*broker.Message) {
	got := map[string][]byte{}
	for _, r := range list {
		got[r.Topic] = r.Payload
	}
	for name, st := range m.states {
		payload, ok := got[name]
		fine := st.accepted == 0 && !ok
		for _, x := range st.versions[max(st.accepted-1, 0):] {
			fine = fine || x.clears && !ok || ok && !x.clears && string(x.payload()) == string(payload)
		}
		if !fine {
			v.losing("retained message of %s is %.20q, neither the last acknowledged one (%s, %d of %d) nor a later one",
				name, payload, st.versions[max(st.accepted-1, 0)].key, st.accepted, len(st.versions))
		}
	}
	for name := range got {
		if m.states[name] == nil {
			v.wrong("retained message of %s, which nobody sent", name)
		}
	}
}
