package broker

import "slices"

// unasked is no Generation: the rules are asked before the message is sent.
const unasked = ^uint64(0)

// sameRights reports whether the rules answer both identities alike, which are of the
// same user and client. Rules may look at the listener and the address; the roles of
// others' users come with each login.
func (id *Identity) sameRights(other *Identity) bool {
	return id.Listener == other.Listener && id.Remote.Addr() == other.Remote.Addr() && id.Version == other.Version &&
		id.System == other.System && slices.Equal(id.Roles, other.Roles)
}

// become puts another identity in place. What waits for the session was allowed to the
// one before: it is asked about again (case A6). s.mu is held.
func (s *Session) become(id *Identity) {
	old := s.identity.Swap(id)
	if old.sameRights(id) {
		return
	}
	ask := func(d *delivery) { d.rules = unasked }
	s.queue.each(ask)
	s.replay.each(ask)
	for f := s.flights.first; f != nil; f = f.next {
		f.rules = unasked
	}
}
