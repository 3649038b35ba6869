package web

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what a connection to the admin may take to be written to.
const (
	writePiece    = 64 << 10         // bytes that have to go out in writePatience
	writePatience = 30 * time.Second // unless the handler has set another end
)

// Porch returns ln for an admin that strangers can reach: no more than most connections at
// a time, and none that is written to without end while nobody reads (cases R1, W23). Where
// there are most, the place with the most of them gives up its oldest one: who comes from
// elsewhere gets in, however many one machine holds open.
func Porch(ln net.Listener, most int) net.Listener {
	return &porch{Listener: ln, most: most, patience: writePatience, held: make(map[netip.Prefix]int)}
}

type porch struct {
	net.Listener
	most     int
	patience time.Duration

	mu    sync.Mutex
	order list.List            // of *guest, the oldest first
	held  map[netip.Prefix]int // by place; none is 0
}

// Accept implements net.Listener.
func (p *porch) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &guest{Conn: c, porch: p, from: placeOfGuest(c.RemoteAddr())}
	if gone := p.enter(g); gone != nil {
		_ = gone.Close() // whoever it was may come again
	}
	return g, nil
}

// placeOfGuest is what counts as one place: an IPv4 address, or the /64 of an IPv6 one,
// which a house has to itself. The zero value stands for what has no address.
func placeOfGuest(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	addr := at.Addr().Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	from, _ := addr.Prefix(bits) // fits
	return from
}

// enter takes g in, and returns who has to go for it, nil: nobody.
func (p *porch) enter(g *guest) (gone *guest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.order.Len() >= p.most {
		gone = p.greediest()
		p.remove(gone)
	}
	p.held[g.from]++
	g.at = p.order.PushBack(g)
	return gone
}

// greediest is the oldest of the place that has most. p.mu is held, and somebody is there.
func (p *porch) greediest() *guest {
	oldest := p.order.Front().Value.(*guest)
	from := oldest.from
	for place, n := range p.held {
		if n > p.held[from] {
			from = place
		}
	}
	for e := p.order.Front(); e != nil; e = e.Next() {
		if g := e.Value.(*guest); g.from == from {
			return g
		}
	}
	return oldest
}

// remove forgets g, if it is known. p.mu is held.
func (p *porch) remove(g *guest) {
	if g.at == nil {
		return
	}
	p.order.Remove(g.at)
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
	at    *list.Element // in porch.order, guarded by porch.mu; nil: it has gone
	timed atomic.Bool   // a handler says until when may be written
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
