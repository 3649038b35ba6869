package broker

import "hearthmq/broker/packet"

// ackPending is an acknowledgement that leaves once its ticket is committed.
// raw is set for those that are more than an identifier and a Reason Code.
type ackPending struct {
	ticket uint64
	typ    packet.Type
	id     uint16
	code   packet.ReasonCode
	final  bool // the client's message is done: its Receive Maximum is credited
	raw    []byte
}

// ackAfter sends an acknowledgement once the ticket is committed and all
// acknowledgements before it have left [MQTT-4.6.0-2] [MQTT-4.6.0-3].
func (c *conn) ackAfter(bt *batch, a ackPending) {
	c.mu.Lock()
	if len(c.acks) == 0 && c.b.journal.stored(a.ticket) {
		c.writeAck(a)
		c.touch(bt)
		c.mu.Unlock()
		return
	}
	c.acks = append(c.acks, a)
	register := !c.waiting
	c.waiting = true
	c.mu.Unlock()
	if register {
		c.b.journal.notify(c)
	}
}

// writeAck is called with c.mu held.
func (c *conn) writeAck(a ackPending) {
	if a.final {
		c.unacked.Add(-1)
	}
	if a.raw == nil {
		c.appendAck(a.typ, a.id, a.code)
		return
	}
	if c.out.dead {
		return
	}
	c.out.reserve()
	c.out.buf = append(c.out.buf, a.raw...)
	c.sent.packets++
}

// awaitCommit has the journal call when something waits for a ticket. It is
// called with no lock above conn.mu's place in the order.
func (c *conn) awaitCommit() {
	c.mu.Lock()
	register := !c.waiting
	c.waiting = true
	c.mu.Unlock()
	if register {
		c.b.journal.notify(c)
	}
}

// committed is called by the journal after a commit: acknowledgements leave, and
// so do the session's messages that had to be stored first.
func (c *conn) committed() {
	withBatch(func(bt *batch) {
		c.mu.Lock()
		c.waiting = false
		n := 0
		for n < len(c.acks) && c.b.journal.stored(c.acks[n].ticket) {
			c.writeAck(c.acks[n])
			n++
		}
		if n > 0 {
			rest := copy(c.acks, c.acks[n:])
			clear(c.acks[rest:])
			c.acks = c.acks[:rest]
			c.touch(bt)
		}
		again := len(c.acks) > 0
		c.mu.Unlock()
		if c.sess != nil {
			c.sess.pump(bt, c)
		}
		if again {
			c.awaitCommit()
		}
	})
}
