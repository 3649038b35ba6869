package web

import (
	"sync"
	"time"

	"hearthmq/broker"
)

// clientMeter turns the counters of connections into messages a second, over the time
// since somebody last looked. Safe for concurrent use.
type clientMeter struct {
	mu   sync.Mutex
	seen map[string]clientReading
}

// clientReading is what a client's counters said, and the rates until then.
type clientReading struct {
	at             time.Time
	since          time.Time // when the connection began: another one counts anew
	received, sent uint64
	in, out        float64
}

// observe notes the counters and returns the rates by Client Identifier.
func (m *clientMeter) observe(sessions []broker.SessionInfo) map[string]clientReading {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := make(map[string]clientReading, len(sessions))
	for _, s := range sessions {
		if !s.Connected {
			continue
		}
		old, ok := m.seen[s.ClientID]
		if !ok || !old.since.Equal(s.Since) || now.Sub(old.at) > meterMax {
			old = clientReading{at: s.Since, since: s.Since} // the mean of the connection until the next look
		} else if now.Sub(old.at) < meterMin {
			seen[s.ClientID] = old
			continue
		}
		r := clientReading{at: now, since: s.Since, received: s.Received, sent: s.Sent}
		if seconds := now.Sub(old.at).Seconds(); seconds >= 1 {
			r.in, r.out = float64(s.Received-old.received)/seconds, float64(s.Sent-old.sent)/seconds
		}
		seen[s.ClientID] = r
	}
	m.seen = seen
	return seen
}
