package broker

import (
	"math"
	"time"
	"unsafe"

	"hearthmq/broker/packet"
)

// pumpSoft is how many bytes wait for a socket before the session's queue is
// left alone until they are written.
const pumpSoft = 128 << 10

// enqueue gives the session a message. It returns the ticket that says it is
// stored, 0 when it need not be. The gate is held.
//
// What is not sent at once waits in the queue. Beyond MaxQueuedMessages or
// MaxQueuedBytes the QueuePolicy decides what is dropped. QoS 0 messages wait
// only for a client that is connected.
func (s *Session) enqueue(bt *batch, p *publication, t *target, qos byte, retain bool) (ticket uint64) {
	m := p.keep(s.b)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conn.Load()
	if s.gone || qos == 0 && c == nil && !s.queues() {
		return 0
	}
	if !s.makeRoom(bt, m.Size(), c) {
		return 0
	}
	d := delivery{msg: m, subIDs: t.subIDs, qos: qos, retain: retain, rules: t.rules, share: t.share}
	if t.share != nil {
		s.sharing = true
	}
	s.seq++
	d.seq = s.seq
	if qos > 0 && s.persistent && s.b.journal.store != nil { // [MQTT3-3.1.2-5]
		ticket = s.b.journal.append(Queued{ClientID: s.clientID, MessageID: m.id, Delivery: StoredDelivery{
			Seq: d.seq, Message: m, QoS: qos, Retain: retain, SubIDs: t.subIDs}})
		d.stored = true
		if qos == 2 {
			d.ticket = ticket
		} else if s.b.cfg().Durability == Balanced && c != nil {
			ticket = 0
		}
		switch {
		case ticket == 0:
		case c == nil: // nobody will take it soon: PUBACK waits for the store alone
			p.owner, p.promise = nil, nil
		default:
			d.promise = p.promised()
		}
	}
	if c != nil && s.idle() {
		// The usual case: nothing waits, it goes straight out.
		switch s.trySend(bt, c, &d) {
		case waits, waitsForRoom:
		default:
			return ticket
		}
	}
	s.push(d) // [MQTT-4.6.0-5] [MQTT-4.6.0-6]
	if c != nil {
		s.pumpLocked(bt, c)
	}
	return ticket
}

// idle reports whether nothing is queued before what comes next. s.mu is held.
func (s *Session) idle() bool {
	return s.queue.len() == 0 && s.replay.len() == 0 && s.flights.unsent == nil
}

func (s *Session) push(d delivery) {
	s.queue.push(d)
	s.queued += d.msg.Size()
	s.b.stats.queued.Add(1)
	s.b.stats.queuedBytes.Add(int64(d.msg.Size()))
}

func (s *Session) pop() delivery {
	d := s.queue.pop()
	s.queued -= d.msg.Size()
	s.b.stats.queued.Add(-1)
	s.b.stats.queuedBytes.Add(-int64(d.msg.Size()))
	return d
}

// queueBounds are how many messages and bytes the queue may hold. s.mu is held.
func (s *Session) queueBounds() (messages, bytes int) {
	cfg := s.b.cfg()
	messages, bytes = cfg.MaxQueuedMessages, cfg.MaxQueuedBytes
	strictest(&messages, s.limits.QueuedMessages)
	strictest(&bytes, s.limits.QueuedBytes)
	return messages, bytes
}

// crammed says which bound of its queue a session has reached last.
type crammed uint8

const (
	crammedMessages crammed = iota + 1
	crammedBytes
)

// crammedBy names that limit, "" when it reached none. s.mu is held.
func (s *Session) crammedBy() string {
	messages, bytes := s.queueBounds()
	cfg, id := s.b.cfg(), s.identity.Load()
	switch s.crammed {
	case crammedMessages:
		return cfg.whose(s.listener, id, "max_queued_messages", float64(messages), func(l *Limits) float64 { return float64(l.QueuedMessages) })
	case crammedBytes:
		return cfg.whose(s.listener, id, "max_queued_bytes", float64(bytes), func(l *Limits) float64 { return float64(l.QueuedBytes) })
	}
	return ""
}

// makeRoom applies the QueuePolicy; false: the new message is the one to drop.
// s.mu is held.
func (s *Session) makeRoom(bt *batch, size int, c *conn) bool {
	cfg := s.b.cfg()
	messages, bytes := s.queueBounds()
	bytes = s.b.pressure.queue(bytes)
	full := func() bool {
		return s.queue.len() >= messages || s.queued+size > bytes && s.queue.len() > 0
	}
	if !full() {
		return true
	}
	s.crammed = crammedMessages
	if s.queue.len() < messages {
		s.crammed = crammedBytes
	}
	switch cfg.QueueFull {
	case DropOldest:
		for full() && s.queue.len() > 0 {
			d := s.pop()
			s.done(&d)
			s.drop("queue full")
		}
		return true
	case DisconnectSlow:
		if c != nil {
			// Elsewhere: closing takes locks that are held here.
			s.b.wg.Go(func() { c.disconnect(packet.QuotaExceeded, "queue full") })
		}
	}
	s.drop("queue full")
	return false
}

// done forgets a stored delivery. s.mu and the gate are held.
func (s *Session) done(d *delivery) {
	if d.stored {
		s.b.journal.append(Done{s.clientID, d.seq})
	}
}

// pumpFor is pump for the writer of c.
func (s *Session) pumpFor(c *conn) {
	withBatch(func(bt *batch) { s.pump(bt, c) })
}

// pump sends what the session holds for c, as far as Receive Maximum, journal
// and socket allow.
func (s *Session) pump(bt *batch, c *conn) {
	s.b.journal.open()
	s.mu.Lock()
	s.pumpLocked(bt, c)
	s.mu.Unlock()
	s.b.journal.close()
}

// pumpLocked is pump with the gate and s.mu held.
func (s *Session) pumpLocked(bt *batch, c *conn) {
	if s.conn.Load() != c {
		return // taken over
	}
	if !s.sendFlights(bt, c) {
		s.setBehind(c, s.replay.len() > 0)
		return
	}
	for {
		q := &s.replay
		if q.len() == 0 {
			q = &s.queue
		}
		if q.len() == 0 {
			s.setBehind(c, false)
			return
		}
		// What waits for the journal may not be overtaken: only what will wait as well goes along.
		if s.flights.unsent != nil && !q.front().waitsForJournal() {
			s.setBehind(c, s.replay.len() > 0)
			return
		}
		switch s.trySend(bt, c, q.front()) {
		case waits:
			s.setBehind(c, s.replay.len() > 0)
			return
		case waitsForRoom:
			s.setBehind(c, true)
			return
		default:
			s.takeFrom(q)
		}
	}
}

// waitsForJournal reports whether its Packet Identifier is to be stored before it is sent:
// it must be known after a crash, or the message comes twice.
func (d *delivery) waitsForJournal() bool { return d.qos == 2 && d.stored }

// sendResult is what became of the next delivery.
type sendResult byte

const (
	sent         sendResult = iota // it is on its way, or under way and waits for the journal
	dropped                        // it will never be sent
	waits                          // for an acknowledgement or the journal
	waitsForRoom                   // for the socket
)

// trySend sends a delivery that nothing waits before, or drops it when it has
// expired, is no longer allowed or too large. s.mu and the gate are held.
func (s *Session) trySend(bt *batch, c *conn, d *delivery) sendResult {
	qos, allowed := s.allowedNow(d)
	switch {
	case d.msg.Expired(bt.now), !allowed, !c.reaches(d.msg.Topic), !c.fits(d, bt.now):
		s.done(d)
		s.drop("expired, no longer allowed, or larger than the client accepts")
		if d.qos > 0 && c.cfg.LikeMosquitto {
			s.flights.lastID++ // Mosquitto numbers messages when it queues them
		}
		return dropped
	case qos == 0:
		was := d.qos
		if d.qos = 0; !c.appendMessage(bt, d, 0, false, pumpSoft) {
			d.qos = was
			return waitsForRoom
		}
		s.done(d) // it may have been lowered
		return sent
	case s.flights.len() >= s.window, c.cfg.MaxInflightBytes > 0 && s.flights.bytes >= c.cfg.MaxInflightBytes: // [MQTT-4.9.0-2] [MQTT-4.9.0-3]
		return waits
	case !s.b.journal.stored(d.ticket):
		c.awaitCommit()
		return waits
	case c.full() || bt.full() && c.afterFlush(bt):
		return waitsForRoom
	}
	d.qos = qos
	f := s.flights.add(*d, 0)
	if d.waitsForJournal() {
		f.ticket = s.b.journal.append(Sent{s.clientID, d.seq, f.id, StateSent})
		c.awaitCommit()
		return sent
	}
	s.sendFlight(bt, c, f)
	return sent
}

// sendFlights sends what is under way and was not sent on this connection, in its [MQTT-4.3.3-7]
// order [MQTT-4.4.0-1]; false: some of it has to wait. A client may come back with a
// smaller Receive Maximum: PUBLISH waits for it [MQTT-4.9.0-2], PUBREL does not
// [MQTT-3.3.4-10]. s.mu and the gate are held.
func (s *Session) sendFlights(bt *batch, c *conn) bool {
	for f := s.flights.unsent; f != nil; f = s.flights.unsent {
		if !s.b.journal.stored(f.ticket) {
			c.awaitCommit()
			return false
		}
		if f.state != StateReleased && s.flights.sent >= s.window {
			for ; f != nil; f = f.next {
				if f.unsent && f.state == StateReleased && s.b.journal.stored(f.ticket) {
					s.sendFlight(bt, c, f)
				}
			}
			return false
		}
		s.sendFlight(bt, c, f)
	}
	return true
}

// sendFlight sends PUBLISH or PUBREL of an unsent flight. s.mu and the gate are held.
func (s *Session) sendFlight(bt *batch, c *conn, f *flight) {
	if f.state == StateReleased {
		c.sendAck(bt, packet.TypePubrel, f.id, packet.Success)
		s.flights.sentOne(f)
		return
	}
	// It keeps its QoS: the client may have it, and goes on with what it began [MQTT-4.4.0-1].
	if _, allowed := s.allowedNow(&f.delivery); !allowed || f.dup && !c.fits(&f.delivery, bt.now) {
		// The right was revoked, or the client has come back as somebody who does not
		// have it (case A6), or it takes smaller packets than before [MQTT-3.1.2-25].
		s.done(&f.delivery)
		s.flights.remove(f)
		s.drop("no longer allowed, or larger than the client accepts")
		return
	}
	c.appendMessage(bt, &f.delivery, f.id, f.dup, noLimit)
	s.flights.sentOne(f)
}

// takeFrom takes the oldest element of one of the two queues.
func (s *Session) takeFrom(q *deque[delivery]) delivery {
	if q == &s.queue {
		return s.pop()
	}
	return q.pop()
}

// allowedNow asks again when the rules have changed since the message was queued, and
// says how it may be sent now. Its own QoS stays until it is: what is lowered to QoS 0
// and finds no room must stay stored.
func (s *Session) allowedNow(d *delivery) (qos byte, allowed bool) {
	gen := s.b.deps.Authorizer.Generation()
	if d.rules == gen {
		return d.qos, true
	}
	now := s.b.deps.Authorizer.Authorize(s.identity.Load(), Receive, d.msg.Topic)
	if now.Allow && now.MaxQoS >= d.qos {
		d.rules = gen
	}
	return min(d.qos, now.MaxQoS), now.Allow
}

// dropQueuedQoS0 forgets messages that are not kept for a client that is away.
// s.mu is held.
func (s *Session) dropQueuedQoS0() {
	if s.queues() {
		return
	}
	for n := s.queue.len(); n > 0; n-- {
		if d := s.pop(); d.qos > 0 {
			s.push(d)
		}
	}
	for n := s.replay.len(); n > 0; n-- {
		if d := s.replay.pop(); d.qos > 0 {
			s.replay.push(d)
		}
	}
}

// setBehind tells the connection whether QoS 0 messages must wait their turn,
// and its writer whether to ask for more. s.mu is held.
func (s *Session) setBehind(c *conn, v bool) {
	if s.behind == v {
		return
	}
	s.behind = v
	c.mu.Lock()
	c.behind = v
	c.mu.Unlock()
}

// full reports whether enough waits for the socket already.
func (c *conn) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.out.buf) >= pumpSoft
}

// afterFlush has the session's queue looked at again once the batch, which is full, is
// flushed. Until then the message stays where all receivers share it (case R7).
func (c *conn) afterFlush(bt *batch) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touch(bt)
	return true
}

// fits reports whether the client takes a packet of that size [MQTT-3.1.2-24].
func (c *conn) fits(d *delivery, now time.Time) bool {
	if c.maxPacket == 0 {
		return true
	}
	var p packet.Publish
	fillPublish(&p, d, 1, now)
	p.Topic = c.unmount(p.Topic)
	return packet.PublishSize(c.version, &p) <= int(c.maxPacket)
}

// noLimit lets appendMessage append whatever waits already.
const noLimit = math.MaxInt

// appendMessage encodes a message straight into the outbound buffer. It does
// nothing and returns false when limit bytes wait there already.
func (c *conn) appendMessage(bt *batch, d *delivery, id uint16, dup bool, limit int) bool {
	var p packet.Publish
	fillPublish(&p, d, id, bt.now)
	p.Topic = c.unmount(p.Topic)
	p.Dup = dup // [MQTT-3.3.1-3]
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out.buf) >= limit {
		return false
	}
	if c.out.dead {
		return true
	}
	c.reserve()
	if c.alias.max > 0 {
		if alias, known := c.alias.of(d.msg.Topic); alias != 0 {
			p.HasAlias, p.TopicAlias = true, alias
			if known {
				p.Topic = nil
			} else if !c.takes(packet.PublishSize(c.version, &p)) {
				c.alias.forget(d.msg.Topic) // its property would be too much
				p.HasAlias = false
			}
		}
	}
	c.grow(len(p.Payload) + len(p.Topic) + len(p.Properties) + 64)
	before := len(c.out.buf)
	c.out.buf = packet.AppendPublish(c.out.buf, c.version, &p)
	c.added(bt, len(c.out.buf)-before)
	c.sent.packets++
	c.sent.publishes++
	c.sent.payload += uint64(len(p.Payload))
	c.touch(bt)
	return true
}

func fillPublish(p *packet.Publish, d *delivery, id uint16, now time.Time) {
	m := d.msg
	p.QoS, p.Retain, p.PacketID = d.qos, d.retain, id
	p.Topic, p.Payload, p.Properties = bytesOf(m.Topic), m.Payload, m.Properties
	p.SubscriptionIDs = d.subIDs
	if !m.Expires.IsZero() {
		// What is left, rounded up: never early [MQTT-3.3.2-6].
		p.HasExpiry = true
		p.MessageExpiry = uint32((max(m.Expires.Sub(now), 0) + time.Second - 1) / time.Second)
	}
}

// bytesOf is a string's bytes without a copy; nobody may write to them.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
