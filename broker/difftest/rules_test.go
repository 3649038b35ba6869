package difftest

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// rule explains a kind of difference. Its name is a heading of differences.md.
type rule struct {
	name string
	// explain takes out of d what the rule knows, and reports whether it did.
	explain func(x *findings, d *difference) bool
}

// findings are what rules may look at.
type findings struct {
	s            *script
	ours, theirs *transcript
	all          []*difference
	early        map[string]bool // client and message that Mosquitto should have sent later
}

func rules() []rule {
	return []rule{
		{"Retained messages for a Shared Subscription", retainedForShared},
		{"Member of a Shared Subscription", otherMember},
		{"PUBREC 0x10", noSubscribersForQoS2},
		{"DISCONNECT 0x8E on take-over", takenOver},
		{"Will on take-over", willOnTakeOver},
		{"Will Delay Interval longer than the session", willDelay},
		{"PUBACK 0x10", noSubscribers},
		{"Reason Code of DISCONNECT", disconnectCode},
		{"QoS 2 messages that Mosquitto loses", lostQoS2},
		{"Overlapping subscriptions", overlapping},
		{"Overlapping subscriptions", overlappingPubrel},
		{"SUBSCRIBE again with other options", staleOptions},
		{"Invalid Topic Filters", invalidFilter},
		{"No Local and retained messages", noLocalRetained},
		{"A Will for the connection that it ends", willForItself},
		{"One more than the window", oneMore},
		{"A client's own Will and No Local", ownWill},
		{"PUBLISH to a topic of the server", serverTopic},
		{"Control characters in topics", controlCharacter},
		{"QoS 2 PUBLISH sent again twice", sentAgain},
		{"No Local with a Shared Subscription", noLocalShared},
		{"QoS 2 delivered with PUBLISH or with PUBREL", heldPubrel},
	}
}

// takeFrom removes the events that ok accepts and returns how many there were.
func takeFrom(list *[]event, ok func(event) bool) int {
	before := len(*list)
	*list = slices.DeleteFunc(*list, ok)
	return before - len(*list)
}

// paired removes from both lists what belongs together.
func (d *difference) paired(same func(ours, theirs event) bool) (found bool) {
	for i := 0; i < len(d.ours); {
		j := slices.IndexFunc(d.theirs, func(e event) bool { return same(d.ours[i], e) })
		if j < 0 {
			i++
			continue
		}
		d.ours, d.theirs = slices.Delete(d.ours, i, i+1), slices.Delete(d.theirs, j, j+1)
		found = true
	}
	return found
}

func (e event) code() packet.ReasonCode {
	if len(e.codes) == 0 {
		return 0
	}
	return e.codes[0]
}

// action returns what was done in d's step.
func (x *findings) action(d *difference) action { return x.s.steps[d.at].do }

// noSubscribersForQoS2: Mosquitto answers a QoS 2 PUBLISH before it looks for subscribers.
func noSubscribersForQoS2(_ *findings, d *difference) bool {
	return d.paired(func(ours, theirs event) bool {
		return ours.kind == packet.TypePubrec && theirs.kind == packet.TypePubrec && ours.label == theirs.label &&
			ours.code() == packet.NoMatchingSubscribers && theirs.code() == packet.Success
	})
}

// takenOver: Mosquitto 2.0 closes the old connection without a word.
func takenOver(_ *findings, d *difference) bool {
	return takeFrom(&d.ours, func(e event) bool {
		return e.kind == packet.TypeDisconnect && e.note == "old connection" && e.code() == packet.SessionTakenOver
	}) > 0
}

// willOnTakeOver: when the session goes on, Mosquitto 2.0 forgets the will of the
// connection that was taken over.
func willOnTakeOver(x *findings, d *difference) bool {
	return x.lostWill(d, func(st step) bool {
		end := x.end(st)
		return st.do.(*connect).will.delay == 0 && end.kind == takeOver && !end.session
	})
}

// willDelay: Mosquitto 2.0 waits for the whole Will Delay Interval even when the
// session ends before, or forgets the will.
func willDelay(x *findings, d *difference) bool {
	return x.lostWill(d, func(st step) bool {
		return st.do.(*connect).will.delay > 0 && x.sessionEnd(st) > 0
	})
}

// lostWill takes out the publication of a will that Mosquitto does not publish,
// and what follows from it: each broker has another message retained.
func (x *findings) lostWill(d *difference, lost func(st step) bool) bool {
	topics, retained := make(map[string]bool), make(map[string]bool)
	for _, st := range x.s.steps[:d.at+1] {
		c, ok := st.do.(*connect)
		if !ok || c.will == nil || !lost(st) {
			continue
		}
		if end := max(x.end(st).step, x.sessionEnd(st)); end == 0 || end > d.step {
			continue
		}
		if c.will.empty {
			topics[c.will.topic] = true
		}
		retained[c.will.topic] = retained[c.will.topic] || c.will.retain
	}
	label := func(e event) bool {
		label := strings.TrimPrefix(e.label, "of ")
		st, _ := x.published(label)
		return strings.HasSuffix(label, ".will") && lost(st) || label == "" && (topics[e.topic] || e.kind == packet.TypePubrel && len(topics) > 0)
	}
	stale := func(e event) bool { return e.kind == packet.TypePublish && retained[e.topic] && e.replayed(x, d) }
	n := takeFrom(&d.ours, func(e event) bool {
		return (e.kind == packet.TypePublish || e.kind == packet.TypePubrel) && label(e)
	})
	n += takeFrom(&d.ours, stale)
	stales := takeFrom(&d.theirs, stale)
	if n += stales; stales > 0 {
		n += takeFrom(&d.theirs, func(e event) bool { return e.kind == packet.TypePubrel })
	}
	return n > 0
}

// replayed reports whether the event can be a retained message sent to a new subscription.
func (e event) replayed(x *findings, d *difference) bool {
	_, ok := x.action(d).(*subscribe)
	_, again := x.action(d).(*connect)
	return e.retain && (ok || again)
}

// endKind is how a connection ended.
type endKind byte

const (
	stays endKind = iota
	takeOver
	dropped
	said // DISCONNECT
)

// ending is the end of a connection.
type ending struct {
	step    int
	kind    endKind
	session bool // ends with it
}

// end returns what became of the connection made in st.
func (x *findings) end(st step) ending {
	c := st.do.(*connect)
	expires := c.version == packet.V50 && c.expiry == 0 || c.version != packet.V50 && c.clean
	for _, next := range x.s.steps {
		if next.client != st.client || next.n <= st.n {
			continue
		}
		switch a := next.do.(type) {
		case *connect:
			return ending{next.n, takeOver, expires || a.clean}
		case *drop:
			return ending{next.n, dropped, expires}
		case *disconnect:
			if a.expiry != nil && c.version == packet.V50 {
				expires = expires || *a.expiry == 0 // it can't be raised from 0
			}
			return ending{next.n, said, expires}
		}
	}
	return ending{}
}

// sessionEnd returns the step that ended the session in which the connection of st
// was made: the connection's own end or the next Clean Start; 0: none did.
func (x *findings) sessionEnd(st step) int {
	end := x.end(st)
	if end.session {
		return end.step
	}
	if end.kind == stays || end.kind == takeOver {
		return 0
	}
	for _, next := range x.s.steps {
		if c, ok := next.do.(*connect); ok && next.client == st.client && next.n > end.step {
			if c.clean {
				return next.n
			}
			return 0
		}
	}
	return 0
}

// heldPubrel: of the specification's two methods for a QoS 2 receiver HearthMQ
// takes the one that hands a message on with PUBLISH, Mosquitto the other.
func heldPubrel(x *findings, d *difference) bool {
	held := func(e event) bool {
		st, _ := x.published(strings.TrimPrefix(e.label, "of "))
		p, ok := st.do.(*publish)
		return ok && p.hold && (e.kind == packet.TypePublish || e.kind == packet.TypePubrel)
	}
	return takeFrom(&d.ours, held)+takeFrom(&d.theirs, held) > 0
}

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
	same := slices.Equal(ids, wantIDs)
	if away {
		same = !slices.ContainsFunc(wantIDs, func(id uint32) bool { return !slices.Contains(ids, id) })
	}
	return same && qos == wantQoS && retain == wantRetain
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

func only(list []event, ok func(event) bool) (keep []event) {
	for _, e := range list {
		if ok(e) {
			keep = append(keep, e)
		}
	}
	return keep
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
		}
		if !ok || st.client != d.client {
			return false
		}
		p, ok := st.do.(*publish)
		return ok && slices.ContainsFunc(p.topics, func(t string) bool {
			return slices.ContainsFunc(x.matching(d.step, d.client, t), func(h holding) bool { return h.otherLocal })
		})
	}
	return takeFrom(&d.ours, own)+takeFrom(&d.theirs, own) > 0 || found
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

// disconnectCode: both close the connection, and name different reasons.
func disconnectCode(_ *findings, d *difference) bool {
	return d.paired(func(ours, theirs event) bool {
		return ours.kind == packet.TypeDisconnect && theirs.kind == packet.TypeDisconnect && ours.note == theirs.note &&
			ours.code() == packet.TopicNameInvalid && (theirs.code() == packet.ProtocolError || theirs.code() == packet.MalformedPacket)
	})
}

// lostQoS2: Mosquitto acknowledges more QoS 2 messages under way than
// max_inflight_messages and delivers only as many.
func lostQoS2(x *findings, d *difference) bool {
	return takeFrom(&d.ours, func(e event) bool {
		label := strings.TrimPrefix(e.label, "of ")
		st, ok := x.published(label)
		p, isPublish := st.do.(*publish)
		if !ok || !isPublish || p.qos != 2 || len(p.topics) <= window {
			return false
		}
		i, err := strconv.Atoi(label[strings.LastIndexByte(label, '.')+1:])
		return err == nil && i >= window
	}) > 0
}

// noSubscribers: who counts as a subscriber. HearthMQ says 0x10 when nobody was
// given the message: not when the only subscriber is away and asked for QoS 0, nor
// when it is the publisher itself with No Local.
func noSubscribers(_ *findings, d *difference) bool {
	return d.paired(func(ours, theirs event) bool {
		return ours.kind == packet.TypePuback && theirs.kind == packet.TypePuback && ours.label == theirs.label &&
			ours.code() == packet.NoMatchingSubscribers && theirs.code() == packet.Success
	})
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

// willForItself: Mosquitto 2.0 publishes the will of a connection that is taken
// over before it has ended its subscriptions.
func willForItself(x *findings, d *difference) bool {
	return takeFrom(&d.theirs, func(e event) bool {
		return e.kind == packet.TypePublish && e.note == "old connection" && (e.label == "" || strings.HasSuffix(e.label, ".will"))
	}) > 0
}

// oneMore: Mosquitto 2.0 has one message more under way than it may. HearthMQ
// sends it later, and not with DUP after a reconnection.
func oneMore(x *findings, d *difference) bool {
	if x.theirs.under[d.cell] > x.window(d.cell) {
		for _, e := range d.theirs {
			if e.kind == packet.TypePublish && e.qos > 0 {
				x.early[clientName(d.client)+" "+e.label] = true
			}
		}
	}
	early := func(e event) bool { return x.early[clientName(d.client)+" "+strings.TrimPrefix(e.label, "of ")] }
	return takeFrom(&d.ours, early)+takeFrom(&d.theirs, early) > 0
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
		for _, o := range x.all {
			live := func(e event) bool { return mine(e) && e.kind == packet.TypePublish && !e.replayed(x, o) }
			ours += len(only(o.ours, live))
			theirs += len(only(o.theirs, live))
		}
		if ours != theirs && ok && !strings.HasSuffix(e.label, ".will") && !x.memberAway(st.n, e.topic) && !x.memberAway(d.step, e.topic) {
			continue
		}
		for _, o := range x.all {
			took := func(e event) bool { return mine(e) && !(e.kind == packet.TypePublish && e.replayed(x, o)) }
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

// ownWill: Mosquitto applies No Local to the client's own Will, too.
func ownWill(x *findings, d *difference) bool {
	return takeFrom(&d.ours, func(e event) bool {
		label := strings.TrimPrefix(e.label, "of ")
		st, ok := x.published(label)
		own := ok && st.client == d.client && strings.HasSuffix(label, ".will") || label == "" && x.ownEmptyWill(d)
		return own && (e.kind == packet.TypePublish || e.kind == packet.TypePubrel) &&
			slices.ContainsFunc(slices.Collect(maps.Values(x.subscriptions(d.step, d.client))), func(h holding) bool { return h.NoLocal || h.otherLocal })
	}) > 0
}

// ownEmptyWill reports whether d's client had a will without a payload before.
func (x *findings) ownEmptyWill(d *difference) bool {
	return slices.ContainsFunc(x.s.steps[:d.at], func(st step) bool {
		c, ok := st.do.(*connect)
		return ok && st.client == d.client && c.will != nil && c.will.empty
	})
}

// serverTopic: both refuse to publish to topics of the server, Mosquitto also to
// $share/..., HearthMQ also to all of $CONTROL/... and a Will under $SYS, which ends
// the script.
func serverTopic(x *findings, d *difference) bool {
	server := func(t string) bool {
		return strings.HasPrefix(t, "$SYS/") || strings.HasPrefix(t, "$share/") || strings.HasPrefix(t, "$CONTROL/")
	}
	switch a := x.action(d).(type) {
	case *connect:
		if a.will == nil || !server(a.will.topic) || x.s.steps[d.at].client != d.client ||
			takeFrom(&d.ours, func(e event) bool { return e.kind == packet.TypeConnack && e.code() == packet.NotAuthorized }) == 0 {
			return false
		}
		takeFrom(&d.ours, func(e event) bool { return e.kind == 0 })
		takeFrom(&d.theirs, func(event) bool { return true })
		return true
	case *publish:
		if !slices.ContainsFunc(a.topics, server) {
			return false
		}
	default:
		return false
	}
	found := d.paired(func(ours, theirs event) bool {
		return ours.kind == theirs.kind && ours.label == theirs.label && (ours.code() == packet.NotAuthorized) != (theirs.code() == packet.NotAuthorized)
	})
	completed := func(e event) bool { return e.kind == packet.TypePubcomp }
	return takeFrom(&d.ours, completed)+takeFrom(&d.theirs, completed) > 0 || found
}

// controlCharacter: a receiver may close the connection because of control
// characters; HearthMQ lets them through. The script ends there.
func controlCharacter(x *findings, d *difference) bool {
	p, ok := x.action(d).(*publish)
	if !ok || !slices.ContainsFunc(p.topics, func(t string) bool { return strings.ContainsRune(t, 1) }) {
		return false
	}
	closed := takeFrom(&d.theirs, func(e event) bool { return e.kind == 0 || e.kind == packet.TypeDisconnect })
	answers := takeFrom(&d.ours, func(e event) bool { return e.kind != packet.TypeDisconnect && e.kind != 0 })
	return closed+answers > 0
}

// sentAgain: Mosquitto 2.0 closes the connection when a QoS 2 PUBLISH comes for
// the third time. The script ends there.
func sentAgain(x *findings, d *difference) bool {
	_, ok := x.action(d).(*again)
	if !ok || takeFrom(&d.theirs, func(e event) bool { return e.kind == 0 || e.kind == packet.TypeDisconnect }) == 0 {
		return false
	}
	takeFrom(&d.ours, func(e event) bool { return e.kind == packet.TypePubrec })
	return true
}

// consequences takes out what follows for others from the connection that only one
// broker has closed, in the last step: the will.
func (x *findings) consequences() {
	for _, d := range x.all {
		if !d.empty() && d.at == x.theirs.ended-1 && x.s.steps[d.at].client != d.client {
			will := func(e event) bool { return e.label == "" || strings.HasSuffix(e.label, ".will") }
			takeFrom(&d.ours, will)
			takeFrom(&d.theirs, will)
		}
	}
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
