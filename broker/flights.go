package broker

// flight is a QoS 1 or 2 message under way to a client.
type flight struct {
	delivery
	id     uint16
	state  DeliveryState // StateSent or StateReleased
	unsent bool          // PUBLISH or PUBREL is still to be sent on this connection
	dup    bool          // it was sent on an earlier connection
	next   *flight
	prev   *flight
}

// flights are a session's messages under way, by Packet Identifier and in the [MQTT3-4.6.0-1]
// order in which they were first sent. Session.mu guards them.
type flights struct {
	byID   map[uint16]*flight
	first  *flight
	last   *flight
	unsent *flight // first that is still to be sent; behind it only PUBRELs may have been sent
	spare  *flight // recycled, chained by next
	lastID uint16
	sent   int // how many have been sent on this connection
	bytes  int // of payload
}

func (l *flights) len() int { return len(l.byID) }

// add puts a delivery under way, as not sent yet, with an unused Packet
// Identifier when id is 0 [MQTT-2.2.1-4].
func (l *flights) add(d delivery, id uint16) *flight {
	if l.byID == nil {
		l.byID = make(map[uint16]*flight)
	}
	if id == 0 {
		id = l.nextID() // [MQTT-4.3.2-1] [MQTT-4.3.3-1]
	}
	f := l.spare
	if f != nil {
		l.spare = f.next
		*f = flight{}
	} else {
		f = new(flight)
	}
	f.delivery, f.id, f.state, f.unsent = d, id, StateSent, true // [MQTT-4.3.2-2] [MQTT-4.3.2-3] [MQTT-4.3.3-2] [MQTT-4.3.3-3]
	f.prev = l.last
	if l.last != nil {
		l.last.next = f
	} else {
		l.first = f
	}
	l.last = f
	if l.unsent == nil {
		l.unsent = f
	}
	l.byID[id] = f
	l.bytes += len(d.msg.Payload)
	return f
}

// nextID is the next Packet Identifier that nothing under way has. Fewer than 65535 may be.
func (l *flights) nextID() uint16 {
	for {
		l.lastID++
		if _, used := l.byID[l.lastID]; !used && l.lastID != 0 {
			return l.lastID
		}
	}
}

// reserve keeps a Packet Identifier from being given to others before it is added.
func (l *flights) reserve(id uint16) {
	if l.byID == nil {
		l.byID = make(map[uint16]*flight)
	}
	l.byID[id] = nil
}

// remove ends a flight; f is recycled and must not be used afterwards.
func (l *flights) remove(f *flight) {
	delete(l.byID, f.id)
	l.bytes -= len(f.msg.Payload)
	if !f.unsent {
		l.sent--
	}
	if l.unsent == f {
		l.skip()
	}
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		l.first = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	} else {
		l.last = f.prev
	}
	*f = flight{next: l.spare}
	l.spare = f
}

// sentOne notes that an unsent flight has been sent.
func (l *flights) sentOne(f *flight) {
	f.unsent = false
	l.sent++
	if l.unsent == f {
		l.skip()
	}
}

// skip moves on to the next flight that is still to be sent.
func (l *flights) skip() {
	for l.unsent = l.unsent.next; l.unsent != nil && !l.unsent.unsent; {
		l.unsent = l.unsent.next
	}
}

// resend marks everything as still to be sent, for a new connection: what was
// sent before carries DUP [MQTT-4.4.0-1].
func (l *flights) resend() {
	for f := l.first; f != nil; f = f.next {
		if !f.unsent {
			f.dup = true // [MQTT-3.3.1-1]
		}
		f.unsent = true
	}
	l.unsent = l.first
	l.spare = nil
	l.sent = 0
}
