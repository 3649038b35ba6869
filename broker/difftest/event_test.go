package difftest

import (
	"fmt"
	"slices"
	"strings"

	"hearthmq/broker/packet"
)

// event is one thing that a client saw: a packet from the broker, or the end of
// the connection. Packet Identifiers are already replaced by what they stand for.
type event struct {
	kind packet.Type // 0: the connection ended
	note string      // what else matters: "old connection", "other identifier"

	// label says what it is about: the payload of a PUBLISH or of what is
	// acknowledged.
	label string
	codes []packet.ReasonCode // of acknowledgements
	ids   []uint32            // Subscription Identifiers, sorted

	topic  string
	qos    byte
	retain bool
	dup    bool
	props  string

	present bool // Session Present of CONNACK
}

func (e event) String() string {
	codes := ""
	if slices.ContainsFunc(e.codes, func(c packet.ReasonCode) bool { return c != 0 }) || len(e.codes) > 1 {
		for _, c := range e.codes {
			codes += fmt.Sprintf(" 0x%02X", byte(c))
		}
		codes = codes[1:]
	}
	switch e.kind {
	case 0:
		return words(e.note, "closed")
	case packet.TypeConnack:
		return words(e.note, "CONNACK", codes, when(e.present, "session present"))
	case packet.TypePublish:
		return words(e.note, "PUBLISH", fmt.Sprintf("%q %q", e.topic, e.label), fmt.Sprintf("qos%d", e.qos), when(e.retain, "retain"), when(e.dup, "dup"),
			when(len(e.ids) > 0, fmt.Sprintf("ids %v", e.ids)), e.props)
	}
	return words(e.note, e.kind.String(), e.label, codes)
}

// order is the sequence that the event belongs to, in which order counts;
// "" for none. What is sent again after a reconnection is ordered among itself.
func (e event) order() string {
	if e.kind == packet.TypePublish {
		if e.label == "" {
			return ""
		}
		who, _, _ := strings.Cut(e.label, ".")
		return fmt.Sprint(e.topic, " qos", e.qos, " from ", who)
	}
	if e.kind == packet.TypePubrel {
		return "" // follows the PUBREC that the client sent
	}
	return e.kind.String()
}

// transcript is what the clients of one broker saw: a list for each step and client.
type transcript struct {
	events map[cell][]event
	under  map[cell]int // most QoS 1 and 2 messages under way to the client
	ended  int          // steps done
}

// cell is where both brokers are compared.
type cell struct{ step, client int }

// describe renders a message's properties, with Message Expiry Interval as it was sent.
func describe(p *packet.Publish) string {
	f, err := packet.DecodeProperties(p.Properties)
	if err != nil {
		return "broken properties: " + err.Error()
	}
	x := props{format: f.PayloadFormat == 1, content: f.ContentType, response: f.ResponseTopic, corr: string(f.CorrelationData), user: f.User}
	if p.HasExpiry {
		x.expiry = (p.MessageExpiry + 999) / 1000
	}
	return x.String()
}
