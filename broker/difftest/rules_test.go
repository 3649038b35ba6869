package difftest

import (
	"slices"
	"strings"

	"hearthmq/broker/packet"
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
}

func rules() []rule {
	return []rule{
		{"PUBREC 0x10", noSubscribersForQoS2},
		{"DISCONNECT 0x8E on take-over", takenOver},
		{"Will on take-over", willOnTakeOver},
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

// published returns the action that sent the message with this payload.
func (x *findings) published(label string) (client int, do action) {
	parts := strings.Split(label, ".")
	if len(parts) != 3 {
		return 0, nil
	}
	for _, st := range x.s.steps {
		if parts[0] == clientName(st.client) && parts[1] == itoa(st.n) {
			return st.client, st.do
		}
	}
	return 0, nil
}

// noSubscribersForQoS2: Mosquitto answers a QoS 2 PUBLISH before it looks for subscribers.
func noSubscribersForQoS2(_ *findings, d *difference) bool {
	return d.paired(func(ours, theirs event) bool {
		return ours.kind == packet.TypePubrec && theirs.kind == packet.TypePubrec && ours.label == theirs.label &&
			ours.code() == packet.NoMatchingSubscribers && theirs.code() == packet.Success
	})
}

// takenOver: Mosquitto 2.0 closes without a word when the new connection begins a new session.
func takenOver(x *findings, d *difference) bool {
	c, ok := x.action(d).(*connect)
	return ok && c.clean && takeFrom(&d.ours, func(e event) bool {
		return e.kind == packet.TypeDisconnect && e.note == "old connection" && e.code() == packet.SessionTakenOver
	}) > 0
}

func willOnTakeOver(*findings, *difference) bool { return false }

// heldPubrel: of the specification's two methods for a QoS 2 receiver HearthMQ
// takes the one that hands a message on with PUBLISH, Mosquitto the other.
func heldPubrel(x *findings, d *difference) bool {
	held := func(e event) bool {
		_, do := x.published(strings.TrimPrefix(e.label, "of "))
		p, ok := do.(*publish)
		return ok && p.hold && (e.kind == packet.TypePublish || e.kind == packet.TypePubrel)
	}
	return takeFrom(&d.ours, held)+takeFrom(&d.theirs, held) > 0
}
