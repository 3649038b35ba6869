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
	*audience
	retained *retainedSlot
	slot     Slot
}

// What connections remember: each as many routes as routeCacheSize, and those that
// publish to more topics borrow more places, blockwise, of the broker's spare ones. A
// route takes 200 bytes, so each has 200 kB, and all that is borrowed is 13 MB.
const (
	routeCacheSize = 1024
	mostRoutes     = 32 * routeCacheSize // of a connection
	spareRoutes    = 64 * routeCacheSize // of all
	routeBytes     = 200                 // that one takes
)

// routeCache remembers the routes of the topics that a connection publishes to,
// its right to do so included. The reader owns it.
type routeCache struct {
	last      *route
	routes    map[string]*route
	audiences map[*audience]int // of those that take places, how many of the routes have it
	used      int               // places
	spare     int               // places borrowed
	key       []byte            // scratch
}

// keep remembers a route with the audience that it has now. A long name takes several
// places, and so does an audience, once for all routes that share it: of 60 kB each they
// come to gigabytes. One that is out of date stays counted, since the route of a topic
// that nobody publishes to any more still has it.
func (rc *routeCache) keep(b *Broker, r *route, now *audience) {
	name, who := 1+len(r.name)/routeBytes, now.places()
	need := who
	if rc.audiences[now] > 0 {
		need = 0
	}
	if r.audience == nil {
		need += name
	} else if left := rc.audiences[r.audience] - 1; left > 0 {
		rc.audiences[r.audience] = left
	} else if left == 0 {
		rc.used -= r.audience.places()
		delete(rc.audiences, r.audience)
	}
	if !rc.room(b, need) {
		clear(rc.routes)
		clear(rc.audiences)
		rc.used = name + who
	}
	if rc.routes == nil {
		rc.routes = make(map[string]*route)
	}
	if who > 0 {
		if rc.audiences == nil {
			rc.audiences = make(map[*audience]int)
		}
		rc.audiences[now]++
	}
	r.audience, rc.routes[r.name], rc.last = now, r, r
}

// places is what an audience takes of them, at most half of what each connection has.
func (a *audience) places() int { return min(a.size*targetBytes/routeBytes, routeCacheSize/2) }

// room takes places, fewer than routeCacheSize, or reports that there are none.
func (rc *routeCache) room(b *Broker, need int) bool {
	switch held := routeCacheSize + rc.spare; {
	case rc.used+need <= held:
	case held < mostRoutes && b.routesLent.Add(routeCacheSize) <= spareRoutes:
		rc.spare += routeCacheSize
	case held < mostRoutes:
		b.routesLent.Add(-routeCacheSize)
		return false
	default:
		return false
	}
	rc.used += need
	return true
}

// drop forgets everything and gives back what is borrowed.
func (rc *routeCache) drop(b *Broker) {
	b.routesLent.Add(-int64(rc.spare))
	*rc = routeCache{}
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
	// Generations first: what changes meanwhile makes the route out of date at once.
	subs, rules := b.subs.gen.Load(), b.deps.Authorizer.Generation()
	if r != nil && r.subs == subs && r.rules == rules {
		rc.last = r
		return r, nil
	}
	if r == nil {
		text := string(name)
		if err := topic.ValidName(text); err != nil {
			return nil, errTopicName(err)
		}
		r = &route{name: text}
	}
	r.decision = b.mayPublish(id, r.name)
	who, key := b.audienceOf(r.name, from, subs, rules, rc.key)
	rc.key = key
	rc.keep(b, r, who)
	return r, nil
}

// newRoute asks rules and subscriptions. from is the publisher's session, nil for
// the broker itself, which may publish everything.
func (b *Broker) newRoute(name string, from *Session) *route {
	// Generations first: what changes meanwhile makes the route out of date at once.
	subs, rules := b.subs.gen.Load(), b.deps.Authorizer.Generation()
	r := &route{name: name, decision: Decision{Allow: true, MaxQoS: 2}}
	r.audience, _ = b.audienceOf(name, from, subs, rules, nil)
	return r
}

// merger collects receivers: one per session, whose overlapping subscriptions [MQTT-3.3.4-4] [MQTT-3.3.4-5]
// count as one with the highest QoS and all identifiers [MQTT-3.3.4-2] [MQTT-3.3.4-3].
type merger struct {
	a       *audience
	from    *Session
	index   map[*Session]int
	matched int
}

func (m *merger) add(set *subscribers) bool {
	for _, n := range set.list {
		if n.local != nil {
			m.a.targets = append(m.a.targets, target{local: n.local, qos: n.QoS})
			continue
		}
		if n.NoLocal && n.session == m.from { // [MQTT-3.8.3-3]
			m.a.noLocal = true
			continue
		}
		if i := m.find(n.session); i >= 0 {
			t := &m.a.targets[i]
			t.qos = max(t.qos, n.QoS)
			t.rap = t.rap || n.RetainAsPublished
			if n.ID != 0 {
				t.subIDs = append(t.subIDs, n.ID)
			}
			continue
		}
		m.a.targets = append(m.a.targets, n.target(nil))
	}
	for _, g := range set.shares {
		sh := shareRoute{group: g, members: make([]target, 0, len(g.members))}
		for _, n := range g.members {
			sh.members = append(sh.members, n.target(g))
		}
		m.a.shares = append(m.a.shares, sh)
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
	if len(m.a.targets) <= 16 {
		return slices.IndexFunc(m.a.targets, func(t target) bool { return t.session == s })
	}
	if m.index == nil {
		m.index = make(map[*Session]int, len(m.a.targets))
	}
	for i := len(m.index); i < len(m.a.targets); i++ {
		m.index[m.a.targets[i].session] = i
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
	start := sh.group.turn.Add(1) - 1
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
