package broker

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// doorkeeper bounds what one address may do: connections at a time, new ones per
// second, and how often one client may come back. An IPv4 address is one place, and
// so is the /64 of an IPv6 one, which a house has to itself. This machine itself, and
// networks that the settings exempt, may do as they like.
type doorkeeper struct {
	mu     sync.Mutex
	places map[netip.Prefix]*place
	loops  map[loopKey]*allowance
}

// place is one address with connections, or with some not long ago. doorkeeper.mu guards
// it, but for the crowd's own lock.
type place struct {
	conns   int
	arrival allowance
	crowd   crowd
}

// crowd is what all connections of one address send. It has its own lock, which is taken
// for each packet where there is such a limit, and only by connections of that address.
type crowd struct {
	mu    sync.Mutex
	rates rates
}

// wait is rates.wait for all connections together.
func (x *crowd) wait(cfg *Config, messages, bytes float64, now time.Time) (d time.Duration, byBytes bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rates.of(cfg.MessageRatePerAddress, cfg.ByteRatePerAddress)
	return x.rates.wait(messages, bytes, now)
}

// quiet reports whether nobody owes anything, so that the crowd may be forgotten.
func (x *crowd) quiet(now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.rates.messages.full(now) && x.rates.bytes.full(now)
}

// loopKey is a client at an address: reconnect loops are slowed down by both, so that
// nobody can slow down anybody else (case A18).
type loopKey struct {
	from     netip.Prefix
	clientID string
}

const (
	// burstSeconds is how long it takes an address to be allowed all its connections anew.
	burstSeconds = 5
	// loopBurst reconnections of one client are free, further ones wait their turn.
	loopBurst = 30
	loopRate  = 1 // per second
	// loopPatience is how long a reconnection may have to wait; beyond it is refused.
	loopPatience = 10 * time.Second
	// maxPlaces bounds what is remembered of addresses and clients that are gone.
	maxPlaces = 4096
)

// placeOf returns what counts as one place; ok is false for those without bounds.
func placeOf(a netip.Addr, exempt []netip.Prefix) (p netip.Prefix, ok bool) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsLoopback() {
		return netip.Prefix{}, false
	}
	for _, e := range exempt {
		if e.Contains(a) {
			return netip.Prefix{}, false
		}
	}
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}

// arrive counts a new connection, or says why it may not come.
func (d *doorkeeper) arrive(g *guest, now time.Time) *Refusal {
	cfg := g.b.cfg()
	most := cfg.MaxConnectionsPerAddress
	from, ok := placeOf(g.remote.Addr(), cfg.ExemptAddresses)
	if !ok || most <= 0 && !cfg.crowded() {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.places[from]
	if p == nil {
		d.places = roomIn(d.places, func(p *place) bool { return p.conns == 0 && p.crowd.quiet(now) })
		p = new(place)
		d.places[from] = p
	}
	p.arrival.rate, p.arrival.most = float64(most)/burstSeconds, float64(most)
	switch {
	case most <= 0:
	case p.conns >= most:
		return Refuse(ServerFull, fmt.Errorf("%d %s from this address already (max_connections_per_address)", p.conns, nouns(p.conns, "connection")))
	case p.arrival.spend(1, now) > 0:
		p.arrival.tokens++ // who is refused does not count
		return Refuse(TooManyAttempts, fmt.Errorf("more than %.3g %s a second from this address (max_connections_per_address)", p.arrival.rate, nouns(p.arrival.rate, "connection")))
	}
	p.conns++
	g.place = p
	return nil
}

// leave takes back what arrive counted.
func (d *doorkeeper) leave(g *guest) {
	if g.place == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	g.place.conns--
}

// comesBack returns how long a client has to wait before it is let in once more.
func (d *doorkeeper) comesBack(c *conn, clientID string, now time.Time) time.Duration {
	from, ok := placeOf(c.remote.Addr(), c.cfg.ExemptAddresses)
	if !ok {
		return 0
	}
	if len(clientID) > maxClientID { // with LikeMosquitto, of somebody who has not shown who it is
		sum := sha256.Sum256([]byte(clientID))
		clientID = string(sum[:])
	}
	key := loopKey{from, clientID}
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.loops[key]
	if a == nil {
		d.loops = roomIn(d.loops, func(a *allowance) bool { return a.full(now) })
		a = &allowance{rate: loopRate, most: loopBurst}
		d.loops[key] = a
	}
	wait := a.spend(1, now)
	if wait > loopPatience {
		a.tokens++
	}
	return wait
}

// roomIn makes room in a map of maxPlaces: what is idle goes, and where nothing is, any
// entry that may.
func roomIn[K comparable, V any](m map[K]V, idle func(V) bool) map[K]V {
	if m == nil {
		return make(map[K]V)
	}
	if len(m) < maxPlaces {
		return m
	}
	for k, v := range m {
		if idle(v) {
			delete(m, k)
		}
	}
	for k := range m {
		if len(m) < maxPlaces {
			break
		}
		delete(m, k)
	}
	return m
}

// allowance is a token bucket that may go into debt: what is spent is spent, and who
// did has to wait. It is not safe for concurrent use.
type allowance struct {
	rate, most, tokens float64
	at                 time.Time // zero: full
}

func (a *allowance) fill(now time.Time) {
	if a.at.IsZero() {
		a.tokens = a.most
	} else {
		a.tokens = min(a.most, a.tokens+a.rate*now.Sub(a.at).Seconds())
	}
	a.at = now
}

// admit takes a token for one who comes, at a rate a second with a burst of ten seconds'
// worth; who may not come does not count.
func (a *allowance) admit(rate float64, now time.Time) bool {
	a.rate, a.most = rate, max(1, rate*10)
	if a.spend(1, now) > 0 {
		a.tokens++
		return false
	}
	return true
}

// full reports whether nothing is spent.
func (a *allowance) full(now time.Time) bool {
	a.fill(now)
	return a.tokens >= a.most
}

// spend takes n tokens and returns how long to wait until the debt is paid.
func (a *allowance) spend(n float64, now time.Time) time.Duration {
	a.fill(now)
	a.tokens -= n
	if a.tokens >= 0 {
		return 0
	}
	return time.Duration(-a.tokens / a.rate * float64(time.Second))
}
