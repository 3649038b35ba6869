package packet

import (
	"encoding/binary"
	"slices"
)

// Publish is a PUBLISH packet. Decoded, it aliases the frame: whoever keeps a
// part beyond the frame's life copies it. A Publish is meant to be reused; its
// slices SubscriptionIDs and Properties are then overwritten.
type Publish struct {
	Dup, Retain bool
	QoS         byte
	PacketID    uint16 // 0 when QoS is 0

	Topic   []byte // aliases the frame; empty only with a Topic Alias
	Payload []byte // aliases the frame

	HasExpiry     bool
	MessageExpiry uint32 // seconds

	TopicAlias uint16 // 0 is let through: TopicAliasInvalid is the broker's answer
	HasAlias   bool

	// SubscriptionIDs come from servers only; a broker refuses them
	// [MQTT-3.3.4-6], clients and bridges use them. The slice is reused.
	SubscriptionIDs []uint32

	// Properties holds, in wire form without the length, what a Server forwards
	// unaltered: Payload Format Indicator, Content Type, Response Topic,
	// Correlation Data and User Properties. It aliases the frame when they stand
	// next to each other, else a buffer inside Publish that is reused.
	Properties []byte

	scratch []byte
}

var (
	errQoS3 = &Error{MalformedPacket, "PUBLISH with QoS 3"}
	errDup  = &Error{MalformedPacket, "PUBLISH with DUP and QoS 0"}
	// ErrTopicEmpty: neither Topic Name nor Topic Alias.
	ErrTopicEmpty    = &Error{ProtocolError, "PUBLISH with neither Topic Name nor Topic Alias"}
	errTopicEmptyOld = &Error{MalformedPacket, "PUBLISH with an empty Topic Name"}
	errTopicWildcard = &Error{TopicNameInvalid, "Topic Name contains a wildcard"}
)

// Kind returns TypePublish.
func (p *Publish) Kind() Type { return TypePublish }

// Decode reads a PUBLISH and checks all that can be checked without knowing the
// connection. Every error is an *Error: MalformedPacket for QoS 3, DUP with QoS
// 0 (V31 tolerates it), bad UTF-8, lengths past the end, unknown properties, an
// empty Topic Name on MQTT 3; ProtocolError for Packet Identifier 0, misplaced
// or repeated properties, a wildcard in the Response Topic, an empty Topic Name
// without alias; TopicNameInvalid for a wildcard in the Topic Name;
// QuotaExceeded for more than MaxUserProperties. Whether a payload marked as
// UTF-8 is UTF-8 is left open. It allocates nothing except to grow reused
// slices.
func (p *Publish) Decode(v Version, f Frame) error {
	p.Dup, p.Retain, p.QoS = f.First&0x08 != 0, f.First&0x01 != 0, f.First>>1&0x03
	p.PacketID, p.Payload, p.Properties = 0, nil, nil
	p.HasExpiry, p.MessageExpiry, p.HasAlias, p.TopicAlias = false, 0, false, 0
	p.SubscriptionIDs = p.SubscriptionIDs[:0]
	p.Topic = nil
	if p.QoS == 3 { // [MQTT-3.3.1-4]
		return errQoS3
	}
	if p.Dup && p.QoS == 0 && v != V31 { // [MQTT-3.3.1-2]
		return errDup
	}
	b := f.Body
	if len(b) < 2 {
		return errShort
	}
	end := 2 + int(binary.BigEndian.Uint16(b))
	if end > len(b) {
		return errShort
	}
	p.Topic = b[2:end:end]
	b = b[end:]
	if !validText(p.Topic) { // [MQTT-3.3.2-1]
		return errUTF8
	}
	if hasWildcard(p.Topic) { // [MQTT-3.3.2-2]
		return errTopicWildcard
	}
	if p.QoS > 0 {
		if len(b) < 2 {
			return errShort
		}
		if p.PacketID = binary.BigEndian.Uint16(b); p.PacketID == 0 { // [MQTT-2.2.1-3]
			return errID
		}
		b = b[2:]
	}
	if v == V50 {
		if len(b) > 0 && b[0] == 0 {
			b = b[1:]
		} else {
			var err error
			if b, err = p.decodeProperties(b); err != nil {
				return err
			}
		}
		if len(p.Topic) == 0 && !p.HasAlias { // [MQTT-4.7.3-1]
			return ErrTopicEmpty
		}
	} else if len(p.Topic) == 0 {
		return errTopicEmptyOld
	}
	p.Payload = b[:len(b):len(b)]
	return nil
}

// decodeProperties reads Property Length and properties at the start of b and
// returns what follows. from and to bound the run of forwardable properties
// seen so far; as soon as a second run begins, all goes to the scratch buffer.
func (p *Publish) decodeProperties(b []byte) ([]byte, error) {
	c := cursor{b: b}
	raw := c.block()
	if c.err != nil {
		return nil, c.err
	}
	w := walker{cursor: cursor{b: raw}, where: inPublish}
	from, to, split := 0, 0, false
	for start := 0; w.next(); start = len(raw) - len(w.b) {
		switch w.id {
		case PropMessageExpiry:
			p.HasExpiry, p.MessageExpiry = true, w.num
			continue
		case PropTopicAlias:
			p.HasAlias, p.TopicAlias = true, uint16(w.num)
			continue
		case PropSubscriptionID:
			p.SubscriptionIDs = append(p.SubscriptionIDs, w.num)
			continue
		}
		end := len(raw) - len(w.b)
		switch {
		case split:
			p.scratch = append(p.scratch, raw[start:end]...)
		case from == to:
			from, to = start, end
		case to == start:
			to = end
		default:
			split = true
			p.scratch = append(append(p.scratch[:0], raw[from:to]...), raw[start:end]...)
		}
	}
	if w.err != nil {
		return nil, w.err
	}
	if split {
		p.Properties = p.scratch
	} else if from < to {
		p.Properties = raw[from:to:to]
	}
	return c.b, nil
}

// Append encodes the packet, see AppendPublish.
func (p *Publish) Append(dst []byte, v Version) []byte { return AppendPublish(dst, v, p) }

// AppendPublish appends p in wire form. DUP and the Packet Identifier are
// written only with QoS above 0 [MQTT-2.2.1-2] [MQTT-3.3.1-2]; MQTT 3 has no
// properties. p must be sound: QoS at most 2, a Topic of at most 65,535 bytes,
// PublishSize at most MaxSize. It allocates only to grow dst.
func AppendPublish(dst []byte, v Version, p *Publish) []byte {
	props := publishProperties(v, p)
	remaining := publishRemaining(v, p, props)
	dst = slices.Grow(dst, 1+varintSize(remaining)+remaining)

	first := byte(TypePublish)<<4 | p.QoS<<1
	if p.Dup && p.QoS > 0 {
		first |= 0x08
	}
	if p.Retain {
		first |= 0x01
	}
	dst = appendVarint(append(dst, first), uint32(remaining))
	dst = append(dst, byte(len(p.Topic)>>8), byte(len(p.Topic)))
	dst = append(dst, p.Topic...)
	if p.QoS > 0 {
		dst = append(dst, byte(p.PacketID>>8), byte(p.PacketID))
	}
	if v == V50 {
		dst = appendVarint(dst, uint32(props))
		if p.HasExpiry {
			dst = appendU32(append(dst, byte(PropMessageExpiry)), p.MessageExpiry)
		}
		if p.HasAlias {
			dst = appendU16(append(dst, byte(PropTopicAlias)), p.TopicAlias)
		}
		for _, id := range p.SubscriptionIDs {
			dst = appendVarint(append(dst, byte(PropSubscriptionID)), id)
		}
		dst = append(dst, p.Properties...)
	}
	return append(dst, p.Payload...)
}

// PublishSize returns how many bytes AppendPublish writes, to be compared with
// the receiver's Maximum Packet Size [MQTT-3.1.2-24].
func PublishSize(v Version, p *Publish) int {
	remaining := publishRemaining(v, p, publishProperties(v, p))
	return 1 + varintSize(remaining) + remaining
}

// publishProperties is the Property Length.
func publishProperties(v Version, p *Publish) int {
	if v != V50 {
		return 0
	}
	n := len(p.Properties)
	if p.HasExpiry {
		n += 5
	}
	if p.HasAlias {
		n += 3
	}
	for _, id := range p.SubscriptionIDs {
		n += 1 + varintSize(int(id))
	}
	return n
}

// publishRemaining is the Remaining Length.
func publishRemaining(v Version, p *Publish, props int) int {
	n := 2 + len(p.Topic) + len(p.Payload)
	if p.QoS > 0 {
		n += 2
	}
	if v == V50 {
		n += varintSize(props) + props
	}
	return n
}

// PacketIDOffset returns where in an encoded PUBLISH, fixed header included,
// the Packet Identifier stands, so that one encoding can serve many receivers.
// It is -1 when there is none: QoS 0, not a PUBLISH, or not whole.
func PacketIDOffset(_ Version, frame []byte) int {
	if len(frame) < 2 || Type(frame[0]>>4) != TypePublish || frame[0]&0x06 == 0 {
		return -1
	}
	i := 1
	for frame[i] >= 0x80 {
		if i++; i > 4 || i == len(frame) {
			return -1
		}
	}
	if i+3 > len(frame) {
		return -1
	}
	at := i + 3 + int(binary.BigEndian.Uint16(frame[i+1:]))
	if at+2 > len(frame) {
		return -1
	}
	return at
}
