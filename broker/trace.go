package broker

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hearthmq/broker/packet"
)

// Bounds of traces.
const (
	maxTraces    = 8
	tracePackets = 2000 // of each that are kept
	tracePayload = 256  // bytes of a payload that are kept
	traceText    = 1024 // bytes of a topic or a detail that are kept
)

// ErrTooManyTraces says that maxTraces clients are traced already.
var ErrTooManyTraces = errors.New("too many clients are traced at the same time")

// TracedPacket is an MQTT Control Packet that went over a traced client's connection.
// It holds no password.
type TracedPacket struct {
	Seq         uint64 // from 1 on, without gaps
	At          time.Time
	In          bool   // from the client
	Type        string // "PUBLISH"; "connection ended" is none of MQTT's
	Size        int    // bytes on the wire
	PacketID    uint16 // 0: none
	Topic       string // of a PUBLISH
	QoS         byte
	Retain, Dup bool
	Payload     []byte // its beginning
	PayloadSize int
	Failed      bool   // a Reason Code says so
	Detail      string // the rest, for people
}

// Trace records what goes over a client's connections, across reconnects, until it
// is stopped. Safe for concurrent use.
type Trace struct {
	b        *Broker
	clientID string
	begun    time.Time

	mu      sync.Mutex
	packets []TracedPacket // a ring once it is full
	next    uint64         // Seq of the next one
}

// traces are the clients that are traced. While there are none, a connection looks
// at one pointer of its own for each packet, and that is all.
type traces struct {
	count atomic.Int32
	mu    sync.Mutex
	byID  map[string]*Trace
}

// Trace begins to record what goes over the connections of a Client Identifier,
// those to come too. One that is traced already goes on as it is.
func (b *Broker) Trace(clientID string) (*Trace, error) {
	b.traces.mu.Lock()
	defer b.traces.mu.Unlock()
	if t := b.traces.byID[clientID]; t != nil {
		return t, nil
	}
	if len(b.traces.byID) == maxTraces {
		return nil, ErrTooManyTraces
	}
	if b.traces.byID == nil {
		b.traces.byID = make(map[string]*Trace)
	}
	t := &Trace{b: b, clientID: clientID, begun: time.Now(), next: 1}
	b.traces.byID[clientID] = t
	b.traces.count.Store(int32(len(b.traces.byID)))
	if s := b.sessions.get(clientID); s != nil {
		if c := s.conn.Load(); c != nil {
			c.trace.Store(t)
		}
	}
	return t, nil
}

// Stop ends the recording. What was recorded can still be read.
func (t *Trace) Stop() {
	k := &t.b.traces
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID[t.clientID] != t {
		return
	}
	delete(k.byID, t.clientID)
	k.count.Store(int32(len(k.byID)))
	if s := t.b.sessions.get(t.clientID); s != nil {
		if c := s.conn.Load(); c != nil {
			c.trace.CompareAndSwap(t, nil)
		}
	}
}

// ClientID returns whose trace it is.
func (t *Trace) ClientID() string { return t.clientID }

// Begun returns since when it records.
func (t *Trace) Begun() time.Time { return t.begun }

// After returns the packets with a higher Seq than seq, the oldest first, at most limit.
func (t *Trace) After(seq uint64, limit int) []TracedPacket {
	t.mu.Lock()
	defer t.mu.Unlock()
	oldest := t.next - uint64(len(t.packets))
	var list []TracedPacket
	for n := max(seq+1, oldest); n < t.next && len(list) < limit; n++ {
		list = append(list, t.packets[(n-1)%tracePackets])
	}
	return list
}

func (t *Trace) add(p TracedPacket) {
	p.At = time.Now()
	p.Topic, p.Detail = shortened(p.Topic), shortened(p.Detail)
	p.PayloadSize = len(p.Payload)
	p.Payload = slices.Clone(p.Payload[:min(len(p.Payload), tracePayload)])
	t.mu.Lock()
	defer t.mu.Unlock()
	p.Seq = t.next
	t.next++
	if len(t.packets) < tracePackets {
		t.packets = append(t.packets, p)
		return
	}
	t.packets[(p.Seq-1)%tracePackets] = p
}

func shortened(s string) string {
	if len(s) > traceText {
		return strings.ToValidUTF8(s[:traceText], "") + "…" // not half a character
	}
	return s
}

// joinTrace has the connection's packets recorded when its Client Identifier is
// traced. It is called when CONNECT is known, and again when the session knows the
// connection, since a trace may begin in between.
func (c *conn) joinTrace(clientID string) *Trace {
	if c.b.traces.count.Load() == 0 {
		return nil
	}
	c.b.traces.mu.Lock()
	defer c.b.traces.mu.Unlock()
	t := c.b.traces.byID[clientID]
	c.trace.Store(t)
	return t
}

// traceConnect records a CONNECT, also of somebody who is not let in.
func (c *conn) traceConnect(p *packet.Connect, size int) {
	if t := c.joinTrace(p.ClientID); t != nil {
		d := describeConnect(p)
		t.add(TracedPacket{In: true, Type: packet.TypeConnect.String(), Size: size, Detail: d + ", from " + c.remote.String()})
	}
}

// traceIn records a packet of the client.
func (c *conn) traceIn(f packet.Frame) {
	if t := c.trace.Load(); t != nil {
		p := describePacket(c.version, f)
		p.In = true
		t.add(p)
	}
}

// traceOut records the packets that begin in b, which is about to be written. A
// QoS 0 message that is encoded for many is a packet like any other by then.
func (c *conn) traceOut(b []byte) {
	t := c.trace.Load()
	if t == nil {
		return
	}
	for len(b) > 0 {
		f, n, _, err := packet.Split(b, 0)
		if err != nil || n == 0 {
			return // never: whole packets are appended
		}
		t.add(describePacket(c.version, f))
		b = b[n:]
	}
}

// traceEnd records the end of a connection.
func (c *conn) traceEnd(end ending) {
	if t := c.trace.Load(); t != nil {
		t.add(TracedPacket{Type: "connection ended", Failed: end.code.Failed(), Detail: end.reason})
	}
}
