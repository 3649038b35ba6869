package bridge

import (
	"bytes"
	"strings"

	"hearthmq/broker/packet"
)

const (
	// viaKey is the User Property that names the brokers which a message has come
	// through, the first one first, comma between them.
	viaKey = "hearthmq-via"
	// maxHops is over how many bridges a message may go, and maxVia how long their names may
	// be together. A client may write what it likes there: where no name could be added a
	// message would go round for ever.
	maxHops = 8
	maxVia  = 1 << 10
)

// via reads the brokers that the properties, in wire form, name.
func via(properties []byte) string {
	if !bytes.Contains(properties, []byte(viaKey)) {
		return ""
	}
	p, err := packet.DecodeProperties(properties)
	if err != nil {
		return ""
	}
	for _, u := range p.User {
		if u.Key == viaKey {
			return u.Value
		}
	}
	return ""
}

// loops reports whether a message has been at the broker id before, or has come
// through too many.
func loops(seen, id string) bool {
	if seen == "" {
		return false
	}
	hops := strings.Split(seen, ",")
	if len(hops) >= maxHops || len(seen) > maxVia {
		return true
	}
	for _, h := range hops {
		if h == id {
			return true
		}
	}
	return false
}

// mark reports whether a message that was seen there is to say where it has been. A bridge
// in Mosquitto's place adds nothing to messages that say nothing.
func (s *Settings) mark(seen string) bool { return !s.LikeMosquitto || seen != "" }

// stamp returns the properties with the broker id added to those that the message
// has come through; ok is false where there are as many User Properties as may be.
func stamp(properties []byte, seen, id string) (with []byte, ok bool) {
	if seen == "" {
		var p packet.Properties
		p.AddUser(viaKey, id)
		with = p.AppendForward(bytes.Clone(properties))
		_, err := packet.DecodeProperties(with)
		return with, err == nil
	}
	p, err := packet.DecodeProperties(properties)
	if err != nil {
		return properties, true // they came out of a decoder: it does not happen
	}
	for i := range p.User {
		if p.User[i].Key == viaKey {
			p.User[i].Value = seen + "," + id
			break
		}
	}
	return p.AppendForward(nil), true
}
