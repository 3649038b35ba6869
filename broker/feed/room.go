package feed

import (
	"math/rand/v2"
	"strings"
)

const (
	// nodeBytes is roughly what a topic or folder costs beside its name.
	nodeBytes = 128
	// sample is how many entries are looked at to find one that was quiet for long.
	sample = 16
	// respite is how many topics without room are turned away unlooked after a search
	// that found only what is kept: with everything retained it would find that again.
	respite = 64
)

// add makes an entry for a topic, or returns nil when there is no room for it.
func (f *Feed) add(topicName string) *entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.index[topicName]; e != nil {
		return e
	}
	var at *node
	var rest string
	var more bool
	var need int64
	for tries := 0; ; tries++ {
		// Again after an eviction, which may have taken a folder of ours.
		missing := 0
		if at, rest, more = f.tree.walk(topicName); more {
			missing = strings.Count(rest, "/") + 1
		}
		if need = int64(len(topicName) + missing*nodeBytes); f.fits(missing, need) {
			break
		}
		if f.resting > 0 {
			f.resting--
			return nil
		}
		if tries == 4 {
			return nil
		}
		if !f.evict(nil) {
			f.resting = respite
			return nil
		}
	}
	name := strings.Clone(topicName)
	e := &entry{topic: name, prevSize: -1}
	e.node = f.tree.grow(at, name[len(name)-len(rest):], more)
	e.node.entry.Store(e)
	f.tree.count(e.node, 1)
	f.index[name] = e
	f.entries = append(f.entries, e)
	f.bytes.Add(need)
	return e
}

// fits reports whether a topic with so many new nodes finds room; f.mu is held.
func (f *Feed) fits(nodes int, need int64) bool {
	return len(f.entries) < f.limits.Topics &&
		len(f.tree.nodes)+nodes <= 2*f.limits.Topics &&
		f.bytes.Load()+need <= f.limits.TotalBytes
}

// evict forgets the longest quiet of a few topics that are neither
// retained nor pinned, and reports whether there was one. f.mu is held for writing.
func (f *Feed) evict(except *entry) bool {
	var oldest *entry
	var at int
	var since int64
	for range min(sample, len(f.entries)) {
		i := rand.IntN(len(f.entries))
		e := f.entries[i]
		if e == except {
			continue
		}
		e.mu.Lock()
		kept, received := e.retained || e.history != nil && e.history.pinned, e.received
		e.mu.Unlock()
		if !kept && (oldest == nil || received < since) {
			oldest, at, since = e, i, received
		}
	}
	if oldest == nil {
		return false
	}
	oldest.mu.Lock()
	oldest.dead = true
	freed := cap(oldest.last) + cap(oldest.prev)
	oldest.last, oldest.prev = nil, nil
	oldest.mu.Unlock()
	f.closeHistory(oldest)

	last := len(f.entries) - 1
	f.entries[at], f.entries[last] = f.entries[last], nil
	f.entries = f.entries[:last]
	delete(f.index, oldest.topic)
	n := oldest.node
	n.entry.Store(nil)
	f.tree.count(n, -1)
	freed += len(oldest.topic) + f.tree.prune(n)*nodeBytes
	f.bytes.Add(int64(-freed))
	f.evicted++
	return true
}

// trim gives back bytes until the limit is kept again: it shortens values of
// other topics to their beginnings, forgets quiet topics, and in the end
// shortens e, whose value has just been taken.
func (f *Feed) trim(e *entry) {
	over := func() bool { return f.bytes.Load() > f.limits.TotalBytes }
	f.mu.RLock()
	for range 4 * sample {
		if !over() || len(f.entries) == 0 {
			break
		}
		if x := f.entries[rand.IntN(len(f.entries))]; x != e {
			f.bytes.Add(int64(-x.shrink()))
		}
	}
	f.mu.RUnlock()
	if !over() {
		return
	}
	f.mu.Lock()
	for tries := 0; over() && tries < sample && f.evict(e); tries++ {
	}
	f.mu.Unlock()
	if over() {
		f.bytes.Add(int64(-e.shrink()))
	}
}
