package difftest

import (
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"hearthmq/broker/packet"
)

const (
	// patience is how long a broker may be silent when it must answer.
	patience = 20 * time.Second
	// unanswered is how long an acknowledgement may take after all is quiet.
	unanswered = 3 * time.Second
)

// client is one client of one broker. Nothing in it runs by itself: packets are
// read when the world settles.
type client struct {
	site *site
	id   string
	who  string // "c1", beginning of its payloads
	link

	seen  []event // in this step
	most  int     // QoS 1 and 2 messages under way in this step
	acked string  // what an acknowledge step acknowledged

	// What belongs to the session.
	lastID   uint16
	sent     map[uint16]string // what own Packet Identifiers stand for, until acknowledged
	held     []*packet.Publish // QoS 2, PUBREL not sent
	received map[uint16]string // what the broker's Packet Identifiers stand for
}

// link is a Network Connection and what is forgotten with it.
type link struct {
	nc       net.Conn // nil: not connected
	rd       *packet.Reader
	version  packet.Version
	withhold bool
	noID     bool              // another client's for the broker: it has an identifier of its own
	aliases  map[uint16]string // set by the broker
	pending  []*packet.Ack     // withheld
	waiting  int               // requests without an answer
	under    map[uint16]bool   // QoS 1 and 2 messages from the broker that are under way
}

func newClient(s *site, n int) *client {
	who := clientName(n)
	return &client{site: s, id: "difftest-" + who, who: who, sent: make(map[uint16]string), received: make(map[uint16]string)}
}

func (c *client) see(e event) { c.seen = append(c.seen, e) }

// send writes packets. That the broker has closed the connection shows when reading.
func (c *client) send(ps ...packet.Packet) {
	var b []byte
	for _, p := range ps {
		b = p.Append(b, c.version)
	}
	_, _ = c.nc.Write(b)
}

// packetID returns an unused Packet Identifier, which stands for label.
func (c *client) packetID(label string) uint16 {
	for {
		c.lastID++
		if _, used := c.sent[c.lastID]; !used && c.lastID != 0 {
			c.sent[c.lastID] = label
			return c.lastID
		}
	}
}

// pump exchanges PINGREQ and PINGRESP and reports whether anything else came.
func (c *client) pump() (active bool) {
	if c.nc == nil {
		return false
	}
	c.send(&packet.Pingreq{})
	for {
		p, err := c.read(patience)
		switch {
		case err != nil:
			c.lost(err)
			return true
		case p.Kind() == packet.TypePingresp:
			return active
		}
		active = true
		c.handle(p)
	}
}

// await waits for acknowledgements that come later than a PINGRESP.
func (c *client) await() (active bool) {
	if c.nc == nil || c.waiting == 0 {
		return false
	}
	p, err := c.read(unanswered)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.see(event{note: "unanswered: " + strconv.Itoa(c.waiting) + ", not"})
		c.waiting = 0
		return false
	case err != nil:
		c.lost(err)
	default:
		c.handle(p)
	}
	return true
}

func (c *client) read(within time.Duration) (packet.Packet, error) {
	if err := c.nc.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, err
	}
	f, err := c.rd.ReadFrame()
	if err != nil {
		return nil, err
	}
	return packet.Decode(c.version, f)
}

// lost notes that the broker has ended the connection.
func (c *client) lost(err error) {
	note := ""
	if pe, ok := errors.AsType[*packet.Error](err); ok {
		note = "broken packet (" + pe.Msg + "),"
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		note = "no PINGRESP,"
	}
	c.see(event{note: note})
	c.end()
}

// end closes the connection and waits until the broker has noticed.
func (c *client) end() {
	local := c.nc.LocalAddr().String()
	c.nc.Close()
	c.link = link{}
	c.site.gone(local)
}

// hangUp ends the connection from the client's side. It waits for the broker's end
// of it, too: on a busy machine a FIN may be handled after what another connection
// sent later.
func (c *client) hangUp() {
	if tcp, ok := c.nc.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
		for {
			if _, err := c.read(patience); err != nil {
				break
			}
		}
	}
	c.end()
}

// drain reads a connection that the broker is to end, and closes it.
func (c *client) drain(note string) {
	for {
		p, err := c.read(patience)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.see(event{note: words(note, "never")})
			}
			break
		}
		e := c.decode(p)
		e.note = words(note, e.note)
		c.see(e)
	}
	c.end()
}

// handle notes a packet and answers it.
func (c *client) handle(p packet.Packet) {
	c.see(c.decode(p))
	switch p := p.(type) {
	case *packet.Publish:
		if p.QoS > 0 {
			c.under[p.PacketID] = true
			c.most = max(c.most, len(c.under))
		}
		switch p.QoS {
		case 1:
			c.answer(&packet.Ack{Type: packet.TypePuback, PacketID: p.PacketID})
		case 2:
			c.answer(&packet.Ack{Type: packet.TypePubrec, PacketID: p.PacketID})
		}
	case *packet.Ack:
		switch p.Type {
		case packet.TypePuback, packet.TypePubcomp:
			c.waiting--
			delete(c.sent, p.PacketID)
		case packet.TypePubrel:
			c.answer(&packet.Ack{Type: packet.TypePubcomp, PacketID: p.PacketID})
		case packet.TypePubrec:
			c.recorded(p)
		}
	case *packet.Suback:
		c.waiting--
		delete(c.sent, p.PacketID)
	case *packet.Unsuback:
		c.waiting--
		delete(c.sent, p.PacketID)
	}
}

// recorded answers PUBREC, unless PUBREL is to be held.
func (c *client) recorded(p *packet.Ack) {
	if slices.ContainsFunc(c.held, func(h *packet.Publish) bool { return h.PacketID == p.PacketID }) {
		c.waiting--
		return
	}
	if p.Code.Failed() {
		c.waiting--
		delete(c.sent, p.PacketID)
		return
	}
	c.send(&packet.Ack{Type: packet.TypePubrel, PacketID: p.PacketID})
}

func (c *client) answer(a *packet.Ack) {
	if c.withhold {
		c.pending = append(c.pending, a)
		return
	}
	c.acknowledge(a)
}

// acknowledge sends what the broker waits for.
func (c *client) acknowledge(a *packet.Ack) {
	if a.Type != packet.TypePubrec {
		delete(c.under, a.PacketID)
	}
	c.send(a)
}

// decode makes an event of a packet.
func (c *client) decode(p packet.Packet) event {
	e := event{kind: p.Kind()}
	switch p := p.(type) {
	case *packet.Connack:
		e.present, e.codes = p.SessionPresent, []packet.ReasonCode{p.Code}
	case *packet.Publish:
		c.decodePublish(&e, p)
	case *packet.Ack:
		e.codes = []packet.ReasonCode{p.Code}
		if p.Type == packet.TypePubrel {
			e.label = "of " + c.received[p.PacketID]
		} else {
			e.label = "of " + c.sent[p.PacketID]
		}
	case *packet.Suback:
		e.label, e.codes = "of "+c.sent[p.PacketID], p.Codes
	case *packet.Unsuback:
		e.label, e.codes = "of "+c.sent[p.PacketID], p.Codes
	case *packet.Disconnect:
		e.codes = []packet.ReasonCode{p.Code}
	}
	return e
}

func (c *client) decodePublish(e *event, p *packet.Publish) {
	e.topic, e.label, e.qos, e.retain, e.dup = string(p.Topic), string(p.Payload), p.QoS, p.Retain, p.Dup
	if p.HasAlias {
		if e.topic == "" {
			e.topic = c.aliases[p.TopicAlias]
		}
		if c.aliases == nil {
			c.aliases = make(map[uint16]string)
		}
		c.aliases[p.TopicAlias] = e.topic
	}
	e.ids = slices.Sorted(slices.Values(p.SubscriptionIDs))
	e.props = describe(p)
	if p.QoS > 0 {
		if p.Dup && c.received[p.PacketID] != e.label {
			e.note = "with another identifier"
		}
		c.received[p.PacketID] = e.label
	}
}

func clientName(n int) string { return "c" + itoa(n) }

func itoa(n int) string { return strconv.Itoa(n) }
