package feed

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"

	"hearthmq/broker/topic"
)

// Summary is a topic with the beginning of its last value.
type Summary struct {
	Topic    string
	Payload  []byte // its beginning; a copy
	Size     int    // of the whole value
	QoS      byte
	Retained bool
	Count    uint64 // messages since the start
	At       time.Time
	ClientID string // who sent it, "" when it is not known
	User     string
}

// Topics returns the topics that a Topic Filter matches, sorted, those after the
// given one ("": from the first on), at most limit; more says that there are others.
// Of each value at most most bytes are copied. It looks at every topic there is.
func (f *Feed) Topics(filter, after string, limit, most int) (list []Summary, more bool) {
	f.mu.RLock()
	var found []*entry
	for name, e := range f.index {
		if (after == "" || name > after) && topic.Match(filter, name) {
			found = append(found, e)
		}
	}
	f.mu.RUnlock()
	slices.SortFunc(found, func(a, b *entry) int { return cmp.Compare(a.topic, b.topic) })
	now := time.Now().UnixNano()
	for _, e := range found {
		if len(list) == limit {
			return list, true
		}
		e.mu.Lock()
		if e.dead || !e.known {
			e.mu.Unlock()
			continue
		}
		s := Summary{
			Topic: e.topic, Payload: slices.Clone(e.last[:min(len(e.last), most)]), Size: e.size, QoS: e.qos,
			Retained: e.isRetained(now), Count: e.count, At: time.Unix(0, e.received),
			ClientID: e.publisherID, User: e.publisherUser,
		}
		if e.publisher != nil {
			s.ClientID, s.User = e.publisher.ClientID, e.publisher.User
		}
		e.mu.Unlock()
		list = append(list, s)
	}
	return list, false
}

// Latest returns the topic of those that a Topic Filter matches on which a message came
// last, when that was, and whether it is retained; "" when none is known. It looks at
// every topic there is.
func (f *Feed) Latest(filter string) (name string, at time.Time, retained bool) {
	f.mu.RLock()
	var found []*entry
	for n, e := range f.index {
		if topic.Match(filter, n) {
			found = append(found, e)
		}
	}
	f.mu.RUnlock()
	now, last := time.Now().UnixNano(), int64(0)
	for _, e := range found {
		e.mu.Lock()
		if e.known && !e.dead && e.received > last {
			name, last, retained = e.topic, e.received, e.isRetained(now)
		}
		e.mu.Unlock()
	}
	return name, time.Unix(0, last), retained
}

// Names lists the topics that are known, in no order.
func (f *Feed) Names() iter.Seq[string] {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.Values(slices.Collect(maps.Keys(f.index)))
}

// Value returns at most most bytes of a topic's last value, a copy, and whether
// there is one.
func (f *Feed) Value(topicName string, most int) (beginning []byte, known bool) {
	e := f.lookup(topicName)
	if e == nil {
		return nil, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.last[:min(len(e.last), most)]), e.known
}
