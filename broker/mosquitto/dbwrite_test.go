package mosquitto_test

import (
	"bytes"
	"encoding/binary"

	"hearthmq/broker/mosquitto"
)

// dbWriter writes a mosquitto.db of version 2 to 6, field after field as Mosquitto does.
type dbWriter struct {
	bytes.Buffer
	version uint32
}

func (w *dbWriter) be(list ...any) {
	for _, v := range list {
		if err := binary.Write(w, binary.BigEndian, v); err != nil {
			panic(err) // a type that has no size
		}
	}
}

// le is a number as the machine has it.
func (w *dbWriter) le(v uint64) { w.Write(binary.LittleEndian.AppendUint64(nil, v)) }

func (w *dbWriter) str(s string) {
	w.be(uint16(len(s)))
	w.WriteString(s)
}

// chunk writes an entry. wrong is added to the length of the old formats, which
// Mosquitto itself gets wrong.
func (w *dbWriter) chunk(kind, wrong uint32, fill func(c *dbWriter)) {
	c := &dbWriter{version: w.version}
	fill(c)
	if w.version < 5 {
		w.be(uint16(kind), uint32(c.Len())+wrong)
	} else {
		w.be(kind, uint32(c.Len()))
	}
	w.Write(c.Bytes())
}

func (w *dbWriter) message(m mosquitto.BaseMessage) {
	w.chunk(2, 9, func(c *dbWriter) {
		retain := byte(0)
		if m.Retain {
			retain = 1
		}
		if w.version < 5 {
			c.le(m.ID)
			c.str(m.SourceID)
			if w.version == 4 {
				c.str(m.SourceUser)
				c.be(uint16(1883))
			}
			c.be(uint16(7), uint16(0))
			c.str(m.Topic)
			c.be(m.QoS, retain, uint32(len(m.Payload)))
			c.Write(m.Payload)
			return
		}
		c.le(m.ID)
		expires := uint64(0)
		if !m.Expires.IsZero() {
			expires = uint64(m.Expires.Unix())
		}
		c.le(expires)
		c.be(uint32(len(m.Payload)), uint16(7), uint16(len(m.SourceID)), uint16(len(m.SourceUser)), uint16(len(m.Topic)), uint16(1883), m.QoS, retain)
		c.WriteString(m.SourceID + m.SourceUser + m.Topic)
		c.Write(m.Payload)
		if m.Properties != nil {
			c.Write(binary.AppendUvarint(nil, uint64(len(m.Properties))))
			c.Write(m.Properties)
		}
	})
}

func (w *dbWriter) client(x mosquitto.Client) {
	w.chunk(6, 0, func(c *dbWriter) {
		if w.version < 5 {
			c.str(x.ID)
			c.be(uint16(9))
			if w.version >= 3 {
				c.le(0)
			}
			return
		}
		expires := uint64(0)
		if !x.ExpiresAt.IsZero() {
			expires = uint64(x.ExpiresAt.Unix())
		}
		c.le(expires)
		c.be(x.Expiry, uint16(9), uint16(len(x.ID)))
		if w.version == 6 {
			c.be(uint16(1883), uint16(len(x.User)), uint32(0))
		}
		c.WriteString(x.ID)
		if w.version == 6 {
			c.WriteString(x.User)
		}
	})
}

func (w *dbWriter) queued(m mosquitto.ClientMessage) {
	w.chunk(3, 0, func(c *dbWriter) {
		direction, retain := byte(1), byte(0)
		if m.Incoming {
			direction = 0
		}
		if m.Retain {
			retain = 1
		}
		if w.version < 5 {
			c.str(m.ClientID)
			c.le(m.MessageID)
			c.be(m.PacketID, m.QoS, retain, direction, m.State, byte(0))
			return
		}
		c.le(m.MessageID)
		c.be(m.PacketID, uint16(len(m.ClientID)), m.QoS, m.State, retain<<4, direction)
		c.WriteString(m.ClientID)
		if m.Identifier > 0 {
			b := binary.AppendUvarint([]byte{0x0b}, uint64(m.Identifier))
			c.Write(append(binary.AppendUvarint(nil, uint64(len(b))), b...))
		}
	})
}

func (w *dbWriter) subscription(s mosquitto.Subscription) {
	w.chunk(5, 0, func(c *dbWriter) {
		if w.version < 5 {
			c.str(s.ClientID)
			c.str(s.Filter)
			c.be(s.QoS)
			return
		}
		c.be(s.Identifier, uint16(len(s.ClientID)), uint16(len(s.Filter)), s.QoS, s.Options, uint16(0))
		c.WriteString(s.ClientID + s.Filter)
	})
}

// writeDatabase writes db in Mosquitto's order.
func writeDatabase(version uint32, db *mosquitto.Database) []byte {
	w := &dbWriter{version: version}
	w.WriteString("\x00\xb5\x00mosquitto db")
	w.be(uint32(0), version)
	w.chunk(1, 0, func(c *dbWriter) {
		if version < 5 {
			c.be(byte(1), byte(8))
			c.le(99)
			return
		}
		c.le(99)
		c.be(byte(1), byte(8), uint16(0), uint32(0))
	})
	for id := uint64(1); id <= uint64(len(db.Messages)); id++ {
		w.message(*db.Messages[id])
	}
	for _, c := range db.Clients {
		w.client(c)
		for _, m := range db.Queued {
			if m.ClientID == c.ID {
				w.queued(m)
			}
		}
	}
	for _, s := range db.Subscriptions {
		w.subscription(s)
	}
	for _, id := range db.Retained {
		w.chunk(4, 0, func(c *dbWriter) { c.le(id) })
	}
	return w.Bytes()
}
