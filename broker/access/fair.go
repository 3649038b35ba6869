package access

import "net/netip"

// fair keeps the last denials, each of somebody: where it is full, who has most of them
// gives up the oldest one, so that nobody pushes out what concerns others. It is not safe
// for concurrent use.
type fair struct {
	*lru[denialKey, *noted]
	owned map[string]int // by owner; none is 0
}

// noted is a Denial and who caused it: a user, or a network after an @.
type noted struct {
	Denial
	owner string
}

func newFair(most int) *fair {
	return &fair{newLRU[denialKey, *noted](most), make(map[string]int)}
}

// put adds what get does not know.
func (f *fair) put(key denialKey, n *noted) {
	if len(f.entries) >= f.max {
		f.makeRoom()
	}
	f.owned[n.owner]++
	f.lru.put(key, n)
}

func (f *fair) makeRoom() {
	greedy := f.tail.value.owner
	for owner, n := range f.owned {
		if n > f.owned[greedy] {
			greedy = owner
		}
	}
	for e := f.tail; e != nil; e = e.prev {
		if e.value.owner != greedy {
			continue
		}
		f.unlink(e)
		delete(f.entries, e.key)
		if f.owned[greedy]--; f.owned[greedy] == 0 {
			delete(f.owned, greedy)
		}
		return
	}
}

// hostOf is whom an address with a port belongs to: one that speaks IPv6 has a whole
// /64. "" where it is no address.
func hostOf(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return ""
	}
	if addr := at.Addr().Unmap().WithZone(""); !addr.Is4() {
		p, _ := addr.Prefix(64) // 64 fits into 128
		return p.String()
	}
	return at.Addr().Unmap().String()
}
