package web

import (
	"sync"
	"time"

	"hearthmq/broker"
)

// meter turns the broker's counters into messages a second, over the time since
// somebody last looked: at least meterMin, at most meterMax. Safe for concurrent use.
type meter struct {
	mu        sync.Mutex
	old, last broker.Stats // old is at least meterMin before last
}

const (
	meterMin = 2 * time.Second
	meterMax = 30 * time.Second
)

// observe notes the figures and returns the rates in and out.
func (m *meter) observe(now broker.Stats) (in, out float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last.Now.IsZero() || now.Now.Sub(m.last.Now) > meterMax {
		// Nobody looked for a while: the mean since the start until the next look.
		m.old = broker.Stats{Now: now.Started}
		m.last = now
	} else if now.Now.Sub(m.last.Now) >= meterMin {
		m.old, m.last = m.last, now
	}
	seconds := now.Now.Sub(m.old.Now).Seconds()
	if seconds <= 0 {
		return 0, 0
	}
	return float64(now.PublishReceived-m.old.PublishReceived) / seconds,
		float64(now.PublishSent-m.old.PublishSent) / seconds
}
