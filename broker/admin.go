package broker

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"hearthmq/broker/packet"
)

// Reviewer is implemented by an Authorizer or an Authenticator that can tell whether an
// identity still stands: its user may have been deleted, disabled or given a new password.
type Reviewer interface {
	Review(id *Identity) (stands bool, reason Reason)
}

// review asks those who can tell whether an identity still stands.
func (b *Broker) review(id *Identity) (stands bool, reason Reason) {
	for _, x := range []any{b.deps.Authorizer, b.deps.Authenticator} {
		if r, ok := x.(Reviewer); ok {
			if stands, reason := r.Review(id); !stands {
				return false, reason
			}
		}
	}
	return true, ""
}

// Sessions describes all sessions, sorted by Client Identifier.
func (b *Broker) Sessions() []SessionInfo {
	list := b.sessions.all()
	slices.SortFunc(list, func(x, y *Session) int { return cmp.Compare(x.clientID, y.clientID) })
	infos := make([]SessionInfo, len(list))
	for i, s := range list {
		infos[i] = s.info()
	}
	return infos
}

// AllSessions visits all sessions, in no order. It costs less than Sessions, which
// makes a list of them and sorts it.
func (b *Broker) AllSessions() iter.Seq[SessionInfo] {
	return func(yield func(SessionInfo) bool) {
		for _, s := range b.sessions.all() {
			if !yield(s.info()) {
				return
			}
		}
	}
}

// Authorize asks whether somebody may do something now.
func (b *Broker) Authorize(id *Identity, act Action, name string) Decision {
	return b.deps.Authorizer.Authorize(id, act, name)
}

// Session describes one session and its subscriptions, sorted by filter. It fails
// with ErrNotFound.
func (b *Broker) Session(clientID string) (SessionInfo, []SubscriptionInfo, error) {
	s := b.sessions.get(clientID)
	if s == nil {
		return SessionInfo{}, nil, ErrNotFound
	}
	s.mu.Lock()
	subs := make([]SubscriptionInfo, 0, len(s.subs))
	for _, n := range s.subs {
		subs = append(subs, SubscriptionInfo{Subscription: n.Subscription})
	}
	s.mu.Unlock()
	id := s.identity.Load()
	for i := range subs {
		d := b.deps.Authorizer.Authorize(id, Subscribe, subs[i].Filter)
		subs[i].Narrowed, subs[i].Rule, subs[i].MaxQoS = d.Narrowed, d.Rule, d.MaxQoS
	}
	slices.SortFunc(subs, func(x, y SubscriptionInfo) int { return cmp.Compare(x.FullFilter(), y.FullFilter()) })
	return s.info(), subs, nil
}

func (s *Session) info() SessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conn.Load()
	in := SessionInfo{
		ClientID: s.clientID, User: s.user, Connected: c != nil, Identity: s.identity.Load(),
		Version: byte(s.version), Since: s.since, Created: s.created, Expiry: s.expiry,
		Subscriptions: len(s.subs), Queued: s.queue.len() + s.replay.len(), QueuedBytes: s.queued,
		Inflight: s.flights.len(), Dropped: s.dropped.Load(), Violations: s.violations.Load(), HasWill: s.will != nil,
	}
	if in.Dropped > 0 {
		in.DroppedBy = s.crammedBy()
	}
	if s.will != nil {
		in.WillTopic = s.will.Message.Topic
	}
	if c != nil {
		in.KeepAlive, in.Mount = c.keepAlive, c.mount
		in.Received = c.recv.publishes.Load()
		c.mu.Lock()
		in.Sent = c.sent.publishes
		in.Slowed, in.SlowedBy = c.slow.count, c.slow.by
		c.mu.Unlock()
	}
	return in
}

// Disconnect ends a client's connection; its session stays as the specification
// says. It fails with ErrNotFound when the client is not connected.
func (b *Broker) Disconnect(clientID string, code packet.ReasonCode) error {
	s := b.sessions.get(clientID)
	if s == nil {
		return ErrNotFound
	}
	c := s.conn.Load()
	if c == nil {
		return ErrNotFound
	}
	c.disconnect(code, "disconnected by the administrator")
	return nil
}

// DisconnectUsers ends the connections of users; "" stands for those without a name. Their
// sessions stay as the specification says.
func (b *Broker) DisconnectUsers(those func(user string) bool) {
	for _, s := range b.sessions.all() {
		if c := s.conn.Load(); c != nil && !s.identity.Load().System && those(s.user) {
			c.disconnect(packet.AdministrativeAction, "rights changed")
		}
	}
}

// DeleteSession ends a client's connection and forgets its session. It fails with
// ErrNotFound.
func (b *Broker) DeleteSession(clientID string) error {
	return b.sessions.delete(clientID, packet.AdministrativeAction, "session deleted by the administrator")
}

// ForgetReceived forgets the Packet Identifiers of QoS 2 messages that a client has
// sent and not released, where who sent them can't release them any more: a bridge
// whose other side has lost its session begins to count anew. It fails with
// ErrNotFound, and with the store's error.
func (b *Broker) ForgetReceived(ctx context.Context, clientID string) error {
	s := b.sessions.get(clientID)
	if s == nil {
		return ErrNotFound
	}
	b.journal.open()
	s.mu.Lock()
	ticket := s.settled()
	for id := range s.received {
		if s.persistent {
			ticket = b.journal.append(Released{s.clientID, id})
		}
	}
	b.unreleased.Add(-int64(len(s.received)))
	clear(s.received)
	s.mu.Unlock()
	b.journal.close()
	return b.journal.wait(ctx, ticket)
}

// Revalidate applies a change of users, limits or rules to what runs: users who no longer
// stand are disconnected, subscriptions that are no longer allowed are dropped, limits
// hold as relimit says, messages follow the new rules from now on (cases A8, A9). user "" means everybody.
func (b *Broker) Revalidate(user string) {
	for _, s := range b.sessions.all() {
		if user != "" && s.user != user {
			continue
		}
		id := s.identity.Load()
		if stands, reason := b.review(id); !stands {
			b.expel(s, reason)
			continue
		}
		b.revoke(s, id, false)
		b.relimit(s)
	}
}

// expel disconnects a user who no longer stands. The session of a deleted user
// goes, too: nobody else may inherit it.
func (b *Broker) expel(s *Session, reason Reason) {
	if reason == UnknownUser {
		// ErrNotFound: it ended meanwhile, which is what was wanted.
		_ = b.sessions.delete(s.clientID, packet.NotAuthorized, string(reason))
		return
	}
	if c := s.conn.Load(); c != nil {
		c.disconnect(packet.NotAuthorized, string(reason))
	}
}

// revoke drops the session's subscriptions that the rules no longer allow, or those that
// they allow from nowhere: who comes back may be elsewhere today.
func (b *Broker) revoke(s *Session, id *Identity, nowhere bool) {
	authorize := b.deps.Authorizer.Authorize
	if a, ok := b.deps.Authorizer.(AnywhereAuthorizer); ok && nowhere {
		authorize = a.AuthorizeAnywhere
	}
	s.mu.Lock()
	subs := make([]*subscription, 0, len(s.subs))
	for _, n := range s.subs {
		subs = append(subs, n)
	}
	s.mu.Unlock()
	for _, n := range subs {
		if authorize(id, Subscribe, n.Filter).Allow {
			continue
		}
		full := n.FullFilter()
		withBatch(func(bt *batch) {
			b.journal.open()
			defer b.journal.close()
			if !b.subs.remove(s, full) {
				return
			}
			s.mu.Lock()
			if s.persistent {
				b.journal.append(SubscriptionDeleted{s.clientID, full})
			}
			s.mu.Unlock()
			if n.Share != "" {
				b.leaveShares(bt, s, map[shareName]bool{{n.Share, n.Filter}: true})
			}
		})
		b.event(Unsubscribed{At: time.Now(), Identity: id, Filter: full, Revoked: true})
	}
}
