package broker

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// dropChunk is how many retained messages are removed at once, so that a cleanup of
// thousands holds up nobody's acknowledgement for long.
const dropChunk = 256

// DropRetained removes the retained messages of topics and returns those that
// there were, for RestoreRetained. Topics without one and the broker's own are
// passed over. Without tell nobody is told, so that no device takes an empty
// message for a command; with tell it is as if empty messages had been published
// [MQTT-3.3.1-6], which is how Home Assistant removes a discovered entity.
//
// It returns once the removal is stored; after an error part of it may have happened.
func (b *Broker) DropRetained(ctx context.Context, names []string, tell bool) (dropped []*Message, err error) {
	var ticket uint64
	for chunk := range slices.Chunk(names, dropChunk) {
		if err := ctx.Err(); err != nil {
			return dropped, err
		}
		if tell {
			for _, name := range chunk {
				if m := b.retained.message(name); m != nil && !volatile(name) {
					dropped = append(dropped, m)
					empty := NewMessage(name, nil, 0, true)
					empty.Received = time.Now()
					ticket = max(ticket, b.inject(empty))
				}
			}
			continue
		}
		b.journal.open()
		for _, name := range chunk {
			if volatile(name) {
				continue
			}
			stripe := b.retained.stripe(name)
			stripe.Lock()
			if m := b.retained.message(name); m != nil {
				dropped = append(dropped, m)
				ticket = max(ticket, b.retained.clear(b, name))
			}
			stripe.Unlock()
		}
		b.journal.close()
	}
	return dropped, b.journal.wait(ctx, ticket)
}

// message returns the retained message of a topic, or nil.
func (r *retained) message(name string) *Message {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if slot, ok := r.trie.Get(name); ok {
		return slot.msg.Load()
	}
	return nil
}

// RestoreRetained puts retained messages back where there is none now, and returns
// those it put back. With tell they are also delivered to those who are subscribed.
func (b *Broker) RestoreRetained(ctx context.Context, messages []*Message, tell bool) (restored []*Message, err error) {
	var ticket uint64
	now := time.Now()
	for chunk := range slices.Chunk(messages, dropChunk) {
		for _, m := range chunk {
			if err := ctx.Err(); err != nil {
				return restored, err
			}
			if volatile(m.Topic) || m.Expired(now) || len(m.Payload) == 0 {
				continue
			}
			k := *m.Keep()
			k.Retain, k.Slot = true, nil
			if tell {
				if b.retained.message(m.Topic) != nil {
					continue
				}
				ticket = max(ticket, b.inject(&k))
				restored = append(restored, m)
				continue
			}
			p := &publication{msg: &k, route: b.newRoute(m.Topic, nil)}
			b.journal.open()
			stripe := b.retained.stripe(m.Topic)
			stripe.Lock()
			if b.retained.message(m.Topic) == nil {
				ticket = max(ticket, b.retained.set(b, p))
				if b.retained.message(m.Topic) != nil { // else there was no room
					restored = append(restored, m)
				}
			}
			stripe.Unlock()
			b.journal.close()
		}
	}
	return restored, b.journal.wait(ctx, ticket)
}

// SubscriberInfo is a subscription that a topic's messages match.
type SubscriberInfo struct {
	ClientID  string // "" for a part of the broker itself
	User      string
	Connected bool
	Filter    string // with its $share part
	QoS       byte   // what messages of the topic are delivered with at most
	Receives  bool   // the rules let the messages through
	Rule      RuleRef
}

// Subscribers returns the subscriptions of sessions that match a Topic Name, sorted
// by Client Identifier and filter.
func (b *Broker) Subscribers(topicName string) []SubscriberInfo {
	var found []*subscription
	b.subs.mu.RLock()
	b.subs.trie.Match(topicName, func(set *subscribers) bool {
		found = append(found, set.list...)
		for _, g := range set.shares {
			found = append(found, g.members...)
		}
		return true
	})
	b.subs.mu.RUnlock()
	list := make([]SubscriberInfo, 0, len(found))
	for _, n := range found {
		if n.session == nil {
			continue
		}
		id := n.session.identity.Load()
		d := b.deps.Authorizer.Authorize(id, Receive, topicName)
		list = append(list, SubscriberInfo{
			ClientID: n.session.clientID, User: n.session.user, Connected: n.session.conn.Load() != nil,
			Filter: n.FullFilter(), QoS: min(n.QoS, d.MaxQoS), Receives: d.Allow, Rule: d.Rule,
		})
	}
	slices.SortFunc(list, func(x, y SubscriberInfo) int {
		return cmp.Or(cmp.Compare(x.ClientID, y.ClientID), cmp.Compare(x.Filter, y.Filter))
	})
	return list
}
