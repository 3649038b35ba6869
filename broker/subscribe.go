package broker

import (
	"errors"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// handleSubscribe takes subscriptions, answers once they are stored, and sends
// the retained messages that they match.
func (c *conn) handleSubscribe(f packet.Frame) error {
	var p packet.Subscribe
	if err := p.Decode(c.version, f); err != nil {
		return err
	}
	replays, err := c.subscribeAll(&p)
	if len(replays) > 0 {
		c.sess.forgetReplay(replays)
	}
	for _, n := range replays {
		if err := c.b.replay(c, n); err != nil {
			return err
		}
	}
	if len(replays) > 0 {
		c.sess.pump(&c.bt, c)
	}
	return err
}

// subscribeAll takes the subscriptions and answers. It returns those whose retained
// messages are due, which may be many: the journal must not wait for them.
func (c *conn) subscribeAll(p *packet.Subscribe) (replays []*subscription, err error) {
	wishes, err := c.wishesOf(p)
	if err != nil {
		return nil, err
	}
	b := c.b
	b.journal.open()
	defer b.journal.close()
	ack := packet.Suback{PacketID: p.PacketID, Codes: make([]packet.ReasonCode, len(wishes))} // [MQTT-2.2.1-6]
	replays = make([]*subscription, 0, len(wishes))
	var ticket uint64
	why := ""
	for i := range wishes {
		w := &wishes[i]
		if w.code != packet.Success {
			ack.Codes[i], why = c.subscribeFailure(w.code), w.said // [MQTT-3.9.3-1] [MQTT-3.8.4-7]
			continue
		}
		n, fresh, t := c.subscribe(w, &ack.Codes[i])
		ticket = max(ticket, t)
		if n == nil {
			why = "not granted"
			continue
		}
		if n.Share != "" { // no retained messages for Shared Subscriptions (4.8.2)
			continue
		}
		if n.RetainHandling == 0 || n.RetainHandling == 1 && fresh { // [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]
			replays = append(replays, n)
		}
	}
	if err := c.ackFilters(ticket, &ack, &ack.Properties, why); err != nil { // [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5]
		return nil, err
	}
	return replays, nil
}

// wish is one subscription that a client asks for, with what the rules say.
type wish struct {
	sub   Subscription
	code  packet.ReasonCode // Success, or why it fails whatever the rules say
	said  string
	d     Decision
	rules uint64 // generation of the rules that d is of
}

// wishesOf checks what a client asks for. That is done before the gate is held: many
// rules and many filters may take seconds, and nobody's message must wait for them.
func (c *conn) wishesOf(p *packet.Subscribe) ([]wish, error) {
	var subID uint32
	if ids := p.Properties.SubscriptionIDs; len(ids) > 0 {
		subID = ids[0]
	}
	wishes := make([]wish, len(p.Subscriptions))
	for i := range p.Subscriptions {
		w := &wishes[i]
		var err error
		if w.sub, w.code, w.said, err = c.newSubscription(&p.Subscriptions[i], subID); err != nil {
			return nil, err
		}
		if w.code == packet.Success {
			w.ask(c)
		}
	}
	return wishes, nil
}

func (w *wish) ask(c *conn) {
	w.rules = c.b.deps.Authorizer.Generation()
	w.d = c.b.deps.Authorizer.Authorize(c.id, Subscribe, w.sub.Filter) // case A5: without $share
}

// newSubscription checks what a client asks for. code is Success or why this one
// fails, said the same in words; err ends the connection.
//
// MQTT 3 knows no Shared Subscriptions: there a name that is malformed as one is
// a sound Topic Filter, which a server may refuse but not close over.
func (c *conn) newSubscription(ask *packet.Subscription, id uint32) (sub Subscription, code packet.ReasonCode, said string, err error) {
	if c.unclean([]byte(ask.Filter)) {
		return sub, 0, "", errUnclean
	}
	full := c.mountFilter(ask.Filter)
	share, filter, shared, bad := topic.ParseShare(full)
	if bad == nil {
		bad = topic.ValidFilter(filter)
	}
	if bad != nil {
		if err := c.badFilter(ask.Filter, bad); err != nil {
			return sub, 0, "", err
		}
	}
	if bad != nil && c.version != packet.V50 && topic.ValidFilter(full) == nil {
		return sub, packet.TopicFilterInvalid, bad.Error(), nil
	}
	switch {
	case bad == nil:
	case errors.Is(bad, topic.ErrTooDeep): // sound, but more than is stored (case P7)
		return sub, packet.QuotaExceeded, bad.Error(), nil
	case c.version == packet.V50:
		return sub, packet.TopicFilterInvalid, bad.Error(), nil
	default: // [MQTT3-4.7.1-2] [MQTT3-4.7.1-3]
		return sub, 0, "", &packet.Error{Code: packet.MalformedPacket, Msg: bad.Error()}
	}
	if shared && ask.NoLocal {
		return sub, 0, "", protocolError("No Local on a Shared Subscription") // [MQTT-3.8.3-4]
	}
	if why := c.tooDeep(filter); why != "" {
		c.b.denied(c.id, Subscribe, full, RuleRef{Text: "limit reached: " + why})
		return sub, packet.QuotaExceeded, why, nil
	}
	return Subscription{
		Filter: filter, Share: share, QoS: ask.QoS, NoLocal: ask.NoLocal || c.bridge && !shared, ID: id,
		RetainAsPublished: ask.RetainAsPublished || c.bridge, RetainHandling: ask.RetainHandling,
	}, packet.Success, "", nil
}

// textSubscriptions is the rule that denies what all sessions of a user hold together.
const textSubscriptions = "limit reached: as many subscriptions as it may have"

// subscribe adds the subscription where the rules allow it. code gets the granted QoS or
// the refusal; n is nil when refused. The gate is held.
func (c *conn) subscribe(w *wish, code *packet.ReasonCode) (n *subscription, fresh bool, ticket uint64) {
	b, s, sub := c.b, c.sess, w.sub
	if w.rules != b.deps.Authorizer.Generation() {
		w.ask(c) // they have changed meanwhile
	}
	d := w.d
	if !d.Allow {
		b.denied(c.id, Subscribe, sub.FullFilter(), d.Rule)
		*code = c.subscribeFailure(packet.NotAuthorized)
		return nil, false, 0
	}
	sub.QoS = min(sub.QoS, d.MaxQoS, c.cfg.announcedQoS()) // [MQTT-3.2.2-10]
	full := sub.FullFilter()
	s.mu.Lock()
	_, has := s.subs[full]
	tooMany := !has && len(s.subs) >= c.maxSubscriptions()
	persistent := s.persistent
	taken := s.conn.Load() != c
	s.mu.Unlock()
	if tooMany || taken || !has && c.hoards() {
		why := textSubscriptions
		if tooMany {
			why = "limit reached: " + c.subscriptionsFull()
		}
		if !taken { // its new connection asks again
			b.denied(c.id, Subscribe, full, RuleRef{Text: why})
		}
		*code = c.subscribeFailure(packet.QuotaExceeded)
		return nil, false, 0
	}
	n, fresh = b.subs.add(s, sub, d.Narrowed)
	if persistent {
		ticket = b.journal.append(SubscriptionSaved{s.clientID, sub})
	}
	*code = packet.ReasonCode(sub.QoS) // [MQTT-3.8.4-6] [MQTT-3.8.4-7]
	b.event(Subscribed{At: c.now, Identity: c.id, Subscription: sub, Narrowed: d.Narrowed})
	return n, fresh, ticket
}

// subscribeFailure is a refusal as the client's version says it. [MQTT3-3.9.3-2]
func (c *conn) subscribeFailure(code packet.ReasonCode) packet.ReasonCode {
	if c.version != packet.V50 {
		return packet.UnspecifiedError // 0x80, the only one
	}
	return code
}

// handleUnsubscribe ends subscriptions [MQTT-3.10.4-4].
func (c *conn) handleUnsubscribe(f packet.Frame) error {
	var p packet.Unsubscribe
	if err := p.Decode(c.version, f); err != nil {
		return err
	}
	b, s := c.b, c.sess
	b.journal.open()
	defer b.journal.close()
	ack := packet.Unsuback{PacketID: p.PacketID, Codes: make([]packet.ReasonCode, len(p.Filters))} // [MQTT-2.2.1-6] [MQTT-3.10.4-5]
	var ticket uint64
	why := ""
	left := make(map[shareName]bool)
	defer func() { b.leaveShares(&c.bt, s, left) }()
	for i, full := range p.Filters { // [MQTT-3.10.4-6]
		t, ok, code, err := c.unsubscribe(s, full, left)
		if err != nil {
			return err
		}
		ack.Codes[i] = code // [MQTT-3.11.3-1]
		ticket = max(ticket, t)
		if ok {
			b.event(Unsubscribed{At: c.now, Identity: c.id, Filter: full})
		} else if code.Failed() && why == "" {
			why = "not a Topic Filter, or none that the client may leave"
		}
	}
	return c.ackFilters(ticket, &ack, &ack.Properties, why) // [MQTT-3.10.4-4] [MQTT-3.10.4-5]
}

// unsubscribe ends a subscription, and notes a shared one in left. code is what UNSUBACK
// says; err ends the connection.
func (c *conn) unsubscribe(s *Session, full string, left map[shareName]bool) (ticket uint64, ok bool, code packet.ReasonCode, err error) {
	if c.unclean([]byte(full)) {
		return 0, false, 0, errUnclean
	}
	full = c.mountFilter(full)
	share, filter, _, bad := topic.ParseShare(full)
	if bad == nil {
		bad = topic.ValidFilter(filter)
	}
	if bad != nil {
		return 0, false, packet.TopicFilterInvalid, c.badFilter(full, bad)
	}
	if u, ok := c.b.deps.Authorizer.(UnsubscribeAuthorizer); ok && !c.id.System && !u.MayUnsubscribe(c.id, filter) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.settled(), false, packet.NotAuthorized, nil
	}
	if !c.b.subs.remove(s, full) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.settled(), false, packet.NoSubscriptionExisted, nil
	}
	s.mu.Lock()
	if s.persistent {
		ticket = c.b.journal.append(SubscriptionDeleted{s.clientID, full})
	}
	s.mu.Unlock()
	if share != "" {
		left[shareName{share, filter}] = true
	}
	return ticket, true, packet.Success, nil
}
