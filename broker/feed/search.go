package feed

import (
	"slices"
	"time"
)

// searchEvery is how often changed values are searched again.
const searchEvery = time.Second

// search is a filter at work for one View.
type search struct {
	filter  *filter
	fresh   bool // nothing was sent yet
	matched map[uint32]struct{}
	found   []uint32 // not sent yet
	at      time.Time
	scratch []byte
}

// left reports whether matches wait to be sent.
func (s *search) left() bool { return len(s.found) > 0 }

// takeMatches adds topics that match and were not sent yet.
func (v *View) takeMatches(u *Update, room int, now time.Time, paused bool) int {
	s := &v.search
	if s.filter == nil {
		return room
	}
	if s.fresh || !paused && now.Sub(s.at) >= searchEvery {
		v.scan(now)
	}
	if !s.fresh && len(s.found) == 0 || room < 4096 {
		return room
	}
	n := min(len(s.found), (room-2048)/11)
	u.Match = &Match{Filter: s.filter.text, First: s.fresh, IDs: s.found[:n], Done: n == len(s.found)}
	s.fresh = false
	s.found = s.found[n:]
	return room - n*11 - 2048
}

// scan looks through the topics: all of them at first, later those that
// changed. No lock is held but each topic's own, for as long as a copy takes.
func (v *View) scan(now time.Time) {
	s := &v.search
	since := s.at.Add(-searchEvery).UnixNano() // a message is recorded a little after it was received
	if s.matched == nil {
		since = 0
		s.matched = make(map[uint32]struct{})
	}
	s.at = now
	v.feed.mu.RLock()
	entries := slices.Clone(v.feed.entries)
	v.feed.mu.RUnlock()
	s.forget(entries)
	for _, e := range entries {
		if _, ok := s.matched[e.node.id]; ok {
			continue
		}
		e.mu.Lock()
		if e.received < since {
			e.mu.Unlock()
			continue
		}
		s.scratch = append(s.scratch[:0], e.last...)
		e.mu.Unlock()
		if s.filter.matchTopic(e.topic) || s.filter.matchValue(s.scratch) {
			s.matched[e.node.id] = struct{}{}
			s.found = append(s.found, e.node.id)
		}
	}
}

// forget drops the marks of topics that were evicted, once they are many.
func (s *search) forget(entries []*entry) {
	if len(s.matched) <= 2*len(entries)+1000 {
		return
	}
	old := s.matched
	s.matched = make(map[uint32]struct{}, len(entries))
	for _, e := range entries {
		if _, ok := old[e.node.id]; ok {
			s.matched[e.node.id] = struct{}{}
		}
	}
}
