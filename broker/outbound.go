package broker

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"hearthmq/broker/packet"
)

var errSlow = errors.New("socket takes nothing for too long")

// outbound is what waits to be written to one Network Connection. conn.mu guards it.
type outbound struct {
	buf     []byte     // what waits
	small   *outBuffer // where buf came from when it is still a small one
	spare   []byte     // the buffer before, drained, for the next turn
	dirty   bool       // somebody's batch will flush it
	writing bool       // somebody is writing; new bytes are seen when they look again
	stuck   bool       // the socket was full: a goroutine waits for it
	closing bool       // close once drained
	dead    bool       // nothing is accepted any more
	warm    bool       // the broker's sweep knows that buffers are held
	used    bool       // since the last sweep
	held    int        // bytes that the socket did not take; see pressure
	taken   int        // bytes that are being written
	done    uint64     // packets that were sent when last nothing waited
}

// waits is what the socket has not taken yet.
func (c *conn) waits() (packets, bytes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes = uint64(c.out.held); bytes == 0 {
		bytes = uint64(len(c.out.buf) + c.out.taken)
	}
	if bytes > 0 {
		packets = c.sent.packets - c.out.done
	}
	return packets, bytes
}

// reserve makes buf ready to be appended to.
func (c *conn) reserve() {
	o := &c.out
	if o.buf == nil {
		if o.spare != nil {
			o.buf = o.spare
			c.forgetSpare()
		} else {
			o.small = outPool.Get().(*outBuffer)
			o.buf = o.small.b
		}
	}
}

// take hands out what waits, for writing.
func (o *outbound) take() (b []byte, small *outBuffer) {
	b, small = o.buf, o.small
	o.buf, o.small, o.taken = nil, nil, len(b)
	return b, small
}

// drained takes a written buffer back. Small ones go to the pool at once, so
// that a quiet connection holds none; large ones stay for as long as the
// connection is active.
func (c *conn) drained(b []byte, small *outBuffer) {
	o := &c.out
	if small != nil {
		grown := cap(b) != cap(small.b)
		outPool.Put(small)
		if !grown {
			return
		}
	}
	switch {
	case cap(b) > keepBuffer:
	case o.spare == nil && c.b.warm.kept.Load() < keepAll:
		o.spare = b[:0]
		o.used = true
		c.b.warm.kept.Add(int64(cap(b)))
	default:
		bigPool.Put(&outBuffer{b: b[:0]})
	}
}

// grow makes room for n bytes more, if it can with a buffer that another connection has
// done with: a large message to thousands then takes few of them (case R7). c.mu is held.
func (c *conn) grow(n int) {
	o := &c.out
	need := len(o.buf) + n
	if n <= smallBuffer || need <= cap(o.buf) {
		return
	}
	big, _ := bigPool.Get().(*outBuffer)
	if big == nil || cap(big.b) < need {
		return
	}
	o.buf = append(big.b, o.buf...)
	if o.small != nil {
		outPool.Put(o.small)
		o.small = nil
	}
}

// forgetSpare lets go of the spare buffer. c.mu is held.
func (c *conn) forgetSpare() {
	if c.out.spare != nil {
		c.b.warm.kept.Add(-int64(cap(c.out.spare)))
		c.out.spare = nil
	}
}

// batch collects the connections that one turn of a reader has given something to.
type batch struct {
	list []*conn
	now  time.Time
	size int // bytes of messages that wait in them for the flush
}

var batchPool = sync.Pool{New: func() any { return new(batch) }}

// flush writes to each of them once.
func (bt *batch) flush() {
	for i, c := range bt.list {
		bt.list[i] = nil
		c.flush()
	}
	bt.list, bt.size = bt.list[:0], 0
}

// maxBatch is how many bytes of messages one batch gathers in outbound buffers: a
// message to ten thousand clients is not copied ten thousand times at once (case R7).
const maxBatch = 1 << 20

func (bt *batch) full() bool { return bt.size >= maxBatch }

// with runs f with a batch of its own, for those that are not a connection's reader.
func withBatch(f func(bt *batch)) {
	bt := batchPool.Get().(*batch)
	bt.now = time.Now()
	f(bt)
	bt.flush()
	batchPool.Put(bt)
}

// touch notes that c has something to flush. c.mu is held.
func (c *conn) touch(bt *batch) {
	if !c.out.dirty {
		c.out.dirty = true
		bt.list = append(bt.list, c)
	}
}

// room is how many bytes may still wait for the socket before QoS 0 messages
// are dropped. What a full socket did not take of the last write counts, too. c.mu is held.
func (c *conn) room() int {
	return c.b.pressure.room(c.cfg.MaxOutboundBytes) - max(len(c.out.buf), c.out.held)
}

// unheardTimes MaxOutboundBytes may wait for a socket before its client is not read any
// more: messages end at one of them.
const unheardTimes = 2

// heardEvery is how often it is looked whether a client has listened.
const heardEvery = 50 * time.Millisecond

// beHeard keeps the reader from taking more of a client that does not listen to the answers,
// which no limit is for: it finds its socket full, as who is faster than it may (case R6).
// Meanwhile it counts as alive, since the WriteTimeout ends what takes nothing.
func (c *conn) beHeard() {
	most := unheardTimes * c.b.pressure.room(c.cfg.MaxOutboundBytes)
	for {
		c.mu.Lock()
		heard := len(c.out.buf) <= most || c.out.dead
		c.mu.Unlock()
		if heard {
			return
		}
		c.seen.Store(c.b.elapsed(time.Now()))
		c.pause(heardEvery)
	}
}

// send appends a control packet made by f.
func (c *conn) send(bt *batch, f func(dst []byte) []byte) {
	c.mu.Lock()
	if !c.out.dead {
		c.reserve()
		c.out.buf = f(c.out.buf)
		c.sent.packets++
		c.touch(bt)
	}
	c.mu.Unlock()
}

// sendAck appends an acknowledgement in its shortest form.
func (c *conn) sendAck(bt *batch, t packet.Type, id uint16, code packet.ReasonCode) {
	c.mu.Lock()
	c.appendAck(t, id, code)
	c.touch(bt)
	c.mu.Unlock()
}

// appendAck is sendAck with c.mu held.
func (c *conn) appendAck(t packet.Type, id uint16, code packet.ReasonCode) {
	if c.out.dead {
		return
	}
	c.reserve()
	c.out.buf = packet.AppendAck(c.out.buf, c.version, t, id, code)
	c.sent.packets++
}

// flush writes what waits. Plain sockets take it from here, without blocking; the
// rest of a full one, and every other transport, gets a goroutine until it is drained.
func (c *conn) flush() {
	c.mu.Lock()
	c.out.dirty = false
	if c.out.writing || len(c.out.buf) == 0 && !c.out.closing && !c.behind {
		c.mu.Unlock()
		return
	}
	c.out.writing = true
	if c.raw == nil {
		c.hold(len(c.out.buf)) // whether its socket takes it can't be seen, so all of it waits
	}
	c.mu.Unlock()
	if c.raw == nil {
		c.b.wg.Go(c.writeSlowly)
		return
	}
	for {
		c.mu.Lock()
		b, small := c.out.take()
		c.mu.Unlock()
		if c.trace.Load() != nil {
			c.traceOut(b)
		}
		n, err := 0, error(nil)
		if len(b) > 0 {
			n, err = c.raw.write(b)
		}
		if err != nil {
			c.writeFailed(err)
			return
		}
		if n < len(b) {
			c.mu.Lock()
			c.out.stuck = true
			c.hold(len(b) - n)
			c.mu.Unlock()
			c.b.wg.Go(func() { c.writeRest(b[n:], b, small) })
			return
		}
		if c.wrote(b, small) {
			return
		}
	}
}

// wrote notes that b was written and reports whether that was all. With more in
// the session's queue, it fetches some.
func (c *conn) wrote(b []byte, small *outBuffer) (all bool) {
	c.mu.Lock()
	c.sent.bytes += uint64(len(b))
	c.out.taken = 0
	c.unhold(len(b))
	if b != nil {
		c.drained(b, small)
	}
	if len(c.out.buf) == 0 && c.behind {
		c.mu.Unlock()
		c.sess.pumpFor(c)
		c.mu.Lock()
	}
	if len(c.out.buf) > 0 {
		c.mu.Unlock()
		return false
	}
	c.out.writing, c.out.stuck, c.out.done = false, false, c.sent.packets
	c.unhold(-1)
	closing := c.out.closing
	c.out.dead = closing
	register := !closing && c.out.spare != nil && !c.out.warm
	if register {
		c.out.warm = true
	}
	c.mu.Unlock()
	if register {
		c.b.warm.add(c)
	}
	if closing { // [MQTT-3.14.4-2] [MQTT-4.13.2-1]
		c.hangUp()
	}
	return true
}

// writeSlowly is the writer of a transport that can't be written without blocking.
func (c *conn) writeSlowly() { c.writeRest(nil, nil, nil) }

// writeRest writes rest (the end of b) and whatever comes after it, and ends when
// nothing is left or the socket is dead.
func (c *conn) writeRest(rest, b []byte, small *outBuffer) {
	for {
		if len(rest) > 0 {
			if err := c.writeAll(rest); err != nil {
				c.writeFailed(err)
				return
			}
		}
		if c.wrote(b, small) {
			return
		}
		c.mu.Lock()
		b, small = c.out.take()
		c.mu.Unlock()
		if c.trace.Load() != nil {
			c.traceOut(b)
		}
		rest = b
	}
}

// writeAll writes b; each piece of 64 KiB has the WriteTimeout to get through.
func (c *conn) writeAll(b []byte) error {
	for len(b) > 0 {
		piece := b[:min(len(b), readSize)]
		if err := c.nc.SetWriteDeadline(time.Now().Add(c.cfg.WriteTimeout)); err != nil {
			return err
		}
		if _, err := c.nc.Write(piece); err != nil {
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				return errSlow
			}
			return err
		}
		b = b[len(piece):]
	}
	// A deadline that has passed would fail the next direct write.
	return c.nc.SetWriteDeadline(time.Time{})
}

// writeFailed gives the connection up; its reader notices and cleans up. [MQTT3-4.8.0-2]
func (c *conn) writeFailed(err error) {
	if errors.Is(err, errSlow) {
		c.endWith(packet.UnspecifiedError, "slow reader: "+err.Error())
	}
	c.giveUp()
}

// giveUp closes the socket without what waits for it.
func (c *conn) giveUp() {
	c.mu.Lock()
	c.unhold(-1)
	c.forgetSpare()
	c.out = outbound{dead: true, writing: true}
	c.mu.Unlock()
	c.quit()
	c.nc.Close()
}

// closeAfter sends f's packet, if any, and closes the connection once everything
// has been written, at the latest after linger.
func (c *conn) closeAfter(f func(dst []byte) []byte) {
	const linger = 2 * time.Second
	c.mu.Lock()
	if c.out.closing || c.out.dead {
		c.mu.Unlock()
		return
	}
	c.out.closing = true
	if f != nil {
		c.reserve()
		c.out.buf = f(c.out.buf)
		c.sent.packets++
	}
	c.out.dead = true // nothing comes after DISCONNECT [MQTT-3.14.4-1]
	c.mu.Unlock()
	c.quit() // whoever waits on the client's behalf
	// The socket may never take it; then it goes without.
	time.AfterFunc(linger, func() { c.nc.Close() })
	c.flush()
}

// warmList frees the large buffers of connections that went quiet.
type warmList struct {
	mu    sync.Mutex
	list  []*conn
	timer *time.Timer
	kept  atomic.Int64 // bytes of all spare buffers
}

// sweepEvery is how long a connection may be quiet before it gives its buffers up.
const sweepEvery = time.Second

func (w *warmList) add(c *conn) {
	w.mu.Lock()
	w.list = append(w.list, c)
	if len(w.list) == 1 {
		if w.timer == nil {
			w.timer = time.AfterFunc(sweepEvery, w.sweep)
		} else {
			w.timer.Reset(sweepEvery)
		}
	}
	w.mu.Unlock()
}

func (w *warmList) sweep() {
	w.mu.Lock()
	list := w.list
	w.list = nil
	w.mu.Unlock()
	keep := list[:0]
	for _, c := range list {
		c.mu.Lock()
		if c.out.used {
			c.out.used = false
			keep = append(keep, c)
		} else {
			c.forgetSpare()
			c.out.warm = false
		}
		c.mu.Unlock()
	}
	clear(list[len(keep):])
	w.mu.Lock()
	w.list = append(keep, w.list...)
	if len(w.list) > 0 {
		w.timer.Reset(sweepEvery)
	}
	w.mu.Unlock()
}

// stop ends the sweeps.
func (w *warmList) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}
