package broker

// InGroup reports whether somebody is adding to the journal, so that no commit can
// come in between.
func (b *Broker) InGroup() bool {
	if b.journal.gate.TryLock() {
		b.journal.gate.Unlock()
		return false
	}
	return true
}

// BoundClaims sets how many bytes connections may hold together that were not let in yet.
func (b *Broker) BoundClaims(n int) {
	b.connsMu.Lock()
	defer b.connsMu.Unlock()
	b.admission.mostClaims = n
}

// Claims are how many they hold.
func (b *Broker) Claims() int {
	b.connsMu.Lock()
	defer b.connsMu.Unlock()
	return b.admission.claims
}

// MostClaims is the bound that comes with a memory limit.
var MostClaims = mostClaims

// Press puts the broker, which has no memory limit of its own, under one and a level of
// pressure, as watchMemory would.
func (b *Broker) Press(limit int64, level Pressure) {
	b.pressure.limit = limit
	b.pressure.level.Store(int32(level))
	b.share()
}

// Shed is what watchMemory does once a second while the pressure is critical.
func (b *Broker) Shed() { b.shedLoad() }

// Judge is the level that comes after another with so many percent of the limit in use.
func Judge(before Pressure, percent int64) Pressure {
	p := pressure{limit: 100}
	p.level.Store(int32(before))
	p.live.Store(percent)
	return p.judge()
}

// UntilNext is after which time it is looked whether a login has ended.
var UntilNext = untilNext

// Pending is how many bytes of messages wait to be stored, those of one message once.
func (b *Broker) Pending() (bytes int) {
	b.journal.mu.Lock()
	defer b.journal.mu.Unlock()
	seen := map[*Message]bool{}
	for _, c := range b.journal.pending {
		m := messageOf(c)
		if m != nil && !seen[m] {
			seen[m] = true
			bytes += m.Size()
		}
	}
	return bytes
}

// Weights are what a user's subscriptions weigh, and all that is retained but figures.
func (b *Broker) Weights(user string) (subscribed int, retained int64) {
	return b.subs.heldBy(user), b.retained.weight.Load()
}

// Remembered is how many clients the doorkeeper knows, and the bytes of their identifiers.
func (b *Broker) Remembered() (clients, bytes int) {
	d := &b.admission.doorkeeper
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.loops {
		bytes += len(key.clientID)
	}
	return len(d.loops), bytes
}

// RoomIn makes room in what is remembered of addresses, of which there are MaxPlaces at most.
var RoomIn = roomIn[int, bool]

const MaxPlaces = maxPlaces
