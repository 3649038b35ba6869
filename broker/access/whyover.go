package access

import (
	"net/netip"
	"slices"

	"hearthmq/broker"
)

// tryAgain is what follows where nothing keeps a device out any more.
const tryAgain = "It gets in when it tries again, if nothing else is wrong: restart it where it does not do so by itself."

// over says what has changed since a login was refused so that it would not be for that
// reason; "": nothing that is known.
func (w *inquiry) over(n Denial) string {
	u, known := w.Directory.User(n.User)
	switch broker.Reason(n.Rule) {
	case broker.UnknownUser:
		if known && !w.Directory.Elsewhere() {
			return "there is a user of that name by now"
		}
	case broker.UserDisabled:
		if known && !u.Disabled {
			return "the user is enabled by now"
		}
	case broker.Blocked:
		at, _ := netip.ParseAddrPort(n.Remote) // without one nothing is blocked by it
		if w.Bans == nil {
			return ""
		}
		if _, banned := w.Bans.Banned(n.ClientID, at.Addr().Unmap()); !banned {
			return "the block is gone by now"
		}
	}
	return ""
}

// cameBackInVain reports whether the last that is known of a client is not how it left,
// but that it was not let in again.
func (w *inquiry) cameBackInVain(p Past) bool {
	return slices.ContainsFunc(w.found, func(f Finding) bool {
		return f.ClientID == p.ClientID && rank(f.Cause) == 0 && f.Last.After(p.Left)
	})
}
