package web

import (
	"context"
	"sync"
	"time"

	"hearthmq/broker"
)

// recordEvery is how far apart the points of the last hour are.
const (
	recordEvery  = 15 * time.Second
	recordPoints = int(time.Hour / recordEvery)
)

// moment is what the broker did during one step.
type moment struct {
	at      time.Time
	in, out float64 // messages a second
	clients int
}

// record is the last hour. Safe for concurrent use.
type record struct {
	mu     sync.Mutex
	last   broker.Stats
	points []moment // oldest first
}

// note adds the figures of one step.
func (r *record) note(s broker.Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.last
	r.last = s
	seconds := s.Now.Sub(last.Now).Seconds()
	if last.Now.IsZero() || seconds <= 0 {
		return
	}
	r.points = append(r.points, moment{
		at: s.Now, clients: s.Clients,
		in:  float64(s.PublishReceived-last.PublishReceived) / seconds,
		out: float64(s.PublishSent-last.PublishSent) / seconds,
	})
	if extra := len(r.points) - recordPoints; extra > 0 {
		r.points = r.points[extra:]
	}
}

// since returns the points after a time.
func (r *record) since(t time.Time) []moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range r.points {
		if p.at.After(t) {
			return append([]moment(nil), r.points[i:]...)
		}
	}
	return nil
}

// Record notes what the broker does until ctx ends: the chart of the overview.
func (s *Server) Record(ctx context.Context) {
	tick := time.NewTicker(recordEvery)
	defer tick.Stop()
	for {
		s.record.note(s.cfg.Broker.Stats())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
