package packet

import (
	"bytes"
	"strconv"
)

// Version is the Protocol Level byte of CONNECT, without Mosquitto's bridge bit.
type Version byte

// The versions this package speaks.
const (
	V31  Version = 3 // "MQIsdp"
	V311 Version = 4 // "MQTT"
	V50  Version = 5 // "MQTT"
)

// String returns the version as people write it, such as "3.1.1".
func (v Version) String() string {
	switch v {
	case V31:
		return "3.1"
	case V311:
		return "3.1.1"
	case V50:
		return "5.0"
	}
	return "level " + strconv.Itoa(int(v))
}

// Type is the MQTT Control Packet type, the upper four bits of the first byte.
type Type byte

// The fifteen packet types. 0 is reserved; AUTH exists in MQTT 5 only.
const (
	TypeConnect     Type = 1
	TypeConnack     Type = 2
	TypePublish     Type = 3
	TypePuback      Type = 4
	TypePubrec      Type = 5
	TypePubrel      Type = 6
	TypePubcomp     Type = 7
	TypeSubscribe   Type = 8
	TypeSuback      Type = 9
	TypeUnsubscribe Type = 10
	TypeUnsuback    Type = 11
	TypePingreq     Type = 12
	TypePingresp    Type = 13
	TypeDisconnect  Type = 14
	TypeAuth        Type = 15
)

var typeNames = [16]string{
	"RESERVED", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// String returns the name in the specification's capitals.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "type " + strconv.Itoa(int(t))
}

// QoS is 0, 1 or 2. It is an alias so that plain byte fields need no conversion.
type QoS = byte

const (
	// MaxRemainingLength is the largest value four length bytes can carry.
	MaxRemainingLength = 268_435_455
	// MaxSize is the largest possible packet: fixed header and MaxRemainingLength.
	MaxSize = MaxRemainingLength + 5
)

// Frame is one whole packet inside somebody's buffer; nothing is copied, so it
// is valid only as long as the buffer is left alone.
type Frame struct {
	First byte   // packet type and flags
	Body  []byte // everything behind the fixed header
	Raw   []byte // fixed header and body
}

// Type returns the packet type. It can be the reserved 0 only in a Frame that
// Split did not make.
func (f Frame) Type() Type { return Type(f.First >> 4) }

// Flags returns the lower four bits of the first byte.
func (f Frame) Flags() byte { return f.First & 0x0F }

// Clone returns the frame in a buffer of its own.
func (f Frame) Clone() Frame {
	raw := bytes.Clone(f.Raw)
	return Frame{First: f.First, Raw: raw, Body: raw[len(raw)-len(f.Body):]}
}

var (
	errReservedType = &Error{MalformedPacket, "packet type 0 is reserved"}
	// ErrRemaining: where the packet ends can not be told.
	ErrRemaining  = &Error{MalformedPacket, "Remaining Length is longer than four bytes"}
	errNotMinimal = &Error{MalformedPacket, "Variable Byte Integer is not in its shortest form"}
	errTooLarge   = &Error{PacketTooLarge, "packet is larger than the limit"}
)

// Split cuts the first packet off b. n is its whole length, or 0 when b does not
// hold all of it; need is then the number of bytes the whole packet takes, or 0
// while its length is not readable either.
//
// max limits the whole packet in bytes, 0 means MaxSize. It is checked as soon
// as the length is readable, before anybody buffers the body: PacketTooLarge.
// A Remaining Length of five bytes or in a longer form than needed, and packet
// type 0, are MalformedPacket. Errors are always *Error.
func Split(b []byte, max uint32) (f Frame, n int, need int, err error) {
	if len(b) < 2 {
		if len(b) == 1 && b[0]>>4 == 0 {
			return Frame{}, 0, 0, errReservedType
		}
		return Frame{}, 0, 0, nil
	}
	if b[0]>>4 == 0 {
		return Frame{}, 0, 0, errReservedType
	}
	length, head := int(b[1]), 2
	if length >= 0x80 {
		var size int
		length, size, err = peekVarint(b[1:])
		if err != nil {
			if err == errVarint {
				err = ErrRemaining
			}
			return Frame{}, 0, 0, err
		}
		if size == 0 {
			return Frame{}, 0, 0, nil
		}
		head = 1 + size
	}
	total := head + length
	if max != 0 && uint64(total) > uint64(max) {
		return Frame{}, 0, 0, errTooLarge
	}
	if len(b) < total {
		return Frame{}, 0, total, nil
	}
	return Frame{First: b[0], Body: b[head:total:total], Raw: b[:total:total]}, total, total, nil
}
