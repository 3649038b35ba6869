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
