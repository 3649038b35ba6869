package bridge

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// farBroker writes down what a bridge sends and answers it. before is called when CONNECT
// has come.
type farBroker struct {
	v      packet.Version
	before func()

	mu  sync.Mutex
	got []string
	nc  net.Conn
}

func (b *farBroker) serve(nc net.Conn) {
	rd := packet.NewReader(nc, 0)
	b.mu.Lock()
	b.nc = nc
	b.mu.Unlock()
	for {
		f, err := rd.ReadFrame()
		if err != nil {
			return
		}
		text, answer := b.read(f)
		b.mu.Lock()
		b.got = append(b.got, text)
		b.mu.Unlock()
		if answer != nil {
			_, _ = nc.Write(answer.Append(nil, b.v)) // the bridge may be gone
		}
	}
}

func (b *farBroker) read(f packet.Frame) (text string, answer packet.Packet) {
	switch f.Type() {
	case packet.TypeConnect:
		var p packet.Connect
		if err := p.Decode(b.v, f); err != nil {
			return err.Error(), nil
		}
		if b.before != nil {
			b.before()
		}
		return fmt.Sprintf("CONNECT %x", f.Body), new(packet.Connack)
	case packet.TypeSubscribe:
		var p packet.Subscribe
		if err := p.Decode(b.v, f); err != nil {
			return err.Error(), nil
		}
		return fmt.Sprintf("SUBSCRIBE %d %s", p.PacketID, p.Subscriptions[0].Filter), &packet.Suback{PacketID: p.PacketID, Codes: make([]packet.ReasonCode, len(p.Subscriptions))}
	case packet.TypeUnsubscribe:
		var p packet.Unsubscribe
		if err := p.Decode(b.v, f); err != nil {
			return err.Error(), nil
		}
		return fmt.Sprintf("UNSUBSCRIBE %d %s", p.PacketID, p.Filters[0]), &packet.Unsuback{PacketID: p.PacketID, Codes: make([]packet.ReasonCode, len(p.Filters))}
	case packet.TypePublish:
		var p packet.Publish
		if err := p.Decode(b.v, f); err != nil {
			return err.Error(), nil
		}
		text = fmt.Sprintf("PUBLISH %d %s %s %x", p.PacketID, p.Topic, p.Payload, p.Properties)
		if p.QoS > 0 {
			return text, &packet.Ack{Type: packet.TypePuback, PacketID: p.PacketID}
		}
		return text, nil
	}
	return f.Type().String(), nil
}

// take returns what has come since.
func (b *farBroker) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.got
	b.got = nil
	return got
}

func (b *farBroker) send(t *testing.T, packets ...packet.Packet) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range packets {
		if _, err := b.nc.Write(p.Append(nil, b.v)); err != nil {
			t.Fatal(err)
		}
	}
}

// A bridge in Mosquitto's place sends, byte for byte, what Mosquitto sends: properties of
// CONNECT, one request for each topic, identifiers from the same numbers as messages, no
// mark on messages, UNSUBSCRIBE for what only goes out.
func TestInMosquittosPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, n := newSite(t), new(network)
		far := &farBroker{v: packet.V50}
		n.serve("far:1883", far.serve)
		like := func(s *Settings) {
			s.LikeMosquitto, s.TopicAliases, s.NotifyLocal, s.NotifyTopic = true, 10, false, "up"
		}
		m := manager(t, "near", near, n)
		set(t, m, settings("b", like, Topic{Pattern: "in/b", In: true, QoS: 1}, Topic{Pattern: "out/#", Out: true, QoS: 1}, Topic{Pattern: "in/a", In: true, QoS: 1}))
		state(t, m, Connected)
		near.say(t, "out/1", "x", 1, false)
		near.say(t, "out/2", "y", 0, false)
		pass(time.Second)
		far.send(t, new(packet.Pingreq))
		pass(time.Second)
		wantWire := []string{
			"CONNECT 00044d515454052c003c0622000a210014" + "0004622d6964" + "00" + "00027570" + "000130",
			"PUBLISH 1 up 1 ", "SUBSCRIBE 2 in/b", "UNSUBSCRIBE 3 out/#", "SUBSCRIBE 4 in/a",
			"PUBLISH 5 out/1 x ", "PUBLISH 0 out/2 y ", "PINGRESP",
		}
		if got := far.take(); !slices.Equal(got, wantWire) {
			t.Errorf("sent\n%q, want\n%q", got, wantWire)
		}
		near.take()
		far.send(t, &packet.Publish{Topic: []byte("in/a"), HasAlias: true, TopicAlias: 10, Payload: []byte("1")},
			&packet.Publish{HasAlias: true, TopicAlias: 10, Payload: []byte("2")})
		pass(time.Second)
		want(t, near, "in/a 1", "in/a 2")
		far.send(t, &packet.Publish{Topic: []byte("in/a"), HasAlias: true, TopicAlias: 11, Payload: []byte("3")})
		pass(time.Second)
		want(t, near, "up 0")
	})
}

// What is published while the other side has not answered yet is not lost, whatever its QoS.
func TestPublishedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, n := newSite(t), new(network)
		far := &farBroker{v: packet.V311, before: func() { near.say(t, "out/1", "x", 0, false) }}
		n.serve("far:1883", far.serve)
		set(t, manager(t, "near", near, n), settings("b", func(s *Settings) { s.Version = packet.V311 }, Topic{Pattern: "out/#", Out: true}))
		if got := far.take(); !slices.Contains(got, "PUBLISH 0 out/1 x ") {
			t.Errorf("sent %q", got)
		}
	})
}

// A change that may wait is taken over when the connection ends, at once where there is
// none, and not at all when it is taken back.
func TestLazyReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, n := newSite(t), newSite(t), new(network)
		n.put("far:1883", far)
		m := manager(t, "near", near, n)
		lazy := func(s *Settings) { s.LazyReload = true }
		one, two := settings("b", lazy, Topic{Pattern: "one", In: true}), settings("b", lazy, Topic{Pattern: "two", In: true})
		set(t, m, one)
		set(t, m, two)
		far.say(t, "one", "1", 0, false)
		far.say(t, "two", "2", 0, false)
		pass(time.Second)
		want(t, near, "one 1")
		set(t, m, one)
		n.cut()
		pass(time.Minute)
		far.say(t, "one", "3", 0, false)
		pass(time.Second)
		want(t, near, "one 3")
		set(t, m, two)
		n.cut()
		pass(time.Minute)
		state(t, m, Connected)
		far.say(t, "one", "4", 0, false)
		far.say(t, "two", "5", 0, false)
		pass(time.Second)
		want(t, near, "two 5")
		n.serve("far:1883", func(nc net.Conn) { nc.Close() })
		n.cut()
		pass(time.Second)
		set(t, m, one)
		n.put("far:1883", far)
		pass(time.Minute)
		far.say(t, "one", "6", 0, false)
		pass(time.Second)
		want(t, near, "one 6")
	})
}

// A broker that does not know MQTT 5 is spoken to in MQTT 3.1.1.
func TestOlderBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, n := newSite(t), newSite(t), new(network)
		var mu sync.Mutex
		var levels []byte
		n.serve("far:1883", func(nc net.Conn) {
			f, err := packet.NewReader(nc, 0).ReadFrame()
			if err != nil {
				return
			}
			mu.Lock()
			levels = append(levels, f.Body[6])
			mu.Unlock()
			if f.Body[6]&^0x80 == byte(packet.V50) {
				_, _ = nc.Write([]byte{0x20, 2, 0, 1}) // the bridge may be gone
				nc.Close()
				return
			}
			// The rest is a broker's; it gets CONNECT once more.
			ours, theirs := brokertest.Pipe()
			go far.ServeConn(context.Background(), theirs, broker.ListenerInfo{Name: "mqtt"})
			_, _ = ours.Write(f.Raw)
			go func() { _, _ = io.Copy(nc, ours) }()
			_, _ = io.Copy(ours, nc)
			ours.Close()
		})
		m := manager(t, "near", near, n)
		set(t, m, settings("b", nil, Topic{Pattern: "x", Out: true, QoS: 1}))
		near.say(t, "x", "1", 1, false)
		pass(time.Second)
		want(t, far, "x 1")
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(levels, []byte{5, 0x84, 5, 0x84}) {
			t.Errorf("protocol levels %x", levels)
		}
	})
}

// What is published after Set has returned goes out, although nothing waited for the bridge
// to come up.
func TestPublishedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, n := newSite(t), newSite(t), new(network)
		m := manager(t, "near", near, n)
		for i, topic := range []string{"one", "two"} { // a new bridge, and one that is changed
			if err := m.Set([]Settings{settings("b", nil, Topic{Pattern: topic, Out: true, QoS: 1})}); err != nil {
				t.Fatal(err)
			}
			near.say(t, topic, fmt.Sprint(i), 1, false)
		}
		n.put("far:1883", far)
		pass(time.Minute)
		want(t, far, "two 1")
	})
}
