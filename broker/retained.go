package broker

import (
	"bytes"
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"

	"hearthmq/broker/topic"
)

// retainedStripes is how many locks keep the messages of one topic in order.
const retainedStripes = 64

// retainedSlot is the place of one topic's retained message. Publishers' routes
// remember it, so that the next message of the topic needs no look-up. Its
// topic's stripe guards changes; readers take what is there.
type retainedSlot struct {
	msg    atomic.Pointer[Message] // nil: dead, not in the trie any more
	name   string
	ticket uint64 // says that msg is stored
}

// retained is the retained message of every topic.
type retained struct {
	seed    maphash.Seed
	stripes [retainedStripes]sync.Mutex

	mu   sync.RWMutex
	trie topic.Trie[*retainedSlot]

	count    atomic.Int64
	bytes    atomic.Int64
	weight   atomic.Int64                        // without figures
	figures  struct{ count, bytes atomic.Int64 } // of these the broker's own, which no limit is for
	holdings holdings
}

// stripe is the lock under which messages of a topic are stored and delivered.
func (r *retained) stripe(name string) *sync.Mutex {
	return &r.stripes[maphash.String(r.seed, name)%retainedStripes]
}

// set stores p's message as the retained one, or removes it when the payload is
// empty [MQTT-3.3.1-6] [MQTT-3.3.1-7]. The topic's stripe and the gate are held.
// Beyond the limits a new topic is not retained; its message is delivered all the same.
func (r *retained) set(b *Broker, p *publication) (ticket uint64) {
	m := p.msg
	if len(m.Payload) == 0 {
		return r.clear(b, m.Topic)
	}
	slot := p.route.retained
	if slot == nil || slot.msg.Load() == nil {
		slot = r.slot(m.Topic)
	}
	var old *Message
	if slot != nil {
		old = slot.msg.Load()
	}
	if why := r.full(b, old, m); why != "" {
		b.stats.retainedRefused.Add(1)
		p.notRetained = why
		return 0
	}
	k := b.cfg().retainedCopy(p.keep(b))
	if old == nil {
		slot = &retainedSlot{name: k.Topic}
		slot.msg.Store(k)
		r.mu.Lock()
		r.trie.Set(k.Topic, slot)
		r.mu.Unlock()
	} else {
		slot.msg.Store(k)
	}
	r.counted(old, k)
	p.route.retained = slot
	if volatile(m.Topic) {
		return 0
	}
	switch {
	case old == nil || !same(old, k):
		slot.ticket = b.journal.append(RetainedSet{k})
	case b.journal.stored(slot.ticket):
		return 0 // what is stored is what is to be stored
	}
	return b.gated(slot.ticket)
}

// slot returns the place of a topic's message, nil where there is none.
func (r *retained) slot(name string) *retainedSlot {
	r.mu.RLock()
	defer r.mu.RUnlock()
	slot, _ := r.trie.Get(name)
	return slot
}

// gated is the ticket that an acknowledgement of a retained change waits for.
func (b *Broker) gated(ticket uint64) uint64 {
	if b.cfg().Durability == Balanced {
		return 0
	}
	return ticket
}

// same reports whether storing b in place of a would change nothing.
func same(a, b *Message) bool {
	return a.QoS == b.QoS && a.Expires.Equal(b.Expires) && a.PublisherID == b.PublisherID && a.PublisherUser == b.PublisherUser &&
		a.PublisherAccount == b.PublisherAccount && a.Vouched == b.Vouched &&
		bytes.Equal(a.Payload, b.Payload) && bytes.Equal(a.Properties, b.Properties)
}

// volatile topics are the broker's own figures, and what bridges say of themselves among
// them; they are not stored.
func volatile(name string) bool { return len(name) > 4 && name[:5] == "$SYS/" }

// figure reports whether the broker says it of itself: no limit is for that. A client, which
// may say whether its bridge is connected, has its limits there as anywhere.
func (m *Message) figure() bool { return m.Vouched && volatile(m.Topic) }

func (r *retained) clear(b *Broker, name string) (ticket uint64) {
	r.mu.Lock()
	slot, ok := r.trie.Delete(name)
	r.mu.Unlock()
	if !ok { // its end may not be stored yet
		return b.gated(b.journal.lastTicket())
	}
	old := slot.msg.Swap(nil)
	r.counted(old, nil)
	if volatile(name) {
		return 0
	}
	return b.gated(b.journal.append(RetainedCleared{name}))
}

// slots returns the places that a filter matches, as they are now.
func (r *retained) slots(filter string) []*retainedSlot {
	var list []*retainedSlot
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !topic.HasWildcard(filter) {
		if s, ok := r.trie.Get(filter); ok {
			list = append(list, s)
		}
		return list
	}
	r.trie.Select(filter, func(_ string, s *retainedSlot) bool {
		list = append(list, s)
		return true
	})
	return list
}

// Retained visits the retained messages that a filter matches, in no order. The
// messages are shared: look, don't touch.
func (b *Broker) Retained(filter string) iter.Seq[*Message] {
	return func(yield func(*Message) bool) {
		for _, s := range b.retained.slots(filter) {
			if m := s.msg.Load(); m != nil && !yield(m) {
				return
			}
		}
	}
}

// restoreRetained puts back what the store had.
func (b *Broker) restoreRetained(list []*Message) {
	for _, m := range list {
		m.kept = true
		if m.Expired(b.started) {
			continue
		}
		slot := &retainedSlot{name: m.Topic}
		slot.msg.Store(m)
		b.retained.trie.Set(m.Topic, slot)
		b.retained.counted(nil, m)
	}
}
