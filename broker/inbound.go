package broker

import (
	"time"

	"hearthmq/broker/packet"
)

// handlePublish takes a PUBLISH all the way to its receivers.
func (c *conn) handlePublish(f packet.Frame) error {
	p := &c.takeDesk().pub
	if err := p.Decode(c.version, f); err != nil {
		return err
	}
	if c.unclean(p.Topic) {
		return errUnclean
	}
	c.recv.publishes.Add(1)
	c.recv.payload.Add(uint64(len(p.Payload)))
	if len(p.SubscriptionIDs) > 0 {
		return protocolError("Subscription Identifier in a PUBLISH from a client") // [MQTT-3.3.4-6]
	}
	if p.HasAlias {
		if err := c.resolveAlias(p); err != nil {
			return err
		}
	}
	if c.isControl(p.Topic) {
		return c.control(p)
	}
	c.mountTopic(p)
	if p.QoS > 0 {
		if un := c.cfg.unsupported(p.QoS, p.Retain); un != nil { // [MQTT-3.2.2-11] [MQTT-3.2.2-14]
			return un
		}
		if err := c.overrun(); err != nil { // [MQTT-3.3.4-7]
			return err
		}
	} else if p.Retain && c.cfg.NoRetain {
		return c.cfg.unsupported(0, true)
	}
	if len(p.Properties) > 0 && c.cfg.misformatted(p.Payload, p.Properties) {
		return c.badFormat(p)
	}
	if most := c.cfg.MaxPayload; most > 0 && len(p.Payload) > most {
		return c.tooLarge(p)
	}
	r, err := c.routes.lookup(c.b, p.Topic, c.id, c.sess) // case A: after the alias
	if err != nil {
		return err
	}
	if !allows(&r.decision, p) {
		return c.deny(p, r)
	}
	if c.limits.TopicLevels > 0 {
		if why := c.tooDeep(r.name); why != "" {
			c.b.denied(c.id, Publish, r.name, RuleRef{Text: "limit reached: " + why})
			code := packet.QuotaExceeded
			if c.version != packet.V50 {
				code = packet.Success
			}
			c.refuseMessage(p, code, why)
			return nil
		}
	}
	return c.publish(f, p, r)
}

// allows applies the decision's conditions to a message.
func allows(d *Decision, p *packet.Publish) bool {
	return d.Permits(p.QoS, p.Retain)
}

// deny answers a message that may not be published. MQTT 3 can't say so; it is
// acknowledged and goes nowhere, since closing would only make the device come
// back and try again [MQTT3-3.3.5-2].
func (c *conn) deny(p *packet.Publish, r *route) error {
	rule := r.decision.Rule
	if r.decision.Allow {
		rule.Text += ", not with this QoS or RETAIN"
	}
	c.b.denied(c.id, Publish, r.name, rule)
	code := packet.NotAuthorized
	if c.version != packet.V50 {
		code = packet.Success
	}
	c.refuseMessage(p, code, "the access rules do not allow this message")
	return nil
}

// badFormat refuses a message whose payload is not the text that it claims to be
// (case P9). Only QoS 1 and 2 can say so.
func (c *conn) badFormat(p *packet.Publish) error {
	const msg = "payload is not UTF-8 as its Payload Format Indicator says"
	c.sess.violations.Add(1)
	if p.QoS == 0 {
		return &packet.Error{Code: packet.PayloadFormatInvalid, Msg: msg}
	}
	c.refuseMessage(p, packet.PayloadFormatInvalid, msg)
	return nil
}

// tooLarge refuses a message whose payload is more than the broker was told to take.
func (c *conn) tooLarge(p *packet.Publish) error {
	code := packet.QuotaExceeded // PUBACK knows no "packet too large"
	switch {
	case c.version != packet.V50:
		code = packet.Success
	case c.cfg.LikeMosquitto:
		code = packet.PacketTooLarge // which Mosquitto says all the same
	}
	c.b.stats.dropped.Add(1)
	c.refuseMessage(p, code, "the payload is larger than the server takes")
	return nil
}

// refuseMessage acknowledges a message that goes nowhere. Nothing of it is
// remembered: the same Packet Identifier is a new message [MQTT-4.3.3-9].
func (c *conn) refuseMessage(p *packet.Publish, code packet.ReasonCode, why string) {
	t := packet.TypePuback
	switch p.QoS {
	case 0:
		return
	case 2:
		t = packet.TypePubrec
	}
	if code == packet.Success {
		c.ackAfter(&c.bt, ackPending{typ: t, id: p.PacketID})
		return
	}
	c.ackAfter(&c.bt, c.failedAck(t, p.PacketID, code, why))
}

func (c *conn) resolveAlias(p *packet.Publish) error {
	n := int(p.TopicAlias)
	if n == 0 || n > int(c.cfg.TopicAliasMaximum) { // [MQTT-3.3.2-8] [MQTT-3.3.2-9]
		return &packet.Error{Code: packet.TopicAliasInvalid, Msg: "Topic Alias is 0 or above the maximum"}
	}
	if c.aliases == nil {
		c.aliases = make([]string, int(c.cfg.TopicAliasMaximum)+1) // [MQTT-3.3.2-12]
	}
	if len(p.Topic) > 0 {
		if c.aliases[n] != string(p.Topic) {
			c.aliases[n] = string(p.Topic)
		}
		return nil
	}
	if c.aliases[n] == "" {
		return protocolError("Topic Alias that was never set") // case P6
	}
	p.Topic = bytesOf(c.aliases[n])
	return nil
}

// publish delivers an allowed message and acknowledges it once what that promises is stored.
func (c *conn) publish(f packet.Frame, p *packet.Publish, r *route) error {
	b := c.b
	pub, msg := &c.desk.publication, &c.desk.msg
	pub.msg = msg
	*msg = Message{
		Topic: r.name, Payload: p.Payload, Properties: p.Properties, QoS: p.QoS, Retain: p.Retain,
		Received: c.now, Publisher: c.id, PublisherID: c.id.ClientID, PublisherUser: c.id.User,
		PublisherAccount: c.id.account(), Vouched: c.id.vouches(), Slot: &r.slot,
	}
	if p.HasExpiry {
		msg.Expires = c.now.Add(time.Duration(p.MessageExpiry) * time.Second)
	}
	pub.route, pub.from, pub.kept, pub.owner, pub.promise = r, c.sess, nil, nil, nil
	if p.QoS == 1 {
		pub.owner = c
	}
	pub.enc.reset()
	if p.QoS == 0 && !p.HasAlias && !p.HasExpiry && c.mount == "" {
		pub.enc.frame, pub.enc.version = f.Raw, wireVersion(c.version)
	}

	if p.QoS == 0 && !p.Retain && !c.cfg.UpgradeQoS {
		b.deliver(&c.bt, pub)
		b.observe(msg)
		return nil
	}
	if why := c.overQuota(r); why != "" {
		b.stats.retainedRefused.Add(1)
		b.notRetained(msg, why)
		c.refuseMessage(p, packet.QuotaExceeded, why) // case R9
		return nil
	}
	if p.QoS == 1 && c.sess.conn.Load() != c {
		return errClosed // taken over: the new connection brings it again, and must not be overtaken
	}
	b.journal.open()
	var ticket uint64
	if p.QoS == 2 {
		t, fresh, err := c.sess.addReceived(c, p.PacketID)
		if err == nil && !fresh && c.sess.conn.Load() != c {
			err = errClosed // taken over: the new connection brings it again
		}
		if err != nil {
			b.journal.close()
			return err
		}
		if !fresh { // again: acknowledge, don't deliver [MQTT-4.3.3-10]
			b.journal.close()
			if p.Dup && c.oftenRepeated(p.PacketID) {
				return protocolError("a QoS 2 message again and again")
			}
			c.ackAfter(&c.bt, ackPending{ticket: b.journal.lastTicket(), typ: packet.TypePubrec, id: p.PacketID})
			return nil
		}
		ticket = t
	}
	// Mosquitto delivers a QoS 2 message after PUBREC: who listens to its own messages
	// gets that first. Where nothing is stored, PUBREC has nothing to wait for.
	early := p.QoS == 2 && c.cfg.LikeMosquitto && c.cfg.Durability == Memory
	if early {
		c.unacked.Add(1)
		c.ackAfter(&c.bt, ackPending{typ: packet.TypePubrec, id: p.PacketID})
	}
	matched, t := b.deliver(&c.bt, pub)
	b.journal.close()
	ticket = max(ticket, t)
	b.observe(msg)
	if pub.notRetained != "" {
		b.notRetained(msg, pub.notRetained)
		pub.notRetained = ""
	}
	if p.QoS == 0 || early {
		return nil
	}
	c.unacked.Add(1)
	a := ackPending{ticket: ticket, promise: pub.promise, typ: packet.TypePubrec, id: p.PacketID} // [MQTT-3.3.4-1] [MQTT-4.3.2-4] [MQTT-4.3.3-8]
	if p.QoS == 1 {
		a.typ, a.final = packet.TypePuback, true // [MQTT-4.3.2-5]
	}
	if matched == 0 && !r.noLocal && c.version == packet.V50 && (p.QoS == 1 || !c.cfg.LikeMosquitto) {
		a.code = packet.NoMatchingSubscribers
	}
	c.ackAfter(&c.bt, a)
	return nil
}

func wireVersion(v packet.Version) packet.Version {
	if v == packet.V50 {
		return v
	}
	return packet.V311
}

// handleAck acts on PUBACK, PUBREC, PUBREL and PUBCOMP.
func (c *conn) handleAck(f packet.Frame) error {
	id, code, err := packet.DecodeAck(c.version, f)
	if err != nil {
		return err
	}
	b := c.b
	if f.Type() == packet.TypePubrel {
		delete(c.repeated, id)
		b.journal.open()
		ticket, known := c.sess.release(c, id)
		b.journal.close()
		a := ackPending{ticket: ticket, typ: packet.TypePubcomp, id: id, final: known} // [MQTT-4.3.3-11] [MQTT-4.3.3-13]
		if !known && c.version == packet.V50 && !c.cfg.LikeMosquitto {
			a.code = packet.PacketIDNotFound // case P18
		}
		c.ackAfter(&c.bt, a)
		return nil
	}
	if c.cfg.LikeMosquitto && c.sess.misplaced(f.Type(), id) {
		return protocolError(f.Type().String() + " for a message that waits for another acknowledgement")
	}
	b.journal.open()
	known := c.sess.acked(&c.bt, c, f.Type(), id, code)
	b.journal.close()
	if !known {
		return c.violation(packet.ProtocolError, f.Type().String()+" for what is not under way")
	}
	return nil
}

// acked moves a message under way on by one step. Acknowledgements of what is
// not under way are counted and otherwise ignored (case P18): known is false. The gate is held.
func (s *Session) acked(bt *batch, c *conn, t packet.Type, id uint16, code packet.ReasonCode) (known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.Load() != c {
		return true
	}
	f := s.flights.byID[id] // [MQTT-2.2.1-5]
	qos := byte(2)
	if t == packet.TypePuback {
		qos = 1
	}
	if f == nil || f.qos != qos {
		s.b.stats.strayAcks.Add(1)
		if t == packet.TypePubrec && !code.Failed() {
			unknown := packet.Success
			if c.version == packet.V50 && !c.cfg.LikeMosquitto {
				unknown = packet.PacketIDNotFound
			}
			c.ackAfter(bt, ackPending{typ: packet.TypePubrel, id: id, code: unknown})
			return true // it may be from before a session was lost
		}
		return false
	}
	switch {
	case t == packet.TypePubrec && code < 0x80:
		s.released(bt, c, f)
		return true
	case t == packet.TypePubcomp && f.state != StateReleased:
		s.b.stats.strayAcks.Add(1)
		return false
	}
	s.done(&f.delivery) // [MQTT-4.4.0-2]
	kept := f.promise
	s.flights.remove(f)
	if kept != nil {
		kept.taken(bt)
	}
	s.pumpLocked(bt, c)
	return true
}

// released answers PUBREC with PUBREL, once it is stored that the client has the
// message. s.mu and the gate are held.
func (s *Session) released(bt *batch, c *conn, f *flight) {
	first := f.state == StateSent
	f.state = StateReleased // [MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.3.3-6]
	if f.unsent {
		s.flights.sentOne(f)
	}
	if first && f.stored {
		f.ticket = s.b.journal.append(Sent{s.clientID, f.seq, f.id, StateReleased})
	}
	c.ackAfter(bt, ackPending{ticket: f.ticket, typ: packet.TypePubrel, id: f.id})
}
