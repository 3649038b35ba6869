package mosquitto

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// Database is what a mosquitto.db holds, or the rows of a mosquitto.sqlite3.
type Database struct {
	File          string
	Version       uint32 // of the format, 0 for mosquitto.sqlite3
	Messages      map[uint64]*BaseMessage
	Retained      []uint64 // keys of Messages
	Clients       []Client
	Subscriptions []Subscription
	Queued        []ClientMessage // in order
}

// BaseMessage is a message that retained entries and queues refer to.
type BaseMessage struct {
	ID         uint64
	Topic      string
	Payload    []byte
	QoS        byte
	Retain     bool
	Expires    time.Time // zero: never
	Properties []byte    // as on the wire, without their length
	SourceID   string    // Client Identifier of the publisher
	SourceUser string
}

// Client is a stored session.
type Client struct {
	ID         string
	User       string
	UserKnown  bool // the format says who the user is
	Expiry     uint32
	ExpiresAt  time.Time // zero: not counting
	ListenPort uint16
}

// Subscription is a Topic Filter of a session. Filter may be a $share one.
type Subscription struct {
	ClientID   string
	Filter     string
	QoS        byte
	Options    byte // No Local 0x04, Retain As Published 0x08, Retain Handling 0x30
	Identifier uint32
}

// ClientMessage is one message in a session's queue.
type ClientMessage struct {
	ClientID   string
	MessageID  uint64 // key of Messages
	PacketID   uint16
	QoS        byte
	Retain     bool
	Incoming   bool // from the client, a QoS 2 message that was not released yet
	State      byte // Mosquitto's enum mosquitto_msg_state
	Identifier uint32
}

// Limits of a database.
const (
	maxDatabasePayload = 16 << 20  // one message; larger ones are left behind
	maxDatabaseBytes   = 512 << 20 // all of them, with all names and filters
	maxDatabaseEntries = 4_000_000
	maxPayload         = 268_435_455 // that MQTT can say
)

// dbMagic is followed by a CRC that is always 0, and the version.
const dbMagic = "\x00\xb5\x00mosquitto db"

var (
	errNotDatabase = errors.New("this is not a mosquitto.db")
	errCut         = errors.New("the file ends in the middle of an entry: it was copied while it was written, or not as a whole")
)

// ReadDatabase reads a mosquitto.db of version 2 to 6. It is all or nothing: a file
// that breaks off is Broken, and the database is nil.
func ReadDatabase(file string, r io.Reader) (*Database, []Notice) {
	return readDatabase(file, r, maxDatabaseBytes)
}

// readDatabase keeps most bytes of names and messages at most.
func readDatabase(file string, r io.Reader, most int64) (*Database, []Notice) {
	d := &dbReader{
		br:      bufio.NewReaderSize(r, 1<<16),
		db:      &Database{File: file, Messages: map[uint64]*BaseMessage{}},
		notices: notices{file: file},
		most:    most,
	}
	if err := d.read(); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			err = errCut
		}
		d.add(0, Broken, "", "%v (byte %d)", err, d.at)
		return nil, d.all()
	}
	return d.db, d.all()
}

// dbReader reads a database from the front. Integers of the old formats are big
// endian; in the new ones 64 bit integers are those of the machine that wrote them.
type dbReader struct {
	notices
	br      *bufio.Reader
	at      int64 // bytes read
	db      *Database
	bytes   int64 // that are kept
	most    int64 // of them
	entries int
	shared  map[string]string // names that occur again and again
}

// Kinds of entries.
const (
	chunkConfig = iota + 1
	chunkMessage
	chunkClientMessage
	chunkRetained
	chunkSubscription
	chunkClient
)

func (d *dbReader) read() error {
	head := make([]byte, len(dbMagic)+8)
	if err := d.full(head); err != nil || string(head[:len(dbMagic)]) != dbMagic {
		return errNotDatabase
	}
	d.shared = map[string]string{}
	d.db.Version = binary.BigEndian.Uint32(head[len(dbMagic)+4:])
	switch v := d.db.Version; {
	case v < 2 || v > 6:
		return fmt.Errorf("version %d of the format is not known (2 to 6 are)", v)
	case v < 5:
		return d.chunks(2, d.oldChunk)
	default:
		return d.chunks(4, d.newChunk)
	}
}

// chunks reads entries to the end of the file; size is that of the number of their kind.
func (d *dbReader) chunks(size int, read func(kind uint32, length uint32) error) error {
	for {
		if _, err := d.br.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		var head [8]byte
		if err := d.full(head[4-size:]); err != nil {
			return err
		}
		if d.entries++; d.entries > maxDatabaseEntries {
			return fmt.Errorf("there are more than %d entries", maxDatabaseEntries)
		}
		if err := read(binary.BigEndian.Uint32(head[:4]), binary.BigEndian.Uint32(head[4:])); err != nil {
			return err
		}
	}
}

func (d *dbReader) full(b []byte) error {
	n, err := io.ReadFull(d.br, b)
	d.at += int64(n)
	return err
}

// bytesOf reads n bytes without trusting n: what is not there is not allocated.
func (d *dbReader) bytesOf(n int) ([]byte, error) {
	const step = 1 << 20
	if n <= step {
		b := make([]byte, n)
		return b, d.full(b)
	}
	var b []byte
	for len(b) < n {
		more := make([]byte, min(step, n-len(b)))
		if err := d.full(more); err != nil {
			return nil, err
		}
		b = append(b, more...)
	}
	return b, nil
}

// keep counts bytes that stay in memory.
func (d *dbReader) keep(n int) error {
	if d.bytes += int64(n); d.bytes > d.most {
		return fmt.Errorf("the messages and names are larger than %d MiB together", d.most>>20)
	}
	return nil
}

func (d *dbReader) text(n int) (string, error) {
	if err := d.keep(n); err != nil {
		return "", err
	}
	b, err := d.bytesOf(n)
	return string(b), err
}

// name reads a text that is probably there already.
func (d *dbReader) name(n int) (string, error) {
	var buf [256]byte
	if n > len(buf) {
		return d.text(n)
	}
	if err := d.full(buf[:n]); err != nil {
		return "", err
	}
	if s, ok := d.shared[string(buf[:n])]; ok {
		return s, nil
	}
	if err := d.keep(n); err != nil {
		return "", err
	}
	s := string(buf[:n])
	if len(d.shared) < 100_000 {
		d.shared[s] = s
	}
	return s, nil
}

func (d *dbReader) skip(n int64) error {
	m, err := io.CopyN(io.Discard, d.br, n)
	d.at += m
	return err
}

// payload reads a message's payload; nil and false when it is too large and passed over.
func (d *dbReader) payload(n uint32, topic string) (b []byte, ok bool, err error) {
	switch {
	case n > maxPayload:
		return nil, false, fmt.Errorf("a payload of %d bytes is more than MQTT can carry", n)
	case n > maxDatabasePayload:
		d.add(0, Left, "", "the message of topic %s is left behind: its %d bytes are more than %d", quote(topic), n, maxDatabasePayload)
		return nil, false, d.skip(int64(n))
	}
	if err := d.keep(int(n)); err != nil {
		return nil, false, err
	}
	b, err = d.bytesOf(int(n))
	return b, true, err
}

func unix(seconds int64) time.Time {
	if seconds <= 0 || seconds > math.MaxInt32*4 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

func (d *dbReader) addMessage(m *BaseMessage) { d.db.Messages[m.ID] = m }
