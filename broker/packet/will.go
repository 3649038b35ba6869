package packet

import "bytes"

// Will is the Will Message of a CONNECT, in copies.
type Will struct {
	QoS     byte
	Retain  bool
	Topic   string
	Payload []byte

	// Properties are the will properties, Will Delay Interval and Message
	// Expiry Interval included.
	Properties Properties

	// Forward is set by decoding: the properties that go out with the message,
	// in the form of Publish.Properties. Encoding uses Properties alone.
	Forward []byte
}

var (
	errWillTopic         = &Error{TopicNameInvalid, "Will Topic is empty"}
	errWillTopicWildcard = &Error{TopicNameInvalid, "Will Topic contains a wildcard"}
)

// decodeProperties reads the will properties from the payload of CONNECT.
func (w *Will) decodeProperties(c *cursor, v Version) {
	if v != V50 {
		return
	}
	raw := c.block()
	if c.err != nil {
		return
	}
	if err := decodeProperties(raw, inWill, &w.Properties); err != nil {
		c.fail(err)
		return
	}
	w.Forward = forward(raw, inWill) // [MQTT-3.1.3-10]
}

// decode reads topic and payload, which follow the properties.
func (w *Will) decode(c *cursor, flags byte) {
	w.QoS, w.Retain = flags&connectWillQoS>>3, flags&connectWillRetain != 0
	topic := c.text() // [MQTT-3.1.3-11]
	switch {
	case c.err != nil:
	case len(topic) == 0: // [MQTT-4.7.3-1]
		c.fail(errWillTopic)
	case hasWildcard(topic):
		c.fail(errWillTopicWildcard)
	}
	w.Topic, w.Payload = string(topic), bytes.Clone(c.binary())
}

func (w *Will) append(dst []byte, v Version) []byte {
	dst = w.Properties.appendBlock(dst, v, inWill)
	return appendBinary(appendText(dst, w.Topic), w.Payload)
}
