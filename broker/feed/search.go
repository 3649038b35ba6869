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
	matched map[*node]struct{}
	sent    int // matches that the browser was told
	at      time.Time
	scratch []byte
}

// look searches when it is time to.
func (v *View) look(now time.Time) {
	s := &v.search
	if s.filter == nil || !s.fresh && (v.paused || now.Sub(s.at) < searchEvery) {
		return
	}
	before := len(s.matched)
	v.scan(now)
	if s.fresh || len(s.matched) != before {
		v.list.stale = true
	}
}

// takeMatch says how many topics match, once that changed.
func (v *View) takeMatch(u *Update) {
	s := &v.search
	if s.filter == nil || !s.fresh && len(s.matched) == s.sent {
		return
	}
	u.Match = &Match{Filter: s.filter.text, Count: len(s.matched)}
	s.fresh, s.sent = false, len(s.matched)
}

// scan looks through the topics: all of them at first, later those that
// changed. No lock is held but each topic's own, for as long as a copy takes.
func (v *View) scan(now time.Time) {
	s := &v.search
	since := s.at.Add(-searchEvery).UnixNano() // a message is recorded a little after it was received
	if s.matched == nil {
		since = 0
		s.matched = make(map[*node]struct{})
	}
	s.at = now
	v.feed.mu.RLock()
	entries := slices.Clone(v.feed.entries)
	v.feed.mu.RUnlock()
	for _, e := range entries {
		if _, ok := s.matched[e.node]; ok {
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
			s.matched[e.node] = struct{}{}
		}
	}
}

// counts returns how many topics match in each node, by node.at, and forgets matches
// that are gone; Feed.mu is held.
func (s *search) counts(nodes int) []int32 {
	below := make([]int32, nodes)
	for n := range s.matched {
		if n.gone {
			delete(s.matched, n)
			continue
		}
		for ; n != nil; n = n.parent {
			below[n.at]++
		}
	}
	return below
}
