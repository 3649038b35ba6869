package feed

import (
	"strings"
	"sync"

	"hearthmq/broker"
)

// previousBytes bounds the values that are also kept as the previous one.
const previousBytes = 8 << 10

// trimmedBytes is what is left of a value once memory ran short.
const trimmedBytes = 256

// entry is a topic: its last value and its counters.
type entry struct {
	node  *node  // where it stands in the tree
	topic string // own bytes

	mu   sync.Mutex // guards what follows
	dead bool       // evicted: nobody may write here any more
	// version goes up with every change, so that a View sees whether there was one.
	version    uint64
	last, prev []byte // kept bytes; reused, so never handed out
	size       int    // of the last value, as it was received
	prevSize   int    // -1: there is no previous value
	known      bool   // there is a last value
	count      uint64 // messages since the start
	volume     uint64 // their payload bytes
	first      int64  // nanoseconds since 1970, as all times here
	received   int64
	prevAt     int64
	expires    int64 // of the retained message, 0: never
	qos        byte
	retained   bool
	publisher  *broker.Identity // nil: see publisherID
	publisherID,
	publisherUser string
	rate    window
	history *history // nil: nobody looks at it
}

// record notes a message. It reports false when e is dead or another topic's,
// and by how many bytes the buffers and the history grew.
func (e *entry) record(m *broker.Message, limit int) (ok bool, grown, longer int) {
	now := receivedAt(m)
	e.mu.Lock()
	if e.dead || e.topic != m.Topic {
		e.mu.Unlock()
		return false, 0, 0
	}
	if e.count == 0 {
		e.first = now
	}
	e.count++
	e.volume += uint64(len(m.Payload))
	e.rate.add(now)
	grown = e.put(m, now, limit)
	if m.Retain {
		e.retain(m)
	}
	if e.history != nil {
		longer = e.history.add(sampleOf(m, now))
	}
	e.mu.Unlock()
	return true, grown, longer
}

// seed notes a retained message from before the start, unless there was traffic.
func (e *entry) seed(m *broker.Message, limit int) (grown int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dead || e.topic != m.Topic {
		return 0
	}
	if !e.known {
		grown = e.put(m, receivedAt(m), limit)
	} else {
		e.version++
	}
	e.retain(m)
	return grown
}

func (e *entry) cleared() {
	e.mu.Lock()
	e.retained = false
	e.version++
	e.mu.Unlock()
}

// put makes m's payload the last value; e.mu is held.
func (e *entry) put(m *broker.Message, now int64, limit int) (grown int) {
	e.version++
	switch {
	case !e.known:
		e.prevSize = -1
	case len(e.last) <= previousBytes:
		e.last, e.prev = e.prev, e.last // the older bytes are written over
		e.prevSize, e.prevAt = e.size, e.received
	default:
		e.prev, e.prevSize, e.prevAt = e.prev[:0], e.size, e.received
	}
	e.known = true
	e.size = len(m.Payload)
	e.received = now
	e.qos = m.QoS
	keep := m.Payload[:min(len(m.Payload), limit)]
	if len(keep) > cap(e.last) {
		before := cap(e.last)
		// A little room, so that a value that grows by a digit does not allocate.
		e.last = make([]byte, 0, min(limit, (len(keep)+len(keep)/8+31)&^31))
		grown = cap(e.last) - before
	}
	e.last = append(e.last[:0], keep...)
	if m.Publisher != nil {
		e.publisher = m.Publisher
	} else if e.publisher != nil || e.publisherID != m.PublisherID || e.publisherUser != m.PublisherUser {
		e.publisher = nil
		e.publisherID, e.publisherUser = strings.Clone(m.PublisherID), strings.Clone(m.PublisherUser)
	}
	return grown
}

// retain notes what m means for the retained message of the topic: an empty
// payload clears it [MQTT-3.3.1-6]. e.mu is held.
func (e *entry) retain(m *broker.Message) {
	e.retained = len(m.Payload) > 0
	e.expires = 0
	if !m.Expires.IsZero() {
		e.expires = m.Expires.UnixNano()
	}
}

// isRetained reports whether the broker still keeps a retained message; e.mu is held.
func (e *entry) isRetained(now int64) bool {
	return e.retained && (e.expires == 0 || now < e.expires)
}

// shrink gives back buffers down to trimmedBytes of the last value.
func (e *entry) shrink() (freed int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dead {
		return 0
	}
	freed = cap(e.prev)
	e.prev = nil
	if n := min(len(e.last), trimmedBytes); cap(e.last) > n {
		freed += cap(e.last) - n
		kept := make([]byte, n)
		copy(kept, e.last)
		e.last = kept
	}
	if freed > 0 {
		e.version++
	}
	return freed
}

// rateWindow is the span that a rate is taken over, in nanoseconds.
const rateWindow = 10e9

// window estimates messages per second over the last ten seconds: the present
// window and what the one before it lends.
type window struct {
	start         int64
	count, before uint32
}

func (w *window) add(now int64) {
	if now-w.start >= rateWindow {
		w.turn(now)
	}
	w.count++
}

func (w *window) turn(now int64) {
	n := (now - w.start) / rateWindow
	w.before = 0
	if n == 1 {
		w.before = w.count
	}
	w.count = 0
	w.start += n * rateWindow
}

// perSecond is the rate at now of something first seen at first.
func (w window) perSecond(now, first int64) float64 {
	if now-w.start >= rateWindow {
		w.turn(now)
	}
	if age := now - first; age < rateWindow {
		return float64(w.count+w.before) / max(1, float64(age)/1e9)
	}
	rest := 1 - float64(now-w.start)/rateWindow
	return (float64(w.before)*rest + float64(w.count)) / (rateWindow / 1e9)
}
