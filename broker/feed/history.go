package feed

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"hearthmq/broker"
)

// Bounds of histories. A topic that somebody opened has a short one, as long as
// there is room; a pinned one has a long one until it is unpinned.
const (
	openSamples  = 500
	openBytes    = 512 << 10
	pinSamples   = 5000
	pinBytes     = 2 << 20
	wholeBytes   = 4 << 20  // of the newest payload, which is kept whole beyond the limits above
	openTopics   = 64       // opened, not pinned
	MaxPins      = 50       // pinned topics
	historyTotal = 32 << 20 // bytes of all histories together
)

// ErrTooManyPins says that MaxPins topics are pinned already.
var ErrTooManyPins = errors.New("too many topics are pinned")

// ErrNoTopic says that nothing is known of a topic.
var ErrNoTopic = errors.New("nothing is known of this topic")

// Sample is one message of a topic's history. It is immutable: its bytes are shared.
type Sample struct {
	Seq        uint64 // rises by one with each message that the history has seen
	At         time.Time
	Payload    []byte // what is kept of it
	Size       int    // as it was received
	QoS        byte
	Retain     bool
	ClientID   string
	User       string
	Properties []byte // as broker.Message has them
}

// weight is what the sample counts as against limits in bytes.
func (s *Sample) weight() int {
	return len(s.Payload) + len(s.Properties) + len(s.ClientID) + len(s.User) + 128
}

// history is what a topic's messages were. entry.mu guards it.
type history struct {
	samples []Sample // oldest first
	bytes   int
	seq     uint64 // of the newest one
	pinned  bool
	stored  uint64 // the store has those up to here
	used    int64  // when somebody looked at it last
}

// add appends a message and forgets the oldest ones beyond the limits. It returns
// by how many bytes the history grew, which may be less than nothing.
func (h *history) add(s Sample) (grown int) {
	before := h.bytes
	h.seq++
	s.Seq = h.seq
	h.samples = append(h.samples, s)
	h.bytes += s.weight()
	most, bytes := openSamples, openBytes
	if h.pinned {
		most, bytes = pinSamples, pinBytes
	}
	drop := max(0, len(h.samples)-most)
	left := h.bytes
	for i := range drop {
		left -= h.samples[i].weight()
	}
	for ; left > bytes && drop < len(h.samples)-1; drop++ {
		left -= h.samples[drop].weight()
	}
	h.drop(drop)
	return h.bytes - before
}

// drop forgets the oldest n samples.
func (h *history) drop(n int) {
	for i := range n {
		h.bytes -= h.samples[i].weight()
		h.samples[i] = Sample{} // its bytes may go
	}
	h.samples = h.samples[n:]
}

// sampleOf makes a Sample with bytes of its own.
func sampleOf(m *broker.Message, now int64) Sample {
	s := Sample{
		At: time.Unix(0, now), Size: len(m.Payload), QoS: m.QoS, Retain: m.Retain,
		Payload:    slices.Clone(m.Payload[:min(len(m.Payload), wholeBytes)]),
		Properties: slices.Clone(m.Properties[:min(len(m.Properties), openBytes/8)]),
		ClientID:   strings.Clone(m.PublisherID), User: strings.Clone(m.PublisherUser),
	}
	if p := m.Publisher; p != nil {
		s.ClientID, s.User = p.ClientID, p.User
	}
	s.ClientID, s.User = shortName(s.ClientID), shortName(s.User)
	return s
}

// histories are all entries that have one.
type histories struct {
	entries map[*entry]struct{} // guarded by Feed.mu
	bytes   atomic.Int64
}

// open begins a history of e, or notes that somebody looks at it.
func (f *Feed) open(e *entry, pin bool) {
	now := time.Now().UnixNano()
	f.mu.Lock()
	defer f.mu.Unlock()
	e.mu.Lock()
	if e.dead {
		e.mu.Unlock()
		return
	}
	h := e.history
	fresh := h == nil
	if fresh {
		h = e.begin()
		e.history = h
		f.histories.entries[e] = struct{}{}
		f.histories.bytes.Add(int64(h.bytes))
	}
	h.used = now
	h.pinned = h.pinned || pin
	e.mu.Unlock()
	if fresh {
		f.closeOldest(e, func() bool { return f.openCount() > openTopics })
	}
}

// begin makes a history of what e knows already; e.mu is held.
func (e *entry) begin() *history {
	h := new(history)
	if e.known && e.prevSize >= 0 && len(e.prev) == e.prevSize && e.count > 1 {
		h.add(Sample{At: time.Unix(0, e.prevAt), Size: e.prevSize, Payload: slices.Clone(e.prev)})
	}
	if e.known {
		s := Sample{At: time.Unix(0, e.received), Size: e.size, Payload: slices.Clone(e.last), QoS: e.qos, Retain: e.retained,
			ClientID: e.publisherID, User: e.publisherUser}
		if p := e.publisher; p != nil {
			s.ClientID, s.User = p.ClientID, p.User
		}
		s.ClientID, s.User = shortName(s.ClientID), shortName(s.User)
		h.add(s)
	}
	return h
}

// openCount is how many histories are not pinned; Feed.mu is held.
func (f *Feed) openCount() int {
	n := 0
	for e := range f.histories.entries {
		e.mu.Lock()
		if e.history != nil && !e.history.pinned {
			n++
		}
		e.mu.Unlock()
	}
	return n
}

// closeOldest forgets histories that are not pinned, the one that was looked at
// longest ago first, while more says so; Feed.mu is held for writing.
func (f *Feed) closeOldest(except *entry, more func() bool) {
	for more() {
		var oldest *entry
		var used int64
		for e := range f.histories.entries {
			if e == except {
				continue
			}
			e.mu.Lock()
			h := e.history
			if h != nil && !h.pinned && (oldest == nil || h.used < used) {
				oldest, used = e, h.used
			}
			e.mu.Unlock()
		}
		if oldest == nil {
			return
		}
		f.closeHistory(oldest)
	}
}

// closeHistory forgets e's history; Feed.mu is held for writing.
func (f *Feed) closeHistory(e *entry) {
	e.mu.Lock()
	h := e.history
	e.history = nil
	e.mu.Unlock()
	delete(f.histories.entries, e)
	if h != nil {
		f.histories.bytes.Add(int64(-h.bytes))
	}
}

// trimHistories gives back bytes after e's history grew beyond historyTotal: other
// histories first, then the older half of its own, then all but its beginning.
func (f *Feed) trimHistories(e *entry) {
	over := func() bool { return f.histories.bytes.Load() > historyTotal }
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closeOldest(e, over)
	if !over() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.history
	if h == nil || len(h.samples) == 0 {
		return
	}
	before := h.bytes
	h.drop(len(h.samples) - len(h.samples)/2 - 1)
	if last := &h.samples[len(h.samples)-1]; len(last.Payload) > previousBytes {
		h.bytes -= last.weight()
		last.Payload = slices.Clone(last.Payload[:previousBytes])
		h.bytes += last.weight()
	}
	f.histories.bytes.Add(int64(h.bytes - before))
}

// History is what is known of a topic's messages.
type History struct {
	Samples []Sample // oldest first
	Pinned  bool
}

// History returns the messages of a topic that were kept. It begins a history
// where there was none.
func (f *Feed) History(topicName string) (History, error) {
	e := f.lookup(topicName)
	if e == nil {
		return History{}, ErrNoTopic
	}
	f.open(e, false)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.history == nil {
		return History{}, ErrNoTopic // evicted meanwhile
	}
	return History{Samples: slices.Clone(e.history.samples), Pinned: e.history.pinned}, nil
}

// Last returns the newest message of a topic, as whole as it is kept. It does not
// begin a history.
func (f *Feed) Last(topicName string) (Sample, error) {
	e := f.lookup(topicName)
	if e == nil {
		return Sample{}, ErrNoTopic
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.history
	if h == nil {
		h = e.begin()
	}
	if len(h.samples) == 0 {
		return Sample{}, ErrNoTopic
	}
	return h.samples[len(h.samples)-1], nil
}
