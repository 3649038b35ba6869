package broker

import (
	"strings"
	"unicode/utf8"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// violation notes something that the specification forbids to clients and that the
// world's clients do all the same. It is counted, and tolerated unless
// Config.StrictProtocol asks for the letter: then the error ends the connection.
// c's reader calls it after CONNECT.
func (c *conn) violation(code packet.ReasonCode, msg string) error {
	c.sess.violations.Add(1)
	if c.cfg.StrictProtocol {
		return &packet.Error{Code: code, Msg: msg}
	}
	c.b.log.Debug("tolerated", "client_id", c.clientID(), "remote", c.address(), "reason", msg)
	return nil
}

// oddClientID reports whether a Client Identifier has characters that are unsafe as
// a level of a Topic Filter. The specification leaves it to the server whether it
// accepts them [MQTT-3.1.3-5]; many devices have such names.
func oddClientID(id string) bool {
	for i := range len(id) {
		switch id[i] {
		case '/', '+', '#':
			return true
		}
	}
	return false
}

// overrun judges one more QoS 1 or 2 message while unacked of them are under way.
// Twice what was announced is tolerated: clients in the field overrun (case P19).
func (c *conn) overrun() error {
	unacked, most := int(c.unacked.Load()), int(c.cfg.ReceiveMaximum)
	const msg = "more messages under way than Receive Maximum allows"
	switch {
	case c.version != packet.V50 || unacked < most:
		return nil
	case unacked >= 2*most:
		return &packet.Error{Code: packet.ReceiveMaximumExceeded, Msg: msg}
	}
	return c.violation(packet.ReceiveMaximumExceeded, msg)
}

// misformatted reports whether a message says that it is text and is not. Looking
// at every payload is what StrictProtocol pays for (case P9); else it is passed on.
func (c *Config) misformatted(payload, properties []byte) bool {
	if !c.StrictProtocol || len(properties) == 0 || utf8.Valid(payload) {
		return false
	}
	p, err := packet.DecodeProperties(properties)
	return err == nil && p.PayloadFormat == 1
}

// reserved reports whether a Topic Name is the broker's own to publish to (case A12).
func reserved(name string) bool {
	if name == "" || name[0] != '$' {
		return false
	}
	first := name
	for i := range len(name) {
		if name[i] == '/' {
			first = name[:i]
			break
		}
	}
	return first == "$SYS" || first == "$CONTROL" || first == "$hearthmq"
}

// mayPublish asks the rules, after the topics that no rule can open to clients.
func (b *Broker) mayPublish(id *Identity, name string) Decision {
	if strings.HasPrefix(name, "$share/") && b.cfg().LikeMosquitto {
		return Decision{Rule: RuleRef{Text: "Mosquitto takes no messages there"}}
	}
	if reserved(name) {
		if b.cfg().LikeMosquitto && isState(name) {
			return b.deps.Authorizer.Authorize(id, Publish, name)
		}
		if ownState(id, name) {
			return Decision{Allow: true, MaxQoS: 2, Rule: RuleRef{Text: "a bridge may say whether it is connected"}}
		}
		return Decision{Rule: RuleRef{Text: "only the broker publishes there"}}
	}
	return b.deps.Authorizer.Authorize(id, Publish, name)
}

// ownState reports whether name is where a bridge of Mosquitto, known by its Client
// Identifier, says whether it is connected: it sets a Will there and would not do
// without. Nobody can say so of anybody else.
func ownState(id *Identity, name string) bool {
	return isState(name) && id != nil && whose(name) == id.ClientID && !oddClientID(id.ClientID)
}

const stateFront, stateEnd = "$SYS/broker/connection/", "/state"

// whose is the level of a bridge's name in a topic that isState.
func whose(name string) string { return name[len(stateFront) : len(name)-len(stateEnd)] }

// isState reports whether name is where a bridge of Mosquitto says whether it is
// connected. Mosquitto leaves it to the rules who may.
func isState(name string) bool {
	return len(name) > len(stateFront)+len(stateEnd) && strings.HasPrefix(name, stateFront) && strings.HasSuffix(name, stateEnd) &&
		!strings.Contains(whose(name), "/")
}

// announced is what CONNACK says of the QoS that the broker takes; 2 means nothing.
func (c *Config) announcedQoS() byte {
	if c.MaximumQoS == nil {
		return 2
	}
	return min(*c.MaximumQoS, 2)
}

// unsupported reports what of a message the broker was told not to support.
func (c *Config) unsupported(qos byte, retain bool) *packet.Error {
	switch {
	case retain && c.NoRetain: // [MQTT-3.2.2-13]
		return &packet.Error{Code: packet.RetainNotSupported, Msg: "retained messages are switched off"}
	case c.MaximumQoS != nil && qos > c.announcedQoS(): // [MQTT-3.2.2-12]
		return &packet.Error{Code: packet.QoSNotSupported, Msg: "QoS above Maximum QoS"}
	}
	return nil
}

// willTopic checks what the wire format leaves open about a Will's Topic Name.
func willTopic(name string) error {
	if err := topic.ValidName(name); err != nil {
		return &Refusal{Reason: BadProtocol, Code: packet.TopicNameInvalid, Err: err}
	}
	return nil
}
