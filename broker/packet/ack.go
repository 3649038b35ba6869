package packet

// Ack is a PUBACK, PUBREC, PUBREL or PUBCOMP, told apart by Type.
type Ack struct {
	Type       Type
	PacketID   uint16
	Code       ReasonCode // Success on MQTT 3
	Properties Properties // Reason String and User Properties
}

// Kind returns the field Type.
func (a *Ack) Kind() Type { return a.Type }

func isAck(t Type) bool { return t >= TypePuback && t <= TypePubcomp }

// Decode reads any of the four packets. It fails as DecodeAck does.
func (a *Ack) Decode(v Version, f Frame) error {
	*a = Ack{Type: f.Type()}
	var err error
	a.PacketID, a.Code, err = decodeAck(v, f, &a.Properties)
	return err
}

// Append encodes the packet in its shortest form: without Reason Code when it
// is Success and there are no properties, without Property Length when there
// are no properties. MQTT 3 has neither. Type must be one of the four.
func (a *Ack) Append(dst []byte, v Version) []byte {
	where := packetSet(1) << a.Type
	if v != V50 || !a.Properties.any(where) {
		return AppendAck(dst, v, a.Type, a.PacketID, a.Code)
	}
	dst = append(dst, firstByte(a.Type))
	start := len(dst)
	dst = append(appendU16(dst, a.PacketID), byte(a.Code))
	return prefixLength(a.Properties.appendBlock(dst, v, where), start)
}

// AppendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP without properties in
// its shortest form. It allocates only to grow dst.
func AppendAck(dst []byte, v Version, t Type, id uint16, code ReasonCode) []byte {
	if v != V50 || code == Success {
		return append(dst, firstByte(t), 2, byte(id>>8), byte(id))
	}
	return append(dst, firstByte(t), 3, byte(id>>8), byte(id), byte(code))
}

// DecodeAck reads a PUBACK, PUBREC, PUBREL or PUBCOMP (the type is in f) without
// allocating; properties are checked and passed over. Errors are *Error:
// MalformedPacket for wrong flags, a wrong length or broken properties,
// ProtocolError for Packet Identifier 0, a Reason Code that is not this
// packet's, misplaced properties.
func DecodeAck(v Version, f Frame) (id uint16, code ReasonCode, err error) {
	return decodeAck(v, f, nil)
}

func decodeAck(v Version, f Frame, p *Properties) (uint16, ReasonCode, error) {
	t := f.Type()
	if !isAck(t) {
		return 0, 0, errWrong
	}
	c := open(v, f, t)
	id, code := c.id(), Success
	if v == V50 && len(c.b) > 0 {
		code = ReasonCode(c.u8())
		if !code.ValidIn(t) { // [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
			c.fail(errReason)
		}
		if len(c.b) > 0 {
			c.properties(v, 1<<t, p)
		}
	}
	return id, code, c.end()
}
