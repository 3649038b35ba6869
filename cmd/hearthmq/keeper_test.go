package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"hearthmq/broker/packet"
)

// keeper is a device that keeps its side of a session over connections and over lives of
// the broker: what it publishes is sent again until it is acknowledged, and what comes is
// counted by who sent it. Its messages are "id number", numbered from 1.
type keeper struct {
	id      string
	version packet.Version
	topic   string // where it publishes, "": nowhere
	qos     byte   // of its messages, 1 or 2
	window  int    // messages under way
	filters []string
	listen  byte // QoS of its subscriptions
	clean   bool // no session that stays
	will    *packet.Will

	mu         sync.Mutex
	nc         net.Conn
	subscribed bool
	number     int // of the last message that was sent
	lastID     uint16
	flights    []keptFlight
	accepted   int              // the broker is responsible for all up to this one
	heard      map[string]tally // by who sent
	open       map[uint16]bool  // QoS 2 identifiers received and not released
	bye        packet.ReasonCode
	wrong      []string
}

// keptFlight is a message that is not acknowledged in full.
type keptFlight struct {
	id       uint16
	number   int
	released bool // PUBREC has come
}

// tally is what came from one sender. Messages of one topic and QoS come in order.
type tally struct {
	last  int // number of the newest
	again int // came although one with a number as high had come
	lost  int // left out
}

// connect connects, subscribes the first time, and sends again what is under way.
func (k *keeper) connect(addr string) (*packet.Reader, error) {
	nc, err := net.DialTimeout("tcp", addr, 30*time.Second)
	if err != nil {
		return nil, err
	}
	hello := &packet.Connect{
		Version: k.version, ClientID: k.id, CleanStart: k.clean, Will: k.will,
		HasUserName: true, UserName: e2eUser, HasPassword: true, Password: []byte(e2ePassword),
	}
	if k.version == packet.V50 && !k.clean {
		hello.Properties.SetSessionExpiry(0xFFFFFFFF)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.nc, k.bye = nc, 0
	r := packet.NewReader(nc, 0)
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	p, err := k.ask(r, hello)
	if err == nil {
		if ack, ok := p.(*packet.Connack); !ok || ack.Code != packet.Success {
			err = fmt.Errorf("%w: %+v", errRefused, p)
		}
	}
	if err == nil && !k.subscribed && len(k.filters) > 0 {
		ask := &packet.Subscribe{PacketID: 1}
		for _, f := range k.filters {
			ask.Subscriptions = append(ask.Subscriptions, packet.Subscription{Filter: f, QoS: k.listen})
		}
		_, err = k.ask(r, ask)
		k.subscribed = err == nil
	}
	if err == nil {
		_ = nc.SetDeadline(time.Time{})
		again := make([]packet.Packet, 0, len(k.flights))
		for _, f := range k.flights {
			again = append(again, k.packet(f, true))
		}
		err = k.send(again...)
	}
	if err != nil {
		nc.Close()
	}
	return r, err
}

func (k *keeper) ask(r *packet.Reader, p packet.Packet) (packet.Packet, error) {
	if err := k.send(p); err != nil {
		return nil, err
	}
	return k.read(r)
}

func (k *keeper) read(r *packet.Reader) (packet.Packet, error) {
	f, err := r.ReadFrame()
	if err != nil {
		return nil, err
	}
	return packet.Decode(k.version, f)
}

// send writes packets in one piece.
func (k *keeper) send(ps ...packet.Packet) error {
	var b []byte
	for _, p := range ps {
		b = p.Append(b, k.version)
	}
	if len(b) == 0 {
		return nil
	}
	_, err := k.nc.Write(b)
	return err
}

func (k *keeper) packet(f keptFlight, dup bool) packet.Packet {
	if f.released {
		return &packet.Ack{Type: packet.TypePubrel, PacketID: f.id}
	}
	return &packet.Publish{Topic: []byte(k.topic), Payload: fmt.Appendf(nil, "%s %d", k.id, f.number), QoS: k.qos, PacketID: f.id, Dup: dup}
}

// publish sends new messages until the window is full.
func (k *keeper) publish() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var fresh []packet.Packet
	for k.topic != "" && len(k.flights) < k.window {
		k.number++
		k.lastID = k.lastID%60_000 + 1 // far more than are under way
		f := keptFlight{id: k.lastID, number: k.number}
		k.flights = append(k.flights, f)
		fresh = append(fresh, k.packet(f, false))
	}
	return k.send(fresh...)
}

// answer answers the broker until the connection ends; after each acknowledgement with
// more, where there is to be more.
func (k *keeper) answer(r *packet.Reader, more func() error) {
	defer k.nc.Close()
	for {
		p, err := k.read(r)
		if err == nil {
			err = k.take(p)
		}
		if err == nil && more != nil && p.Kind() != packet.TypePublish {
			_ = more() // what the broker said before the connection broke is read all the same
		}
		if err != nil {
			return
		}
	}
}

func (k *keeper) take(p packet.Packet) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch p := p.(type) {
	case *packet.Disconnect:
		k.bye = p.Code
		return errors.New("the broker says goodbye")
	case *packet.Publish:
		return k.receive(p)
	case *packet.Ack:
		if p.Type == packet.TypePubrel {
			delete(k.open, p.PacketID)
			return k.send(&packet.Ack{Type: packet.TypePubcomp, PacketID: p.PacketID})
		}
		return k.acknowledged(p)
	}
	return nil
}

func (k *keeper) acknowledged(p *packet.Ack) error {
	i := slices.IndexFunc(k.flights, func(f keptFlight) bool { return f.id == p.PacketID })
	if i < 0 {
		return nil
	}
	f := &k.flights[i]
	switch {
	case p.Code.Failed() && p.Type != packet.TypePubcomp: // that one says 0x92 when it was complete before
		k.wrong = append(k.wrong, fmt.Sprintf("%s: %s of %d says %s", k.id, p.Type, f.number, p.Code))
		k.flights = slices.Delete(k.flights, i, i+1)
	case p.Type == packet.TypePuback && k.qos == 1, p.Type == packet.TypePubcomp && f.released:
		k.accepted = max(k.accepted, f.number)
		k.flights = slices.Delete(k.flights, i, i+1)
	case p.Type == packet.TypePubrec && k.qos == 2:
		k.accepted = max(k.accepted, f.number)
		f.released = true
		return k.send(k.packet(*f, false))
	}
	return nil
}

func (k *keeper) receive(p *packet.Publish) error {
	var from string
	var number int
	if _, err := fmt.Sscan(string(p.Payload), &from, &number); err != nil {
		from = string(p.Payload) // a Will
	}
	if k.heard == nil {
		k.heard, k.open = map[string]tally{}, map[uint16]bool{}
	}
	if p.QoS != 2 || !k.open[p.PacketID] { // [MQTT-4.3.3-10]
		x := k.heard[from]
		switch {
		case number > x.last:
			x.lost += number - x.last - 1
			x.last = number
		default:
			x.again++
		}
		k.heard[from] = x
	}
	switch p.QoS {
	case 1:
		return k.send(&packet.Ack{Type: packet.TypePuback, PacketID: p.PacketID})
	case 2:
		k.open[p.PacketID] = true
		return k.send(&packet.Ack{Type: packet.TypePubrec, PacketID: p.PacketID})
	}
	return nil
}

// from is what came from a sender.
func (k *keeper) from(id string) tally {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.heard[id]
}

// underWay is how many of its messages the broker has not acknowledged in full.
func (k *keeper) underWay() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.flights)
}
