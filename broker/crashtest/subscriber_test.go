package crashtest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"hearthmq/broker/packet"
)

// subscriber is a device with a session that outlives its connections and the
// broker. It keeps its side of that session: the QoS 2 identifiers it has received.
type subscriber struct {
	name    string
	version packet.Version
	qos     byte // of its subscriptions
	filters []string
	think   time.Duration // before it acknowledges, while there is load
	away    bool          // while there is load
	most    uint16        // Receive Maximum, 0: none
	book    *ledger

	mu         sync.Mutex
	subscribed bool
	got        map[string]int  // messages by key
	open       map[uint16]bool // QoS 2 identifiers received and not released
	fence      string          // key of the last message of a round that has come
	changed    chan struct{}   // closed and made anew when fence changes
	link       *link
	ended      error // of the last connection, while it was wanted
}

func (s *subscriber) born(book *ledger) *subscriber {
	s.book, s.got, s.open, s.changed = book, map[string]int{}, map[uint16]bool{}, make(chan struct{})
	return s
}

// connect connects, and subscribes where the broker has not confirmed that before.
func (s *subscriber) connect(addr string) error {
	l, err := dial(addr, s.name, s.version, true, s.most)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link, s.ended = l, nil
	if s.subscribed {
		if !l.present {
			s.book.complain("%s: the broker has forgotten the session", s.name)
		}
		return nil
	}
	if err := l.subscribe(s.qos, s.filters...); err != nil {
		return err
	}
	s.subscribed = true
	return nil
}

// run answers the broker until the connection ends.
func (s *subscriber) run(think time.Duration) {
	err := s.converse(think)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = err
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *subscriber) converse(think time.Duration) error {
	for {
		p, err := s.link.read()
		if err != nil {
			return err
		}
		if think > 0 {
			<-time.After(think)
		}
		if err := s.answer(p); err != nil {
			return err
		}
	}
}

func (s *subscriber) answer(p packet.Packet) error {
	switch p := p.(type) {
	case *packet.Publish:
		return s.receive(p)
	case *packet.Disconnect:
		return fmt.Errorf("the broker says DISCONNECT %s", p.Code)
	case *packet.Ack:
		if p.Type != packet.TypePubrel {
			return fmt.Errorf("%s got %s", s.name, p.Type)
		}
		s.mu.Lock()
		delete(s.open, p.PacketID)
		s.mu.Unlock()
		return s.link.send(&packet.Ack{Type: packet.TypePubcomp, PacketID: p.PacketID})
	}
	return nil
}

// receive counts a message unless its QoS 2 identifier is open [MQTT-4.3.3-10].
func (s *subscriber) receive(p *packet.Publish) error {
	key := ""
	if len(p.Payload) > 0 {
		if key = keyOf(p.Payload); key == "" {
			s.book.complain("%s: a message on %s was changed: %.60q", s.name, p.Topic, p.Payload)
		}
	}
	s.mu.Lock()
	if key != "" && !(p.QoS == 2 && s.open[p.PacketID]) {
		s.got[key]++
	}
	if p.QoS == 2 {
		s.open[p.PacketID] = true
	}
	if who, _ := splitKey(key); who == fenceName {
		s.fence = key
		close(s.changed)
		s.changed = make(chan struct{})
	}
	s.mu.Unlock()
	switch p.QoS {
	case 1:
		return s.link.send(&packet.Ack{Type: packet.TypePuback, PacketID: p.PacketID})
	case 2:
		return s.link.send(&packet.Ack{Type: packet.TypePubrec, PacketID: p.PacketID})
	}
	return nil
}

// fenceName names the messages that end a round: what comes before them is all there is.
const fenceName = "fence.1"

// waitFence waits until the message with this key has come.
func (s *subscriber) waitFence(key string) error {
	limit := time.After(patience)
	for {
		s.mu.Lock()
		there, changed, ended := s.fence == key, s.changed, s.ended
		s.mu.Unlock()
		switch {
		case there:
			return nil
		case ended != nil:
			return fmt.Errorf("%s: its connection ended: %w", s.name, ended)
		}
		select {
		case <-changed:
		case <-limit:
			s.mu.Lock()
			defer s.mu.Unlock()
			return fmt.Errorf("%s: what waits for it does not come to an end: %d messages so far, open identifiers %v", s.name, len(s.got), slices.Collect(maps.Keys(s.open)))
		}
	}
}
