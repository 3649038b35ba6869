package crashtest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"hearthmq/broker/packet"
)

// publisher is a device that sends numbered messages of QoS 1 and 2 and keeps its
// side of the session over connections and over lives of the broker. It is used by
// one goroutine at a time.
type publisher struct {
	name    string
	version packet.Version
	window  int // messages under way
	book    *ledger
	rnd     *rand.Rand

	known   bool // the broker has said that it has the session
	number  int
	lastID  uint16
	flights []*outgoing // in the order in which they were first sent
}

// outgoing is a message under way.
type outgoing struct {
	id       uint16
	m        *message
	released bool // PUBREC has come: never to be sent again
}

// idSpace is how many Packet Identifiers a publisher uses: few, so that each comes
// back while the broker may still remember the one before.
const idSpace = 40

// next makes a message: half of them go to whoever is away or slow as well, some
// only to a subscriber that is there and acknowledges, some are retained.
func (p *publisher) next() *message {
	p.number++
	m := &message{number: p.number, qos: 1 + byte(p.rnd.IntN(2))}
	switch p.rnd.IntN(8) {
	case 0, 1, 2, 3:
		m.topic = fmt.Sprintf("load/%s/q%d", p.name, m.qos)
	case 4, 5:
		m.topic = fmt.Sprintf("live/%s/q%d", p.name, m.qos)
	default:
		// One QoS per topic: QoS 1 sent again may overtake QoS 2, which is not.
		m.topic, m.retain = fmt.Sprintf("state/%s/q%d/%d", p.name, m.qos, p.rnd.IntN(3)), true
		m.clears = p.rnd.IntN(10) == 0
	}
	m.key = fmt.Sprintf("%s.%d|%d", p.name, m.qos, p.number)
	return m
}

func (o *outgoing) packet(dup bool) packet.Packet {
	if o.released {
		return &packet.Ack{Type: packet.TypePubrel, PacketID: o.id}
	}
	m := o.m
	return &packet.Publish{Topic: []byte(m.topic), Payload: m.payload(), QoS: m.qos, Retain: m.retain, PacketID: o.id, Dup: dup}
}

// run connects, takes up again what was under way, and publishes until the
// connection breaks. With drain it sends nothing new, and disconnects when nothing
// is under way any more. told, if not nil, is called after each acknowledgement.
func (p *publisher) run(addr string, drain bool, told func(l *link)) error {
	l, err := dial(addr, p.name, p.version, true, 0)
	if err != nil {
		return err
	}
	defer l.close()
	if p.known && !l.present {
		p.book.complain("%s: the broker has forgotten the session", p.name)
	}
	var again []packet.Packet
	for _, o := range p.flights {
		again = append(again, o.packet(true))
	}
	if err := l.send(again...); err != nil {
		return err
	}
	for {
		if drain && len(p.flights) == 0 {
			return nil
		}
		if !drain {
			if err := p.fill(l); err != nil {
				return err
			}
		}
		in, err := l.read()
		if err != nil {
			return err
		}
		ack, ok := in.(*packet.Ack)
		if !ok {
			return fmt.Errorf("%s got %s", p.name, in.Kind())
		}
		if err := p.acknowledged(l, ack); err != nil {
			return err
		}
		if told != nil {
			told(l)
		}
	}
}

func (p *publisher) fill(l *link) error {
	var fresh []packet.Packet
	for len(p.flights) < p.window {
		o := &outgoing{id: p.freeID(), m: p.next()}
		p.flights = append(p.flights, o)
		p.book.send(o.m)
		fresh = append(fresh, o.packet(false))
	}
	if len(fresh) == 0 {
		return nil
	}
	return l.send(fresh...)
}

func (p *publisher) freeID() uint16 {
	for {
		p.lastID = p.lastID%idSpace + 1
		if p.find(p.lastID) < 0 {
			return p.lastID
		}
	}
}

func (p *publisher) find(id uint16) int {
	return slices.IndexFunc(p.flights, func(o *outgoing) bool { return o.id == id })
}

func (p *publisher) acknowledged(l *link, ack *packet.Ack) error {
	i := p.find(ack.PacketID)
	if i < 0 {
		return nil // of what was resent, and acknowledged for the first time already
	}
	p.known = true
	o := p.flights[i]
	switch {
	case ack.Code.Failed() && ack.Type != packet.TypePubcomp: // that one says 0x92 when it was complete before the crash
		p.book.complain("%s of %s says %s", ack.Type, o.m.key, ack.Code)
	case ack.Type == packet.TypePuback && o.m.qos == 1, ack.Type == packet.TypePubcomp && o.released:
		p.flights = slices.Delete(p.flights, i, i+1)
		p.book.accept(o.m)
	case ack.Type == packet.TypePubrec && o.m.qos == 2:
		p.book.accept(o.m)
		o.released = true
		return l.send(o.packet(false))
	}
	return nil
}
