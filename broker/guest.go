package broker

import (
	"container/list"
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"hearthmq/broker/packet"
)

// guest is a Network Connection until its CONNECT is there, and what of it stays known
// afterwards. A house full of them has to be cheap: it holds no buffer, and the goroutine
// that waits for its bytes is one that has done nothing else yet, since a stack that has
// grown stays grown (case R1).
type guest struct {
	b      *Broker
	nc     net.Conn
	info   *ListenerInfo
	remote netip.AddrPort
	ctx    context.Context // what waiting on its behalf ends with, beside itself
	done   func()          // called when it has left, nil: nobody waits for that

	// Broker.connsMu guards these.
	inLobby *list.Element // until it is let in
	conn    *conn         // what it became
	visitor bool          // it counts for its user
	place   *place        // where it counts, set by accept; nil: nowhere
	claims  int           // bytes that it holds in the lobby, see claim
}

// netConner is a connection that wraps a socket and has already read the start
// of its stream (a listener that looks at the first bytes).
type netConner interface {
	NetConn() net.Conn
	Prefix() []byte
}

// idler is a connection whose Read needs memory while it waits, and that can wait
// without: Wait returns when there may be something to read, or Read would fail. Then
// Read may fail with EAGAIN, which means that there was nothing after all.
type idler interface {
	Wait() error
}

func (b *Broker) newGuest(ctx context.Context, nc net.Conn, info *ListenerInfo) *guest {
	return &guest{b: b, nc: nc, info: info, ctx: ctx, remote: addrPortOf(nc.RemoteAddr())}
}

func addrPortOf(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case nil:
	case *net.TCPAddr:
		ap = a.AddrPort()
	default:
		ap, _ = netip.ParseAddrPort(a.String()) // other networks have none
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// address is where the client is, for people: behind a Unix socket, or within this
// program, there is mostly no address.
func (g *guest) address() string {
	if g.remote.IsValid() {
		return g.remote.String()
	}
	if a := g.nc.RemoteAddr(); a != nil && strings.HasPrefix(a.String(), "/") {
		return a.String() // of the client's own Unix domain socket
	}
	return g.info.Name
}

// welcome takes a new connection in and has it served, or closes it and says why not.
func (b *Broker) welcome(g *guest) *Refusal {
	b.stats.sockets.Add(1)
	if refusal := b.accept(g, time.Now()); refusal != nil {
		b.refused(g, "", "", refusal)
		g.nc.Close()
		return refusal
	}
	// The deadline is for the whole CONNECT, not for each of its bytes (case R2).
	patience := b.cfg().ConnectTimeout
	if g.info.TLS && !g.info.WebSocket {
		patience *= 2 // the handshake is within it, and small devices take seconds for it
	}
	if err := g.nc.SetReadDeadline(time.Now().Add(patience)); err != nil {
		g.nc.Close() // reading fails, too
	}
	switch sock, before := socketOf(g.nc); {
	case sock.rc != nil:
		go g.await(sock, before) // Shutdown waits for it
	default:
		go g.awaitRead()
	}
	return nil
}

// await waits for the bytes of CONNECT that come after those that were read before. It is a
// goroutine of its own that reads nothing itself.
func (g *guest) await(sock socket, before []byte) {
	if wholeConnect(before) {
		g.enter(newRawSocket(sock), before)
		return
	}
	if err := sock.wait(); err != nil {
		g.part()
		return
	}
	go g.read(sock, before)
}

// read takes what there is, and lets the client enter or goes on waiting.
func (g *guest) read(sock socket, before []byte) {
	raw := newRawSocket(sock)
	rb, err := raw.read(before)
	if err != nil {
		g.part()
		return
	}
	data := rb.b[:rb.n]
	if wholeConnect(data) {
		g.enter(raw, data)
		rb.release()
		return
	}
	before = append(make([]byte, 0, len(data)), data...)
	rb.release()
	g.claim(len(before))
	go g.await(sock, before)
}

// awaitRead is await where reading is all that can be done with the connection.
func (g *guest) awaitRead() {
	if w, ok := g.nc.(idler); ok && w.Wait() != nil {
		g.part()
		return
	}
	if g.info.TLS && !g.info.WebSocket {
		g.claim(0)
	}
	go g.enter(nil, nil)
}

// wholeConnect reports whether a client's first bytes are a packet, or can't be the
// beginning of one that may come first.
func wholeConnect(data []byte) bool {
	if len(data) == 0 {
		return false
	}
	if packet.Type(data[0]>>4) != packet.TypeConnect {
		return true
	}
	_, n, _, err := packet.Split(data, preConnectLimit)
	return n > 0 || err != nil
}

// enter makes a connection of the guest, which acts on its first bytes and all that come.
func (g *guest) enter(raw *rawSocket, first []byte) {
	c := newConn(g, raw)
	g.b.connsMu.Lock()
	stopping := g.b.stopping
	if !stopping {
		g.conn = c
	}
	g.b.connsMu.Unlock()
	if stopping {
		g.part()
		return
	}
	err := error(nil)
	if len(first) > 0 {
		c.recv.bytes.Add(uint64(len(first)))
		err = c.consume(first)
	}
	for err == nil && c.sess == nil {
		err = c.turn()
	}
	if err != nil {
		c.end(err)
		return
	}
	c.quit()
	go c.serve() // on a stack that no handshake and no password has made large
}

// disconnect ends the connection from the server's side. Any goroutine may call it.
func (g *guest) disconnect(code packet.ReasonCode, reason string) {
	g.b.connsMu.Lock()
	c := g.conn
	g.b.connsMu.Unlock()
	if c == nil {
		g.nc.Close()
		return
	}
	c.disconnect(code, reason)
}

// part ends a guest that said nothing or not enough.
func (g *guest) part() {
	g.b.connsMu.Lock()
	g.b.leaveLocked(g)
	g.b.connsMu.Unlock()
	g.nc.Close()
	g.leave()
}

// leave is the end of what welcome began.
func (g *guest) leave() {
	if g.done != nil {
		g.done()
	}
	g.b.wg.Done()
}
