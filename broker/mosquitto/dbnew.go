package mosquitto

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errChunk = errors.New("the length of an entry does not fit what is in it")

// Sizes of what stands in front of each entry of version 5 and 6: a C structure.
const (
	configSize        = 16
	messageSize       = 32
	clientMessageSize = 16
	retainedSize      = 8
	subscriptionSize  = 12
	clientSize5       = 16
	clientSize6       = 24
)

// newChunk reads an entry of version 5 or 6.
func (d *dbReader) newChunk(kind, length uint32) error {
	sizes := [...]int{
		chunkConfig: configSize, chunkMessage: messageSize, chunkClientMessage: clientMessageSize,
		chunkRetained: retainedSize, chunkSubscription: subscriptionSize, chunkClient: clientSize6,
	}
	if kind == 0 || int64(kind) >= int64(len(sizes)) {
		return fmt.Errorf("an entry of kind %d is not known", kind)
	}
	size := sizes[kind]
	if kind == chunkClient && d.db.Version == 5 {
		size = clientSize5
	}
	rest := int64(length) - int64(size)
	if rest < 0 {
		return errChunk
	}
	var fixed [messageSize]byte
	if err := d.full(fixed[:size]); err != nil {
		return err
	}
	c := &chunk{d: d, fixed: fixed[:size], rest: rest}
	switch kind {
	case chunkConfig:
	case chunkMessage:
		c.message()
	case chunkClientMessage:
		c.clientMessage()
	case chunkRetained:
		d.db.Retained = append(d.db.Retained, c.u64(0))
	case chunkSubscription:
		s := Subscription{Identifier: c.u32(0), QoS: c.fixed[8] & 3, Options: c.fixed[9]}
		s.ClientID, s.Filter = c.name(c.u16(4)), c.name(c.u16(6))
		d.db.Subscriptions = append(d.db.Subscriptions, s)
	case chunkClient:
		c.client()
	}
	if c.err != nil {
		return c.err
	}
	return d.skip(c.rest) // nothing, unless a later Mosquitto has added to it
}

// chunk is one entry: its structure, which is read, and what follows, which is not.
type chunk struct {
	d     *dbReader
	fixed []byte
	rest  int64
	err   error
}

func (c *chunk) u16(at int) uint16 { return binary.BigEndian.Uint16(c.fixed[at:]) }
func (c *chunk) u32(at int) uint32 { return binary.BigEndian.Uint32(c.fixed[at:]) }

// u64 is as the machine has it. Mosquitto for big endian machines is not for homes.
func (c *chunk) u64(at int) uint64 { return binary.LittleEndian.Uint64(c.fixed[at:]) }

// take claims n bytes of what follows.
func (c *chunk) take(n int64) bool {
	if c.err == nil && n > c.rest {
		c.err = errChunk
	}
	if c.err != nil {
		return false
	}
	c.rest -= n
	return true
}

func (c *chunk) name(n uint16) (s string) {
	if c.take(int64(n)) {
		s, c.err = c.d.name(int(n))
	}
	return s
}

func (c *chunk) text(n uint16) (s string) {
	if c.take(int64(n)) {
		s, c.err = c.d.text(int(n))
	}
	return s
}

func (c *chunk) message() {
	m := &BaseMessage{ID: c.u64(0), Expires: unix(int64(c.u64(8))), QoS: c.fixed[30], Retain: c.fixed[31] != 0}
	m.SourceID, m.SourceUser, m.Topic = c.name(c.u16(22)), c.name(c.u16(24)), c.text(c.u16(26))
	n := c.u32(16)
	if !c.take(int64(n)) {
		return
	}
	payload, ok, err := c.d.payload(n, m.Topic)
	if c.err = err; err != nil {
		return
	}
	m.Payload, m.Properties = payload, c.properties()
	if c.err == nil {
		c.err = c.d.keep(len(m.Properties))
	}
	if ok && c.err == nil {
		c.d.addMessage(m)
	}
}

// maxProperties bounds the properties of one message, in bytes.
const maxProperties = 1 << 20

// properties reads a block of properties with its length in front; nil when there is none.
func (c *chunk) properties() []byte {
	if c.err != nil || c.rest == 0 {
		return nil
	}
	if c.rest > maxProperties {
		c.err = errChunk
		return nil
	}
	b, err := c.d.bytesOf(int(c.rest))
	c.rest = 0
	if c.err = err; err != nil {
		return nil
	}
	n, size := binary.Uvarint(b)
	if size <= 0 || size > 4 || n > uint64(len(b)-size) {
		c.err = errChunk
		return nil
	}
	return b[size : size+int(n) : size+int(n)]
}

func (c *chunk) clientMessage() {
	m := ClientMessage{MessageID: c.u64(0), PacketID: c.u16(8), QoS: c.fixed[12], State: c.fixed[13]}
	m.Retain, m.Incoming = c.fixed[14]>>4&1 == 1, c.fixed[15] == 0
	m.ClientID = c.name(c.u16(10))
	m.Identifier = subscriptionIdentifier(c.properties())
	c.d.db.Queued = append(c.d.db.Queued, m)
}

// subscriptionIdentifier is the one that is alone in a block of properties, 0 without.
func subscriptionIdentifier(b []byte) uint32 {
	const property = 0x0b
	if len(b) < 2 || b[0] != property {
		return 0
	}
	id, n := binary.Uvarint(b[1:])
	if n <= 0 || id > 268_435_455 {
		return 0
	}
	return uint32(id)
}

func (c *chunk) client() {
	x := Client{ExpiresAt: unix(int64(c.u64(0))), Expiry: c.u32(8)}
	x.ID = c.name(c.u16(14))
	if c.d.db.Version == 6 {
		x.UserKnown, x.ListenPort = true, c.u16(16)
		x.User = c.name(c.u16(18))
	}
	c.d.db.Clients = append(c.d.db.Clients, x)
}
