package web

import (
	"container/list"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"hearthmq/broker/forwarded"
)

// Bounds of what a connection to the admin may take to be written to.
const (
	writePiece    = 64 << 10         // bytes that have to go out in writePatience
	writePatience = 30 * time.Second // unless the handler has set another end
)

// Porch returns ln for an admin that strangers can reach: no more than most connections at
// a time, and none that is written to without end while nobody reads (cases R1, W23). Where
// there are most, the place with the most of them gives up its oldest one, first of those on
// which nothing goes on: who comes from elsewhere gets in, however many one machine holds open.
// Three quarters are kept for this machine, the Supervisor and the proxies, and a quarter
// for all others, who may have what is left: however many places strangers hold, these get in.
func Porch(ln net.Listener, most int, proxies []netip.Prefix) net.Listener {
	p := &porch{Listener: ln, most: most, patience: writePatience, proxies: proxies, held: make(map[netip.Prefix]int)}
	p.strangers.kept, p.known.kept = most/4, most-most/4
	return p
}

type porch struct {
	net.Listener
	most     int
	patience time.Duration
	proxies  []netip.Prefix // trusted

	mu               sync.Mutex
	strangers, known hall
	held             map[netip.Prefix]int // by place; none is 0
}

// hall is some of the connections. porch.mu guards it.
type hall struct {
	order list.List // of *guest, the oldest first
	kept  int       // places that others don't take from it
}

// Accept implements net.Listener.
func (p *porch) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &guest{Conn: c, porch: p, from: placeOfGuest(c.RemoteAddr())}
	g.hall = &p.strangers
	if a := g.from.Addr(); !a.IsValid() || a.IsLoopback() || a == supervisor || forwarded.Trusted(addressOf(c.RemoteAddr()), p.proxies) {
		g.hall = &p.known
	}
	if gone := p.enter(g); gone != nil {
		_ = gone.Close() // whoever it was may come again
	}
	return g, nil
}

// placeOfGuest is what counts as one place: an IPv4 address, or the /64 of an IPv6 one,
// which a house has to itself. The zero value stands for what has no address.
func placeOfGuest(a net.Addr) netip.Prefix {
	addr := addressOf(a)
	bits := 64
	switch {
	case addr.IsLoopback():
		bits = addr.BitLen()
	case addr.Is4():
		bits = 32
	}
	from, _ := addr.Prefix(bits) // fits, or there is none
	return from
}

func addressOf(a net.Addr) netip.Addr {
	at, _ := netip.ParseAddrPort(a.String()) // not valid where there is none
	return at.Addr().Unmap().WithZone("")
}

// enter takes g in, and returns who has to go for it, nil: nobody.
func (p *porch) enter(g *guest) (gone *guest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.strangers.order.Len()+p.known.order.Len() >= p.most {
		gone = p.greediest(g.hall)
		p.remove(gone)
	}
	p.held[g.from]++
	g.at = g.hall.order.PushBack(g)
	return gone
}

// greediest is who has to go for one who comes to a hall: of that one where it has all that is
// kept for it, else of the other. It is the oldest of the place that has most, of those on
// which nothing goes on if there are any. p.mu is held, and somebody is there.
func (p *porch) greediest(to *hall) (gone *guest) {
	from := to
	if to.order.Len() < to.kept {
		if from = &p.known; to == from {
			from = &p.strangers
		}
	}
	for e := from.order.Front(); e != nil; e = e.Next() {
		g := e.Value.(*guest)
		if gone == nil || gone.busy && !g.busy || gone.busy == g.busy && p.held[g.from] > p.held[gone.from] {
			gone = g
		}
	}
	return gone
}

// remove forgets g, if it is known. p.mu is held.
func (p *porch) remove(g *guest) {
	if g.at == nil {
		return
	}
	g.hall.order.Remove(g.at)
	g.at = nil
	if p.held[g.from]--; p.held[g.from] == 0 {
		delete(p.held, g.from)
	}
}

// guest is a connection to the admin.
type guest struct {
	net.Conn
	porch *porch
	from  netip.Prefix
	hall  *hall
	at    *list.Element // in hall.order, guarded by porch.mu; nil: it has gone
	busy  bool          // a request of it is being answered, or it has become a WebSocket; guarded by porch.mu
	timed atomic.Bool   // a handler says until when may be written
}

// noteState is told by the server what becomes of a connection.
func noteState(c net.Conn, state http.ConnState) {
	if g, ok := c.(*guest); ok {
		g.porch.mu.Lock()
		g.busy = state == http.StateActive || state == http.StateHijacked
		g.porch.mu.Unlock()
	}
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.porch.mu.Lock()
	g.porch.remove(g)
	g.porch.mu.Unlock()
	return g.Conn.Close()
}

// Write implements net.Conn.
func (g *guest) Write(b []byte) (n int, err error) {
	for {
		piece := b[n:min(len(b), n+writePiece)]
		if !g.timed.Load() {
			if err := g.Conn.SetWriteDeadline(time.Now().Add(g.porch.patience)); err != nil {
				return n, err
			}
		}
		m, err := g.Conn.Write(piece)
		if n += m; err != nil || n == len(b) {
			return n, err
		}
	}
}

// SetWriteDeadline implements net.Conn.
func (g *guest) SetWriteDeadline(t time.Time) error {
	g.timed.Store(!t.IsZero())
	return g.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (g *guest) SetDeadline(t time.Time) error {
	g.timed.Store(!t.IsZero())
	return g.Conn.SetDeadline(t)
}
