package difftest

import (
	"slices"
	"strconv"
	"strings"

	"hearthmq/broker/packet"
)

// noSubscribersForQoS2: Mosquitto answers a QoS 2 PUBLISH before it looks for subscribers.
func noSubscribersForQoS2(x *findings, d *difference) bool {
	return d.paired(func(ours, theirs event) bool {
		return ours.kind == packet.TypePubrec && theirs.kind == packet.TypePubrec && ours.label == theirs.label &&
			ours.code() == packet.NoMatchingSubscribers && theirs.code() == packet.Success && !x.delivered(ours.label)
	})
}

// takenOver: Mosquitto 2.0 closes the old connection without a word.
func takenOver(_ *findings, d *difference) bool {
	return takeFrom(&d.ours, func(e event) bool {
		return e.kind == packet.TypeDisconnect && e.note == "old connection" && e.code() == packet.SessionTakenOver
	}) > 0
}

// heldPubrel: of the specification's two methods for a QoS 2 receiver HearthMQ
// takes the one that hands a message on with PUBLISH, Mosquitto the other. For a
// client that was away it shows in the order of the messages.
func heldPubrel(x *findings, d *difference) bool {
	held := func(e event) bool {
		st, _ := x.published(strings.TrimPrefix(e.label, "of "))
		p, ok := st.do.(*publish)
		return ok && p.hold && (e.kind == packet.TypePublish || e.kind == packet.TypePubrel)
	}
	found := takeFrom(&d.ours, held)+takeFrom(&d.theirs, held) > 0
	if d.order != "" && x.wasAway(d) && slices.ContainsFunc(x.ours.events[d.cell], held) {
		d.order, found = "", true
	}
	return found
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
func noSubscribers(x *findings, d *difference) bool {
	return d.paired(func(ours, theirs event) bool {
		return ours.kind == packet.TypePuback && theirs.kind == packet.TypePuback && ours.label == theirs.label &&
			ours.code() == packet.NoMatchingSubscribers && theirs.code() == packet.Success && !x.delivered(ours.label)
	})
}

// moreThanWindow: Mosquitto 2.0 has more messages under way than it may. HearthMQ
// sends them later, and not with DUP after a reconnection; there it counts those that
// only wait for PUBCOMP, too.
func moreThanWindow(x *findings, d *difference) bool {
	who := clientName(d.client) + " "
	under := x.theirs.under[d.cell]
	if x.wasAway(d) {
		under = max(under, len(only(x.theirs.events[d.cell], func(e event) bool {
			return e.kind == packet.TypePubrel || e.kind == packet.TypePublish && e.qos > 0
		})))
	}
	if under > x.window(d.cell) {
		for _, e := range d.theirs {
			if e.kind == packet.TypePublish && e.qos > 0 {
				x.early[who+e.label] = true
			}
		}
	}
	early := func(e event) bool { return x.early[who+strings.TrimPrefix(e.label, "of ")] }
	return takeFrom(&d.ours, early)+takeFrom(&d.theirs, early) > 0
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

// delivered reports whether HearthMQ gave a message to anybody, other than as a
// retained one to a later subscription. of is what its acknowledgements say.
func (x *findings) delivered(of string) bool {
	for at, list := range x.ours.events {
		_, subscribed := x.s.at(at.step).(*subscribe)
		if !subscribed && slices.ContainsFunc(list, func(e event) bool { return e.kind == packet.TypePublish && !e.retain && "of "+e.label == of }) {
			return true
		}
	}
	return false
}
