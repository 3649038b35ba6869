package packet

// Auth is an AUTH packet, MQTT 5 only.
type Auth struct {
	Code       ReasonCode // Success, ContinueAuthentication or Reauthenticate
	Properties Properties // Authentication Method and Data, Reason String, User Properties
}

// Kind returns TypeAuth.
func (p *Auth) Kind() Type { return TypeAuth }

// Decode reads an AUTH. Errors are *Error: MalformedPacket on MQTT 3, where the
// type is reserved; ProtocolError for a Reason Code that is not AUTH's or
// Authentication Data without a Method. A packet of length 0 is Success without
// a Method; whether the Method is the connection's is the caller's to judge.
func (p *Auth) Decode(v Version, f Frame) error {
	*p = Auth{}
	if v != V50 {
		return errAuthType
	}
	c := open(v, f, TypeAuth) // [MQTT-3.15.1-1]
	p.Code = c.code(TypeAuth, inAuth, &p.Properties)
	return c.end()
}

// Append encodes the packet in its shortest form, in MQTT 5 form whatever v is.
func (p *Auth) Append(dst []byte, _ Version) []byte {
	return appendCode(dst, TypeAuth, p.Code, &p.Properties)
}
