package broker

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"hearthmq/broker/packet"
)

// conn is one Network Connection. It dies with its socket.
type conn struct {
	*guest
	raw   *rawSocket // nil where the transport can't be used without blocking calls
	cfg   *Config    // what holds for this connection
	mount string     // in front of the client's topics

	// Set by the handshake, constant afterwards.
	version        packet.Version
	id             *Identity // a re-authentication may replace it
	sess           *Session  // nil before CONNACK
	maxPacket      uint32    // the client's Maximum Packet Size, 0: none
	keepAlive      time.Duration
	bridge         bool    // it marked itself as one: it gets nothing of its own back, and RETAIN as published
	receiveMaximum uint16  // the client's, 0: none
	base           *Config // of the listener, before what the user is limited to
	limits         Limits
	problems       bool   // Request Problem Information: reason strings are welcome
	method         string // Authentication Method of CONNECT, "": none

	// The reader's own.
	bt         batch
	now        time.Time    // of the batch under way
	carry      []byte       // unfinished packet of the last read
	unfinished atomic.Int64 // bytes that carry takes, where it is large
	filled     bool         // that one might have taken more
	desk       *desk        // while a PUBLISH is under way
	routes     routeCache
	aliases    []string            // topic aliases of the client, by number [MQTT-3.3.2-7]
	expiry     uint32              // Session Expiry Interval as it stands, DISCONNECT may change it
	discarded  bool                // the will is not to be published
	auth       *authFlow           // enhanced authentication under way
	repeated   map[uint16]struct{} // QoS 2 messages that came again, see oftenRepeated
	rates      rates
	crowd      *crowd // of its address, nil: has no limit
	paced      bool   // one of them has bounds

	recv      received
	seen      atomic.Int64 // Broker.elapsed at the last packet
	stopped   atomic.Bool  // the server has ended it: what still comes is not for us
	halted    atomic.Bool  // it is going to: nothing new is taken meanwhile
	trace     atomic.Pointer[Trace]
	relimited atomic.Pointer[Limits] // the user's new limits, until the reader follows them
	unacked   atomic.Int32           // QoS 1 and 2 messages of the client without a final acknowledgement

	mu      sync.Mutex
	life    context.Context // see lifetime
	endLife context.CancelFunc
	out     outbound
	acks    deque[ackPending] // acknowledgements that wait for the journal, in order
	waiting bool              // the journal will call
	firm    bool              // and knows that something waits for nothing but the store
	awaits  time.Time         // the session waits for the journal since
	behind  bool              // the session's queue has more for this connection
	alias   aliasTable        // topic aliases towards the client
	sent    sentCounts
	ended   ending
	slow    slowing
	alive   *time.Timer // keep alive
	until   *time.Timer // the end of what it logged in with
}

// received counts what came in; written by the reader once per batch.
type received struct {
	packets, bytes, publishes, payload atomic.Uint64
}

// sentCounts counts what went out; conn.mu guards it.
type sentCounts struct {
	packets, bytes, publishes, payload uint64
}

// ending is why the connection ended; the first reason stays.
type ending struct {
	set    bool
	code   packet.ReasonCode
	reason string
}

var (
	errClosed     = errors.New("connection closed")
	errDisconnect = errors.New("client sent DISCONNECT")
)

func newConn(g *guest, raw *rawSocket) *conn {
	c := &conn{guest: g, raw: raw, cfg: g.b.cfgOf(*g.info), mount: g.info.mountPoint()}
	c.now = time.Now()
	c.bt.now = c.now
	c.seen.Store(c.b.elapsed(c.now))
	return c
}

// serve reads until the connection ends, and cleans up.
func (c *conn) serve() {
	for {
		if err := c.turn(); err != nil {
			c.end(err)
			return
		}
	}
}

// end cleans up after the reader has stopped with err.
func (c *conn) end(err error) {
	c.routes.drop(c.b)
	c.mu.Lock()
	if c.alive != nil {
		c.alive.Stop()
	}
	if c.until != nil {
		c.until.Stop()
	}
	c.mu.Unlock()
	c.teardown(err)
	c.quit()
	c.leave()
}

// lifetime is a context that ends with the connection. There is one only while somebody
// waits on the client's behalf: most never do.
func (c *conn) lifetime() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life == nil {
		c.life, c.endLife = context.WithCancel(c.ctx)
		if c.out.dead {
			c.endLife()
		}
	}
	return c.life
}

// quit ends the waiting on the client's behalf. c.mu is not held.
func (c *conn) quit() {
	c.mu.Lock()
	end := c.endLife
	c.life, c.endLife = nil, nil
	c.mu.Unlock()
	if end != nil {
		end()
	}
}

// turn reads once and acts on it.
func (c *conn) turn() error {
	rb, err := c.read()
	if err != nil {
		return err
	}
	c.now = time.Now()
	c.bt.now = c.now
	carry := c.carry
	c.carry = nil
	c.recv.bytes.Add(uint64(rb.n - len(carry)))
	before := c.recv.packets.Load()
	err = c.consume(rb.b[:rb.n])
	rb.release()
	if err != nil {
		return err
	}
	if len(c.carry) > readSize || c.unfinished.Load() > 0 {
		c.unfinished.Store(int64(cap(c.carry)))
	}
	if c.recv.packets.Load() > before || len(c.carry) > lifeSign {
		c.seen.Store(c.b.elapsed(c.now))
	}
	if c.unacked.Load() > 0 && c.b.journal.crowded() {
		c.b.journal.ease(c.lifetime()) // its own window may have no bound
	}
	c.beHeard()
	return nil
}

// read returns what was carried over with at least one byte more behind it.
func (c *conn) read() (*readBuffer, error) {
	if c.raw != nil {
		return c.raw.read(c.carry)
	}
	w, _ := c.nc.(idler)
	for {
		if w != nil {
			if err := w.Wait(); err != nil {
				return nil, err
			}
		}
		var rb *readBuffer
		if len(c.carry) == 0 && !c.filled {
			rb = shortPool.Get().(*readBuffer) // it may have to wait all the same
		} else {
			rb = takeReadBuffer(c.carry)
		}
		n, err := c.nc.Read(rb.space())
		if n > 0 {
			rb.n += n
			c.filled = rb.isShort() && rb.n == shortRead
			return rb, nil
		}
		rb.release()
		switch {
		case err == nil:
			return nil, io.ErrNoProgress
		case w == nil || !errors.Is(err, syscall.EAGAIN):
			return nil, err
		}
	}
}

// consume handles every whole packet of data, flushes what they caused, and
// carries the rest over.
func (c *conn) consume(data []byte) error {
	if c.relimited.Load() != nil {
		c.follow()
	}
	packets, err := c.handleAll(data)
	c.recv.packets.Add(packets)
	c.bt.flush()
	c.clearDesk()
	return err
}

func (c *conn) handleAll(data []byte) (packets uint64, err error) {
	for len(data) > 0 {
		halted := false
		if c.stopped.Load() { // [MQTT-3.1.4-6]
			if halted = c.halted.Load(); !halted {
				return packets, errClosed
			}
			if c.saidGoodbye() {
				return packets, nil
			}
		}
		limit := c.cfg.MaxPacketSize
		if c.sess == nil {
			limit = min(limit, preConnectLimit)
			if r := c.wrongDoor(data); r != nil {
				return packets, c.turnAway(r)
			}
			if c.auth == nil && packet.Type(data[0]>>4) != packet.TypeConnect {
				// [MQTT-3.1.0-1] case P1: nothing is buffered for what can't be right.
				return packets, &packet.Error{Code: packet.ProtocolError, Msg: "first packet is not CONNECT"}
			}
		}
		f, n, _, err := packet.Split(data, limit)
		if err != nil {
			return packets, c.manner(data[0], true, c.tooBig(err))
		}
		if n == 0 {
			if cap(c.carry) < len(data) {
				c.carry = make([]byte, 0, len(data))
			}
			c.carry = append(c.carry[:0], data...)
			if c.sess == nil {
				c.claim(cap(c.carry))
			}
			return packets, nil
		}
		data = data[n:]
		packets++
		if halted && !finishes(f.Type()) {
			continue
		}
		if err := c.handle(f); err != nil {
			return packets, c.manner(f.First, len(f.Body) > 0, err)
		}
		if c.paced {
			c.rest(f.Type(), n)
		}
	}
	return packets, nil
}

// preConnectLimit is the largest packet before a client is known (case P2).
const preConnectLimit = 64 << 10

// lifeSign is how many bytes of an unfinished packet count as a sign of life: a
// large one may take longer than the Keep Alive over a slow link, a few bytes now
// and then are no MQTT Control Packet [MQTT-3.1.2-22].
const lifeSign = 1000

// handle acts on one packet. An error ends the connection.
func (c *conn) handle(f packet.Frame) error {
	if c.sess == nil {
		if c.auth != nil {
			return c.beforeConnack(f)
		}
		return c.handleConnect(f)
	}
	if c.trace.Load() != nil {
		c.traceIn(f)
	}
	switch t := f.Type(); t {
	case packet.TypePublish:
		return c.handlePublish(f)
	case packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp:
		return c.handleAck(f)
	case packet.TypeSubscribe:
		return c.handleSubscribe(f)
	case packet.TypeUnsubscribe:
		return c.handleUnsubscribe(f)
	case packet.TypePingreq:
		var p packet.Pingreq
		if err := p.Decode(c.version, f); err != nil {
			return err
		}
		c.send(&c.bt, packet.AppendPingresp) // [MQTT-3.12.4-1]
		return nil
	case packet.TypeDisconnect:
		return c.handleDisconnect(f)
	case packet.TypeAuth:
		return c.handleAuth(f)
	case packet.TypeConnect:
		return protocolError("second CONNECT") // [MQTT-3.1.0-2] case P14 [MQTT-3.2.0-2]
	default:
		return protocolError(t.String() + " from a client") // case P13
	}
}

func protocolError(msg string) error {
	return &packet.Error{Code: packet.ProtocolError, Msg: msg}
}

// endWith notes why the connection ends; the first reason stays.
func (c *conn) endWith(code packet.ReasonCode, reason string) {
	c.mu.Lock()
	if !c.ended.set {
		c.ended = ending{true, code, reason}
	}
	c.mu.Unlock()
}

// disconnect ends the connection from the server's side, with a DISCONNECT for
// MQTT 5 clients [MQTT-3.14.0-1]. Any goroutine may call it. Why a user may not
// stay is told to the owner alone.
func (c *conn) disconnect(code packet.ReasonCode, reason string) {
	c.endWith(code, reason)
	c.stopped.Store(true)
	c.mu.Lock()
	tell := c.version == packet.V50 && c.sess != nil
	c.mu.Unlock()
	if !tell {
		c.closeAfter(nil)
		return
	}
	c.closeAfter(func(dst []byte) []byte {
		if code == packet.NotAuthorized {
			reason = ""
		}
		p := packet.Disconnect{Code: code} // without a Session Expiry Interval [MQTT-3.14.2-2]
		return c.appendPacket(dst, &p, &p.Properties, reason)
	})
}

// teardown ends the connection after the reader has stopped with err.
func (c *conn) teardown(err error) {
	if q, ok := err.(quiet); ok {
		c.endWith(q.why.Code, q.why.Msg)
		c.b.log.Debug("protocol error", "client_id", c.clientID(), "remote", c.address(), "reason", q.why.Msg)
		err = errClosed
	}
	switch pe, isPacket := errors.AsType[*packet.Error](err); {
	case errors.Is(err, errDisconnect):
	case isPacket:
		c.endWith(pe.Code, pe.Msg)
		c.b.log.Debug("protocol error", "client_id", c.clientID(), "remote", c.address(), "reason", pe.Msg)
		if c.sess != nil {
			c.disconnect(pe.Code, pe.Msg) // [MQTT-4.13.1-1] [MQTT3-4.8.0-1]
		} else if c.auth != nil {
			c.answer(packet.V50, pe.Code, pe.Msg)
		}
	case errors.Is(err, errClosed):
	default:
		c.endWith(packet.UnspecifiedError, endReason(err))
	}
	if c.auth != nil {
		c.auth.stop()
	}
	c.closeAfter(nil)
	if c.halted.Load() { // hangUp left it to the client
		c.nc.Close()
	}
	if c.sess != nil {
		c.sess.detach(c)
	}
	c.b.forget(c)
	c.mu.Lock()
	c.acks = deque[ackPending]{}
	c.mu.Unlock()
}

func (c *conn) clientID() string {
	if c.id == nil {
		return ""
	}
	return c.id.ClientID
}

func endReason(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return "connection closed without DISCONNECT"
	}
	return "connection lost: " + err.Error()
}

// watchKeepAlive closes the connection when nothing came for one and a half
// times the Keep Alive [MQTT-3.1.2-22].
func (c *conn) watchKeepAlive() {
	if c.keepAlive == 0 {
		return
	}
	c.mu.Lock()
	c.alive = time.AfterFunc(c.patience(), c.checkAlive)
	c.mu.Unlock()
}

func (c *conn) patience() time.Duration { return c.keepAlive + c.keepAlive/2 }

func (c *conn) checkAlive() {
	quiet := c.quiet()
	if quiet >= c.patience() {
		c.disconnect(packet.KeepAliveTimeout, "keep alive timeout")
		return
	}
	c.mu.Lock()
	c.alive.Reset(c.patience() - quiet)
	c.mu.Unlock()
}
