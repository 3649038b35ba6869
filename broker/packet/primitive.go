package packet

import (
	"encoding/binary"
	"unicode/utf8"
)

var (
	errShort    = &Error{MalformedPacket, "a field runs past the end of the packet"}
	errVarint   = &Error{MalformedPacket, "Variable Byte Integer is longer than four bytes"}
	errTrailing = &Error{MalformedPacket, "bytes are left over behind the last field"}
	errUTF8     = &Error{MalformedPacket, "a string is not well-formed UTF-8 without U+0000"}
	errID       = &Error{ProtocolError, "Packet Identifier is 0"}
)

// peekVarint reads a Variable Byte Integer. size 0 without an error means that
// b ends inside it. More than four bytes: errVarint; a form with a useless last
// byte: errNotMinimal.
func peekVarint(b []byte) (value, size int, err error) {
	for i := range 4 {
		if i == len(b) {
			return 0, 0, nil
		}
		value |= int(b[i]&0x7F) << (7 * i)
		if b[i] < 0x80 {
			if i > 0 && b[i] == 0 { // [MQTT-1.5.5-1]
				return 0, 0, errNotMinimal
			}
			return value, i + 1, nil
		}
	}
	return 0, 0, errVarint
}

// cursor walks through a packet's body. The first error stays and every later
// read returns zero values, so decoders read as the specification's tables do
// and look at err where it matters. err is an *Error.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.b = nil
}

func (c *cursor) u8() byte {
	if len(c.b) < 1 {
		c.fail(errShort)
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

func (c *cursor) u16() uint16 {
	if len(c.b) < 2 {
		c.fail(errShort)
		return 0
	}
	v := binary.BigEndian.Uint16(c.b)
	c.b = c.b[2:]
	return v
}

func (c *cursor) u32() uint32 {
	if len(c.b) < 4 {
		c.fail(errShort)
		return 0
	}
	v := binary.BigEndian.Uint32(c.b)
	c.b = c.b[4:]
	return v
}

func (c *cursor) varint() uint32 {
	v, size, err := peekVarint(c.b)
	if err == nil && size == 0 {
		err = errShort
	}
	if err != nil {
		c.fail(err)
		return 0
	}
	c.b = c.b[size:]
	return uint32(v)
}

// binary reads Binary Data: two length bytes and that many bytes, aliased.
func (c *cursor) binary() []byte {
	n := int(c.u16())
	return c.take(n)
}

// take reads n bytes, aliased with their capacity cut.
func (c *cursor) take(n int) []byte {
	if len(c.b) < n {
		c.fail(errShort)
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

// text reads a UTF-8 Encoded String, checked and aliased.
func (c *cursor) text() []byte {
	v := c.binary()
	if c.err == nil && !validText(v) { // [MQTT-1.5.4-1] [MQTT-1.5.4-2]
		c.fail(errUTF8)
		return nil
	}
	return v // [MQTT-1.5.4-3]: a BOM is part of the string
}

// id reads a Packet Identifier, which is never 0.
func (c *cursor) id() uint16 {
	v := c.u16()
	if c.err == nil && v == 0 { // [MQTT-2.2.1-3]
		c.fail(errID)
	}
	return v
}

// end reports the first error, or that bytes are left over.
func (c *cursor) end() error {
	if c.err == nil && len(c.b) > 0 {
		return errTrailing
	}
	return c.err
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// hasZero is non-zero when one of x's bytes is 0 (exact as a yes-or-no answer).
func hasZero(x uint64) uint64 { return (x - ones) &^ x & highs }

// validText reports whether b is well-formed UTF-8 without U+0000. Eight bytes
// of ASCII are judged at once, since nearly all topics are nothing else.
func validText(b []byte) bool {
	if len(b) < 8 {
		return validRest(b)
	}
	i := 0
	for ; len(b)-i >= 8; i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		if x&highs|hasZero(x) != 0 {
			return validRest(b[i:])
		}
	}
	// The rest is in the last eight bytes, some of them looked at before.
	x := binary.LittleEndian.Uint64(b[len(b)-8:])
	return x&highs|hasZero(x) == 0 || validRest(b[i:])
}

func validRest(b []byte) bool {
	for i, c := range b {
		if c == 0 {
			return false
		}
		if c >= utf8.RuneSelf {
			return validSlow(b[i:])
		}
	}
	return true
}

func validSlow(b []byte) bool {
	for _, c := range b {
		if c == 0 {
			return false
		}
	}
	return utf8.Valid(b)
}

// hasWildcard reports whether b contains '+' or '#'.
func hasWildcard(b []byte) bool {
	if len(b) < 8 {
		for _, c := range b {
			if c == '+' || c == '#' {
				return true
			}
		}
		return false
	}
	for i := 0; len(b)-i >= 8; i += 8 {
		if wildcardIn(binary.LittleEndian.Uint64(b[i:])) {
			return true
		}
	}
	return wildcardIn(binary.LittleEndian.Uint64(b[len(b)-8:]))
}

func wildcardIn(x uint64) bool { return hasZero(x^ones*'+')|hasZero(x^ones*'#') != 0 }

// ValidText reports whether s may stand in a packet as a UTF-8 Encoded String:
// well-formed, without U+0000, at most 65,535 bytes long.
func ValidText(s string) bool {
	return len(s) <= maxText && validText([]byte(s))
}

const maxText = 65_535

// appendVarint writes a Variable Byte Integer in its shortest form.
func appendVarint(dst []byte, v uint32) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// varintSize is the number of bytes appendVarint writes.
func varintSize(v int) int {
	switch {
	case v < 1<<7:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<21:
		return 3
	}
	return 4
}

func appendU16(dst []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(dst, v) }

func appendU32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }

// appendText writes a UTF-8 Encoded String, cut before the character that
// crosses 65,535 bytes: only our own reason strings could get there.
func appendText(dst []byte, s string) []byte {
	if len(s) > maxText {
		n := maxText
		for n > maxText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return append(appendU16(dst, uint16(len(s))), s...)
}

// appendBinary writes Binary Data, cut at 65,535 bytes.
func appendBinary(dst, b []byte) []byte {
	b = b[:min(len(b), maxText)]
	return append(appendU16(dst, uint16(len(b))), b...)
}

// prefixLength inserts the length of dst[start:] before it. Bodies are written
// first and moved once, which is cheaper to get right than sizes computed in
// advance; PUBLISH and the acks do not come through here.
func prefixLength(dst []byte, start int) []byte {
	n := len(dst) - start
	var head [5]byte
	h := appendVarint(head[:0], uint32(n))
	dst = append(dst, h...)
	copy(dst[start+len(h):], dst[start:start+n])
	copy(dst[start:], h)
	return dst
}
