package broker

import (
	"slices"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// target is one receiver of a topic's messages, with everything that can be
// decided before a message comes.
type target struct {
	session *Session
	local   *LocalClient // instead of session
	qos     byte         // highest QoS of its matching subscriptions and rights
	rap     bool         // Retain As Published
	subIDs  []uint32
	rules   uint64 // generation of the rules that allowed it
	share   *shareGroup
}

// shareRoute is a Shared Subscription as a receiver: one of its members gets the message.
type shareRoute struct {
	group   *shareGroup
	members []target
}

// route is where the messages of one publisher's topic go. It is right as long
// as neither subscriptions nor rules have changed.
type route struct {
	name     string // Topic Name, interned: the messages share it
	decision Decision
	targets  []target
	shares   []shareRoute
	retained *retainedSlot
	slot     *Slot
	subs     uint64 // generations
	rules    uint64
}

// routeCacheSize bounds what a connection remembers.
const routeCacheSize = 1024

// routeCache remembers the routes of the topics that a connection publishes to,
// its right to do so included. The reader owns it.
type routeCache struct {
	last   *route
	routes map[string]*route
}

// errTopicName ends a connection that publishes to what is no Topic Name.
func errTopicName(err error) error {
	return &packet.Error{Code: packet.TopicNameInvalid, Msg: "topic name: " + err.Error()}
}

// lookup returns the route for a Topic Name, made anew when it is out of date.
func (rc *routeCache) lookup(b *Broker, name []byte, id *Identity, from *Session) (*route, error) {
	r := rc.last
	if r == nil || r.name != string(name) {
		r = rc.routes[string(name)]
	}
	subs, rules := b.subs.gen.Load(), b.deps.Authorizer.Generation()
	if r != nil && r.subs == subs && r.rules == rules {
		rc.last = r
		return r, nil
	}
	text := ""
	if r != nil {
		text = r.name
	} else {
		text = string(name)
		if err := topic.ValidName(text); err != nil {
			return nil, errTopicName(err)
		}
	}
	n := b.newRoute(text, id, from)
	if r != nil {
		n.slot = r.slot
	}
	if len(rc.routes) >= routeCacheSize {
		clear(rc.routes)
	}
	if rc.routes == nil {
		rc.routes = make(map[string]*route)
	}
	rc.routes[text] = n
	rc.last = n
	return n, nil
}

// newRoute asks rules and subscriptions. from is the publisher's session, nil for
// the broker itself.
func (b *Broker) newRoute(name string, id *Identity, from *Session) *route {
	// Generations first: what changes meanwhile makes the route out of date at once.
	r := &route{name: name, subs: b.subs.gen.Load(), rules: b.deps.Authorizer.Generation(), slot: new(Slot)}
	if id != nil {
		r.decision = b.mayPublish(id, name)
	} else {
		r.decision = Decision{Allow: true, MaxQoS: 2}
	}
	m := merger{r: r, from: from}
	b.subs.mu.RLock()
	b.subs.trie.Match(name, m.add) // [MQTT-3.3.2-3] [MQTT-4.5.0-1] [MQTT-4.7.3-4]
	b.subs.mu.RUnlock()
	// Rights are asked without the lock; receivers without the right drop out.
	r.targets = b.admit(r, r.targets)
	shares := r.shares[:0]
	for _, sh := range r.shares {
		if sh.members = b.admit(r, sh.members); len(sh.members) > 0 {
			shares = append(shares, sh)
		}
	}
	r.shares = shares
	return r
}

// admit keeps the receivers that may have the route's messages (cases A3, A8), at
// the QoS that they may have them.
func (b *Broker) admit(r *route, list []target) []target {
	keep := list[:0]
	for _, t := range list {
		id := (*Identity)(nil)
		if t.session != nil {
			id = t.session.identity.Load()
		} else if id = t.local.id; id == nil {
			keep = append(keep, t)
			continue
		}
		d := b.deps.Authorizer.Authorize(id, Receive, r.name)
		if !d.Allow {
			continue
		}
		t.rules = r.rules
		t.qos = min(t.qos, d.MaxQoS)
		keep = append(keep, t)
	}
	clear(list[len(keep):])
	return keep
}

// merger collects receivers: one per session, whose overlapping subscriptions [MQTT-3.3.4-4] [MQTT-3.3.4-5]
// count as one with the highest QoS and all identifiers [MQTT-3.3.4-2] [MQTT-3.3.4-3].
type merger struct {
	r       *route
	from    *Session
	index   map[*Session]int
	matched int
}

func (m *merger) add(set *subscribers) bool {
	for _, n := range set.list {
		if n.local != nil {
			m.r.targets = append(m.r.targets, target{local: n.local, qos: n.QoS})
			continue
		}
		if n.NoLocal && n.session == m.from { // [MQTT-3.8.3-3]
			continue
		}
		if i := m.find(n.session); i >= 0 {
			t := &m.r.targets[i]
			t.qos = max(t.qos, n.QoS)
			t.rap = t.rap || n.RetainAsPublished
			if n.ID != 0 {
				t.subIDs = append(t.subIDs, n.ID)
			}
			continue
		}
		m.r.targets = append(m.r.targets, n.target(nil))
	}
	for _, g := range set.shares {
		sh := shareRoute{group: g, members: make([]target, 0, len(g.members))}
		for _, n := range g.members {
			sh.members = append(sh.members, n.target(g))
		}
		m.r.shares = append(m.r.shares, sh)
	}
	m.matched++
	return true
}

// find returns the place of a session among the targets of earlier filters; one
// filter holds a session only once.
func (m *merger) find(s *Session) int {
	if m.matched == 0 {
		return -1
	}
	if len(m.r.targets) <= 16 {
		return slices.IndexFunc(m.r.targets, func(t target) bool { return t.session == s })
	}
	if m.index == nil {
		m.index = make(map[*Session]int, len(m.r.targets))
	}
	for i := len(m.index); i < len(m.r.targets); i++ {
		m.index[m.r.targets[i].session] = i
	}
	if i, ok := m.index[s]; ok {
		return i
	}
	return -1
}

// target is the subscription as a receiver; g is its Shared Subscription, if any.
func (n *subscription) target(g *shareGroup) target {
	t := target{session: n.session, qos: n.QoS, rap: n.RetainAsPublished, share: g}
	if n.ID != 0 {
		t.subIDs = []uint32{n.ID}
	}
	return t
}

// pick chooses the member of a Shared Subscription that gets the next message:
// in turn, passing over members that are offline or whose queue is behind, then
// over offline ones; when all are offline, in turn among them.
func (sh *shareRoute) pick() *target {
	n := uint32(len(sh.members))
	start := sh.group.turn.Add(1)
	var online *target
	for i := range n {
		t := &sh.members[(start+i)%n]
		c := t.session.conn.Load()
		if c == nil {
			continue
		}
		if !t.session.busy() {
			return t
		}
		if online == nil {
			online = t
		}
	}
	if online != nil {
		return online
	}
	return &sh.members[start%n]
}

// busy reports whether messages wait for the session already.
func (s *Session) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.len() > 0 || s.replay.len() > 0
}
