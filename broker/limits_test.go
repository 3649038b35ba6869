package broker_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// guests lets everybody in under the name they give, with these limits; "homeassistant"
// is a system user.
type guests struct{ limits broker.Limits }

func (g guests) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	id := &broker.Identity{ClientID: c.ClientID, User: c.User, Remote: c.Remote, Listener: c.Listener.Name, Version: 1}
	if id.System = c.User == "homeassistant"; !id.System {
		id.Limits = &g.limits
	}
	return id, nil
}

// from opens a connection of an address.
func (w *world) from(address string, v packet.Version) *brokertest.Client {
	w.Helper()
	client, server := brokertest.PipeFrom(address)
	go w.b.ServeConn(context.Background(), server, broker.ListenerInfo{Name: "mqtt"})
	c := brokertest.NewClient(w.T, client, v)
	synctest.Wait()
	return c
}

// connect sends CONNECT and returns the answer's code, 0xFF when there is none.
func (w *world) connect(c *brokertest.Client, clientID, user string) packet.ReasonCode {
	w.Helper()
	c.Send(&packet.Connect{Version: packet.V50, ClientID: clientID, CleanStart: true, HasUserName: user != "", UserName: user})
	p, ok := c.Peek()
	if !ok {
		return 0xFF
	}
	if _, is := p.(*packet.Connack); !is {
		return 0xFF
	}
	return brokertest.Get[*packet.Connack](c).Code
}

// case R3
func TestAddressLimits(t *testing.T) {
	mod := func(cfg *broker.Config, _ *broker.Deps) {
		if cfg.MaxConnectionsPerAddress != 50 {
			t.Errorf("%d connections of an address by default", cfg.MaxConnectionsPerAddress)
		}
		cfg.ExemptAddresses = []netip.Prefix{netip.MustParsePrefix("172.30.32.0/23")}
	}
	inWorld(t, mod, func(w *world) {
		const attacker = "192.0.2.9:%d"
		var held []*brokertest.Client
		for i := range 50 {
			c := w.from(fmt.Sprintf(attacker, 1000+i), packet.V50)
			if code := w.connect(c, fmt.Sprint("a", i), ""); code != packet.Success {
				t.Fatalf("connection %d: %v", i, code)
			}
			held = append(held, c)
		}
		if c := w.from("192.0.2.9:2000", packet.V50); !c.Closed() {
			t.Error("51 connections of one address")
		}
		for _, other := range []string{"192.0.2.10:1", "172.30.33.5:1", "127.0.0.1:1", "[2001:db8::1]:1"} {
			if code := w.connect(w.from(other, packet.V50), "c"+other, ""); code != packet.Success {
				t.Errorf("%s: %v", other, code)
			}
		}
		for i := range 60 { // exempt, and this machine: no bound
			for _, other := range []string{"172.30.33.5:%d", "127.0.0.1:%d"} {
				if w.from(fmt.Sprintf(other, 100+i), packet.V50).Closed() {
					t.Fatalf("%s was closed", other)
				}
			}
		}
		// One leaves, one may come: but no faster than ten a second now.
		for _, c := range held {
			c.Close()
		}
		in := 0
		for i := range 40 {
			if !w.from(fmt.Sprintf(attacker, 3000+i), packet.V50).Closed() {
				in++
			}
		}
		if in > 2 {
			t.Errorf("%d at once after a burst of 50", in)
		}
		brokertest.Pass(time.Second)
		for i := range 40 {
			if !w.from(fmt.Sprintf(attacker, 4000+i), packet.V50).Closed() {
				in++
			}
		}
		if in < 8 || in > 13 {
			t.Errorf("%d a second later, want about ten", in)
		}
	})
}

// The addresses of one IPv6 network count together.
func TestAddressLimitsOfNetwork(t *testing.T) {
	mod := func(cfg *broker.Config, _ *broker.Deps) { cfg.MaxConnectionsPerAddress = 5 }
	inWorld(t, mod, func(w *world) {
		closed := 0
		for i := range 8 {
			if w.from(fmt.Sprintf("[2001:db8:0:1::%d]:1", i+1), packet.V50).Closed() {
				closed++
			}
		}
		if closed != 3 {
			t.Errorf("%d of 8 closed, want 3", closed)
		}
	})
}

// case R1: connections that say nothing make room for those that do; when all places
// are really taken the system users still get in.
func TestPlacesAreMade(t *testing.T) {
	const most, reserve = 10, 8
	mod := func(cfg *broker.Config, deps *broker.Deps) { cfg.MaxConnections, deps.Authenticator = most, guests{} }
	inWorld(t, mod, func(w *world) {
		var silent []*brokertest.Client
		for range most + reserve {
			silent = append(silent, w.dial(packet.V50))
			synctest.Wait() // one after the other
		}
		for i := range most {
			if code := w.connect(w.dial(packet.V50), fmt.Sprint("c", i), "lamp"); code != packet.Success {
				t.Fatalf("client %d among silent connections: %v", i, code)
			}
			if !silent[i].Closed() {
				t.Errorf("silent connection %d is still there", i)
			}
		}
		if n := w.b.Stats().Connections; n != most+reserve {
			t.Errorf("%d connections, want %d", n, most+reserve)
		}
		if code := w.connect(w.dial(packet.V50), "more", "lamp"); code != packet.ServerUnavailable {
			t.Errorf("one more client: %v", code)
		}
		if code := w.connect(w.dial(packet.V50), "ha", "homeassistant"); code != packet.Success {
			t.Errorf("Home Assistant: %v", code)
		}
		// Whoever takes its own session over takes no place.
		if code := w.connect(w.dial(packet.V50), "c0", "lamp"); code != packet.Success {
			t.Errorf("take-over: %v", code)
		}
	})
}

func TestUserLimits(t *testing.T) {
	login := func(w *world, id string) *brokertest.Client {
		c := w.dial(packet.V50)
		if code := w.connect(c, id, "lamp"); code != packet.Success {
			w.Fatalf("%s: %v", id, code)
		}
		return c
	}
	try := func(name string, l broker.Limits, f func(t *testing.T, w *world)) {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(_ *broker.Config, deps *broker.Deps) { deps.Authenticator = guests{l} }, func(w *world) { f(t, w) })
		})
	}
	try("connections", broker.Limits{Connections: 2}, func(t *testing.T, w *world) {
		first := login(w, "a")
		login(w, "b")
		if code := w.connect(w.dial(packet.V50), "c", "lamp"); code != packet.ServerUnavailable {
			t.Errorf("a third: %v", code)
		}
		if code := w.connect(w.dial(packet.V50), "d", "door"); code != packet.Success {
			t.Errorf("another user: %v", code)
		}
		login(w, "b") // again
		first.Close()
		login(w, "c")
	})
	try("connects a second", broker.Limits{ConnectRate: 1}, func(t *testing.T, w *world) {
		for i := range 10 {
			login(w, fmt.Sprint("a", i))
		}
		if code := w.connect(w.dial(packet.V50), "b", "lamp"); code != packet.ServerUnavailable {
			t.Errorf("beyond the burst: %v", code)
		}
		brokertest.Pass(time.Second)
		login(w, "b")
	})
	try("packet size", broker.Limits{PacketSize: 100}, func(t *testing.T, w *world) {
		c := login(w, "a")
		c.Publish("t", strings.Repeat("x", 50), 0, false, 0)
		c.Nothing()
		c.Publish("t", strings.Repeat("x", 200), 0, false, 0)
		if d := brokertest.Get[*packet.Disconnect](c); d.Code != packet.PacketTooLarge {
			t.Errorf("code %v", d.Code)
		}
	})
	try("subscriptions", broker.Limits{Subscriptions: 1}, func(t *testing.T, w *world) {
		c := login(w, "a")
		if code := c.Subscribe("a", 0); code != packet.Success {
			t.Errorf("the first: %v", code)
		}
		if code := c.Subscribe("b", 0); code != packet.QuotaExceeded {
			t.Errorf("the second: %v", code)
		}
	})
	try("inflight and queue", broker.Limits{Inflight: 1, QueuedMessages: 2}, func(t *testing.T, w *world) {
		c := login(w, "a")
		c.Subscribe("#", 1)
		for i := range 6 {
			if err := w.b.Publish(t.Context(), broker.NewMessage("t", []byte(fmt.Sprint(i)), 1, false)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		var got []string
		for range 3 { // 0 is under way, of the others the two newest wait
			p := brokertest.Get[*packet.Publish](c)
			got = append(got, string(p.Payload))
			c.Nothing()
			c.Send(ack(packet.TypePuback, p.PacketID))
		}
		if fmt.Sprint(got) != "[0 4 5]" {
			t.Errorf("got %v", got)
		}
	})
	// case R9
	try("retained messages", broker.Limits{RetainedMessages: 2, RetainedBytes: 1000}, func(t *testing.T, w *world) {
		c := login(w, "a")
		send := func(topic, payload string) packet.ReasonCode {
			c.Publish(topic, payload, 1, true, 1)
			return brokertest.Get[*packet.Ack](c).Code
		}
		for _, x := range []struct {
			topic, payload string
			refused        bool
		}{
			{"a", "1", false}, {"b", "1", false}, {"c", "1", true}, {"a", "2", false}, {"b", "", false}, {"c", "1", false},
			{"a", strings.Repeat("x", 2000), true},
		} {
			if code := send(x.topic, x.payload); (code == packet.QuotaExceeded) != x.refused {
				t.Errorf("%s %.5q: %v, want refused %v", x.topic, x.payload, code, x.refused)
			}
		}
		c.Publish("d", "1", 0, true, 0) // can't be told: delivered, not retained
		c.Nothing()
		n := 0
		for range w.b.Retained("#") {
			n++
		}
		if s := w.b.Stats(); n != 2 || s.RetainedRefused != 3 || s.Denied != 3 {
			t.Errorf("%d retained, %d refused, %d shown as denied", n, s.RetainedRefused, s.Denied)
		}
		// What belongs to others does not count.
		other := w.dial(packet.V50)
		if code := w.connect(other, "ha", "homeassistant"); code != packet.Success {
			t.Fatal(code)
		}
		for i := range 5 {
			other.Publish(fmt.Sprint("ha/", i), "1", 1, true, 1)
			if code := brokertest.Get[*packet.Ack](other).Code; code.Failed() {
				t.Errorf("system user: %v", code)
			}
		}
	})
}

// case R8: who is faster than it may is read more slowly, loses nothing and counts as
// alive meanwhile.
func TestMessageRate(t *testing.T) {
	for _, tt := range []struct {
		name    string
		limits  broker.Limits
		payload int
		count   int
	}{
		{"messages", broker.Limits{MessageRate: 10}, 1, 100},
		{"bytes", broker.Limits{ByteRate: 1000}, 100 - len("\x30xx\x01t") + 1, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(_ *broker.Config, deps *broker.Deps) { deps.Authenticator = guests{tt.limits} }, func(w *world) {
				reader := w.clean(packet.V50, "reader")
				reader.Subscribe("#", 0)
				c := w.dial(packet.V50)
				c.Send(&packet.Connect{Version: packet.V50, ClientID: "fast", CleanStart: true, KeepAlive: 1, HasUserName: true, UserName: "lamp"})
				brokertest.Get[*packet.Connack](c)
				start := time.Now()
				for range tt.count {
					c.Publish("t", strings.Repeat("x", tt.payload), 0, false, 0)
				}
				for range tt.count {
					for !reader.Take(func(p packet.Packet) bool { _, ok := p.(*packet.Publish); return ok }) {
						brokertest.Pass(100 * time.Millisecond)
						if time.Since(start) > time.Minute {
							t.Fatal("not all came")
						}
					}
				}
				if took := time.Since(start); took < 8*time.Second || took > 12*time.Second {
					t.Errorf("took %v, want about 9 s", took)
				}
				if c.Closed() {
					t.Error("it was disconnected")
				}
				if w.b.Stats().Slowed == 0 {
					t.Error("not counted")
				}
			})
		})
	}
}

// case A18: a client that comes back again and again waits, others of the address and
// the same client elsewhere don't.
func TestReconnectLoop(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		connect := func(from, id string) time.Duration {
			start := time.Now()
			c := w.from(from, packet.V50)
			c.Send(&packet.Connect{Version: packet.V50, ClientID: id, CleanStart: true})
			for time.Since(start) < time.Minute {
				if _, ok := c.Peek(); ok {
					break
				}
				brokertest.Pass(100 * time.Millisecond)
			}
			if code := brokertest.Get[*packet.Connack](c).Code; code != packet.Success {
				t.Fatalf("%s: %v", id, code)
			}
			c.Close()
			return time.Since(start)
		}
		for i := range 30 {
			if took := connect("192.0.2.1:1", "loop"); took != 0 {
				t.Fatalf("connection %d waited %v", i, took)
			}
		}
		for range 5 {
			if took := connect("192.0.2.1:1", "loop"); took < 500*time.Millisecond || took > 2*time.Second {
				t.Errorf("in a loop: waited %v", took)
			}
		}
		if took := connect("192.0.2.1:1", "lamp"); took != 0 {
			t.Errorf("another client of the address waited %v", took)
		}
		if took := connect("192.0.2.2:1", "loop"); took != 0 {
			t.Errorf("the same client elsewhere waited %v", took)
		}
	})
}

// case R3: no address has more connections than it may, however slowly it takes them; who
// leaves makes room for one.
func TestAddressLimitsTakenSlowly(t *testing.T) {
	const most = 5
	mod := func(cfg *broker.Config, _ *broker.Deps) { cfg.MaxConnectionsPerAddress = most }
	inWorld(t, mod, func(w *world) {
		var held []*brokertest.Client
		come := func(what string, want bool) {
			t.Helper()
			brokertest.Pass(10 * time.Minute)
			c := w.from(fmt.Sprintf("192.0.2.9:%d", 1000+len(held)), packet.V50)
			if in := !c.Closed() && w.connect(c, fmt.Sprint("c", len(held)), "") == packet.Success; in != want {
				t.Errorf("%s comes in: %v", what, in)
			}
			held = append(held, c)
		}
		for range most {
			come("one of five", true)
		}
		come("the sixth", false)
		held[2].Close()
		come("another one", true)
		come("one too many", false)
	})
}

// What is remembered of addresses is bounded: what is idle goes, and what is not stays as long
// as there is something idle.
func TestPlacesAreForgotten(t *testing.T) {
	for idle, want := range map[int]int{0: broker.MaxPlaces - 1, 1: broker.MaxPlaces - 1, 100: broker.MaxPlaces - 100, broker.MaxPlaces: 0} {
		m := make(map[int]bool)
		for i := range broker.MaxPlaces {
			m[i] = i < idle
		}
		m = broker.RoomIn(m, func(is bool) bool { return is })
		for i, is := range m {
			if is {
				t.Errorf("%d idle: %d is still there", idle, i)
				break
			}
		}
		if len(m) != want {
			t.Errorf("%d idle: %d are left, want %d", idle, len(m), want)
		}
	}
	m := map[int]bool{1: true, 2: false}
	if m = broker.RoomIn(m, func(is bool) bool { return is }); len(m) != 2 {
		t.Error("what is idle went though there was room")
	}
	if broker.RoomIn(nil, func(bool) bool { return true }) == nil {
		t.Error("no map")
	}
}

// Who finds all places taken has none: it does not use up what its address may have.
func TestRefusedTakesNoPlaceOfItsAddress(t *testing.T) {
	const most, reserve, ofAddress = 2, 8, 3
	mod := func(cfg *broker.Config, deps *broker.Deps) {
		cfg.MaxConnections, cfg.MaxConnectionsPerAddress, deps.Authenticator = most, ofAddress, guests{}
	}
	inWorld(t, mod, func(w *world) {
		var held []*brokertest.Client
		for i := range most + reserve {
			user := "lamp"
			if i >= most {
				user = "homeassistant"
			}
			c := w.dial(packet.V50)
			if code := w.connect(c, fmt.Sprint("c", i), user); code != packet.Success {
				t.Fatalf("client %d: %v", i, code)
			}
			held = append(held, c)
		}
		for i := range 3 * ofAddress {
			brokertest.Pass(time.Minute)
			if !w.from(fmt.Sprintf("192.0.2.9:%d", 1000+i), packet.V50).Closed() {
				t.Fatalf("try %d came in", i)
			}
		}
		held[0].Close()
		held[most].Close()
		brokertest.Pass(time.Minute)
		if code := w.connect(w.from("192.0.2.9:1", packet.V50), "late", "homeassistant"); code != packet.Success {
			t.Errorf("once there is a place: %v", code)
		}
	})
}
