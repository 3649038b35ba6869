package addon

// Age makes all that Home Assistant has said eleven minutes older.
func (l *HomeAssistantLogin) Age() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.proven {
		p.at = p.at.Add(-loginTTL - loginFresh)
	}
	clear(l.refused)
}
