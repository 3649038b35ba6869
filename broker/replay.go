package broker

import (
	"unsafe"

	"hearthmq/broker/packet"
)

// errReplays ends a connection that asks for retained messages and does not take them.
var errReplays = &packet.Error{Code: packet.QuotaExceeded, Msg: "the retained messages of earlier subscriptions still wait for the client"}

// replay gives a new subscription the retained messages that it matches
// [MQTT-3.3.1-6]. c's reader calls it.
func (b *Broker) replay(c *conn, n *subscription) error {
	id := c.sess.identity.Load()
	t := n.target(nil)
	t.rules = b.deps.Authorizer.Generation()
	from := sources{b: b}
	for _, slot := range b.retained.slots(n.Filter) {
		d := b.deps.Authorizer.Authorize(id, Receive, slot.name)
		if !d.Allow {
			continue
		}
		stripe := b.retained.stripe(slot.name)
		stripe.Lock()
		m := slot.msg.Load()
		if m != nil && !m.Expired(c.now) && !(n.NoLocal && m.PublisherID == c.id.ClientID) && from.stands(m) {
			t.qos = min(n.QoS, d.MaxQoS)
			fits := c.sess.enqueueRetained(c, m, &t, b.outgoingQoS(m, &t), n.nth) // [MQTT-3.8.4-4] [MQTT3-3.3.1-6]
			if !fits && !id.System {
				stripe.Unlock()
				return errReplays
			}
		}
		stripe.Unlock()
	}
	return nil
}

// enqueueRetained gives a new subscription a retained message. It waits in a
// queue of its own, since the message is held anyway, and goes before all that is
// published later. fits is false when more waits than an honest client asks for: all of
// them by some filters that overlap. c's reader calls it with the topic's stripe held.
func (s *Session) enqueueRetained(c *conn, m *Message, t *target, qos byte, nth uint32) (fits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.Load() != c || s.gone {
		return true
	}
	if s.replay.len() >= s.b.replayRoom() {
		return false
	}
	s.replay.push(delivery{msg: m, subIDs: t.subIDs, qos: qos, retain: true, rules: t.rules, nth: nth}) // [MQTT3-3.3.1-8]
	s.setBehind(c, true)
	return true
}

// Bounds of what waits in one session's replay: so many times all retained messages, and
// some that may come meanwhile.
const (
	replayTimes = 4
	replayMore  = 1 << 13
)

// replayRoom is how many retained messages may wait for one client. While memory is
// short they take as much as a queue may, but all retained messages always fit once.
func (b *Broker) replayRoom() int {
	all := int(b.retained.count.Load())
	room := replayTimes*all + replayMore
	return max(all, b.pressure.queue(room*deliverySize)/deliverySize)
}

const deliverySize = int(unsafe.Sizeof(delivery{}))

// forgetReplay drops what still waits of subscriptions that an earlier SUBSCRIBE made and
// this one makes anew.
func (s *Session) forgetReplay(anew []*subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replay.len() == 0 {
		return
	}
	nths := make(map[uint32]bool, len(anew))
	for _, n := range anew {
		nths[n.nth] = true
	}
	for n := s.replay.len(); n > 0; n-- {
		if d := s.replay.pop(); !nths[d.nth] {
			s.replay.push(d)
		}
	}
}
