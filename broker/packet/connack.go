package packet

// Connack is a CONNACK packet.
type Connack struct {
	SessionPresent bool // not written on MQTT 3.1, where the bit does not exist

	// Code is the Reason Code of MQTT 5. Decoding MQTT 3 sets it too, to the
	// code that ReturnCode stands for.
	Code ReasonCode

	// ReturnCode is the Connect Return code of MQTT 3. When it is 0 and Code is
	// not, Append writes Code.Connack311().
	ReturnCode byte

	Properties Properties
}

var (
	errConnackFlags   = &Error{MalformedPacket, "reserved Connect Acknowledge Flags are set"}
	errReturnCode     = &Error{ProtocolError, "Connect Return code is reserved"}
	errSessionPresent = &Error{ProtocolError, "Session Present with a refusal"}
)

// Kind returns TypeConnack.
func (p *Connack) Kind() Type { return TypeConnack }

// Decode reads a CONNACK. Errors are *Error.
func (p *Connack) Decode(v Version, f Frame) error {
	*p = Connack{}
	c := open(v, f, TypeConnack)
	flags, code := c.u8(), c.u8()
	c.properties(v, inConnack, &p.Properties)
	if err := c.end(); err != nil {
		return err
	}
	if v != V31 { // 3.1 calls the first byte reserved
		p.SessionPresent = flags&1 != 0
		if flags > 1 { // [MQTT-3.2.2-1]
			return errConnackFlags
		}
		if p.SessionPresent && code != 0 { // [MQTT-3.2.2-6]
			return errSessionPresent
		}
	}
	if v == V50 {
		p.Code = ReasonCode(code)
		if !p.Code.ValidIn(TypeConnack) { // [MQTT-3.2.2-8]
			return errReason
		}
		return nil
	}
	if int(code) >= len(fromReturnCode) {
		return errReturnCode
	}
	p.ReturnCode, p.Code = code, fromReturnCode[code]
	return nil
}

// Append encodes the packet. Session Present is written only with success.
func (p *Connack) Append(dst []byte, v Version) []byte {
	code := byte(p.Code)
	if v != V50 {
		if code = p.ReturnCode; code == 0 {
			code = p.Code.Connack311()
		}
	}
	var flags byte
	if p.SessionPresent && code == 0 && v != V31 { // [MQTT-3.2.2-6]
		flags = 1
	}
	dst = append(dst, firstByte(TypeConnack))
	start := len(dst)
	dst = append(dst, flags, code) // [MQTT-3.2.2-1]
	if v == V50 {
		dst = p.Properties.appendBefore(dst, inConnack, connackFirst[:])
	}
	return prefixLength(dst, start) // [MQTT-3.2.2-8]
}

// connackFirst is the order in which Mosquitto writes the properties of a CONNACK. The
// specification gives none; programs that compare bytes are content with this one.
var connackFirst = [...]PropID{
	PropServerKeepAlive, PropTopicAliasMaximum, PropAssignedClientID, PropAuthMethod, PropAuthData,
	PropRetainAvailable, PropMaximumPacketSize, PropReceiveMaximum, PropMaximumQoS,
}

// connectFirst is the same for CONNECT, as a bridge of Mosquitto sends it.
var connectFirst = [...]PropID{PropTopicAliasMaximum, PropSessionExpiry, PropReceiveMaximum}

// appendBefore writes Property Length and the properties that may stand there: first those
// of the list, then the others in the order of their identifiers.
func (p *Properties) appendBefore(dst []byte, where packetSet, first []PropID) []byte {
	start := len(dst)
	var done uint64
	for _, id := range first {
		if p.Has(id) {
			dst = p.appendOne(dst, id)
		}
		done |= bit(id)
	}
	for id := range PropID(len(table)) {
		if table[id].in&where != 0 && done&bit(id) == 0 && p.Has(id) {
			dst = p.appendOne(dst, id)
		}
	}
	return prefixLength(dst, start)
}
