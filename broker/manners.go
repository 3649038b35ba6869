package broker

import (
	"errors"
	"strings"
	"unicode/utf8"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// What is here makes the broker answer broken packets as Mosquitto does, for
// Config.LikeMosquitto. MQTT leaves it to servers what they answer, and whether they do,
// before they close; nobody but a program that was written against Mosquitto can tell.

// quiet ends a connection without a word to the client.
type quiet struct{ why *packet.Error }

func (q quiet) Error() string { return q.why.Error() }

// manner is the error that ends the connection over a packet with this first byte.
// long: it has a body, or where it ends could not be told.
func (c *conn) manner(first byte, long bool, err error) error {
	pe, ok := err.(*packet.Error)
	if !ok || !c.cfg.LikeMosquitto || c.version != packet.V50 || c.sess == nil {
		return err
	}
	as := func(code packet.ReasonCode) error { return &packet.Error{Code: code, Msg: pe.Msg} }
	t, flags := packet.Type(first>>4), first&0x0F
	switch {
	case t == 0:
		return as(packet.ProtocolError)
	case pe == packet.ErrRemaining:
		return quiet{pe}
	}
	switch t {
	case packet.TypePublish:
		if pe.Code == packet.TopicNameInvalid || pe == packet.ErrTopicEmpty {
			return as(packet.MalformedPacket)
		}
	case packet.TypeSubscribe:
		if pe.Code == packet.ProtocolError && pe != packet.ErrNoLocal && pe != packet.ErrPropertyTwice && pe != errShareForm {
			return as(packet.MalformedPacket)
		}
	case packet.TypeUnsubscribe:
		return as(packet.MalformedPacket)
	case packet.TypePingreq, packet.TypePingresp:
		switch {
		case flags != 0:
			return as(packet.MalformedPacket)
		case long:
			return quiet{pe}
		}
	case packet.TypeSuback, packet.TypeUnsuback:
		if flags != 0 {
			return as(packet.MalformedPacket)
		}
	case packet.TypeAuth:
		return as(packet.ProtocolError)
	}
	return err
}

// errUnclean is a text that Mosquitto does not take.
var errUnclean = &packet.Error{Code: packet.MalformedPacket, Msg: "a string contains control characters or what is no character"}

// unclean reports a text with characters that a receiver may refuse (1.5.4) and
// Mosquitto does: control characters, and code points that are no characters. By
// default they pass, since boards send such things.
func (c *conn) unclean(text []byte) bool {
	if !c.cfg.LikeMosquitto {
		return false
	}
	for i, b := range text {
		if b < ' ' || b == 0x7F {
			return true
		}
		if b >= utf8.RuneSelf {
			return strings.IndexFunc(string(text[i:]), uncleanRune) >= 0
		}
	}
	return false
}

func uncleanRune(r rune) bool {
	return r < ' ' || r >= 0x7F && r < 0xA0 || r >= 0xFDD0 && r <= 0xFDEF || r&0xFFFE == 0xFFFE
}

// errShareForm is a Shared Subscription whose name or filter is not one, as
// Mosquitto words it.
var errShareForm = &packet.Error{Code: packet.ProtocolError, Msg: "not the form of a Shared Subscription"}

// badFilter ends the connection over a Topic Filter that Mosquitto would not answer:
// nil where its answer is one in SUBACK, or UNSUBACK.
func (c *conn) badFilter(filter string, bad error) error {
	switch {
	case !c.cfg.LikeMosquitto:
		return nil
	case c.version == packet.V50 && (errors.Is(bad, topic.ErrShareBare) || errors.Is(bad, topic.ErrShareName) && !strings.Contains(filter, "#")):
		return errShareForm
	}
	return &packet.Error{Code: packet.MalformedPacket, Msg: bad.Error()}
}

// misplaced reports an acknowledgement that is not the next one of the message under
// way that it names, which ends a connection to Mosquitto. By default it is counted.
func (s *Session) misplaced(t packet.Type, id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flights.byID[id]
	switch {
	case f == nil:
		return false
	case f.qos == 1:
		return t != packet.TypePuback
	case f.state == StateReleased:
		return t == packet.TypePuback
	}
	return t != packet.TypePubrec
}

// oftenRepeated counts the repetitions of a QoS 2 message on one connection, where MQTT 5
// allows none [MQTT-4.4.0-1]: Mosquitto ends it at the second.
func (c *conn) oftenRepeated(id uint16) bool {
	if !c.cfg.LikeMosquitto {
		return false
	}
	if _, again := c.repeated[id]; again {
		return true
	}
	if c.repeated == nil {
		c.repeated = make(map[uint16]struct{})
	}
	c.repeated[id] = struct{}{}
	return false
}

// greet is Mosquitto's answer to a CONNECT that could not be read beyond a part of it:
// whether there is one, its version and its code.
func greet(p *packet.Connect, part packet.ConnectPart, code packet.ReasonCode) (v packet.Version, as packet.ReasonCode, tell bool) {
	switch {
	case code == packet.UnsupportedProtocolVersion:
		return packet.V50, code, p.ProtocolName == "MQTT" || p.ProtocolName == "MQIsdp"
	case p.Version != packet.V50:
		return 0, 0, false
	case part == packet.PartClientID:
		return packet.V50, packet.ClientIDNotValid, true
	case part == packet.PartWill, part == packet.PartLogin:
		return 0, 0, false
	}
	return packet.V50, code, true
}

// uncleanConnect is the part of a CONNECT that Mosquitto would not take because of its
// characters.
func (c *conn) uncleanConnect(p *packet.Connect) (part packet.ConnectPart, unclean bool) {
	switch {
	case c.unclean([]byte(p.ClientID)):
		return packet.PartClientID, true
	case p.Will != nil && c.unclean([]byte(p.Will.Topic)):
		return packet.PartWill, true
	case c.unclean([]byte(p.UserName)):
		return packet.PartLogin, true
	}
	return 0, false
}

// controlWill reports a refusal because of a Will that would be a request to the
// broker, over which Mosquitto just closes.
func controlWill(p *packet.Connect, r *Refusal) bool {
	return r.Reason == WillNotAllowed && p.Will != nil && strings.HasPrefix(p.Will.Topic, "$CONTROL/")
}
