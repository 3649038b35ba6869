package broker

import (
	"time"

	"hearthmq/broker/packet"
)

// publication is one message on its way through the broker.
type publication struct {
	msg   *Message
	route *route
	from  *Session // the publisher's, nil for the broker itself
	enc   encodings
	kept  *Message // msg with bytes of its own, once somebody needs it

	owner   *conn    // of a QoS 1 message: who waits for PUBACK, unless more than deliveries must be stored
	promise *promise // what that PUBACK waits for, nil: nothing

	notRetained string // the limit that kept the message from being retained
}

// promised notes one more delivery that PUBACK waits for.
func (p *publication) promised() *promise {
	if p.owner == nil {
		return nil
	}
	if p.promise == nil {
		p.promise = &promise{c: p.owner}
		p.promise.left.Store(1)
	}
	p.promise.left.Add(1)
	return p.promise
}

// encodings holds a QoS 0 PUBLISH as it goes out, once for each version: encoded
// once, whatever the number of receivers. RETAIN is set per receiver.
type encodings struct {
	frame   []byte // as it came in, where receivers of version get the very same bytes
	version packet.Version
	v3, v5  []byte // scratch, reused
	has3    bool
	has5    bool
}

func (e *encodings) reset() { e.frame, e.has3, e.has5 = nil, false, false }

// of returns the QoS 0 form for a version.
func (e *encodings) of(v packet.Version, m *Message, now time.Time) []byte {
	if v != packet.V50 {
		v = packet.V311 // on the wire 3.1 and 3.1.1 do not differ
	}
	if e.frame != nil && e.version == v {
		return e.frame
	}
	buf, has := &e.v3, &e.has3
	if v == packet.V50 {
		buf, has = &e.v5, &e.has5
	}
	if !*has {
		var p packet.Publish
		fillPublish(&p, &delivery{msg: m}, 0, now)
		*buf = packet.AppendPublish((*buf)[:0], v, &p)
		*has = true
	}
	return *buf
}

// keep returns the message with bytes of its own and, where there is a store, a
// number for it.
func (p *publication) keep(b *Broker) *Message {
	if p.kept == nil {
		p.kept = p.msg.Keep()
		if b.journal.store != nil && p.kept.id == 0 {
			p.kept.id = b.nextMessage.Add(1)
		}
	}
	return p.kept
}

// deliver hands a message to everybody who is to get it: retained store first,
// then the matching sessions. It returns how many got it and the ticket that
// says that all of it is stored. It must run with the gate held when the message
// has QoS above 0 or RETAIN, so that what belongs together is stored together.
func (b *Broker) deliver(bt *batch, p *publication) (matched int, ticket uint64) {
	m := p.msg
	if m.Retain {
		stripe := b.retained.stripe(m.Topic)
		stripe.Lock()
		defer stripe.Unlock()
		if ticket = b.retained.set(b, p); ticket > 0 { // [MQTT-3.3.1-5] [MQTT-3.3.1-8]
			p.owner = nil
		}
	}
	r := p.route
	if m.Retain && r.subs != b.subs.gen.Load() {
		// A SUBSCRIBE came between the look-up and the store: it may have read the
		// older value, so it must get this one (doc.go, first rule).
		r = b.newRoute(m.Topic, p.from)
	}
	for i := range r.targets {
		ok, t := b.deliverTo(bt, p, &r.targets[i])
		ticket = max(ticket, t)
		if ok {
			matched++
		}
		if bt.full() && !b.gateHeld(m) {
			bt.flush()
		}
	}
	for i := range r.shares {
		ok, t := b.deliverTo(bt, p, r.shares[i].pick())
		ticket = max(ticket, t)
		if ok {
			matched++
		}
	}
	if p.promise != nil {
		p.promise.left.Add(-1)
	}
	return matched, ticket
}

func (b *Broker) deliverTo(bt *batch, p *publication, t *target) (ok bool, ticket uint64) {
	m := p.msg
	qos := b.outgoingQoS(m, t)  // [MQTT-3.8.4-8]
	retain := t.rap && m.Retain // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
	switch {
	case t.local != nil:
		t.local.receive(m)
		return true, 0
	case qos > 0:
		return true, t.session.enqueue(bt, p, t, qos, retain)
	}
	c := t.session.conn.Load()
	if c == nil {
		return b.keepQoS0(bt, p, t, retain), 0
	}
	switch c.deliverQoS0(bt, p, t, retain) {
	case sentDirectly:
	case mustQueue:
		if !b.gateHeld(m) {
			b.journal.open()
			defer b.journal.close()
		}
		t.session.enqueue(bt, p, t, 0, retain)
	case bufferFull:
		t.session.mu.Lock()
		t.session.drop("slow reader")
		t.session.mu.Unlock()
	}
	return true, 0
}

// gateHeld reports whether whoever delivers a message holds the journal's gate.
func (b *Broker) gateHeld(m *Message) bool { return m.QoS > 0 || m.Retain || b.cfg().UpgradeQoS }

// outgoingQoS is the QoS that a receiver gets a message with.
func (b *Broker) outgoingQoS(m *Message, t *target) byte {
	if b.cfg().UpgradeQoS {
		return t.qos
	}
	return min(m.QoS, t.qos)
}

// keepQoS0 queues a QoS 0 message for a session that is away, where the settings want
// that.
func (b *Broker) keepQoS0(bt *batch, p *publication, t *target, retain bool) bool {
	if !b.cfg().QueueQoS0 && !t.session.holds.Load() {
		return false
	}
	if !b.gateHeld(p.msg) {
		b.journal.open()
		defer b.journal.close()
	}
	t.session.enqueue(bt, p, t, 0, retain)
	return true
}

type qos0Result byte

const (
	sentDirectly qos0Result = iota
	mustQueue               // something older waits
	bufferFull
)

// added notes n bytes of a message in the outbound buffer. c.mu is held.
func (c *conn) added(bt *batch, n int) {
	bt.size += n
	if c.out.writing {
		c.hold(n)
	}
}

// deliverQoS0 appends the message to the connection's outbound buffer.
func (c *conn) deliverQoS0(bt *batch, p *publication, t *target, retain bool) qos0Result {
	if !c.reaches(p.msg.Topic) {
		return sentDirectly
	}
	own := c.version == packet.V50 && (len(t.subIDs) > 0 || c.alias.max > 0) || c.mount != ""
	if c.maxPacket > 0 && !c.fits(&delivery{msg: p.msg, subIDs: t.subIDs}, bt.now) {
		return bufferFull
	}
	var b []byte
	if !own {
		b = p.enc.of(c.version, p.msg, bt.now)
	}
	c.mu.Lock()
	switch {
	case c.behind:
		c.mu.Unlock()
		return mustQueue
	case c.out.dead:
		c.mu.Unlock()
		return sentDirectly // it will be noticed
	case len(c.out.buf) > 0 && c.room() < len(p.msg.Payload): // one message always fits
		c.mu.Unlock()
		return bufferFull
	}
	if own {
		c.mu.Unlock()
		c.appendMessage(bt, &delivery{msg: p.msg, subIDs: t.subIDs, retain: retain}, 0, false, noLimit)
		return sentDirectly
	}
	c.reserve()
	c.grow(len(b))
	at := len(c.out.buf)
	c.out.buf = append(c.out.buf, b...)
	c.added(bt, len(b))
	c.out.buf[at] = byte(packet.TypePublish) << 4 // DUP and QoS 0 [MQTT-4.3.1-1]
	if retain {
		c.out.buf[at] |= 1
	}
	c.sent.packets++
	c.sent.publishes++
	c.sent.payload += uint64(len(p.msg.Payload))
	c.touch(bt)
	c.mu.Unlock()
	return sentDirectly
}
