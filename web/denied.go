package web

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

// How much of what was denied is on its page, and of one user or address while others
// have something, too.
const (
	maxDenied     = 100
	maxDeniedEach = 10
)

// fairly chooses which of list are shown, at most most, in its order: of each the
// latest, then of each the second, and so on; somebody alone has all the room. more says
// whose are left out.
func fairly(list []access.Denial, most int) (shown []access.Denial, more []ui.MoreDeniedView) {
	count, nth := map[string]int{}, make([]int, len(list))
	for i, d := range list {
		who := deniedTo(d)
		nth[i] = count[who]
		count[who]++
	}
	each := maxDeniedEach
	if len(count) == 1 {
		each = most
	}
	take := make([]bool, len(list))
	for n, left := 0, min(most, len(list)); n < each && left > 0; n++ {
		for i := range list {
			if nth[i] == n && left > 0 {
				take[i] = true
				left--
			}
		}
	}
	for i, d := range list {
		if take[i] {
			shown = append(shown, d)
			count[deniedTo(d)]--
		}
	}
	for who, n := range count {
		if n > 0 {
			more = append(more, ui.MoreDeniedView{Who: who, Count: n})
		}
	}
	slices.SortFunc(more, func(a, b ui.MoreDeniedView) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Who, b.Who))
	})
	return shown, more
}

// deniedTo is whose a denial is: a user's, or an address's where anybody could call
// himself so.
func deniedTo(d access.Denial) string {
	if d.Action != "connect" && d.User != "" {
		return d.User
	}
	if at, err := netip.ParseAddrPort(d.Remote); err == nil {
		return at.Addr().Unmap().String()
	}
	return "clients without an address"
}

// denialView is one refusal for people.
func (s *Server) denialView(d access.Denial, now time.Time) ui.DenialView {
	v := ui.DenialView{
		User: d.User, ClientID: d.ClientID, Action: d.Action, Topic: d.Topic, Why: s.cfg.Directory.Reason(d),
		Ago: ui.Ago(d.Last, now), Count: d.Count, Allowed: s.cfg.Directory.AllowedNow(d),
	}
	if at, err := netip.ParseAddrPort(d.Remote); err == nil && (access.Assigned(d.ClientID) || d.ClientID == "") {
		v.Address = at.Addr().Unmap().String()
	}
	if v.About = cmp.Or(d.User, d.ClientID, v.Address); len(v.About) > maxAbout {
		v.About = ""
	}
	return v
}
