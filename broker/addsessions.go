package broker

import (
	"context"
	"time"
)

// AddSessions adds sessions that another broker kept, with what waits in them, for
// clients that have none here; others are passed over. Each is added as a whole, and
// all are stored when it returns without an error. It returns how many there were, and
// how many messages wait in them. The list is not used afterwards.
func (b *Broker) AddSessions(ctx context.Context, list []StoredSession) (added, queued int, err error) {
	var ticket uint64
	kept := map[*Message]*Message{} // a message waits in many sessions and is stored once
	for i := range list {
		if err := ctx.Err(); err != nil {
			return added, queued, err
		}
		t, ok := b.sessions.add(&list[i], kept)
		if !ok {
			continue
		}
		ticket = max(ticket, t)
		added++
		queued += len(list[i].Queue)
	}
	return added, queued, b.journal.wait(ctx, ticket)
}

// HasSession reports whether there is a session of this Client Identifier.
func (b *Broker) HasSession(clientID string) bool { return b.sessions.get(clientID) != nil }

// add adds a stored session; ok is false when the client has one, or there is no room.
func (r *sessions) add(st *StoredSession, kept map[*Message]*Message) (ticket uint64, ok bool) {
	b := r.b
	b.journal.open()
	defer b.journal.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if most := b.cfg().MaxSessions; r.byID[st.ClientID] != nil || most > 0 && len(r.byID) >= most {
		return 0, false
	}
	for i := range st.Queue {
		m := st.Queue[i].Message
		k := kept[m]
		if k == nil {
			own := *m.Keep()
			k, own.id = &own, b.nextMessage.Add(1)
			kept[m] = k
		}
		st.Queue[i].Message = k
	}
	s := r.bring(st, time.Now())
	s.mu.Lock()
	record := s.record()
	s.mu.Unlock()
	ticket = b.journal.append(SessionSaved{record})
	for _, sub := range st.Subscriptions {
		ticket = b.journal.append(SubscriptionSaved{s.clientID, sub})
	}
	for _, id := range st.Received {
		ticket = b.journal.append(Received{s.clientID, id})
	}
	for _, d := range st.Queue {
		ticket = b.journal.append(Queued{ClientID: s.clientID, MessageID: d.Message.id, Delivery: d})
	}
	r.most = max(r.most, len(r.byID))
	s.mu.Lock()
	s.armExpiry()
	s.mu.Unlock()
	return ticket, true
}
