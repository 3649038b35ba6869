package broker

// What happens to those who are here when a user's limits change. Rates, subscriptions and
// retained messages follow with the next packet, the queue and what is under way at once:
// nothing that waits or is under way is thrown away for it. Connections above a lower bound
// stay until they end, and Maximum Packet Size stays what CONNACK told the client.

// Limiter is implemented by an Authorizer that knows what users are limited to now. It
// does no I/O. known is false for those whose limits came with their login.
type Limiter interface {
	LimitsOf(id *Identity) (l Limits, known bool)
}

// limitsNow is what a user may take now; a stored session's Identity has none.
func (b *Broker) limitsNow(id *Identity) (l Limits, known bool) {
	limiter, ok := b.deps.Authorizer.(Limiter)
	if !ok || id.System {
		return Limits{}, false
	}
	return limiter.LimitsOf(id)
}

// relimit applies a change of the user's limits to a session and its connection.
func (b *Broker) relimit(s *Session) {
	s.mu.Lock()
	id := *s.identity.Load()
	l, known := b.limitsNow(&id)
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
		s.limits = b.cfg().EachClient.Strictest(l)
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

func limitsOf(id *Identity) Limits {
	if id.Limits == nil {
		return Limits{}
	}
	return *id.Limits
}

// limitsOf is what listener and user limit the connection to.
func (c *conn) limitsOf(id *Identity) Limits {
	if id.System {
		return Limits{}
	}
	l := c.base.EachClient
	if r := c.info.Rules; r != nil {
		l = l.Strictest(r.Limits)
	}
	return l.Strictest(limitsOf(id))
}

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
	c.rates.set(l)
}

// maxSubscriptions is how many the client may have.
func (c *conn) maxSubscriptions() int {
	n := c.base.MaxSubscriptions
	strictest(&n, c.limits.Subscriptions)
	return n
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
