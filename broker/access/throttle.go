package access

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"hearthmq/broker"
)

// Login failures that are forgiven: a burst, then one per interval. Successes cost
// nothing, and no bucket goes by the user's name alone, or anybody could lock
// somebody else out.
const (
	pairBurst    = 5 // per address and user
	pairInterval = 10 * time.Second
	addrBurst    = 20 // per address
	addrInterval = time.Second
	maxThrottled = 4096             // buckets of each sort
	blemish      = 10 * time.Minute // how long an address counts as one that guesses
)

// standing is what an address has shown so far.
type standing int

const (
	welcome  standing = iota // somebody has logged in from there, and no password was wrong lately
	stranger                 // neither
	guesser                  // a password was wrong not long ago
	standings
)

// throttle counts failed logins by where they come from. Safe for concurrent use.
type throttle struct {
	mu    sync.Mutex
	pairs *lru[throttlePair, *rate.Limiter]
	addrs *lru[netip.Prefix, *throttledAddr]
	known *lru[netip.Prefix, struct{}] // from where somebody has logged in
}

type throttledAddr struct {
	limiter *rate.Limiter
	last    time.Time // that something was wrong
}

type throttlePair struct {
	from netip.Prefix
	user string
}

func newThrottle() *throttle {
	return &throttle{
		pairs: newLRU[throttlePair, *rate.Limiter](maxThrottled),
		addrs: newLRU[netip.Prefix, *throttledAddr](maxThrottled),
		known: newLRU[netip.Prefix, struct{}](maxThrottled),
	}
}

// allowed reports whether another attempt may be made. An address that is not known,
// such as that of a Unix socket, is not throttled.
func (t *throttle) allowed(from netip.Addr, user string) bool {
	net, ok := network(from)
	if !ok {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	pair, ok := t.pairs.get(throttlePair{net, shortName(user)})
	if ok && pair.Tokens() < 1 {
		return false
	}
	addr, ok := t.addrs.get(net)
	return !ok || addr.limiter.Tokens() >= 1
}

// failed takes a token for an attempt that failed, and returns the reason unless there is
// none any more: of many attempts at a time as many are told that they failed as of those
// that come one by one, however long each took to be looked at (case A17).
func (t *throttle) failed(from netip.Addr, user string, why broker.Reason) broker.Reason {
	net, ok := network(from)
	if !ok {
		return why
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := throttlePair{net, shortName(user)}
	pair, ok := t.pairs.get(key)
	if !ok {
		pair = rate.NewLimiter(rate.Every(pairInterval), pairBurst)
		t.pairs.put(key, pair)
	}
	addr, ok := t.addrs.get(net)
	if !ok {
		addr = &throttledAddr{limiter: rate.NewLimiter(rate.Every(addrInterval), addrBurst)}
		t.addrs.put(net, addr)
	}
	addr.last = time.Now()
	if !pair.Allow() || !addr.limiter.Allow() {
		return broker.TooManyAttempts
	}
	return why
}

// succeeded notes that a password was right.
func (t *throttle) succeeded(from netip.Addr) {
	net, ok := network(from)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.known.get(net); !known {
		t.known.put(net, struct{}{})
	}
}

// standing returns that of an address; who comes from none is a stranger.
func (t *throttle) standing(from netip.Addr) standing {
	net, ok := network(from)
	if !ok {
		return stranger
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if addr, ok := t.addrs.get(net); ok && time.Since(addr.last) <= blemish {
		return guesser
	}
	if _, ok := t.known.get(net); ok {
		return welcome
	}
	return stranger
}

// attempt is a login as a throttle sees it.
type attempt struct {
	throttle *throttle
	from     netip.Addr
	user     string
}

func (a attempt) allowed() bool { return a.throttle.allowed(a.from, a.user) }
func (a attempt) failed(why broker.Reason) broker.Reason {
	return a.throttle.failed(a.from, a.user, why)
}
func (a attempt) succeeded()         { a.throttle.succeeded(a.from) }
func (a attempt) standing() standing { return a.throttle.standing(a.from) }

// network is what counts as one place: an IPv4 address, or the /64 of an IPv6 one,
// which a house has to itself.
func network(a netip.Addr) (netip.Prefix, bool) {
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	return p, err == nil && p.IsValid()
}

// shortName bounds what a stranger's user name takes. Names of users are shorter.
func shortName(user string) string {
	if len(user) > MaxNameBytes {
		return strings.Clone(user[:MaxNameBytes])
	}
	return user
}
