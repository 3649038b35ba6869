package feed

import (
	"slices"
	"time"
)

// searchEvery is how often changed values are searched again. A search that takes longer
// than searchSlice, such as one for a costly regular expression, goes on at the next look.
const (
	searchEvery = time.Second
	searchSlice = 100 * time.Millisecond
)

// search is a filter at work for one View.
type search struct {
	filter  *filter
	fresh   bool // nothing was sent yet
	matched map[*node]struct{}
	sent    int // matches that the browser was told
	at      time.Time
	since   int64    // of the search under way: topics that had a message later than that
	todo    []*entry // of it, not looked at yet
	scratch []byte
}

// look searches when it is time to.
func (v *View) look(now time.Time) {
	s := &v.search
	if s.filter == nil || len(s.todo) == 0 && !s.fresh && (v.paused || now.Sub(s.at) < searchEvery) {
		return
	}
	before := len(s.matched)
	if len(s.todo) == 0 {
		v.begin(now)
	}
	s.scan()
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

// begin starts to look through the topics: all of them at first, later those that
// changed.
func (v *View) begin(now time.Time) {
	s := &v.search
	s.since = s.at.Add(-searchEvery).UnixNano() // a message is recorded a little after it was received
	if s.matched == nil {
		s.since = 0
		s.matched = make(map[*node]struct{})
	}
	s.at = now
	v.feed.mu.RLock()
	s.todo = slices.Clone(v.feed.entries)
	v.feed.mu.RUnlock()
}

// scan goes on with that for a while. No lock is held but each topic's own, for as long
// as a copy takes.
func (s *search) scan() {
	begun := time.Now()
	for i, e := range s.todo {
		if i&15 == 15 && time.Since(begun) > searchSlice {
			s.todo = s.todo[i:]
			return
		}
		if _, ok := s.matched[e.node]; ok {
			continue
		}
		e.mu.Lock()
		if e.received < s.since {
			e.mu.Unlock()
			continue
		}
		s.scratch = append(s.scratch[:0], e.last...)
		e.mu.Unlock()
		if s.filter.matchTopic(e.topic) || s.filter.matchValue(s.scratch) {
			s.matched[e.node] = struct{}{}
		}
	}
	s.todo = nil
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
