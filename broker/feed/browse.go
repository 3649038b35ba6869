package feed

import (
	"time"

	"hearthmq/broker/feed/payload"
)

// Level is one level of the tree as a page without a script lists it.
type Level struct {
	Name     string
	Topic    string // or the beginning of topics, where it is a folder only
	Topics   int    // that lie below
	Known    bool   // there was a message on it
	Text     string // the beginning of its value, for people
	Retained bool
	At       time.Time
}

// Browse lists what lies directly below a folder, in order: at most n levels from the
// one with the number from on, and how many there are. top is the first level of all,
// whatever the folder is called. found is false where there is no such level.
func (f *Feed) Browse(folderName string, top bool, from, n int) (list []Level, all int, found bool) {
	kids, all, found := f.below(folderName, top, from, n, &list)
	now := time.Now().UnixNano()
	for i, x := range kids {
		l := &list[i]
		e := x.entry.Load()
		if e == nil {
			continue
		}
		e.mu.Lock()
		if !e.dead && e.known {
			l.Known, l.Text, l.Retained, l.At = true, payload.Preview(e.last, previewRunes), e.isRetained(now), time.Unix(0, e.received)
		}
		e.mu.Unlock()
	}
	return list, all, found
}

// below finds the levels that Browse lists, with all that Feed.mu guards of them.
func (f *Feed) below(folderName string, top bool, from, n int, list *[]Level) (kids []*node, all int, found bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	in := &f.tree.top
	if !top {
		at := f.tree.find(folderName)
		if at == nil {
			return nil, 0, false
		}
		if in = at.inside; in == nil {
			return nil, 0, true
		}
	}
	f.tree.sorting.Lock()
	defer f.tree.sorting.Unlock()
	sorted := in.sorted()
	from = min(max(from, 0), len(sorted))
	for _, x := range sorted[from:min(len(sorted), from+n)] {
		l := Level{Name: x.name, Topic: x.path()}
		if x.inside != nil {
			l.Topics = x.inside.topics
		}
		kids, *list = append(kids, x), append(*list, l)
	}
	return kids, len(sorted), true
}
