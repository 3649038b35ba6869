package broker

import (
	"fmt"
	"sync"

	"hearthmq/broker/packet"
)

// holding is what one user's clients have retained. holdings.mu guards it.
type holding struct {
	messages int
	weight   int
	bytes    int64
}

// holdings count retained messages by the user who published them last.
type holdings struct {
	mu     sync.Mutex
	byUser map[string]holding
}

// counted keeps the figures of all and of each user when a topic's message is replaced.
// nil stands for none. The topic's stripe is held.
func (r *retained) counted(old, m *Message) {
	r.holdings.mu.Lock()
	defer r.holdings.mu.Unlock()
	if r.holdings.byUser == nil {
		r.holdings.byUser = make(map[string]holding)
	}
	for _, x := range []struct {
		m    *Message
		sign int
	}{{old, -1}, {m, 1}} {
		if x.m == nil {
			continue
		}
		size := int64(x.sign * x.m.Size())
		r.count.Add(int64(x.sign))
		r.bytes.Add(size)
		if x.m.figure() {
			r.figures.count.Add(int64(x.sign))
			r.figures.bytes.Add(size)
		} else {
			r.weight.Add(int64(x.sign * x.m.weight()))
		}
		h := r.holdings.byUser[x.m.PublisherUser]
		h.messages += x.sign
		h.weight += x.sign * x.m.weight()
		h.bytes += size
		if h.messages == 0 {
			delete(r.holdings.byUser, x.m.PublisherUser)
		} else {
			r.holdings.byUser[x.m.PublisherUser] = h
		}
	}
}

// full says which limit keeps m from being retained in place of old, "" for none.
func (r *retained) full(b *Broker, old, m *Message) string {
	if len(m.Payload) == 0 || m.figure() {
		return ""
	}
	if why := r.crowded(b, old, m); why != "" {
		return why
	}
	if old == nil && b.pressure.high() {
		return "memory is short: no new topic is retained"
	}
	id := m.Publisher
	if id == nil || id.System || id.Limits == nil && len(b.cfg().ListenerLimits) == 0 && b.pressure.limit <= 0 {
		return ""
	}
	l := b.limitsAway(id.Listener, id)
	limited := l.RetainedMessages > 0 || l.RetainedBytes > 0
	if !limited && b.pressure.limit <= 0 {
		return ""
	}
	r.holdings.mu.Lock()
	h := r.holdings.byUser[id.User]
	r.holdings.mu.Unlock()
	if old != nil && old.PublisherUser == id.User {
		h.messages--
		h.bytes -= int64(old.Size())
	}
	if why := b.hoardsRetained(h, old, m); why != "" || !limited {
		return why
	}
	if most := l.RetainedMessages; most > 0 && h.messages >= most {
		return fmt.Sprintf("the user has as many retained messages as it may (%s)", b.cfg().whose(id.Listener, id, "retained_max_messages",
			float64(most), func(l *Limits) float64 { return float64(l.RetainedMessages) }))
	}
	if most := l.RetainedBytes; most > 0 && h.bytes+int64(m.Size()) > most {
		return fmt.Sprintf("the user's retained messages are as large as they may be (%s)", b.cfg().whose(id.Listener, id, "retained_max_bytes",
			float64(most), func(l *Limits) float64 { return float64(l.RetainedBytes) }))
	}
	return ""
}

// crowded says which limit of all m is beyond. What is retained may still change when the
// limit is reached, and grow a little, or its value would be an old one; it may not grow
// without bound.
func (r *retained) crowded(b *Broker, old, m *Message) string {
	messages, most := b.mostRetained(b.cfg())
	if messages > 0 && old == nil && r.count.Load()-r.figures.count.Load() >= messages {
		return "as many messages are retained as the settings allow"
	}
	if limit := b.pressure.limit; limit > 0 && old == nil && r.weight.Load() >= limit>>hoardRetained {
		return "as many messages are retained as the memory allows"
	}
	grows := int64(m.Size())
	if old != nil {
		grows -= int64(old.Size())
		most += most / 8
	}
	if most > 0 && grows > 0 && r.bytes.Load()-r.figures.bytes.Load()+grows > most {
		return "the retained messages are as large as the settings allow"
	}
	return ""
}

// notRetained shows a message that a limit kept from being retained to the owner.
func (b *Broker) notRetained(m *Message, why string) {
	b.denied(m.Publisher, Publish, m.Topic, RuleRef{Text: "not retained: " + why})
}

// overQuota reports a message that a limit keeps from being retained, to a client that
// can be told: MQTT 5 with QoS 1 or 2. To others it is delivered and not retained.
func (c *conn) overQuota(r *route) (why string) {
	m := &c.desk.msg
	if !m.Retain || m.QoS == 0 || c.version != packet.V50 {
		return ""
	}
	slot := r.retained
	if slot == nil || slot.msg.Load() == nil {
		slot = c.b.retained.slot(m.Topic)
	}
	var old *Message
	if slot != nil {
		old = slot.msg.Load()
	}
	return c.b.retained.full(c.b, old, m)
}
