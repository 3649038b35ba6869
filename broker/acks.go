package broker

import (
	"time"

	"hearthmq/broker/packet"
)

// ackPending is an acknowledgement that leaves once its ticket is committed or its
// promise fulfilled.
// raw is set for those that are more than an identifier and a Reason Code.
type ackPending struct {
	ticket  uint64
	promise *promise  // nil: only the ticket counts
	at      time.Time // it waits since
	typ     packet.Type
	id      uint16
	code    packet.ReasonCode
	final   bool // the client's message is done: its Receive Maximum is credited
	raw     []byte
}

// ready reports whether the acknowledgement may leave.
func (a *ackPending) ready(j *journal) bool {
	return j.stored(a.ticket) || a.promise != nil && a.promise.fulfilled()
}

// ackAfter sends an acknowledgement once it is ready and all
// acknowledgements before it have left [MQTT3-4.6.0-2] [MQTT3-4.6.0-3] [MQTT3-4.6.0-4]
func (c *conn) ackAfter(bt *batch, a ackPending) {
	c.mu.Lock()
	if c.acks.len() == 0 && a.ready(c.b.journal) {
		c.writeAck(a)
		c.touch(bt)
		c.mu.Unlock()
		return
	}
	a.at = bt.now
	c.acks.push(a)
	c.waitUnlock(a.promise == nil)
}

// waitUnlock has the journal call, and unlocks c.mu, which is held. firm: something
// waits for nothing but the store.
func (c *conn) waitUnlock(firm bool) {
	register, insist := !c.waiting, firm && !c.firm
	c.waiting, c.firm = true, c.firm || firm
	c.mu.Unlock()
	switch {
	case register:
		c.b.journal.notify(c, firm)
	case insist:
		c.b.journal.insist()
	}
}

// since implements waiter.
func (c *conn) since() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.awaits
	if c.acks.len() > 0 {
		if at := c.acks.front().at; first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// writeAck is called with c.mu held.
func (c *conn) writeAck(a ackPending) {
	if a.final && c.unacked.Load() > 0 { // what an earlier connection brought was never counted
		c.unacked.Add(-1)
	}
	if a.raw == nil {
		c.appendAck(a.typ, a.id, a.code)
		return
	}
	if c.out.dead {
		return
	}
	c.reserve()
	c.out.buf = append(c.out.buf, a.raw...)
	c.sent.packets++
}

// awaitCommit has the journal call when something waits for a ticket. It is
// called with no lock above conn.mu's place in the order.
func (c *conn) awaitCommit() {
	c.mu.Lock()
	if c.awaits.IsZero() {
		c.awaits = time.Now()
	}
	c.waitUnlock(true)
}

// committed is called by the journal after a commit: acknowledgements leave, and
// so do the session's messages that had to be stored first.
func (c *conn) committed() {
	withBatch(func(bt *batch) {
		c.mu.Lock()
		c.waiting, c.firm, c.awaits = false, false, time.Time{}
		c.mu.Unlock()
		c.releaseAcks(bt)
		if c.sess != nil {
			c.sess.pump(bt, c)
		}
		c.mu.Lock()
		if c.acks.len() == 0 {
			c.mu.Unlock()
			return
		}
		firm := false
		c.acks.each(func(a *ackPending) { firm = firm || a.promise == nil })
		c.waitUnlock(firm)
	})
}

// releaseAcks sends the acknowledgements that are ready, in order.
func (c *conn) releaseAcks(bt *batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for c.acks.len() > 0 && c.acks.front().ready(c.b.journal) {
		c.writeAck(c.acks.pop())
		n++
	}
	if n > 0 {
		c.touch(bt)
	}
}
