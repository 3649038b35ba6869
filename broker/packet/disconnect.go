package packet

// Disconnect is a DISCONNECT packet. Before MQTT 5 it has no contents and only
// clients send it.
type Disconnect struct {
	Code       ReasonCode // Success is a normal disconnection
	Properties Properties
}

// Kind returns TypeDisconnect.
func (p *Disconnect) Kind() Type { return TypeDisconnect }

// Decode reads a DISCONNECT. Errors are *Error: ProtocolError for a Reason Code
// that is not DISCONNECT's. Which codes and properties belong to which side
// (Session Expiry Interval to clients, Server Reference to servers) and a
// Session Expiry Interval raised from 0 are the caller's to judge.
func (p *Disconnect) Decode(v Version, f Frame) error {
	*p = Disconnect{}
	if v != V50 {
		return decodeEmpty(v, f, TypeDisconnect)
	}
	c := open(v, f, TypeDisconnect) // [MQTT-3.14.1-1]
	p.Code = c.code(TypeDisconnect, inDisconnect, &p.Properties)
	return c.end()
}

// code reads the Reason Code and properties of DISCONNECT and AUTH, where both
// may be left out from the end.
func (c *cursor) code(t Type, where packetSet, p *Properties) ReasonCode {
	if c.err != nil || len(c.b) == 0 {
		return Success
	}
	code := ReasonCode(c.u8())
	if !code.ValidIn(t) { // [MQTT-3.14.2-1] [MQTT-3.15.2-1]
		c.fail(errReason)
	}
	if len(c.b) > 0 {
		c.properties(V50, where, p)
	}
	return code
}

// Append encodes the packet in its shortest form.
func (p *Disconnect) Append(dst []byte, v Version) []byte {
	if v != V50 {
		return append(dst, firstByte(TypeDisconnect), 0)
	}
	return appendCode(dst, TypeDisconnect, p.Code, &p.Properties)
}

func appendCode(dst []byte, t Type, code ReasonCode, p *Properties) []byte {
	dst = append(dst, firstByte(t))
	switch where := packetSet(1) << t; {
	case p.any(where):
		start := len(dst)
		return prefixLength(p.appendBlock(append(dst, byte(code)), V50, where), start)
	case code != Success:
		return append(dst, 1, byte(code))
	}
	return append(dst, 0)
}
