package difftest

import (
	"context"
	"net"
	"sync"
	"testing"

	"hearthmq/broker/packet"
)

// site is a broker with the script's clients.
type site struct {
	name    string
	addr    string
	gone    func(local string) // waits until the broker has dealt with the end of a connection
	settle  func()             // waits for what the broker does behind its answers; may be nil
	clients []*client
	got     transcript
}

func (s *site) dial() (net.Conn, error) {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return d.DialContext(ctx, "tcp", s.addr)
}

// do runs one step and collects what it causes.
func (s *site) do(st step) {
	st.do.run(s.clients[st.client], st.n)
	// One quiet round is not enough: the first client was asked before the last
	// one's PINGRESP said that its packets are dealt with.
	for quiet := 0; quiet < 2; quiet++ {
		if s.round() {
			quiet = -1
		}
	}
	for i, c := range s.clients {
		if len(c.seen) > 0 {
			s.got.events[cell{st.n, i}] = c.seen
			c.seen = nil
		}
		s.got.under[cell{st.n, i}] = c.most
		c.most = len(c.under)
	}
	s.got.ended++
}

// round asks every client's connection once and reports whether anything but
// PINGRESP came.
func (s *site) round() (active bool) {
	if s.settle != nil {
		s.settle()
	}
	for _, c := range s.clients {
		active = c.pump() || active
	}
	if !active {
		for _, c := range s.clients {
			active = c.await() || active
		}
	}
	return active
}

// close drops all connections.
func (s *site) close() {
	for _, c := range s.clients {
		if c.nc != nil {
			c.nc.Close()
			c.nc = nil
		}
	}
}

// bystander is a client that takes no part, to ask the broker whether it is
// done. It has a connection of its own for as long as the test.
type bystander struct {
	t  testing.TB
	mu sync.Mutex
	nc net.Conn
	rd *packet.Reader
}

func newBystander(t testing.TB, s *site) *bystander {
	t.Helper()
	nc, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	b := &bystander{t: t, nc: nc, rd: packet.NewReader(nc, 0)}
	p := packet.Connect{Version: packet.V311, ClientID: "bystander", CleanStart: true}
	b.ask(p.Append(nil, packet.V311))
	return b
}

// ask sends bytes and waits for one packet.
func (b *bystander) ask(request []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.nc.Write(request); err != nil {
		b.t.Error("bystander: ", err)
		return
	}
	if _, err := b.rd.ReadFrame(); err != nil {
		b.t.Error("bystander: ", err)
	}
}

// wait asks twice: the broker has by then dealt with all that came before.
func (b *bystander) wait() {
	b.ask(packet.AppendPingreq(nil))
	b.ask(packet.AppendPingreq(nil))
}
