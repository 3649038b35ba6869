package difftest

import (
	"slices"
	"strconv"
	"strings"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// overlapping: HearthMQ sends a message once with all Subscription Identifiers and
// the highest QoS, Mosquitto once for each subscription that matches.
func overlapping(x *findings, d *difference) (found bool) {
	ours, theirs := x.ours.events[d.cell], x.theirs.events[d.cell]
	names := make(map[string]bool)
	for _, e := range slices.Concat(d.ours, d.theirs) {
		if e.kind == packet.TypePublish {
			names[e.about()] = true
		}
	}
	for name := range names {
		about := func(e event) bool {
			return e.kind == packet.TypePublish && e.about() == name && e.note == ""
		}
		a, b := only(ours, about), only(theirs, about)
		if len(a) == 0 || len(b) < len(a) || x.unshared(d, a[0].topic) < 2 || !merged(a, b, x.wasAway(d)) {
			continue
		}
		takeFrom(&d.ours, about)
		takeFrom(&d.theirs, about)
		found = true
	}
	return found
}

// wasAway reports whether d is about what was kept for a client that was away.
func (x *findings) wasAway(d *difference) bool {
	_, ok := x.action(d).(*connect)
	return ok && x.s.steps[d.at].client == d.client
}

// merged reports whether a is what b's copies become when they are put together.
// Of what was kept for a client, copies for subscriptions with QoS 0 are missing.
func merged(a, b []event, away bool) bool {
	var ids, wantIDs []uint32
	var qos, wantQoS byte
	var retain, wantRetain bool
	for _, e := range a {
		ids, qos, retain = append(ids, e.ids...), max(qos, e.qos), retain || e.retain
	}
	for _, e := range b {
		wantIDs, wantQoS, wantRetain = append(wantIDs, e.ids...), max(wantQoS, e.qos), wantRetain || e.retain
	}
	slices.Sort(ids)
	slices.Sort(wantIDs)
	if len(a) > 1 { // a cleared message has no name of its own
		ids, wantIDs = slices.Compact(ids), slices.Compact(wantIDs)
	}
	if away {
		missing := slices.ContainsFunc(wantIDs, func(id uint32) bool { return !slices.Contains(ids, id) })
		return !missing && qos == wantQoS && (retain || !wantRetain)
	}
	return slices.Equal(ids, wantIDs) && qos == wantQoS && retain == wantRetain
}

// overlappingPubrel: each of the copies has its PUBREL.
func overlappingPubrel(x *findings, d *difference) bool {
	return takeFrom(&d.theirs, func(e event) bool {
		if e.kind != packet.TypePubrel {
			return false
		}
		label := strings.TrimPrefix(e.label, "of ")
		copies := 0
		for at, list := range x.theirs.events {
			if at.client == d.client {
				copies += len(only(list, func(o event) bool { return o.kind == packet.TypePublish && o.label == label && o.qos == 2 && !o.dup }))
			}
		}
		return copies > 1
	}) > 0
}

// about tells messages apart: what was published and whether it is sent again.
func (e event) about() string {
	return strconv.Quote(e.topic) + e.label + e.props + strconv.FormatBool(e.dup)
}

// staleOptions: Mosquitto 2.0 keeps No Local and Retain As Published of the first
// SUBSCRIBE when the filter is subscribed to again.
func staleOptions(x *findings, d *difference) bool {
	found := d.paired(func(ours, theirs event) bool {
		if ours.kind != packet.TypePublish {
			return false
		}
		flipped := theirs
		flipped.retain = !theirs.retain
		return ours.String() == flipped.String() &&
			slices.ContainsFunc(x.matching(d.step, d.client, ours.topic), func(h holding) bool { return h.otherRetain })
	})
	own := func(e event) bool {
		if e.kind != packet.TypePublish && e.kind != packet.TypePubrel {
			return false
		}
		st, ok := x.published(strings.TrimPrefix(e.label, "of "))
		if e.label == "" || e.label == "of " {
			st, ok = x.s.steps[d.at], true
			if x.wasAway(d) {
				st, ok = x.emptyWill(d)
			}
		}
		if !ok || st.client != d.client {
			return false
		}
		var topics []string
		switch a := st.do.(type) {
		case *publish:
			topics = a.topics
		case *connect:
			if a.will != nil {
				topics = []string{a.will.topic} // No Local counts for it, too
			}
		}
		return slices.ContainsFunc(topics, func(t string) bool {
			return slices.ContainsFunc(x.matching(d.step, d.client, t), func(h holding) bool { return h.otherLocal })
		})
	}
	return takeFrom(&d.ours, own)+takeFrom(&d.theirs, own) > 0 || found
}

// emptyWill returns the step in which d's client had a will without a payload before.
func (x *findings) emptyWill(d *difference) (st step, ok bool) {
	for _, before := range x.s.steps[:d.at] {
		if c, is := before.do.(*connect); is && before.client == d.client && c.will != nil && c.will.empty {
			st, ok = before, true
		}
	}
	return st, ok
}

// invalidFilter: what is said to a Topic Filter that is none. Mosquitto 2.0 takes
// some of them for good and closes the connection for others; where the brokers
// part by that, the script ends. HearthMQ must never take one.
func invalidFilter(x *findings, d *difference) bool {
	var bad []bool
	switch a := x.action(d).(type) {
	case *subscribe:
		for _, s := range a.subs {
			_, ok := hold(s, nil)
			bad = append(bad, !ok)
		}
		for _, e := range only(d.ours, func(e event) bool { return e.kind == packet.TypeSuback }) {
			for i, code := range e.codes {
				if code.Failed() != bad[i] {
					return false
				}
			}
		}
	case *unsubscribe:
		for _, f := range a.filters {
			_, ok := hold(packet.Subscription{Filter: f}, nil)
			bad = append(bad, !ok)
		}
	}
	if !slices.Contains(bad, true) || x.s.steps[d.at].client != d.client {
		return false
	}
	// Retained messages come with what was taken.
	all := func(event) bool { return true }
	return takeFrom(&d.ours, all)+takeFrom(&d.theirs, all) > 0
}

// retainedForShared: Mosquitto 2.0 sends retained messages to a new Shared Subscription.
func retainedForShared(x *findings, d *difference) bool {
	a, ok := x.action(d).(*subscribe)
	if !ok {
		return false
	}
	shared := func(e event) bool {
		return e.kind == packet.TypePublish && e.retain && slices.ContainsFunc(a.subs, func(s packet.Subscription) bool {
			h, ok := hold(s, nil)
			return ok && h.share != "" && topic.Match(h.plain, e.topic)
		})
	}
	labels := make(map[string]bool)
	for _, e := range only(d.theirs, shared) {
		labels["of "+e.label] = true
	}
	n := takeFrom(&d.theirs, shared)
	return takeFrom(&d.theirs, func(e event) bool { return e.kind == packet.TypePubrel && labels[e.label] })+n > 0
}

// unshared is how many ordinary subscriptions of d's client match a topic.
func (x *findings) unshared(d *difference, name string) (n int) {
	for _, h := range x.matching(d.step, d.client, name) {
		if h.share == "" {
			n++
		}
	}
	return n
}

// noLocalRetained: Mosquitto 2.0 sends retained messages of the subscriber's own
// to a new subscription with No Local.
func noLocalRetained(x *findings, d *difference) bool {
	if _, ok := x.action(d).(*subscribe); !ok {
		return false
	}
	labels := make(map[string]bool)
	n := takeFrom(&d.theirs, func(e event) bool {
		st, ok := x.published(e.label)
		own := ok && e.kind == packet.TypePublish && e.retain && st.client == d.client &&
			slices.ContainsFunc(x.matching(d.step+1, d.client, e.topic), func(h holding) bool { return h.NoLocal })
		if own {
			labels["of "+e.label] = true
		}
		return own
	})
	return takeFrom(&d.theirs, func(e event) bool { return e.kind == packet.TypePubrel && labels[e.label] })+n > 0
}

// otherMember: which member of a Shared Subscription gets a message is the
// broker's choice. HearthMQ passes over members that are away as long as another
// one is there; Mosquitto does not, and loses QoS 0 messages so.
func otherMember(x *findings, d *difference) (found bool) {
	for _, e := range slices.Concat(d.ours, d.theirs) {
		if e.kind != packet.TypePublish || !x.shares(d.cell, e.topic) {
			continue
		}
		var ours, theirs int
		mine := func(o event) bool {
			return (o.kind == packet.TypePublish && o.topic == e.topic || o.kind == packet.TypePubrel) && strings.TrimPrefix(o.label, "of ") == e.label
		}
		st, ok := x.published(e.label)
		replayed := func(e event, o *difference) bool {
			return e.replayed(x, o) && !(x.wasAway(o) && x.keepsRetain(o.cell, e.topic))
		}
		for _, o := range x.all {
			live := func(e event) bool { return mine(e) && e.kind == packet.TypePublish && !replayed(e, o) }
			ours += len(only(o.ours, live))
			theirs += len(only(o.theirs, live))
		}
		if ours != theirs && ok && !strings.HasSuffix(e.label, ".will") && !x.memberAway(st.n, e.topic) && !x.memberAway(d.step, e.topic) &&
			!x.overlaps(st.n, e.topic) {
			continue
		}
		for _, o := range x.all {
			took := func(e event) bool { return mine(e) && !(e.kind == packet.TypePublish && replayed(e, o)) }
			takeFrom(&o.ours, took)
			takeFrom(&o.theirs, took)
		}
		found = true
	}
	return found
}

// shares reports whether a client is a member of a Shared Subscription for a topic.
func (x *findings) shares(at cell, name string) bool {
	return slices.ContainsFunc(x.matching(at.step, at.client, name), func(h holding) bool { return h.share != "" })
}

// keepsRetain reports whether a client is a member of a Shared Subscription for a
// topic with Retain As Published, so that RETAIN does not tell what was retained.
func (x *findings) keepsRetain(at cell, name string) bool {
	return slices.ContainsFunc(x.matching(at.step, at.client, name), func(h holding) bool { return h.share != "" && h.RetainAsPublished })
}

// overlaps reports whether some client has several other subscriptions for a topic, so
// that it gets a different number of copies anyway.
func (x *findings) overlaps(n int, name string) bool {
	for c := range x.s.clients {
		if x.unshared(&difference{cell: cell{n, c}}, name) > 1 {
			return true
		}
	}
	return false
}

// memberAway reports whether a member of a Shared Subscription for a topic is not
// connected in a step.
func (x *findings) memberAway(n int, name string) bool {
	for c := range x.s.clients {
		if at := (cell{n, c}); x.shares(at, name) && x.connection(at) == nil {
			return true
		}
	}
	return false
}

// noLocalShared: a Protocol Error that Mosquitto 2.0 lets pass. The script ends there.
func noLocalShared(x *findings, d *difference) bool {
	a, ok := x.action(d).(*subscribe)
	if !ok || !slices.ContainsFunc(a.subs, func(s packet.Subscription) bool { return s.NoLocal && strings.HasPrefix(s.Filter, "$share/") }) {
		return false
	}
	if takeFrom(&d.ours, func(e event) bool {
		return e.kind == packet.TypeDisconnect && e.code() == packet.ProtocolError || e.kind == 0
	}) == 0 {
		return false
	}
	takeFrom(&d.theirs, func(event) bool { return true })
	return true
}
