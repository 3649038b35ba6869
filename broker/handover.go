package broker

import "slices"

// A Shared Subscription's messages belong to the group. What a member leaves behind
// goes to the others as far as the specification lets it:
//
//   - not sent yet: to another member, when it leaves the group or its session ends;
//     when only its connection ends, to a member that is connected, if there is one;
//   - QoS 1, sent and not acknowledged: the same, except that UNSUBSCRIBE completes it
//     [MQTT-3.10.4-3]. The other may get what the first has seen: at least once;
//   - QoS 2, sent: it stays with the session [MQTT-4.8.2-4] and ends with it
//     [MQTT-4.8.2-5];
//   - refused by the member with a Reason Code of 0x80 or above: gone [MQTT-4.8.2-6].
//
// Whoever gets it is chosen as for a new message (pick).

// leaving selects what a member leaves behind.
type leaving struct {
	only   map[shareName]bool // nil: of all groups
	sent   bool               // QoS 1 messages under way, too
	online bool               // only where another member is connected
}

// shareName is what makes two Shared Subscriptions the same, of which one may have ended
// and begun anew.
type shareName struct{ name, filter string }

func (g *shareGroup) is() shareName { return shareName{g.name, g.filter} }

// handOver gives what s leaves behind to other members; what nobody can take stays.
// sessions.mu and the gate are held, s.mu is not.
func (b *Broker) handOver(bt *batch, s *Session, what leaving) {
	s.mu.Lock()
	groups := s.sharedGroups(what.only)
	s.mu.Unlock()
	heirs := make(map[shareName]*shareRoute, len(groups))
	for name, g := range groups {
		members := b.subs.others(g, s)
		if what.online {
			members = connected(members)
		}
		if len(members) > 0 {
			heirs[name] = &shareRoute{group: g, members: members}
		}
	}
	if len(heirs) == 0 {
		return
	}
	s.mu.Lock()
	list := s.takeShared(func(g *shareGroup) bool { return g != nil && heirs[g.is()] != nil }, what.sent)
	s.mu.Unlock()
	for i := range list {
		b.passOn(bt, &list[i], heirs[list[i].share.is()])
	}
}

// passOn gives one delivery to a member that may have it.
func (b *Broker) passOn(bt *batch, d *delivery, sh *shareRoute) {
	rules := b.deps.Authorizer.Generation() // first: what changes meanwhile is asked again
	one := shareRoute{group: sh.group, members: b.admit(d.msg.Topic, rules, slices.Clone(sh.members))}
	if len(one.members) == 0 {
		return
	}
	t := one.pick()
	qos := min(d.msg.QoS, t.qos) // [MQTT-4.8.2-3]
	if qos == 0 && t.session.conn.Load() == nil {
		return
	}
	p := publication{msg: d.msg, kept: d.msg}
	t.session.enqueue(bt, &p, t, qos, t.rap && d.msg.Retain)
}

// sharedGroups are the groups whose messages the session holds. s.mu is held.
func (s *Session) sharedGroups(only map[shareName]bool) map[shareName]*shareGroup {
	if !s.sharing {
		return nil
	}
	groups := make(map[shareName]*shareGroup)
	note := func(g *shareGroup) {
		if g != nil && (only == nil || only[g.is()]) {
			groups[g.is()] = g
		}
	}
	s.queue.each(func(d *delivery) { note(d.share) })
	for f := s.flights.first; f != nil; f = f.next {
		note(f.share)
	}
	return groups
}

// takeShared removes and returns what the session holds of some groups and has not sent,
// with sent also QoS 1 messages under way; oldest first. It looks at everything once: a
// session may hold as many groups as messages. s.mu and the gate are held.
func (s *Session) takeShared(of func(*shareGroup) bool, sent bool) (list []delivery) {
	for f := s.flights.first; f != nil; {
		next := f.next
		fresh := f.unsent && !f.dup && f.state == StateSent
		if of(f.share) && (fresh || sent && f.qos == 1) {
			list = append(list, f.delivery)
			s.done(&f.delivery)
			s.flights.remove(f)
		}
		f = next
	}
	for n := s.queue.len(); n > 0; n-- {
		d := s.pop()
		if d.qos > 0 && of(d.share) {
			s.done(&d)
			list = append(list, d)
			continue
		}
		s.push(d)
	}
	return list
}

// others returns the members of a group but one session.
func (ss *subscriptions) others(g *shareGroup, but *Session) (list []target) {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	set, ok := ss.trie.Get(g.filter)
	if !ok {
		return nil
	}
	now := set.group(g.name)
	if now == nil {
		return nil
	}
	for _, n := range now.members {
		if n.session != but {
			list = append(list, n.target(now))
		}
	}
	return list
}

func connected(members []target) []target {
	keep := members[:0]
	for _, t := range members {
		if t.session.conn.Load() != nil {
			keep = append(keep, t)
		}
	}
	return keep
}

// leaveShares hands over what waits for a member whose subscriptions have just ended.
// The gate is held, no other lock.
func (b *Broker) leaveShares(bt *batch, s *Session, shares map[shareName]bool) {
	if len(shares) == 0 {
		return
	}
	b.sessions.mu.Lock()
	defer b.sessions.mu.Unlock()
	b.handOver(bt, s, leaving{only: shares})
}
