package web

import (
	"net/netip"
	"sync"
	"time"
)

// throttle makes guessing passwords slow: after each failed try of a name from
// an address the next one has to wait 1, 2, 4 … 60 seconds. Other addresses and
// other names do not notice. Safe for concurrent use.
type throttle struct {
	mu    sync.Mutex
	tries map[tryKey]*try
}

type tryKey struct {
	network netip.Prefix
	name    string
}

type try struct {
	failed int
	next   time.Time // no try before
}

const (
	throttleLongest = 60 * time.Second
	throttleForget  = 15 * time.Minute
	throttleEntries = 10_000
)

func newThrottle() *throttle { return &throttle{tries: make(map[tryKey]*try)} }

func keyOf(addr netip.Addr, name string) tryKey {
	if len(name) > 256 {
		name = name[:256]
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64 // whoever has one address of a network has them all
	}
	network, _ := addr.Prefix(bits)
	return tryKey{network, name}
}

// begin counts a try as failed until succeeded says otherwise, so that tries at
// the same moment don't all go through. It returns how long to wait instead, 0: go ahead.
func (t *throttle) begin(addr netip.Addr, name string) time.Duration {
	now, key := time.Now(), keyOf(addr, name)
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.tries[key]
	if e == nil {
		if len(t.tries) >= throttleEntries {
			t.forget(now)
		}
		e = &try{}
		t.tries[key] = e
	}
	if wait := e.next.Sub(now); wait > 0 {
		return wait
	}
	if now.Sub(e.next) > throttleForget {
		e.failed = 0
	}
	e.next = now.Add(min(time.Second<<min(e.failed, 6), throttleLongest))
	e.failed++
	return 0
}

// succeeded forgets the failed tries of name from addr.
func (t *throttle) succeeded(addr netip.Addr, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tries, keyOf(addr, name))
}

// forget makes room: what is old goes, and when all is new, some of it. Callers hold mu.
func (t *throttle) forget(now time.Time) {
	for key, e := range t.tries {
		if now.Sub(e.next) > throttleForget {
			delete(t.tries, key)
		}
	}
	for key := range t.tries {
		if len(t.tries) < throttleEntries*9/10 {
			break
		}
		delete(t.tries, key)
	}
}
