package crashtest

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"hearthmq/broker/packet"
)

// patience is how long the laboratory waits for the broker before it gives up.
const patience = 30 * time.Second

// link is one Network Connection, from the client's side.
type link struct {
	nc      net.Conn
	version packet.Version
	in      *packet.Reader
	present bool // Session Present

	mu  sync.Mutex
	out []byte
}

// dial connects. With keep the session is to outlive the connection, and one that
// is there is taken up again.
func dial(addr, clientID string, v packet.Version, keep bool, receiveMaximum uint16) (*link, error) {
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	l := &link{nc: nc, version: v, in: packet.NewReader(nc, 0)}
	p := packet.Connect{Version: v, ClientID: clientID, CleanStart: !keep}
	if v == packet.V50 {
		if keep {
			p.Properties.SetSessionExpiry(0xFFFFFFFF)
		}
		if receiveMaximum > 0 {
			p.Properties.SetReceiveMaximum(receiveMaximum)
		}
	}
	if err := l.connect(&p); err != nil {
		nc.Close()
		return nil, err
	}
	return l, nil
}

func (l *link) connect(p *packet.Connect) error {
	if err := l.nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := l.send(p); err != nil {
		return err
	}
	ack, err := next[*packet.Connack](l)
	if err != nil {
		return err
	}
	if ack.Code != packet.Success {
		return fmt.Errorf("CONNECT refused: %s", ack.Code)
	}
	l.present = ack.SessionPresent
	return l.nc.SetDeadline(time.Time{})
}

// send writes packets in one piece.
func (l *link) send(ps ...packet.Packet) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out = l.out[:0]
	for _, p := range ps {
		l.out = p.Append(l.out, l.version)
	}
	_, err := l.nc.Write(l.out)
	return err
}

// read waits for the next packet, for as long as the laboratory has patience.
func (l *link) read() (packet.Packet, error) {
	if err := l.nc.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	f, err := l.in.ReadFrame()
	if err != nil {
		return nil, err
	}
	return packet.Decode(l.version, f)
}

// next reads until a packet of a certain type comes.
func next[P packet.Packet](l *link) (P, error) {
	for {
		p, err := l.read()
		if err != nil {
			var none P
			return none, err
		}
		if want, ok := p.(P); ok {
			return want, nil
		}
	}
}

// subscribe subscribes and waits for SUBACK.
func (l *link) subscribe(qos byte, filters ...string) error {
	p := packet.Subscribe{PacketID: 1}
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: f, QoS: qos})
	}
	if err := l.send(&p); err != nil {
		return err
	}
	ack, err := next[*packet.Suback](l)
	if err != nil {
		return err
	}
	for _, c := range ack.Codes {
		if c.Failed() {
			return errors.New("SUBSCRIBE refused")
		}
	}
	return nil
}

// close drops the connection without DISCONNECT.
func (l *link) close() { l.nc.Close() }
