package broker

import (
	"fmt"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// What one user's sessions may have together where Config.MemoryLimit bounds the process:
// nothing of it can be shed, and it outlives a restart, so one account could keep
// everybody else out for good. The system users are not bound.
const (
	leastSessions   = 1000
	hoardSessions   = 18 // a session for so many powers of two of the limit: it may hold a large Will
	hoardSubscribed = 14 // a sixteenth of the limit, in subscriptions of subscribedBytes
	hoardRetained   = 11 // a quarter of it, in retained messages of retainedBytes
	hoardUnreleased = 10 // a Packet Identifier for each kilobyte of the limit, of all users together
	retainedPart    = 4  // of the limit, for what is retained
)

// What one of them takes; longer ones, and those of many levels, count as several.
const (
	subscribedBytes = 1024
	retainedBytes   = 512
	levelBytes      = 48 // of a trie
)

// weight is what the subscription counts as in memory.
func (n *subscription) weight() int {
	return 1 + (len(n.Share)+len(n.Filter)+levelBytes*topic.Levels(n.Filter))/subscribedBytes
}

// weight is what the message counts as beside its bytes, where it is retained.
func (m *Message) weight() int { return 1 + levelBytes*topic.Levels(m.Topic)/retainedBytes }

// mostRetained is how many messages may be retained, and how large they may be together,
// 0: no bound. Of what the limit of memory leaves for them a user may have half.
func (b *Broker) mostRetained(cfg *Config) (messages, bytes int64) {
	messages, bytes = int64(cfg.RetainedMaxMessages), cfg.RetainedMaxBytes
	if limit := b.pressure.limit; limit > 0 {
		strictest(&messages, limit>>hoardRetained)
		strictest(&bytes, limit/retainedPart)
	}
	return messages, bytes
}

// hoardsRetained says why a user may not have m retained in place of old, "" where it may.
// h is what it has.
func (b *Broker) hoardsRetained(h holding, old, m *Message) string {
	if b.pressure.limit <= 0 {
		return ""
	}
	messages, bytes := b.mostRetained(b.cfg())
	grows := int64(m.Size())
	if old != nil {
		grows -= int64(old.Size())
	}
	switch {
	case old == nil && int64(h.weight) >= messages/2:
		return "the user has as many retained messages as the memory allows one"
	case grows > 0 && h.bytes+int64(m.Size()) > bytes/2:
		return "the user's retained messages are as large as the memory allows for one"
	}
	return ""
}

// mostSessions is how many sessions that outlive their connections a user may have; 0: no bound.
func (b *Broker) mostSessions() int {
	if b.pressure.limit <= 0 {
		return 0
	}
	return max(leastSessions, int(b.pressure.limit>>hoardSessions))
}

// mostSubscribed is how many subscriptions a user's sessions may have together, never
// fewer than one session may; 0: no bound.
func (b *Broker) mostSubscribed() int {
	if b.pressure.limit <= 0 {
		return 0
	}
	return max(b.cfg().MaxSubscriptions, int(b.pressure.limit>>hoardSubscribed))
}

// hoards says why a client may not have another session that outlives its connection,
// nil where it may. s is the one that it has already, which may end with its connection, or
// nil. r.mu is held.
func (r *sessions) hoards(c *conn, s *Session) error {
	most := r.b.mostSessions()
	if most == 0 || c.expiry == 0 || c.id.System {
		return nil
	}
	others := r.held[c.id.User]
	if s != nil {
		s.mu.Lock()
		stays := s.persistent
		s.mu.Unlock()
		if stays {
			return nil
		}
		others--
	}
	if others < most {
		return nil
	}
	return fmt.Errorf("%d %s of this user already", others, nouns(others, "session"))
}

// hoardsUnreleased reports whether a client may not bring one more QoS 2 message: all of them
// leave many unreleased, and it more than an honest one that knows the Receive Maximum. What
// a session has received outlives its connections. s.mu is held.
func (s *Session) hoardsUnreleased(c *conn) bool {
	limit := s.b.pressure.limit
	return limit > 0 && len(s.received) >= int(c.cfg.ReceiveMaximum) && !c.id.System &&
		s.b.unreleased.Load() >= limit>>hoardUnreleased
}

// hoards reports whether a session's user has as many subscriptions as it may.
func (c *conn) hoards() bool {
	most := c.b.mostSubscribed()
	return most > 0 && !c.id.System && c.b.subs.heldBy(c.id.User) >= most
}

// heldBy is the weight of the subscriptions of a user's sessions.
func (ss *subscriptions) heldBy(user string) int {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	return ss.held[user]
}

// tally counts by user, and forgets who has nothing left.
type tally map[string]int

func (t *tally) add(user string, n int) {
	if *t == nil {
		*t = make(tally)
	}
	if (*t)[user] += n; (*t)[user] == 0 {
		delete(*t, user)
	}
}

// errUnreleased ends a connection that hoardsUnreleased.
var errUnreleased = &packet.Error{Code: packet.ReceiveMaximumExceeded, Msg: "too many QoS 2 messages are not released, and memory is limited"}
