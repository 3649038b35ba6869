package brokertest

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

// Client speaks MQTT packet by packet with a broker, inside a synctest bubble.
// What the broker sends is collected; nothing is answered by itself.
type Client struct {
	t       testing.TB
	nc      net.Conn
	Version packet.Version

	mu     sync.Mutex
	inbox  []packet.Packet
	closed bool
}

// Dial opens a connection to b without sending anything.
func Dial(t testing.TB, b *broker.Broker, v packet.Version) *Client {
	t.Helper()
	client, server := Pipe()
	go b.ServeConn(context.Background(), server, broker.ListenerInfo{Name: "mqtt"})
	return NewClient(t, client, v)
}

// NewClient makes a client of an open connection.
func NewClient(t testing.TB, nc net.Conn, v packet.Version) *Client {
	c := &Client{t: t, nc: nc, Version: v}
	go c.read()
	t.Cleanup(func() { nc.Close() })
	return c
}

// read ends with the connection.
func (c *Client) read() {
	r := packet.NewReader(c.nc, 0)
	for {
		f, err := r.ReadFrame()
		var p packet.Packet
		if err == nil {
			p, err = packet.Decode(c.Version, f)
		}
		c.mu.Lock()
		if err != nil {
			c.closed = true
			c.mu.Unlock()
			return
		}
		c.inbox = append(c.inbox, p)
		c.mu.Unlock()
	}
}

// Send writes packets in one piece.
func (c *Client) Send(ps ...packet.Packet) {
	c.t.Helper()
	var b []byte
	for _, p := range ps {
		b = p.Append(b, c.Version)
	}
	c.Write(b)
}

// Write writes raw bytes. That the broker has closed the connection is no failure.
func (c *Client) Write(b []byte) {
	c.t.Helper()
	_, _ = c.nc.Write(b)
}

// commitTime is longer than an acknowledgement waits for the journal.
const commitTime = 60 * time.Millisecond

// settle lets everything come to rest; when nothing has come for the client by
// then, it lets the journal commit as well.
func (c *Client) settle() {
	synctest.Wait()
	c.mu.Lock()
	empty := len(c.inbox) == 0 && !c.closed
	c.mu.Unlock()
	if empty {
		Pass(commitTime)
	}
}

// Next returns the next packet from the broker, once everything has come to rest.
func (c *Client) Next() packet.Packet {
	c.t.Helper()
	c.settle()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.inbox) == 0 {
		c.t.Fatalf("no packet from the broker (closed: %v)", c.closed)
	}
	p := c.inbox[0]
	c.inbox = c.inbox[1:]
	return p
}

// All returns and forgets what has come, once everything has come to rest and the
// journal has committed.
func (c *Client) All() []packet.Packet {
	Pass(commitTime)
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.inbox
	c.inbox = nil
	return all
}

// Nothing fails when the broker has sent something.
func (c *Client) Nothing() {
	c.t.Helper()
	for _, p := range c.All() {
		c.t.Errorf("unexpected %s %+v", p.Kind(), p)
	}
}

// Closed reports whether the broker has closed the connection.
func (c *Client) Closed() bool {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Close drops the connection without DISCONNECT.
func (c *Client) Close() { c.nc.Close(); synctest.Wait() }

// Get is Next for a packet of a certain type.
func Get[P packet.Packet](c *Client) P {
	c.t.Helper()
	p := c.Next()
	want, ok := p.(P)
	if !ok {
		c.t.Fatalf("got %s %+v, want %T", p.Kind(), p, want)
	}
	return want
}

// Login opens a connection and sends CONNECT; it fails unless the broker accepts.
func Login(t testing.TB, b *broker.Broker, v packet.Version, p packet.Connect) (*Client, *packet.Connack) {
	t.Helper()
	c := Dial(t, b, v)
	p.Version = v
	c.Send(&p)
	ack := Get[*packet.Connack](c)
	if ack.Code != packet.Success {
		t.Fatalf("CONNECT refused: %s", ack.Code)
	}
	return c, ack
}

// Subscribe subscribes to one filter and returns what was granted.
func (c *Client) Subscribe(filter string, qos byte) packet.ReasonCode {
	c.t.Helper()
	c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: filter, QoS: qos}}})
	c.settle()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range c.inbox {
		if ack, ok := p.(*packet.Suback); ok {
			c.inbox = append(c.inbox[:i:i], c.inbox[i+1:]...)
			return ack.Codes[0]
		}
	}
	c.t.Fatalf("no SUBACK for %q", filter)
	return 0
}

// Publish sends a message with Packet Identifier id (0 for QoS 0).
func (c *Client) Publish(topic, payload string, qos byte, retain bool, id uint16) {
	c.t.Helper()
	c.Send(&packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos, Retain: retain, PacketID: id})
}

// Pass lets time go by in the bubble.
func Pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// Everything is an Authorizer and Authenticator that lets everybody do everything.
type Everything struct{}

// Authenticate implements broker.Authenticator.
func (Everything) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	return &broker.Identity{ClientID: c.ClientID, User: c.User, Listener: c.Listener.Name, Remote: c.Remote}, nil
}

// Authorize implements broker.Authorizer.
func (Everything) Authorize(*broker.Identity, broker.Action, string) broker.Decision {
	return broker.Decision{Allow: true, MaxQoS: 2, Rule: broker.RuleRef{Text: "allow both #"}}
}

// Generation implements broker.Authorizer.
func (Everything) Generation() uint64 { return 1 }

// AppendClass implements broker.Classifier: all topics are alike.
func (Everything) AppendClass(dst []byte, _ string) ([]byte, bool) { return dst, true }

// Take removes the first collected packet that ok accepts and reports whether
// there was one, if need be after the journal's next commit.
func (c *Client) Take(ok func(packet.Packet) bool) bool {
	for range 2 {
		synctest.Wait()
		c.mu.Lock()
		for i, p := range c.inbox {
			if ok(p) {
				c.inbox = append(c.inbox[:i:i], c.inbox[i+1:]...)
				c.mu.Unlock()
				return true
			}
		}
		c.mu.Unlock()
		Pass(commitTime)
	}
	return false
}

// Peek returns the next packet without waiting for the journal and without taking it.
func (c *Client) Peek() (packet.Packet, bool) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.inbox) == 0 {
		return nil, false
	}
	return c.inbox[0], true
}
