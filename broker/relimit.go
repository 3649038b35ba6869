package broker

import (
	"fmt"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// What happens to those who are here when a user's limits change. Rates, subscriptions and
// retained messages follow with the next packet, the queue and what is under way at once:
// nothing that waits or is under way is thrown away for it. Connections above a lower bound
// stay until they end, and Maximum Packet Size stays what CONNACK told the client.

// Limiter is implemented by an Authorizer that knows what users are limited to now. It
// does no I/O. known is false for those whose limits came with their login. system says
// that it is a system user, which the Identity of a stored session does not tell.
type Limiter interface {
	LimitsOf(id *Identity) (l Limits, system, known bool)
}

// limitsNow is what a user may take now; a stored session's Identity has none.
func (b *Broker) limitsNow(id *Identity) (l Limits, system, known bool) {
	limiter, ok := b.deps.Authorizer.(Limiter)
	if !ok || id.System {
		return Limits{}, id.System, false
	}
	return limiter.LimitsOf(id)
}

// limitsAway is what all, listener and user limit somebody to who need not be connected.
func (b *Broker) limitsAway(listener string, id *Identity) Limits {
	if _, system, _ := b.limitsNow(id); system {
		return Limits{}
	}
	return b.cfg().limitsOf(listener, id)
}

// relimit applies a change of the user's limits to a session and its connection.
func (b *Broker) relimit(s *Session) {
	s.mu.Lock()
	id := *s.identity.Load()
	l, _, known := b.limitsNow(&id)
	if !known || l == limitsOf(&id) {
		s.mu.Unlock()
		return
	}
	id.Limits = &l
	s.identity.Store(&id)
	if s.willOf != nil {
		s.willOf = &id
	}
	c := s.conn.Load()
	if c == nil {
		s.limits = b.limitsAway(s.listener, &id)
	} else {
		s.limits = c.limitsOf(&id)
		s.window = c.window(s.limits)
		c.relimited.Store(&l)
	}
	s.mu.Unlock()
	if c != nil {
		s.pumpFor(c) // more may be under way now
	}
}

// limitsOf is what listener and user limit the connection to.
func (c *conn) limitsOf(id *Identity) Limits { return c.base.limitsOf(c.info.Name, id) }

// window is how many QoS 1 and 2 messages may be under way to the client.
func (c *conn) window(l Limits) int {
	n := c.base.MaxInflight
	strictest(&n, l.Inflight)
	if c.receiveMaximum > 0 {
		n = min(n, c.receiveMaximum) // [MQTT-3.3.4-9]
	}
	return int(n)
}

// obey narrows the connection's settings to what listener and user are limited to.
func (c *conn) obey() {
	c.base = c.cfg
	c.bound(c.limitsOf(c.id))
	if l := c.limits; l.PacketSize > 0 {
		own := *c.cfg
		strictest(&own.MaxPacketSize, l.PacketSize)
		c.cfg = &own
	}
}

// bound sets what the reader keeps to.
func (c *conn) bound(l Limits) {
	c.limits = l
	c.pace(l)
}

// maxSubscriptions is how many the client may have.
func (c *conn) maxSubscriptions() int {
	n := c.base.MaxSubscriptions
	strictest(&n, c.limits.Subscriptions)
	return n
}

// nouns is a noun for that many things.
func nouns[N int | float64](n N, one string) string {
	if n == 1 {
		return one
	}
	return one + "s"
}

// subscriptionsFull says in words that there are as many.
func (c *conn) subscriptionsFull() string {
	most := c.maxSubscriptions()
	return fmt.Sprintf("%d %s already (%s)", most, nouns(most, "subscription"), c.base.whose(c.info.Name, c.id, "max_subscriptions",
		float64(most), func(l *Limits) float64 { return float64(l.Subscriptions) }))
}

// tooBig adds whose limit it is to the error over a packet that is too large.
func (c *conn) tooBig(err error) error {
	pe, ok := err.(*packet.Error)
	if !ok || pe.Code != packet.PacketTooLarge || c.sess == nil {
		return err
	}
	most := c.cfg.MaxPacketSize
	return &packet.Error{Code: pe.Code, Msg: fmt.Sprintf("%s, %d bytes (%s)", pe.Msg, most, c.base.whose(c.info.Name, c.id, "max_packet_size",
		float64(most), func(l *Limits) float64 { return float64(l.PacketSize) }))}
}

// tooDeep says why a Topic Name or a Topic Filter has too many levels, "" when it has not.
func (c *conn) tooDeep(name string) string {
	most := c.limits.TopicLevels
	n := topic.Levels(name)
	if most <= 0 || n <= most {
		return ""
	}
	return fmt.Sprintf("it has %d levels, at most %d may be (%s)", n, most, c.base.whose(c.info.Name, c.id, "max_topic_levels",
		float64(most), func(l *Limits) float64 { return float64(l.TopicLevels) }))
}

// follow takes over limits that were changed while the client was connected. The reader
// calls it.
func (c *conn) follow() {
	if l := c.relimited.Swap(nil); l != nil {
		id := *c.id
		id.Limits = l
		c.id = &id
		c.bound(c.limitsOf(&id))
	}
}
