package difftest

import (
	"fmt"
	"slices"
	"strings"

	"hearthmq/broker/packet"
)

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
	return e.retain && e.label != "" && (ok || x.wasAway(d)) // an empty one is never retained
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
		if _, again := next.do.(*connect); !again && x.closed(next) {
			return ending{next.n, dropped, expires}
		}
		switch a := next.do.(type) {
		case *connect:
			if x.refused(next) {
				continue
			}
			if a.noID || c.noID { // another client: the script hung up for it
				return ending{next.n, dropped, expires}
			}
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

// refused reports whether HearthMQ refused the CONNECT of the step.
func (x *findings) refused(st step) bool {
	return slices.ContainsFunc(x.ours.events[cell{st.n, st.client}], func(e event) bool { return e.kind == packet.TypeConnack && e.code().Failed() })
}

// closed reports whether the broker ended the connection of the step's client in it.
func (x *findings) closed(st step) bool {
	return slices.ContainsFunc(x.ours.events[cell{st.n, st.client}], func(e event) bool { return e.kind == 0 && e.note == "" })
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

// willForItself: Mosquitto 2.0 publishes the will of a connection that is taken
// over before it has ended its subscriptions.
func willForItself(x *findings, d *difference) bool {
	return takeFrom(&d.theirs, func(e event) bool {
		return e.kind == packet.TypePublish && e.note == "old connection" && (e.label == "" || strings.HasSuffix(e.label, ".will"))
	}) > 0
}

// willToItself: Mosquitto 2.1 hands a client its own Will before it has given the
// connection up. A connection that Mosquitto closes brings it; otherwise it is sent as if
// it had been sent before when the client comes back, and one of QoS 0 waits, too.
func willToItself(x *findings, d *difference) bool {
	_, back := x.action(d).(*connect)
	closed := slices.ContainsFunc(x.theirs.events[d.cell], func(e event) bool { return e.kind == 0 })
	if !back && !closed {
		return false
	}
	own := func(e event) bool {
		label := strings.TrimPrefix(e.label, "of ")
		return (e.kind == packet.TypePublish || e.kind == packet.TypePubrel) &&
			(label == "" || strings.HasPrefix(label, fmt.Sprintf("c%d.", d.client)) && strings.HasSuffix(label, ".will"))
	}
	found := d.paired(func(ours, theirs event) bool {
		return own(ours) && own(theirs) && theirs.dup && !ours.dup && ours.topic == theirs.topic
	})
	return takeFrom(&d.theirs, func(e event) bool {
		return own(e) && (closed || e.kind == packet.TypePubrel || e.dup || e.qos == 0)
	}) > 0 || found
}

// controlAnswer: Mosquitto 2.1 answers requests that nobody carries out.
func controlAnswer(x *findings, d *difference) bool {
	return takeFrom(&d.theirs, func(e event) bool {
		return e.kind == packet.TypePublish && strings.HasPrefix(e.topic, "$CONTROL/") && strings.HasSuffix(e.topic, "/response")
	}) > 0
}

// consequences takes out what follows for others from the connection that only one
// broker has closed, in the last step: the will.
func (x *findings) consequences() {
	for _, d := range x.all {
		if !d.empty() && d.at == x.theirs.ended-1 && x.s.steps[d.at].client != d.client {
			will := func(e event) bool { return e.label == "" || e.label == "of " || strings.HasSuffix(e.label, ".will") }
			takeFrom(&d.ours, will)
			takeFrom(&d.theirs, will)
		}
	}
}
