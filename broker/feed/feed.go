package feed

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"hearthmq/broker"
)

// Limits bound what a Feed keeps. The zero value of a field means its default.
type Limits struct {
	Topics     int   // topics kept, and as many folders; 200,000
	ValueBytes int   // bytes kept of one value; 64 KiB
	TotalBytes int64 // bytes of all names and values together; 64 MiB
	Views      int   // browsers at a time; 64
}

func (l Limits) withDefaults() Limits {
	if l.Topics <= 0 {
		l.Topics = 200_000
	}
	if l.ValueBytes <= 0 {
		l.ValueBytes = 64 << 10
	}
	if l.TotalBytes <= 0 {
		l.TotalBytes = 64 << 20
	}
	if l.Views <= 0 {
		l.Views = 64
	}
	return l
}

// Feed is the live picture of all topics. It implements broker.Observer and is
// safe for concurrent use.
type Feed struct {
	limits Limits
	bytes  atomic.Int64  // names and value buffers
	unseen atomic.Uint64 // messages of topics there was no room for

	pinsMu sync.Mutex   // serialises changes of what is pinned; outermost
	store  HistoryStore // guarded by pinsMu; nil: pins end with the process

	mu      sync.RWMutex // guards what follows; never held over I/O
	index   map[string]*entry
	entries []*entry // all of index, in no order
	tree    tree
	views   map[*View]struct{}
	evicted uint64
	resting int // topics still to turn away, see respite

	histories histories
}

// New returns an empty Feed.
func New(l Limits) *Feed {
	return &Feed{
		limits: l.withDefaults(),
		index:  make(map[string]*entry),
		tree:   newTree(),
		views:  make(map[*View]struct{}),

		histories: histories{entries: make(map[*entry]struct{})},
	}
}

// OnPublish implements broker.Observer: it notes m's value as the last one of
// its topic. It keeps nothing of m itself.
func (f *Feed) OnPublish(m *broker.Message) {
	var e *entry
	if m.Slot != nil {
		e, _ = m.Slot.Load().(*entry)
	}
	if e == nil || !f.record(e, m) {
		f.onPublishSlow(m)
	}
}

// onPublishSlow finds or makes the entry that the Slot did not know.
func (f *Feed) onPublishSlow(m *broker.Message) {
	// Twice at most: the entry may be evicted between lookup and record.
	for range 2 {
		e := f.lookup(m.Topic)
		if e == nil {
			e = f.add(m.Topic)
		}
		if e == nil {
			break
		}
		if f.record(e, m) {
			if m.Slot != nil {
				m.Slot.Store(e)
			}
			return
		}
	}
	f.unseen.Add(1)
}

// record notes m at e and reports false when e is not (any more) m's entry.
func (f *Feed) record(e *entry, m *broker.Message) bool {
	ok, grown, longer := e.record(m, f.limits.ValueBytes)
	if grown != 0 && f.bytes.Add(int64(grown)) > f.limits.TotalBytes {
		f.trim(e)
	}
	if longer != 0 && f.histories.bytes.Add(int64(longer)) > historyTotal {
		f.trimHistories(e)
	}
	return ok
}

// OnEvent implements broker.Observer; nothing of it is shown here.
func (f *Feed) OnEvent(broker.Event) {}

// Seed shows retained messages of before the start. It does not count them as
// traffic, and a value that arrived meanwhile stays.
func (f *Feed) Seed(retained iter.Seq[*broker.Message]) {
	for m := range retained {
		e := f.lookup(m.Topic)
		if e == nil {
			e = f.add(m.Topic)
		}
		if e == nil {
			f.unseen.Add(1)
			continue
		}
		if grown := e.seed(m, f.limits.ValueBytes); grown != 0 && f.bytes.Add(int64(grown)) > f.limits.TotalBytes {
			f.trim(e)
		}
	}
}

// Cleared notes that the broker dropped the retained message of a topic without
// a message that would say so.
func (f *Feed) Cleared(topicName string) {
	if e := f.lookup(topicName); e != nil {
		e.cleared()
	}
}

// Totals says how much is shown, and how much is not.
type Totals struct {
	Topics  int
	Limit   int    // of Topics
	Evicted uint64 // topics forgotten to make room
	Unseen  uint64 // messages of topics that found no room
	Bytes   int64  // kept
}

// Totals returns the present figures.
func (f *Feed) Totals() Totals {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return Totals{
		Topics: len(f.entries), Limit: f.limits.Topics,
		Evicted: f.evicted, Unseen: f.unseen.Load(), Bytes: f.bytes.Load(),
	}
}

// Top returns the names of the top level in order, at most n of them, and how
// many there are: what a page shows before (or without) its script.
func (f *Feed) Top(n int) (names []string, all int) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.tree.first(n)
}

func (f *Feed) lookup(topicName string) *entry {
	f.mu.RLock()
	e := f.index[topicName]
	f.mu.RUnlock()
	return e
}

// node is the place of a topic, or of the beginning of some, in the tree; nil: there
// is none.
func (f *Feed) node(topicName string) *node {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.tree.find(topicName)
}

// receivedAt is when m came, in nanoseconds since 1970.
func receivedAt(m *broker.Message) int64 {
	if m.Received.IsZero() {
		return time.Now().UnixNano()
	}
	return m.Received.UnixNano()
}
