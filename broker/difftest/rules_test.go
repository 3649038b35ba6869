package difftest

import (
	"slices"

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
	early        map[string]bool // client and message that Mosquitto sent too early
}

func rules() []rule {
	return []rule{
		{"Retained messages for a Shared Subscription", retainedForShared},
		{"Member of a Shared Subscription", otherMember},
		{"PUBREC 0x10", noSubscribersForQoS2},
		{"DISCONNECT 0x8E on take-over", takenOver},
		{"SUBSCRIBE again with other options", staleOptions},
		{"Will on take-over", willOnTakeOver},
		{"Will Delay Interval longer than the session", willDelay},
		{"PUBACK 0x10", noSubscribers},
		{"Reason Code of DISCONNECT", disconnectCode},
		{"QoS 2 messages that Mosquitto loses", lostQoS2},
		{"Overlapping subscriptions", overlapping},
		{"Overlapping subscriptions", overlappingPubrel},
		{"Invalid Topic Filters", invalidFilter},
		{"No Local and retained messages", noLocalRetained},
		{"A Will for the connection that it ends", willForItself},
		{"A Will for the client that it tells of", willToItself},
		{"Answers below $CONTROL", controlAnswer},
		{"More than the window", moreThanWindow},
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

func only(list []event, ok func(event) bool) (keep []event) {
	for _, e := range list {
		if ok(e) {
			keep = append(keep, e)
		}
	}
	return keep
}
