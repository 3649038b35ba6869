package broker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// Order per publisher, topic and QoS over everything that happens to a house: random
// publishers and a subscriber with sessions, whose connections break and are taken over
// while messages are under way in both directions, and a broker that restarts.
// [MQTT-4.6.0-5] [MQTT-4.6.0-6] [MQTT3-4.6.0-1] [MQTT3-4.6.0-6]
func TestOrderOverEverything(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		for seed := range uint64(6) {
			h := &orderHouse{world: w, v: v, rand: rand.New(rand.NewPCG(seed, uint64(v))), prefix: fmt.Sprintf("%d-", seed), last: map[string]int{}}
			h.run()
			if w.Failed() {
				w.Fatalf("seed %d", seed)
			}
		}
	})
}

// orderHouse is one random run.
type orderHouse struct {
	*world
	v      packet.Version
	rand   *rand.Rand
	prefix string // of topics and Client Identifiers

	sub     *brokertest.Client
	started map[uint16]bool // QoS 2 messages received, PUBREL not
	unread  []packet.Packet // received, not answered
	last    map[string]int  // highest number received of each stream
	before  map[string]int  // number received last of each stream, what came again aside
	byID    map[uint16]arrival
	again   map[string]int // place of what came again last of each stream, on this connection
	arrived int
	pubs    []*orderlySender
}

// arrival is the message that a Packet Identifier stood for last.
type arrival struct {
	payload string
	place   int
	over    bool // answered: the identifier may stand for another one
}

// orderlySender publishes numbered messages in streams, one for each topic and QoS.
type orderlySender struct {
	*brokertest.Client
	id      string
	next    map[string]int
	packets uint16
	flights []*flightOut // in the order in which they were sent
}

type flightOut struct {
	p        *packet.Publish
	released bool // PUBREC came, PUBREL is under way
}

func (h *orderHouse) run() {
	h.before, h.started, h.byID = map[string]int{}, map[uint16]bool{}, map[uint16]arrival{}
	h.connectSub()
	h.sub.Subscribe(h.prefix+"t/#", 2)
	for i := range 3 {
		s := &orderlySender{id: fmt.Sprintf("%sp%d", h.prefix, i), next: map[string]int{}}
		h.connectPub(s)
		h.pubs = append(h.pubs, s)
	}
	for range 80 {
		h.step()
	}
	for range 1000 { // everything arrives in the end
		h.readSub()
		h.answer(len(h.unread))
		done := true
		for _, s := range h.pubs {
			h.readPub(s)
			done = done && len(s.flights) == 0
		}
		h.readSub()
		if done && len(h.unread) == 0 {
			break
		}
	}
	for _, s := range h.pubs {
		for name, n := range s.next {
			stream := s.id + " " + name
			if got, lossy := h.last[stream], strings.HasSuffix(name, " 0"); got != n && !lossy {
				h.Errorf("%s: %d of %d messages arrived", stream, got, n)
			}
		}
		s.Close()
	}
	h.sub.Close()
}

func (h *orderHouse) step() {
	s := h.pubs[h.rand.IntN(len(h.pubs))]
	switch n := h.rand.IntN(100); {
	case n < 55:
		h.publish(s, 1+h.rand.IntN(5))
	case n < 65:
		h.readPub(s)
	case n < 80:
		h.readSub()
		h.answer(h.rand.IntN(len(h.unread) + 1))
	case n < 86: // the subscriber's connection breaks
		h.sub.Close()
		if h.rand.IntN(2) == 0 {
			h.publish(s, 3) // while it is away
		}
		h.connectSub()
	case n < 90: // its session is taken over
		h.connectSub()
	case n < 93:
		s.Close()
		h.connectPub(s)
	case n < 96:
		h.connectPub(s) // taken over
	default:
		h.restart()
		h.connectSub()
		for _, s := range h.pubs {
			h.connectPub(s)
		}
	}
}

func (h *orderHouse) connectSub() {
	if h.sub != nil { // the end of what was sent is lost with the connection
		h.receive(cut(h.rand, h.sub.All()))
	}
	h.unread, h.again = nil, map[string]int{} // what was received and not answered comes again
	h.sub, _ = h.durable(h.v, h.prefix+"sub")
}

// connectPub connects anew and sends again what was not acknowledged, in order [MQTT-4.4.0-1].
func (h *orderHouse) connectPub(s *orderlySender) {
	if s.Client != nil {
		h.acknowledged(s, cut(h.rand, s.All()))
	}
	s.Client, _ = h.durable(h.v, s.id)
	for _, f := range s.flights {
		if f.released {
			s.Send(ack(packet.TypePubrel, f.p.PacketID))
			continue
		}
		again := *f.p
		again.Dup = true
		s.Send(&again)
	}
}

func (h *orderHouse) publish(s *orderlySender, n int) {
	var batch []packet.Packet
	for range n {
		qos := byte(h.rand.IntN(3))
		if qos > 0 && len(s.flights) >= 20 {
			continue
		}
		name := fmt.Sprintf("%st/%d", h.prefix, h.rand.IntN(2))
		stream := fmt.Sprintf("%s %d", name, qos)
		s.next[stream]++
		p := &packet.Publish{Topic: []byte(name), QoS: qos, Payload: fmt.Appendf(nil, "%s %s %d", s.id, stream, s.next[stream])}
		if qos > 0 {
			s.packets++
			p.PacketID = s.packets
			s.flights = append(s.flights, &flightOut{p: p})
		}
		batch = append(batch, p)
	}
	s.Send(batch...)
}

// cut leaves out the end of what was sent.
func cut(r *rand.Rand, packets []packet.Packet) []packet.Packet {
	return packets[:r.IntN(len(packets)+1)]
}

func (h *orderHouse) readPub(s *orderlySender) { h.acknowledged(s, s.All()) }

func (h *orderHouse) acknowledged(s *orderlySender, packets []packet.Packet) {
	for _, p := range packets {
		a, ok := p.(*packet.Ack)
		if !ok {
			continue
		}
		i := slices.IndexFunc(s.flights, func(f *flightOut) bool { return f.p.PacketID == a.PacketID })
		switch {
		case i < 0:
			h.Errorf("%s: %s for %d, which is not under way", s.id, a.Type, a.PacketID)
		case a.Type == packet.TypePubrec:
			s.flights[i].released = true
			s.Send(ack(packet.TypePubrel, a.PacketID))
		default:
			s.flights = slices.Delete(s.flights, i, i+1)
		}
	}
}

// readSub takes what has come for the subscriber and looks at its order.
func (h *orderHouse) readSub() { h.receive(h.sub.All()) }

func (h *orderHouse) receive(packets []packet.Packet) {
	for _, p := range packets {
		if m, ok := p.(*packet.Publish); ok {
			h.message(m)
		}
		h.unread = append(h.unread, p)
	}
}

func (h *orderHouse) message(m *packet.Publish) {
	end := strings.LastIndexByte(string(m.Payload), ' ')
	stream := string(m.Payload[:end])
	number, err := strconv.Atoi(string(m.Payload[end+1:]))
	if err != nil {
		h.Fatalf("payload %q", m.Payload)
	}
	known, ok := h.byID[m.PacketID]
	ok = ok && known.payload == string(m.Payload) && m.QoS > 0 && m.Dup
	// Sent twice by its publisher it may also be the second one, which got the identifier
	// of the first and whose first delivery was lost.
	if second := m.QoS == 1 && known.over && known.place <= h.again[stream]; ok && !second {
		// It comes again, in its old place.
		if known.place <= h.again[stream] || m.QoS == 2 && !h.started[m.PacketID] {
			h.Errorf("%q came again out of order or after its PUBREL", m.Payload)
		}
		h.again[stream] = known.place
		return
	}
	// What a publisher sends again counts as new with QoS 1: it goes back, and on from
	// there. QoS 2 comes exactly once; QoS 0 may be missing.
	before := h.before[stream]
	good := number == before+1
	switch m.QoS {
	case 1:
		good = number <= before+1
	case 0:
		good = number > before
	}
	if !good {
		h.Errorf("%s: %d after %d", stream, number, before)
	}
	h.before[stream], h.last[stream] = number, max(h.last[stream], number)
	if h.arrived++; m.QoS > 0 {
		h.byID[m.PacketID] = arrival{payload: string(m.Payload), place: h.arrived}
		h.again[stream] = h.arrived // nothing comes again behind what is new
		if m.QoS == 2 {
			h.started[m.PacketID] = true
		}
	}
}

// answer acknowledges the first n packets that were received, in order [MQTT3-4.6.0-2].
func (h *orderHouse) answer(n int) {
	for _, p := range h.unread[:n] {
		switch p := p.(type) {
		case *packet.Publish:
			if p.QoS > 0 {
				if a, ok := h.byID[p.PacketID]; ok && p.QoS == 1 {
					a.over = true
					h.byID[p.PacketID] = a
				}
				h.sub.Send(ack(packet.TypePuback+packet.Type(p.QoS-1), p.PacketID))
			}
		case *packet.Ack:
			if p.Type == packet.TypePubrel {
				delete(h.started, p.PacketID)
				h.sub.Send(ack(packet.TypePubcomp, p.PacketID))
			}
		}
	}
	h.unread = h.unread[n:]
}
