package broker

// What only a bridge needs of its session here.

// HoldQoS0 keeps QoS 0 messages for a session without a connection, in memory, as long as
// hold is set: a bridge that is about to connect loses none of what is published meanwhile.
// A session that ends with its connection keeps nothing.
func (b *Broker) HoldQoS0(clientID string, hold bool) {
	if s := b.sessions.get(clientID); s != nil {
		s.holds.Store(hold)
	}
}

// TakePacketID takes the next Packet Identifier of the messages to a client for another
// use: a bridge passes messages on with their identifiers, and its own requests to the
// other side must not collide with them. It fails with ErrNotFound.
func (b *Broker) TakePacketID(clientID string) (uint16, error) {
	s := b.sessions.get(clientID)
	if s == nil {
		return 0, ErrNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flights.nextID(), nil
}

// RestartPacketIDs counts the Packet Identifiers of the messages to a client from 1 again.
// Those that are under way stay taken.
func (b *Broker) RestartPacketIDs(clientID string) {
	if s := b.sessions.get(clientID); s != nil {
		s.mu.Lock()
		s.flights.lastID = 0
		s.mu.Unlock()
	}
}
