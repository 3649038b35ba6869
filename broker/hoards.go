package broker

import "fmt"

// What one user's sessions may have together where Config.MemoryLimit bounds the process:
// nothing of it can be shed, and it outlives a restart, so one account could keep
// everybody else out for good. The system users are not bound.
const (
	leastSessions   = 1000
	hoardSessions   = 18 // a session for so many powers of two of the limit: it may hold a large Will
	hoardSubscribed = 14 // a sixteenth of the limit, in subscriptions of a kilobyte
)

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
// nil where it may. r.mu is held.
func (r *sessions) hoards(c *conn) error {
	most := r.b.mostSessions()
	if most == 0 || c.expiry == 0 || c.id.System || r.held[c.id.User] < most {
		return nil
	}
	return fmt.Errorf("%d sessions of this user already", r.held[c.id.User])
}

// hoards reports whether a session's user has as many subscriptions as it may.
func (c *conn) hoards() bool {
	most := c.b.mostSubscribed()
	return most > 0 && !c.id.System && c.b.subs.heldBy(c.id.User) >= most
}

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
