package web

import (
	"sync"
	"time"

	"hearthmq/broker"
)

// clientMeter turns the counters of connections into messages a second, over the time
// since somebody last looked. Safe for concurrent use.
type clientMeter struct {
	mu    sync.Mutex
	seen  map[string]*clientReading
	round uint64 // of observe
}

// clientReading is what a client's counters said, and the rates until then.
type clientReading struct {
	at             time.Time
	since          time.Time // when the connection began: another one counts anew
	received, sent uint64
	in, out        float64
	round          uint64
}

// clientRates are messages a second from and to a client.
type clientRates struct{ in, out float64 }

// observe notes the counters and returns the rates of each session.
func (m *clientMeter) observe(sessions []broker.SessionInfo) []clientRates {
	now := time.Now()
	rates := make([]clientRates, len(sessions))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = make(map[string]*clientReading, len(sessions))
	}
	m.round++
	connected := 0
	for i, s := range sessions {
		if !s.Connected {
			continue
		}
		connected++
		r := m.seen[s.ClientID]
		if r == nil {
			r = new(clientReading)
			m.seen[s.ClientID] = r
		}
		r.observe(&sessions[i], now)
		r.round = m.round
		rates[i] = clientRates{r.in, r.out}
	}
	if len(m.seen) > connected {
		for id, r := range m.seen {
			if r.round != m.round {
				delete(m.seen, id)
			}
		}
	}
	return rates
}

func (r *clientReading) observe(s *broker.SessionInfo, now time.Time) {
	if !r.since.Equal(s.Since) || now.Sub(r.at) > meterMax {
		*r = clientReading{at: s.Since, since: s.Since} // the mean of the connection until the next look
	} else if now.Sub(r.at) < meterMin {
		return
	}
	in, out := 0.0, 0.0
	if seconds := now.Sub(r.at).Seconds(); seconds >= 1 {
		in, out = float64(s.Received-r.received)/seconds, float64(s.Sent-r.sent)/seconds
	}
	*r = clientReading{at: now, since: s.Since, received: s.Received, sent: s.Sent, in: in, out: out}
}
