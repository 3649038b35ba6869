package broker

import (
	"container/list"
	"errors"
	"fmt"
	"time"

	"hearthmq/broker/packet"
)

// systemReserve is how many connections stay for the system users when MaxConnections
// are taken: they can't be locked out.
const systemReserve = 8

// heldBack is how many reconnections may wait for their turn at a time.
const heldBack = 256

// admission decides who may have a connection. Broker.connsMu guards it, but for the
// doorkeeper's own lock.
type admission struct {
	doorkeeper doorkeeper
	lobby      list.List // connections that were not let in yet, the oldest first
	byListener map[string]*hall
	byUser     map[string]*visitors
	held       int
	hoping     int // for a place
	claims     int // bytes that connections hold that were not let in yet
	mostClaims int
}

// What connections may hold together that were not let in yet, and as a part of the memory
// limit where that is less: 64 KiB of a CONNECT that does not end, times MaxConnections,
// would be more than a small machine has (case R1).
const (
	claimsMost    = 64 << 20
	claimsPart    = 8
	shakingClaims = 40 << 10 // of a TLS handshake under way: half of what a thousand of them add to the process
)

// mostClaims is what of the memory limit, 0: there is none, those not let in yet may hold.
func mostClaims(limit int64) int {
	if limit <= 0 {
		return claimsMost
	}
	return int(min(claimsMost, limit/claimsPart))
}

// claim notes that a connection that was not let in yet holds n bytes of its CONNECT. When
// all of those hold more than they may, the one goes that has waited longest of them.
func (g *guest) claim(n int) {
	if g.info.TLS && !g.info.WebSocket {
		n += shakingClaims
	}
	b, a := g.b, &g.b.admission
	var evicted []*guest
	b.connsMu.Lock()
	if g.inLobby != nil {
		a.claims += n - g.claims
		g.claims = n
	}
	for e := a.lobby.Front(); e != nil && a.claims > a.mostClaims; {
		oldest := e.Value.(*guest)
		if e = e.Next(); oldest.claims > 0 {
			b.leaveLocked(oldest)
			evicted = append(evicted, oldest)
		}
	}
	b.connsMu.Unlock()
	for _, e := range evicted {
		b.refused(e, "", "", Refuse(ServerFull, errors.New("it did not end what it began, and others waited")))
		e.nc.Close()
	}
}

// unclaim is for who leaves the lobby. connsMu is held.
func (g *guest) unclaim() {
	g.b.admission.claims -= g.claims
	g.claims = 0
}

// hall is one listener: its connections, and how many of them are in the lobby.
type hall struct {
	conns, lobby int
	arrival      allowance
}

// hallOf is the listener of that name; it stays known. connsMu is held.
func (a *admission) hallOf(name string) *hall {
	h := a.byListener[name]
	if h == nil {
		h = new(hall)
		a.byListener[name] = h
	}
	return h
}

// visitors are the connections of one user.
type visitors struct {
	conns   int
	arrival allowance
}

// accept takes a new connection in, or says why not. Where all places are taken, the
// one that has waited longest without being let in makes room: a flood of connections
// that say nothing keeps nobody out (case R1).
func (b *Broker) accept(g *guest, now time.Time) *Refusal {
	if r := b.admission.doorkeeper.arrive(g, now); r != nil {
		return r
	}
	b.connsMu.Lock()
	a := &b.admission
	refusal := b.place(func() *Refusal { return b.full(g.info) })
	var evicted *guest
	if refusal != nil && !b.stopping && refusal.Err == nil {
		h := b.crowded(g.info)
		switch evicted = a.longest(h); {
		case evicted != nil:
			b.leaveLocked(evicted)
			refusal = nil
		case h != nil:
			refusal.Err = fmt.Errorf("%d %s on this listener already (max_connections in listener_limits of %s)", h.conns, nouns(h.conns, "connection"), g.info.Name)
		default:
			refusal.Err = fmt.Errorf("%d %s already (max_connections)", len(b.conns), nouns(len(b.conns), "connection"))
		}
	}
	if b.stopping {
		refusal = Refuse(ServerFull, errors.New("server shutting down"))
	}
	if refusal == nil {
		b.conns[g] = struct{}{}
		h := a.hallOf(g.info.Name)
		h.conns++
		h.lobby++
		g.inLobby = a.lobby.PushBack(g)
		b.wg.Add(1) // under connsMu: not once Shutdown waits
	}
	b.connsMu.Unlock()
	if refusal != nil {
		a.doorkeeper.leave(g)
	}
	if evicted != nil {
		b.refused(evicted, "", "", Refuse(ServerFull, errors.New("it said nothing, and others waited")))
		evicted.nc.Close()
	}
	return refusal
}

// place asks full again, for a moment, while it says no: who closes its connections and
// opens others at once finds them counted still. Mosquitto sees the ends first, and its
// limits are small. connsMu is held, but not while waiting.
func (b *Broker) place(full func() *Refusal) *Refusal {
	refusal := full()
	for range placeTries {
		if refusal == nil || refusal.Err == nil || !b.cfg().LikeMosquitto || b.stopping || b.admission.hoping >= heldBack {
			break
		}
		b.admission.hoping++
		b.connsMu.Unlock()
		time.Sleep(placeTime / placeTries)
		b.connsMu.Lock()
		b.admission.hoping--
		refusal = full()
	}
	return refusal
}

// placeTime bounds the wait for a place, placeTries how often it is looked for.
const (
	placeTime  = 100 * time.Millisecond
	placeTries = 20
)

// full says why there is no place for one more connection, nil: there is one. Err is
// nil when all places are taken, so that one may be made. connsMu is held.
func (b *Broker) full(info *ListenerInfo) *Refusal {
	if r := info.Rules; r != nil && r.MaxConnections > 0 && b.admission.hallOf(info.Name).conns >= r.MaxConnections {
		return Refuse(ServerFull, fmt.Errorf("%d %s on this listener already", r.MaxConnections, nouns(r.MaxConnections, "connection")))
	}
	if most := b.cfg().MaxConnections; most > 0 && len(b.conns) >= most+systemReserve || b.crowded(info) != nil {
		return Refuse(ServerFull, nil)
	}
	return nil
}

// crowded returns the listener when its own limit leaves no place, the reserve for
// system users included, else nil. connsMu is held.
func (b *Broker) crowded(info *ListenerInfo) *hall {
	most := b.cfg().ListenerLimits[info.Name].Connections
	if h := b.admission.hallOf(info.Name); most > 0 && h.conns >= most+systemReserve {
		return h
	}
	return nil
}

// longest is who has been in the lobby for the longest time, of one listener or, where h
// is nil, of all; nil: nobody is. connsMu is held.
func (a *admission) longest(h *hall) *guest {
	if h != nil && h.lobby == 0 {
		return nil
	}
	for e := a.lobby.Front(); e != nil; e = e.Next() {
		if g := e.Value.(*guest); h == nil || a.byListener[g.info.Name] == h {
			return g
		}
	}
	return nil
}

// shut says why the listener lets nobody more in, nil: it does. It refuses no system
// user. connsMu is held.
func (c *conn) shut(replaces bool) *Refusal {
	l, h := c.b.cfg().ListenerLimits[c.info.Name], c.b.admission.hallOf(c.info.Name)
	switch {
	case c.id.System:
	case l.Connections > 0 && h.conns-h.lobby >= l.Connections && !replaces:
		return Refuse(ServerFull, fmt.Errorf("%d %s on this listener already (max_connections in listener_limits of %s)", h.conns-h.lobby, nouns(h.conns-h.lobby, "connection"), c.info.Name))
	case l.ConnectRate > 0 && !h.arrival.admit(l.ConnectRate, c.now):
		return Refuse(TooManyAttempts, fmt.Errorf("more than %.3g %s a second on this listener (max_connect_rate in listener_limits of %s)", l.ConnectRate, nouns(l.ConnectRate, "connection"), c.info.Name))
	}
	return nil
}

// letIn moves an authenticated connection out of the lobby, within the bounds of all
// and of its user.
func (b *Broker) letIn(c *conn) error {
	// A connection that takes its own session over replaces one that counts already.
	replaces := false
	if s := b.sessions.get(c.id.ClientID); s != nil && s.user == c.id.User {
		replaces = s.conn.Load() != nil
	}
	b.connsMu.Lock()
	defer b.connsMu.Unlock()
	a := &b.admission
	refusal := b.place(func() *Refusal {
		if most := b.cfg().MaxConnections; most > 0 && len(b.conns)-a.lobby.Len() >= most && !c.id.System && !replaces {
			return Refuse(ServerFull, fmt.Errorf("%d %s already", most, nouns(most, "connection")))
		}
		return nil
	})
	if c.inLobby == nil { // it was made to go
		return errClosed
	}
	if refusal != nil {
		return refusal
	}
	if Pressure(b.pressure.level.Load()) == Critical && !c.id.System {
		return Refuse(ServerFull, errors.New("memory is short"))
	}
	if refusal := c.shut(replaces); refusal != nil {
		return refusal
	}
	v := a.byUser[c.id.User]
	if v == nil {
		v = new(visitors)
	}
	if l := c.id.Limits; l != nil && !c.id.System {
		if l.Connections > 0 && v.conns >= l.Connections && !replaces {
			return Refuse(ServerFull, fmt.Errorf("%d %s of this user already", v.conns, nouns(v.conns, "connection")))
		}
		if l.ConnectRate > 0 && !v.arrival.admit(l.ConnectRate, c.now) {
			return Refuse(TooManyAttempts, fmt.Errorf("more than %.3g %s a second of this user", l.ConnectRate, nouns(l.ConnectRate, "connection")))
		}
	}
	v.conns++
	a.byUser[c.id.User], c.visitor = v, true
	a.leaveLobby(c.guest)
	return nil
}

// leaveLobby takes g out of the lobby, if it is there. connsMu is held.
func (a *admission) leaveLobby(g *guest) {
	if g.inLobby == nil {
		return
	}
	a.lobby.Remove(g.inLobby)
	g.inLobby = nil
	a.hallOf(g.info.Name).lobby--
	g.unclaim()
}

// leaveLocked takes a connection out of all counts, once. connsMu is held.
func (b *Broker) leaveLocked(g *guest) {
	if _, here := b.conns[g]; !here {
		return
	}
	a := &b.admission
	delete(b.conns, g)
	a.leaveLobby(g)
	a.hallOf(g.info.Name).conns--
	if g.visitor {
		user := g.conn.id.User
		v := a.byUser[user]
		if v.conns--; v.conns == 0 && v.arrival.at.IsZero() { // else the rate is remembered
			delete(a.byUser, user)
		}
	}
	if g.conn != nil {
		b.stats.fold(g.conn)
	}
	a.doorkeeper.leave(g)
}

// slowDown makes a client wait that comes back again and again. The error is a *Refusal.
func (c *conn) slowDown(clientID string) error {
	a := &c.b.admission
	wait := a.doorkeeper.comesBack(c, clientID, c.now)
	if wait <= 0 {
		return nil
	}
	c.b.connsMu.Lock()
	held := wait <= loopPatience && a.held < heldBack
	if held {
		a.held++
	}
	c.b.connsMu.Unlock()
	if !held {
		return Refuse(TooManyAttempts, errors.New("this client connects again and again"))
	}
	c.pause(wait)
	c.b.connsMu.Lock()
	a.held--
	c.b.connsMu.Unlock()
	return nil
}

// pause waits for d or the end of the connection.
func (c *conn) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.lifetime().Done():
	}
}

// distruster is a connection whose client was let in by a certificate: f is called when
// that is not trusted any more.
type distruster interface {
	OnDistrust(f func(err error, ended bool))
}

// watchTrust ends the connection with the trust in its client's certificate. A client of
// MQTT 5 is told that it is not allowed, or that its time is over; the owner is told why.
func (c *conn) watchTrust() {
	d, ok := c.nc.(distruster)
	if !ok {
		return
	}
	id := c.id // a re-authentication may put another in its place
	d.OnDistrust(func(err error, ended bool) {
		code, reason := packet.NotAuthorized, string(CertificateInvalid)+": "+err.Error()
		if ended {
			code, reason = packet.MaximumConnectTime, "the client's certificate has ended"
		}
		c.disconnect(code, reason)
		c.b.turnedAway(id.ClientID, id.User, c.address(), c.info.Name, Refuse(CertificateInvalid, err))
	})
}
