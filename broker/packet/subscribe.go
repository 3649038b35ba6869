package packet

import "strings"

// Subscribe is a SUBSCRIBE packet.
type Subscribe struct {
	PacketID      uint16
	Subscriptions []Subscription
	Properties    Properties // Subscription Identifier and User Properties
}

// Subscription is one Topic Filter with its Subscription Options; before MQTT 5
// there is only the QoS.
type Subscription struct {
	Filter            string // well-formed UTF-8; its syntax is package topic's business
	QoS               byte
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte // 0, 1 or 2
}

// MaxFilters is how many Topic Filters one SUBSCRIBE or UNSUBSCRIBE may carry;
// more are answered with QuotaExceeded before anything is allocated. Home
// Assistant sends up to 500.
const MaxFilters = 8192

var (
	errFilters    = &Error{QuotaExceeded, "more than 8192 Topic Filters in one packet"}
	errNoFilters  = &Error{ProtocolError, "no Topic Filter"}
	errOptions    = &Error{MalformedPacket, "reserved bits of the Subscription Options are set"}
	errOptionsQoS = &Error{ProtocolError, "Subscription Options with QoS 3"}
	// ErrNoLocal: No Local with a Shared Subscription.
	ErrNoLocal        = &Error{ProtocolError, "No Local with a Shared Subscription"}
	errRetainHandling = &Error{ProtocolError, "Subscription Options with Retain Handling 3"}
)

// Kind returns TypeSubscribe.
func (p *Subscribe) Kind() Type { return TypeSubscribe }

// Decode reads a SUBSCRIBE. Errors are *Error: MalformedPacket for wrong flags,
// reserved option bits, lengths and UTF-8; ProtocolError for Packet Identifier
// 0, no filters (V31 tolerates it), QoS 3, Retain Handling 3, No Local with a
// Shared Subscription, Subscription Identifier 0 or twice; QuotaExceeded above
// MaxFilters.
func (p *Subscribe) Decode(v Version, f Frame) error {
	*p = Subscribe{}
	c := open(v, f, TypeSubscribe) // [MQTT-3.8.1-1]
	p.PacketID = c.id()
	c.properties(v, inSubscribe, &p.Properties)
	n, err := countFilters(c, 1)
	if err != nil {
		return err
	}
	if n == 0 && v != V31 { // [MQTT-3.8.3-2]
		return errNoFilters
	}
	p.Subscriptions = make([]Subscription, n)
	for i := range p.Subscriptions {
		s := &p.Subscriptions[i]
		s.Filter = string(c.text()) // [MQTT-3.8.3-1]
		if err := s.setOptions(v, c.u8()); err != nil && c.err == nil {
			return err
		}
		if s.NoLocal && strings.HasPrefix(s.Filter, "$share/") { // [MQTT-3.8.3-4]
			return ErrNoLocal
		}
	}
	return c.end()
}

// countFilters counts the strings, each followed by extra bytes, up to the end
// of c, whose own errors it returns. c is a copy, the caller's does not move.
func countFilters(c cursor, extra int) (n int, err error) {
	for len(c.b) > 0 {
		if n++; n > MaxFilters {
			return 0, errFilters
		}
		c.binary()
		c.take(extra)
	}
	return n, c.err
}

// setOptions takes the Subscription Options byte apart.
func (s *Subscription) setOptions(v Version, o byte) error {
	s.QoS = o & 0x03
	switch {
	case v != V50 && o&0xFC != 0, o&0xC0 != 0: // [MQTT-3.8.3-5] [MQTT3-3.8.3-4]
		return errOptions
	case s.QoS == 3:
		return errOptionsQoS
	case o&0x30 == 0x30:
		return errRetainHandling
	}
	s.NoLocal, s.RetainAsPublished, s.RetainHandling = o&0x04 != 0, o&0x08 != 0, o>>4
	return nil
}

func (s *Subscription) options(v Version) byte {
	o := s.QoS & 0x03
	if v != V50 {
		return o
	}
	if s.NoLocal {
		o |= 0x04
	}
	if s.RetainAsPublished {
		o |= 0x08
	}
	return o | s.RetainHandling&0x03<<4
}

// Append encodes the packet.
func (p *Subscribe) Append(dst []byte, v Version) []byte {
	dst = append(dst, firstByte(TypeSubscribe))
	start := len(dst)
	dst = p.Properties.appendBlock(appendU16(dst, p.PacketID), v, inSubscribe)
	for i := range p.Subscriptions {
		s := &p.Subscriptions[i]
		dst = append(appendText(dst, s.Filter), s.options(v))
	}
	return prefixLength(dst, start)
}

// Suback is a SUBACK packet: one code per Topic Filter, in their order.
type Suback struct {
	PacketID   uint16
	Codes      []ReasonCode // 0..2 is the granted QoS
	Properties Properties
}

// Kind returns TypeSuback.
func (p *Suback) Kind() Type { return TypeSuback }

// Decode reads a SUBACK. Errors are *Error.
func (p *Suback) Decode(v Version, f Frame) error {
	*p = Suback{}
	c := open(v, f, TypeSuback)
	p.PacketID = c.id()
	c.properties(v, inSuback, &p.Properties)
	p.Codes = c.codes(TypeSuback)
	if v != V50 {
		for _, code := range p.Codes {
			if code > GrantedQoS2 && code != UnspecifiedError { // [MQTT3-3.9.3-2]
				c.fail(errReason)
			}
		}
	}
	return c.end()
}

// codes reads Reason Codes up to the end.
func (c *cursor) codes(t Type) []ReasonCode {
	if c.err != nil {
		return nil
	}
	codes := make([]ReasonCode, len(c.b))
	for i, b := range c.b {
		codes[i] = ReasonCode(b)
		if !codes[i].ValidIn(t) { // [MQTT-3.9.3-2] [MQTT-3.11.3-2]
			c.fail(errReason)
			return nil
		}
	}
	c.b = nil
	return codes
}

// Append encodes the packet; on MQTT 3 every failure becomes 0x80.
func (p *Suback) Append(dst []byte, v Version) []byte {
	dst = append(dst, firstByte(TypeSuback))
	start := len(dst)
	dst = p.Properties.appendBlock(appendU16(dst, p.PacketID), v, inSuback)
	for _, code := range p.Codes {
		if v != V50 && code.Failed() {
			code = UnspecifiedError
		}
		dst = append(dst, byte(code))
	}
	return prefixLength(dst, start)
}
