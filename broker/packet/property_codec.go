package packet

import "bytes"

// inAny selects every property when encoding, whichever packet it belongs to.
const inAny packetSet = 1<<16 - 1

// forwardable are the properties a Server passes on unaltered with a message
// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-20].
const forwardable = uint64(1)<<PropPayloadFormat | 1<<PropContentType | 1<<PropResponseTopic |
	1<<PropCorrelationData | 1<<PropUser

var (
	errPropUnknown = &Error{MalformedPacket, "unknown Property Identifier"}
	errPropPast    = &Error{MalformedPacket, "Property Length runs past the end of the packet"}
	errPropPlace   = &Error{ProtocolError, "property is not allowed in this packet"}
	// ErrPropertyTwice: a property that may stand once stands there again.
	ErrPropertyTwice = &Error{ProtocolError, "property appears more than once"}
	errPropFlag      = &Error{ProtocolError, "property is neither 0 nor 1"}
	errPropZero      = &Error{ProtocolError, "property is 0"}
	errPropUsers     = &Error{QuotaExceeded, "more than 8192 User Properties"}
	errResponseTopic = &Error{ProtocolError, "Response Topic is empty or contains a wildcard"}
	errAuthData      = &Error{ProtocolError, "Authentication Data without Authentication Method"}
)

// walker visits the properties in b one by one and checks each: known, allowed
// here, not repeated, value within its rules. It allocates nothing.
type walker struct {
	cursor
	where packetSet // one bit
	seen  uint64
	users int

	// the property last visited; key and data alias b
	id        PropID
	num       uint32 // of the integer kinds
	data, key []byte // of text, binary and pairs; key of pairs only
}

// next moves to the next property and reports whether there is one. At the end
// w.err says whether all was well.
func (w *walker) next() bool {
	if len(w.b) == 0 {
		return false
	}
	w.id = PropID(w.u8())
	prop := lookup(w.id)
	if prop.kind == kindNone {
		w.fail(errPropUnknown)
		return false
	}
	twice := w.seen&bit(w.id) != 0
	w.seen |= bit(w.id)
	switch prop.kind {
	case kindFlag:
		if w.num = uint32(w.u8()); w.num > 1 {
			w.fail(errPropFlag)
		}
	case kindU16:
		w.num = uint32(w.u16())
	case kindU32:
		w.num = w.u32()
	case kindVarint:
		w.num = w.varint()
	case kindBinary:
		w.data = w.binary()
	case kindText:
		w.data = w.text()                                                           // [MQTT-3.3.2-13] [MQTT-3.3.2-19]
		if w.id == PropResponseTopic && (len(w.data) == 0 || hasWildcard(w.data)) { // [MQTT-4.7.3-1] [MQTT-3.3.2-14]
			w.fail(errResponseTopic)
		}
	case kindPair:
		w.key, w.data = w.text(), w.text() // [MQTT-1.5.7-1]
		if w.users++; w.users > MaxUserProperties {
			w.fail(errPropUsers)
		}
	}
	switch { // after the value: what breaks off is malformed, wherever it stands
	case prop.in&w.where == 0:
		w.fail(errPropPlace)
	case twice && prop.many&w.where == 0:
		w.fail(ErrPropertyTwice)
	case prop.nonZero && w.num == 0:
		w.fail(errPropZero)
	}
	return w.err == nil
}

// block reads a Property Length and returns the properties' bytes.
func (c *cursor) block() []byte {
	n := int(c.varint())
	if c.err == nil && n > len(c.b) {
		c.fail(errPropPast)
	}
	return c.take(n)
}

// properties reads Property Length and properties into p, or only checks them
// when p is nil. On MQTT 3 there are none and nothing is read.
func (c *cursor) properties(v Version, where packetSet, p *Properties) {
	if v != V50 {
		return
	}
	raw := c.block()
	if c.err != nil {
		return
	}
	if err := decodeProperties(raw, where, p); err != nil {
		c.fail(err)
	}
}

func decodeProperties(raw []byte, where packetSet, p *Properties) error {
	w := walker{cursor: cursor{b: raw}, where: where}
	for w.next() {
		if p != nil {
			p.take(&w)
		}
	}
	if w.err == nil && w.seen&bit(PropAuthData) != 0 && w.seen&bit(PropAuthMethod) == 0 {
		return errAuthData
	}
	return w.err
}

// take copies the property w stands on.
func (p *Properties) take(w *walker) {
	switch lookup(w.id).kind {
	case kindFlag:
		*p.flag(w.id) = byte(w.num)
	case kindU16:
		*p.u16(w.id) = uint16(w.num)
	case kindU32:
		*p.u32(w.id) = w.num
	case kindVarint:
		p.SubscriptionIDs = append(p.SubscriptionIDs, w.num)
	case kindBinary:
		*p.binary(w.id) = bytes.Clone(w.data)
	case kindText:
		*p.text(w.id) = string(w.data)
	case kindPair:
		p.User = append(p.User, UserProperty{Key: string(w.key), Value: string(w.data)})
	}
	p.Mark(w.id)
}

// forward returns those of the properties in raw that a Server forwards unaltered,
// in the order in which they came. raw must be sound.
func forward(raw []byte, where packetSet) (dst []byte) {
	w := walker{cursor: cursor{b: raw}, where: where}
	for start := 0; w.next(); start = len(raw) - len(w.b) {
		if forwardable&bit(w.id) != 0 {
			dst = append(dst, raw[start:len(raw)-len(w.b)]...)
		}
	}
	return dst
}

// DecodeProperties decodes properties in the form of Publish.Properties: wire
// form without the length in front. The rules of PUBLISH apply; any error is an
// *Error.
func DecodeProperties(raw []byte) (Properties, error) {
	var p Properties
	if err := decodeProperties(raw, inPublish, &p); err != nil {
		return Properties{}, err
	}
	return p, nil
}

// AppendForward appends those properties that a Server forwards unaltered in
// the form of Publish.Properties, in the order of their identifiers; User
// Properties keep theirs [MQTT-3.3.2-18].
func (p *Properties) AppendForward(dst []byte) []byte {
	for id := range PropID(len(table)) {
		if forwardable&bit(id) != 0 && p.Has(id) {
			dst = p.appendOne(dst, id)
		}
	}
	return dst
}

// appendBlock writes Property Length and the properties that may stand there;
// nothing on MQTT 3.
func (p *Properties) appendBlock(dst []byte, v Version, where packetSet) []byte {
	if v != V50 {
		return dst
	}
	start := len(dst)
	return prefixLength(p.appendTo(dst, where), start) // [MQTT-2.2.2-1]
}

// appendTo writes the properties allowed in where, without a length.
func (p *Properties) appendTo(dst []byte, where packetSet) []byte {
	for id := range PropID(len(table)) {
		if table[id].in&where != 0 && p.Has(id) {
			dst = p.appendOne(dst, id)
		}
	}
	return dst
}

// any reports whether appendTo would write something.
func (p *Properties) any(where packetSet) bool {
	for id := range PropID(len(table)) {
		if table[id].in&where != 0 && p.Has(id) {
			return true
		}
	}
	return false
}

func (p *Properties) appendOne(dst []byte, id PropID) []byte {
	switch table[id].kind {
	case kindVarint:
		for _, v := range p.SubscriptionIDs {
			dst = appendVarint(append(dst, byte(id)), v)
		}
		return dst
	case kindPair:
		for _, u := range p.User {
			dst = appendText(appendText(append(dst, byte(id)), u.Key), u.Value)
		}
		return dst
	}
	dst = append(dst, byte(id))
	switch table[id].kind {
	case kindFlag:
		dst = append(dst, *p.flag(id))
	case kindU16:
		dst = appendU16(dst, *p.u16(id))
	case kindU32:
		dst = appendU32(dst, *p.u32(id))
	case kindText:
		dst = appendText(dst, *p.text(id))
	case kindBinary:
		dst = appendBinary(dst, *p.binary(id))
	}
	return dst
}
