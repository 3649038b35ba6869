package listen

import (
	"errors"
	"net"
	"sync"
	"time"
)

// outlet is a net.Listener that is fed with connections.
type outlet struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{} // closed with the port
	close func() error
}

// Accept implements net.Listener.
func (o *outlet) Accept() (net.Conn, error) {
	select {
	case c := <-o.conns:
		return c, nil
	case <-o.done:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (o *outlet) Addr() net.Addr { return o.addr }

// Close implements net.Listener.
func (o *outlet) Close() error { return o.close() }

// give hands c to Accept, or closes it when nobody will come for it any more.
func (o *outlet) give(c net.Conn) {
	select {
	case o.conns <- c:
	case <-o.done:
		c.Close()
	}
}

// gate accepts connections, lets route look at the first bytes of each on a
// goroutine of its own, and hands them to outlets. Its accept loop ends when
// the listener is closed, a connection's goroutine after handshakeTimeout at most.
type gate struct {
	ln    net.Listener
	crowd crowd // that is being looked at
	done  chan struct{}
	stop  func() error
}

func newGate(ln net.Listener) *gate {
	g := &gate{ln: ln, done: make(chan struct{})}
	g.stop = sync.OnceValue(func() error {
		close(g.done)
		return ln.Close()
	})
	return g
}

func (g *gate) outlet() *outlet {
	return &outlet{addr: g.ln.Addr(), conns: make(chan net.Conn), done: g.done, close: g.stop}
}

// afterFirstBytes hands out connections whose clients have begun to speak HTTP: what
// package http needs for each is much, and who says nothing needs none of it. Who speaks
// something else that can be told is turned away.
func afterFirstBytes(ln net.Listener, cfg Config) net.Listener {
	g := newGate(ln)
	out := g.outlet()
	go g.run(func(c net.Conn) (*outlet, net.Conn) {
		seen, _, err := sniff(c)
		if err == nil {
			err = notHTTP(seen)
		}
		if err != nil {
			cfg.turnAway(c, err)
			return nil, nil
		}
		return out, replay(c, seen)
	})
	return out
}

// notHTTP is a *ClientError when the first bytes of a client are another protocol's.
func notHTTP(seen []byte) error {
	switch {
	case startsProxied(seen):
		return &ClientError{Proxy: true, Err: errProxyUnknown}
	case seen[0] == 0x10: // CONNECT; no method of HTTP starts so
		return &ClientError{WrongDoor: true, Err: errors.New("the client speaks MQTT, and this port is for MQTT over WebSocket alone")}
	case seen[0] == 0x16: // a record of TLS
		return &ClientError{WrongDoor: true, Err: errors.New("the client wants encryption (TLS), and this port is without")}
	}
	return nil
}

// turnAway tells of a client, where err says something of it.
func (cfg *Config) turnAway(c net.Conn, err error) {
	if reason, ok := errors.AsType[*ClientError](err); ok && cfg.Refused != nil {
		cfg.Refused(c.RemoteAddr(), reason)
	}
}

// run accepts until the listener fails. route returns the outlet for a
// connection and what to hand out; a nil outlet closes it.
func (g *gate) run(route func(net.Conn) (*outlet, net.Conn)) {
	var backoff time.Duration
	for {
		c, err := g.ln.Accept()
		if err != nil {
			if ne, ok := err.(interface{ Temporary() bool }); ok && ne.Temporary() && g.wait(&backoff) {
				continue
			}
			_ = g.stop() // the error of Accept is the one that counts, and Accept of the outlets tells of it
			return
		}
		backoff = 0
		g.crowd.enter(c)
		go g.look(c, route)
	}
}

func (g *gate) look(c net.Conn, route func(net.Conn) (*outlet, net.Conn)) {
	// An absolute end: bytes that drip in don't move it (case R2).
	if c.SetDeadline(time.Now().Add(handshakeTimeout)) != nil {
		g.crowd.leave(c)
		c.Close()
		return
	}
	to, conn := route(c)
	g.crowd.leave(c)
	if to == nil || c.SetDeadline(time.Time{}) != nil {
		c.Close()
		return
	}
	to.give(conn)
}

// wait pauses after an error that may pass, such as too many open files, and
// reports whether the gate is still open.
func (g *gate) wait(backoff *time.Duration) bool {
	*backoff = min(max(2**backoff, 5*time.Millisecond), time.Second)
	select {
	case <-time.After(*backoff):
		return true
	case <-g.done:
		return false
	}
}
