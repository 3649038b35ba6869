package packet

// Pingreq is a PINGREQ packet.
type Pingreq struct{}

// Pingresp is a PINGRESP packet.
type Pingresp struct{}

var errNotEmpty = &Error{MalformedPacket, "packet must not have a body"}

// DecodeEmpty checks a packet that consists of its fixed header alone: PINGREQ
// and PINGRESP always, DISCONNECT before MQTT 5. Flags or a body are
// MalformedPacket.
func DecodeEmpty(f Frame) error {
	if f.Flags() != 0 {
		return errFlags
	}
	if len(f.Body) > 0 {
		return errNotEmpty
	}
	return nil
}

// AppendPingreq appends a PINGREQ.
func AppendPingreq(dst []byte) []byte { return append(dst, firstByte(TypePingreq), 0) }

// AppendPingresp appends a PINGRESP.
func AppendPingresp(dst []byte) []byte { return append(dst, firstByte(TypePingresp), 0) }

// Kind returns TypePingreq.
func (*Pingreq) Kind() Type { return TypePingreq }

// Decode checks a PINGREQ. Errors are *Error; V31 does not look at the flags.
func (*Pingreq) Decode(v Version, f Frame) error { return decodeEmpty(v, f, TypePingreq) }

// Append encodes the packet.
func (*Pingreq) Append(dst []byte, _ Version) []byte { return AppendPingreq(dst) }

// Kind returns TypePingresp.
func (*Pingresp) Kind() Type { return TypePingresp }

// Decode checks a PINGRESP. Errors are *Error; V31 does not look at the flags.
func (*Pingresp) Decode(v Version, f Frame) error { return decodeEmpty(v, f, TypePingresp) }

// Append encodes the packet.
func (*Pingresp) Append(dst []byte, _ Version) []byte { return AppendPingresp(dst) }

func decodeEmpty(v Version, f Frame, t Type) error {
	c := open(v, f, t)
	if c.err == nil && len(f.Body) > 0 {
		return errNotEmpty
	}
	return c.err
}
