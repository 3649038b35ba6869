package mosquitto

import (
	"encoding/binary"
	"fmt"

	"hearthmq/broker"
)

// oldChunk reads an entry of version 2, 3 or 4. Their lengths are not what is written
// there, so the fields are read one by one and the length is left alone.
func (d *dbReader) oldChunk(kind, _ uint32) error {
	f := &fields{d: d}
	switch kind {
	case chunkConfig:
		f.u8() // shut down in order
		if size := f.u8(); f.err == nil && size != 8 {
			return fmt.Errorf("message numbers of %d bytes are not known", size)
		}
		f.skip(8)
	case chunkMessage:
		return d.oldMessage(f)
	case chunkClient:
		c := Client{ID: f.str(), Expiry: broker.NeverExpires}
		f.u16()
		if d.db.Version >= 3 {
			f.skip(8) // when it was last connected, by the clock of the C library
		}
		d.db.Clients = append(d.db.Clients, c)
	case chunkClientMessage:
		m := ClientMessage{ClientID: f.str(), MessageID: f.u64(), PacketID: f.u16(), QoS: f.u8()}
		m.Retain, m.Incoming, m.State = f.u8() != 0, f.u8() == 0, f.u8()
		f.u8() // dup
		d.db.Queued = append(d.db.Queued, m)
	case chunkRetained:
		d.db.Retained = append(d.db.Retained, f.u64())
	case chunkSubscription:
		d.db.Subscriptions = append(d.db.Subscriptions, Subscription{ClientID: f.str(), Filter: f.str(), QoS: f.u8()})
	default:
		return fmt.Errorf("an entry of kind %d is not known", kind)
	}
	return f.err
}

func (d *dbReader) oldMessage(f *fields) error {
	m := &BaseMessage{ID: f.u64(), SourceID: f.str()}
	if d.db.Version == 4 {
		m.SourceUser = f.str()
		f.u16() // port
	}
	f.u16() // packet identifier of the publisher
	f.u16()
	m.Topic, m.QoS, m.Retain = f.str(), f.u8(), f.u8() != 0
	n := f.u32()
	if f.err != nil {
		return f.err
	}
	payload, ok, err := d.payload(n, m.Topic)
	if m.Payload = payload; ok && err == nil {
		d.addMessage(m)
	}
	return err
}

// fields reads field after field; after an error all are zero.
type fields struct {
	d   *dbReader
	err error
	buf [8]byte
}

func (f *fields) take(n int) []byte {
	clear(f.buf[:])
	if f.err == nil {
		f.err = f.d.full(f.buf[:n])
	}
	return f.buf[:n]
}

func (f *fields) u8() byte    { return f.take(1)[0] }
func (f *fields) u16() uint16 { return binary.BigEndian.Uint16(f.take(2)) }
func (f *fields) u32() uint32 { return binary.BigEndian.Uint32(f.take(4)) }

// u64 is a number that was written as the machine has it, little endian.
func (f *fields) u64() uint64 { return binary.LittleEndian.Uint64(f.take(8)) }

func (f *fields) skip(n int64) {
	if f.err == nil {
		f.err = f.d.skip(n)
	}
}

func (f *fields) str() string {
	n := f.u16()
	if f.err != nil {
		return ""
	}
	var s string
	s, f.err = f.d.name(int(n))
	return s
}
