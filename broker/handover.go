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
	only   *shareGroup // nil: of all groups
	sent   bool        // QoS 1 messages under way, too
	online bool        // only where another member is connected
}

// handOver gives what s leaves behind to other members; what nobody can take stays.
// sessions.mu and the gate are held, s.mu is not.
func (b *Broker) handOver(bt *batch, s *Session, what leaving) {
	s.mu.Lock()
	groups := s.sharedGroups(what.only)
	s.mu.Unlock()
	for _, g := range groups {
		members := b.subs.others(g, s)
		if what.online {
			members = connected(members)
		}
		if len(members) == 0 {
			continue
		}
		s.mu.Lock()
		list := s.takeShared(g, what.sent)
		s.mu.Unlock()
		sh := shareRoute{group: g, members: members}
		for i := range list {
			b.passOn(bt, &list[i], &sh)
		}
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

// sharedGroups lists the groups whose messages the session holds. s.mu is held.
func (s *Session) sharedGroups(only *shareGroup) (list []*shareGroup) {
	if !s.sharing {
		return nil
	}
	note := func(g *shareGroup) {
		if g == nil || only != nil && !g.is(only) {
			return
		}
		for _, x := range list {
			if x.is(g) {
				return
			}
		}
		list = append(list, g)
	}
	s.queue.each(func(d *delivery) { note(d.share) })
	for f := s.flights.first; f != nil; f = f.next {
		note(f.share)
	}
	return list
}

// takeShared removes and returns what the session holds of a group and has not sent,
// with sent also QoS 1 messages under way; oldest first. s.mu and the gate are held.
func (s *Session) takeShared(g *shareGroup, sent bool) (list []delivery) {
	for f := s.flights.first; f != nil; {
		next := f.next
		fresh := f.unsent && !f.dup && f.state == StateSent
		if f.share != nil && f.share.is(g) && (fresh || sent && f.qos == 1) {
			list = append(list, f.delivery)
			s.done(&f.delivery)
			s.flights.remove(f)
		}
		f = next
	}
	for n := s.queue.len(); n > 0; n-- {
		d := s.pop()
		if d.share != nil && d.share.is(g) && d.qos > 0 {
			s.done(&d)
			list = append(list, d)
			continue
		}
		s.push(d)
	}
	return list
}

// is reports whether both are the same Shared Subscription, which may have ended and begun anew.
func (g *shareGroup) is(x *shareGroup) bool {
	return g == x || g.name == x.name && g.filter == x.filter
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

// leaveShare hands over what waits for a member whose subscription has just ended.
// The gate is held, no other lock.
func (b *Broker) leaveShare(bt *batch, s *Session, share, filter string) {
	b.sessions.mu.Lock()
	defer b.sessions.mu.Unlock()
	b.handOver(bt, s, leaving{only: &shareGroup{name: share, filter: filter}})
}
