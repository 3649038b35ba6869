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
