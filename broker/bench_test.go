package broker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"hearthmq/broker/packet"
)

// allowAll lets everybody do everything.
type allowAll struct{}

func (allowAll) Authenticate(_ context.Context, c *Credentials) (*Identity, error) {
	return &Identity{ClientID: c.ClientID}, nil
}
func (allowAll) Authorize(*Identity, Action, string) Decision {
	return Decision{Allow: true, MaxQoS: 2}
}
func (allowAll) Generation() uint64 { return 1 }

func benchBroker(tb testing.TB) *Broker {
	tb.Helper()
	b, err := New(Config{}, Deps{Authenticator: allowAll{}, Authorizer: allowAll{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { b.Shutdown(context.Background()) })
	return b
}

// benchConn is a connected client whose socket nobody reads or writes.
func benchConn(tb testing.TB, b *Broker, v packet.Version, id string) *conn {
	tb.Helper()
	nc, peer := net.Pipe()
	tb.Cleanup(func() { nc.Close(); peer.Close() })
	go io.Copy(io.Discard, peer)
	g := b.newGuest(context.Background(), nc, &ListenerInfo{Name: "mqtt"})
	if refusal := b.accept(g, time.Now()); refusal != nil {
		tb.Fatal(refusal)
	}
	c := newConn(g, nil)
	tb.Cleanup(b.wg.Done) // nobody serves it
	p := packet.Connect{Version: v, ClientID: id, CleanStart: true}
	if _, err := c.handleAll(p.Append(nil, v)); err != nil {
		tb.Fatal(err)
	}
	c.drainForBench()
	return c
}

// drainForBench takes what the reader's batch touched, as a socket would that takes everything.
func (c *conn) drainForBench() {
	for i, r := range c.bt.list {
		r.mu.Lock()
		r.out.dirty = false
		b, small := r.out.take()
		r.drained(b, small)
		r.mu.Unlock()
		c.bt.list[i] = nil
	}
	c.bt.list, c.bt.size = c.bt.list[:0], 0
}

// A QoS 0 PUBLISH is decoded, authorized, routed and encoded without an allocation. The
// batch has many, since pools give things away now and then.
func TestPublishDoesNotAllocate(t *testing.T) {
	br := benchBroker(t)
	sub, pub := benchConn(t, br, packet.V311, "sub"), benchConn(t, br, packet.V311, "pub")
	s := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "home/+/temperature"}}}
	if _, err := sub.handleAll(s.Append(nil, packet.V311)); err != nil {
		t.Fatal(err)
	}
	sub.drainForBench()
	p := packet.Publish{Topic: []byte("home/kitchen/temperature"), Payload: make([]byte, 64)}
	const messages = 100
	data := bytes.Repeat(p.Append(nil, packet.V311), messages)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := pub.handleAll(data); err != nil {
			t.Fatal(err)
		}
		pub.drainForBench()
	})
	if allocs > messages/10 {
		t.Errorf("%v allocations for %d messages", allocs, messages)
	}
}

// BenchmarkPublish decodes, authorizes, routes and encodes a 64-byte QoS 0
// PUBLISH. What the kernel costs is not in it: see mqload for that.
func BenchmarkPublish(b *testing.B) {
	for _, qos := range []byte{0, 1} {
		for _, n := range []int{1, 10, 500} {
			b.Run(fmt.Sprintf("qos%d/subscribers=%d", qos, n), func(b *testing.B) { benchPublish(b, n, qos) })
		}
	}
}

func benchPublish(b *testing.B, n int, qos byte) {
	br := benchBroker(b)
	subs := make([]*conn, n)
	for i := range subs {
		subs[i] = benchConn(b, br, packet.V311, fmt.Sprint("sub", i))
		s := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "home/+/temperature", QoS: qos}}}
		if _, err := subs[i].handleAll(s.Append(nil, packet.V311)); err != nil {
			b.Fatal(err)
		}
		subs[i].drainForBench()
	}
	pub := benchConn(b, br, packet.V311, "pub")
	p := packet.Publish{Topic: []byte("home/kitchen/temperature"), Payload: make([]byte, 64), QoS: qos, PacketID: uint16(qos)}
	const inOneRead = 16
	var data []byte
	for range inOneRead {
		data = p.Append(data, packet.V311)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += inOneRead {
		if _, err := pub.handleAll(data); err != nil {
			b.Fatal(err)
		}
		pub.drainForBench()
		if qos == 0 {
			continue
		}
		for _, s := range subs { // they acknowledge
			for s.sess.flights.first != nil {
				s.sess.acked(&s.bt, s, packet.TypePuback, s.sess.flights.first.id, 0)
			}
			s.drainForBench()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/delivery")
}
