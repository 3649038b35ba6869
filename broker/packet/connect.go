package packet

import "bytes"

// Connect is a CONNECT packet.
type Connect struct {
	ProtocolName string  // "MQTT" or "MQIsdp"; Append fills it in when empty
	Version      Version // Protocol Level without the bridge bit
	Bridge       bool    // bit 0x80 of the level, Mosquitto's private mark of a bridge

	CleanStart bool   // Clean Session before MQTT 5
	KeepAlive  uint16 // seconds, 0 is off
	ClientID   string // may be empty: whether that is accepted is the broker's business

	Will *Will // nil for none

	HasUserName bool
	UserName    string
	HasPassword bool
	Password    []byte // a copy; callers that are done with it may overwrite it

	Properties Properties
}

// ConnectPart is a part of CONNECT, in the order in which they stand there.
type ConnectPart byte

// The parts of CONNECT that Reached tells apart.
const (
	PartHeader ConnectPart = iota // up to and including the properties
	PartClientID
	PartWillProperties
	PartWill // topic and payload
	PartLogin
	PartEnd // nothing may follow
)

const (
	connectReserved   = 0x01
	connectClean      = 0x02
	connectWill       = 0x04
	connectWillQoS    = 0x18
	connectWillRetain = 0x20
	connectPassword   = 0x40
	connectUserName   = 0x80

	bridgeBit = 0x80
)

var (
	errVersion      = &Error{UnsupportedProtocolVersion, "protocol name and level are not those of MQTT 3.1, 3.1.1 or 5.0"}
	errConnectFlag  = &Error{MalformedPacket, "reserved Connect Flag is set"}
	errWillFlags    = &Error{MalformedPacket, "Will QoS or Will Retain without Will Flag"}
	errWillQoS      = &Error{MalformedPacket, "Will QoS is 3"}
	errPasswordOnly = &Error{MalformedPacket, "Password Flag without User Name Flag"}
)

// Kind returns TypeConnect.
func (p *Connect) Kind() Type { return TypeConnect }

// Decode reads a CONNECT; its version is in the packet, so the first argument
// is ignored. Errors are *Error.
//
// UnsupportedProtocolVersion means that protocol name and level do not belong
// together or are unknown. ProtocolName and Version then hold what was read, so
// that the broker can answer in a form that the client may understand; with a
// name other than "MQTT" and "MQIsdp" it is probably not an MQTT client at all.
// Whatever else fails, Version is set as soon as it is known to be one of ours,
// and is 0 before.
//
// A Password without a User Name is fine on MQTT 5 and malformed before.
func (p *Connect) Decode(_ Version, f Frame) error {
	var reached ConnectPart
	return p.decode(f, &reached)
}

// Reached is the part of a CONNECT in which decoding ends: what is broken, where it
// can't be decoded.
func Reached(f Frame) (part ConnectPart) {
	_ = new(Connect).decode(f, &part) // where it ends is what is asked for
	return part
}

func (p *Connect) decode(f Frame, reached *ConnectPart) error {
	*p = Connect{}
	c := open(V31, f, TypeConnect) // flags are judged when the version is known
	name := c.text()
	level := c.u8()
	if c.err != nil {
		return c.err
	}
	if len(name) <= maxProtocolName {
		p.ProtocolName = string(name)
	}
	p.Version, p.Bridge = Version(level&^bridgeBit), level&bridgeBit != 0
	if p.Version < V31 || p.Version > V50 || string(name) != nameOf(p.Version) { // [MQTT-3.1.2-1] [MQTT-3.1.2-2]
		p.Version, p.Bridge = Version(level), false
		return errVersion
	}
	if p.Version != V31 && f.Flags() != 0 {
		return errFlags
	}
	flags := c.u8()
	if c.err == nil {
		if err := checkConnectFlags(p.Version, flags); err != nil {
			return err
		}
	}
	p.CleanStart = flags&connectClean != 0
	p.KeepAlive = c.u16()
	c.properties(p.Version, inConnect, &p.Properties)
	c.reach(reached, PartClientID)
	p.ClientID = string(c.text())               // [MQTT-3.1.3-3] [MQTT-3.1.3-4]
	if flags&connectWill != 0 && c.err == nil { // [MQTT-3.1.2-9] [MQTT-3.1.3-1]
		p.Will = new(Will)
		c.reach(reached, PartWillProperties)
		p.Will.decodeProperties(&c, p.Version)
		c.reach(reached, PartWill)
		p.Will.decode(&c, flags)
	}
	c.reach(reached, PartLogin)
	p.login(&c, flags)
	c.reach(reached, PartEnd)
	return c.end()
}

// reach notes where decoding is, as long as nothing was broken before.
func (c *cursor) reach(reached *ConnectPart, part ConnectPart) {
	if c.err == nil {
		*reached = part
	}
}

// maxProtocolName is how long a protocol name may be to be kept for the answer.
const maxProtocolName = 16

func nameOf(v Version) string {
	if v == V31 {
		return "MQIsdp"
	}
	return "MQTT"
}

// checkConnectFlags returns what is wrong with the Connect Flags, or nil.
func checkConnectFlags(v Version, flags byte) error {
	switch {
	case flags&connectWillQoS == connectWillQoS: // [MQTT-3.1.2-12]
		return errWillQoS
	case flags&connectPassword != 0 && flags&connectUserName == 0 && v != V50: // [MQTT3-3.1.2-22]
		return errPasswordOnly
	case v == V31:
		return nil // case P15: 3.1 calls the rest unused
	case flags&connectReserved != 0: // [MQTT-3.1.2-3]
		return errConnectFlag
	case flags&connectWill == 0 && flags&(connectWillQoS|connectWillRetain) != 0: // [MQTT-3.1.2-11] [MQTT-3.1.2-13]
		return errWillFlags
	}
	return nil
}

// login reads User Name and Password. In MQTT 3.1 the Remaining Length takes
// precedence over the flags: a client may announce either and end before it.
func (p *Connect) login(c *cursor, flags byte) {
	missing := func() bool { return p.Version == V31 && c.err == nil && len(c.b) == 0 }
	if flags&connectUserName != 0 && !missing() { // [MQTT-3.1.2-16] [MQTT-3.1.2-17]
		p.HasUserName, p.UserName = true, string(c.text()) // [MQTT-3.1.3-12]
	}
	if flags&connectPassword != 0 && !missing() { // [MQTT-3.1.2-18] [MQTT-3.1.2-19]
		p.HasPassword, p.Password = true, bytes.Clone(c.binary())
	}
}

// Append encodes the packet for p.Version; v counts only when that is 0.
func (p *Connect) Append(dst []byte, v Version) []byte {
	if p.Version != 0 {
		v = p.Version
	}
	name, level, flags := p.ProtocolName, byte(v), byte(0)
	if name == "" {
		name = nameOf(v)
	}
	if p.Bridge {
		level |= bridgeBit
	}
	if p.CleanStart {
		flags |= connectClean
	}
	if p.Will != nil {
		flags |= connectWill | p.Will.QoS<<3&connectWillQoS
		if p.Will.Retain {
			flags |= connectWillRetain
		}
	}
	if p.HasUserName {
		flags |= connectUserName
	}
	if p.HasPassword {
		flags |= connectPassword
	}
	dst = append(dst, firstByte(TypeConnect))
	start := len(dst)
	dst = append(appendText(dst, name), level, flags)
	dst = appendU16(dst, p.KeepAlive)
	if v == V50 {
		dst = p.Properties.appendBefore(dst, inConnect, connectFirst[:])
	}
	dst = appendText(dst, p.ClientID)
	if p.Will != nil {
		dst = p.Will.append(dst, v)
	}
	if p.HasUserName {
		dst = appendText(dst, p.UserName)
	}
	if p.HasPassword {
		dst = appendBinary(dst, p.Password)
	}
	return prefixLength(dst, start)
}
