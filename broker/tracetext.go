package broker

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"hearthmq/broker/packet"
)

// describeConnect says what a CONNECT asks for. The password is not part of it.
func describeConnect(p *packet.Connect) string {
	words := []string{"MQTT " + p.Version.String(), "client " + strconv.Quote(p.ClientID)}
	if p.HasUserName {
		words = append(words, "user "+strconv.Quote(p.UserName))
	}
	if p.HasPassword {
		words = append(words, "a password")
	}
	words = append(words, "keep alive "+(time.Duration(p.KeepAlive)*time.Second).String())
	if p.CleanStart {
		words = append(words, "clean start")
	}
	if w := p.Will; w != nil {
		words = append(words, fmt.Sprintf("will %q (QoS %d, retain %v)", w.Topic, w.QoS, w.Retain))
	}
	return strings.Join(append(words, describeProperties(&p.Properties)...), ", ")
}

// describePacket reads a packet for people. f may be of either direction.
func describePacket(v packet.Version, f packet.Frame) TracedPacket {
	d := TracedPacket{Type: f.Type().String(), Size: len(f.Raw)}
	var err error
	switch t := f.Type(); t {
	case packet.TypePublish:
		err = d.publish(v, f)
	case packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp:
		var code packet.ReasonCode
		if d.PacketID, code, err = packet.DecodeAck(v, f); err == nil && code != packet.Success {
			d.code(code)
		}
	case packet.TypeSubscribe, packet.TypeSuback, packet.TypeUnsubscribe, packet.TypeUnsuback:
		err = d.subscribing(v, f)
	case packet.TypeConnack:
		var p packet.Connack
		if err = p.Decode(v, f); err == nil {
			d.code(p.Code)
			if p.SessionPresent {
				d.say("session present")
			}
			d.say(describeProperties(&p.Properties)...)
		}
	case packet.TypeDisconnect:
		var p packet.Disconnect
		if err = p.Decode(v, f); err == nil {
			d.code(p.Code)
			d.say(describeProperties(&p.Properties)...)
		}
	case packet.TypeAuth:
		var p packet.Auth
		if err = p.Decode(v, f); err == nil {
			d.code(p.Code)
			d.say(describeProperties(&p.Properties)...)
		}
	case packet.TypeConnect:
		d.say("a second one")
	}
	if err != nil {
		d.Failed = true
		d.say("can't be read: " + err.Error())
	}
	return d
}

func (d *TracedPacket) say(words ...string) {
	for _, w := range words {
		if len(d.Detail) > traceText {
			return // the rest would be cut off: a packet may have thousands of filters
		}
		if d.Detail != "" {
			d.Detail += ", "
		}
		d.Detail += w
	}
}

func (d *TracedPacket) code(c packet.ReasonCode) {
	d.Failed = d.Failed || c.Failed()
	d.say(c.String())
}

func (d *TracedPacket) publish(v packet.Version, f packet.Frame) error {
	var p packet.Publish
	if err := p.Decode(v, f); err != nil {
		return err
	}
	d.PacketID, d.Topic, d.QoS, d.Retain, d.Dup = p.PacketID, string(p.Topic), p.QoS, p.Retain, p.Dup
	d.Payload = p.Payload
	if p.HasAlias {
		d.say("topic alias " + strconv.Itoa(int(p.TopicAlias)))
	}
	if p.HasExpiry {
		d.say("expires in " + (time.Duration(p.MessageExpiry) * time.Second).String())
	}
	for _, id := range p.SubscriptionIDs {
		d.say("subscription identifier " + strconv.FormatUint(uint64(id), 10))
	}
	if len(p.Properties) > 0 {
		if props, err := packet.DecodeProperties(p.Properties); err == nil {
			d.say(describeProperties(&props)...)
		}
	}
	return nil
}

func (d *TracedPacket) subscribing(v packet.Version, f packet.Frame) error {
	codes := func(list []packet.ReasonCode) {
		for _, c := range list {
			d.code(c)
		}
	}
	switch f.Type() {
	case packet.TypeSubscribe:
		var p packet.Subscribe
		if err := p.Decode(v, f); err != nil {
			return err
		}
		d.PacketID = p.PacketID
		for _, s := range p.Subscriptions {
			text := fmt.Sprintf("%q QoS %d", s.Filter, s.QoS)
			if s.NoLocal {
				text += " no local"
			}
			if s.RetainHandling > 0 {
				text += " retain handling " + strconv.Itoa(int(s.RetainHandling))
			}
			d.say(text)
		}
	case packet.TypeUnsubscribe:
		var p packet.Unsubscribe
		if err := p.Decode(v, f); err != nil {
			return err
		}
		d.PacketID = p.PacketID
		for _, filter := range p.Filters {
			d.say(strconv.Quote(filter))
		}
	case packet.TypeSuback:
		var p packet.Suback
		if err := p.Decode(v, f); err != nil {
			return err
		}
		d.PacketID = p.PacketID
		codes(p.Codes)
	case packet.TypeUnsuback:
		var p packet.Unsuback
		if err := p.Decode(v, f); err != nil {
			return err
		}
		d.PacketID = p.PacketID
		codes(p.Codes)
	}
	return nil
}

// describeProperties lists properties that tell a person something. Authentication
// Data is secret; what travels with a message is quoted.
func describeProperties(p *packet.Properties) []string {
	var words []string
	number := func(id packet.PropID, name string, v uint64) {
		if p.Has(id) {
			words = append(words, name+" "+strconv.FormatUint(v, 10))
		}
	}
	text := func(id packet.PropID, name, v string) {
		if p.Has(id) {
			words = append(words, name+" "+strconv.Quote(shortened(v)))
		}
	}
	number(packet.PropSessionExpiry, "session expiry", uint64(p.SessionExpiry))
	number(packet.PropReceiveMaximum, "receive maximum", uint64(p.ReceiveMaximum))
	number(packet.PropMaximumPacketSize, "maximum packet size", uint64(p.MaximumPacketSize))
	number(packet.PropServerKeepAlive, "server keep alive", uint64(p.ServerKeepAlive))
	number(packet.PropMaximumQoS, "maximum QoS", uint64(p.MaximumQoS))
	number(packet.PropPayloadFormat, "payload format", uint64(p.PayloadFormat))
	text(packet.PropAssignedClientID, "assigned client identifier", p.AssignedClientID)
	text(packet.PropContentType, "content type", p.ContentType)
	text(packet.PropResponseTopic, "response topic", p.ResponseTopic)
	text(packet.PropReasonString, "reason", p.ReasonString)
	text(packet.PropAuthMethod, "authentication method", p.AuthMethod)
	if p.Has(packet.PropCorrelationData) {
		words = append(words, fmt.Sprintf("correlation data of %d %s", len(p.CorrelationData), nouns(len(p.CorrelationData), "byte")))
	}
	for _, u := range p.User {
		words = append(words, fmt.Sprintf("%q=%q", u.Key, u.Value))
	}
	return words
}
