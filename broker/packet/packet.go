package packet

// Packet is one of *Connect, *Connack, *Publish, *Ack, *Subscribe, *Suback,
// *Unsubscribe, *Unsuback, *Pingreq, *Pingresp, *Disconnect and *Auth.
type Packet interface {
	// Kind returns the packet's type. (Ack has a field of the name Type.)
	Kind() Type
	// Decode replaces the packet with what f holds. Errors are *Error; the
	// packet's contents are then undefined, except where Connect says otherwise.
	Decode(v Version, f Frame) error
	// Append appends the packet in wire form, fixed header included. The
	// packet must be sound and not larger than MaxSize.
	Append(dst []byte, v Version) []byte
}

var (
	_ Packet = (*Connect)(nil)
	_ Packet = (*Connack)(nil)
	_ Packet = (*Publish)(nil)
	_ Packet = (*Ack)(nil)
	_ Packet = (*Subscribe)(nil)
	_ Packet = (*Suback)(nil)
	_ Packet = (*Unsubscribe)(nil)
	_ Packet = (*Unsuback)(nil)
	_ Packet = (*Pingreq)(nil)
	_ Packet = (*Pingresp)(nil)
	_ Packet = (*Disconnect)(nil)
	_ Packet = (*Auth)(nil)
)

var (
	errFlags    = &Error{MalformedPacket, "reserved flags of the fixed header are not as required"}
	errAuthType = &Error{MalformedPacket, "AUTH does not exist before MQTT 5"}
	errWrong    = &Error{ProtocolError, "packet is of another type"}
)

// Decode decodes a packet of whichever type into a value of its own that
// aliases nothing. It is meant for clients, traces and tests; a broker that
// counts allocations calls the types' Decode methods. v is ignored for CONNECT.
func Decode(v Version, f Frame) (Packet, error) {
	var p Packet
	switch f.Type() {
	case TypeConnect:
		p = new(Connect)
	case TypeConnack:
		p = new(Connack)
	case TypePublish:
		p, f = new(Publish), f.Clone()
	case TypePuback, TypePubrec, TypePubrel, TypePubcomp:
		p = new(Ack)
	case TypeSubscribe:
		p = new(Subscribe)
	case TypeSuback:
		p = new(Suback)
	case TypeUnsubscribe:
		p = new(Unsubscribe)
	case TypeUnsuback:
		p = new(Unsuback)
	case TypePingreq:
		p = new(Pingreq)
	case TypePingresp:
		p = new(Pingresp)
	case TypeDisconnect:
		p = new(Disconnect)
	case TypeAuth:
		p = new(Auth)
	default:
		return nil, errReservedType
	}
	if err := p.Decode(v, f); err != nil {
		return nil, err
	}
	return p, nil
}

// open starts decoding f, which must be of type t with the flags the
// specification fixes for it.
func open(v Version, f Frame, t Type) cursor {
	c := cursor{b: f.Body}
	switch {
	case f.Type() != t:
		c.fail(errWrong)
	case (f.Flags()^flagsOf(t))&fixedBits(v, t) != 0: // [MQTT-2.1.3-1]
		c.fail(errFlags)
	}
	return c
}

// fixedBits selects the flag bits that must be as flagsOf says. In MQTT 3.1 all
// packets have DUP, QoS and RETAIN bits, mostly unused: DUP marks a SUBSCRIBE,
// UNSUBSCRIBE or PUBREL sent again, and only the QoS of the first two, always
// 1, is held to the letter (case P15).
func fixedBits(v Version, t Type) byte {
	switch {
	case v != V31:
		return 0x0F
	case t == TypeSubscribe || t == TypeUnsubscribe:
		return 0x06
	}
	return 0
}

// flagsOf returns the fixed flags of every type but PUBLISH, table 2-2.
func flagsOf(t Type) byte {
	switch t {
	case TypePubrel, TypeSubscribe, TypeUnsubscribe: // [MQTT-3.6.1-1]
		return 0x02
	}
	return 0
}

// firstByte is the first byte of a packet of type t other than PUBLISH.
func firstByte(t Type) byte { return byte(t)<<4 | flagsOf(t) }
