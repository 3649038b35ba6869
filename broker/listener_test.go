package broker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// by connects over a listener with rules of its own.
func (w *world) by(info broker.ListenerInfo, v packet.Version, p packet.Connect) (*brokertest.Client, *packet.Connack) {
	w.Helper()
	c := w.open(info, v)
	p.Version = v
	c.Send(&p)
	return c, brokertest.Get[*packet.Connack](c)
}

func (w *world) open(info broker.ListenerInfo, v packet.Version) *brokertest.Client {
	w.Helper()
	client, server := brokertest.Pipe()
	go w.b.ServeConn(context.Background(), server, info)
	return brokertest.NewClient(w.T, client, v)
}

func TestMountPoint(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		floor := broker.ListenerInfo{Name: "floor", Rules: &broker.ListenerRules{MountPoint: "floor1/"}}
		outside := w.clean(v, "outside")
		outside.Subscribe("floor1/#", 1)
		inside, _ := w.by(floor, v, packet.Connect{ClientID: "inside", CleanStart: true})
		inside.Subscribe("#", 2)

		inside.Publish("lamp", "on", 1, true, 1)
		w.expectPublish(outside, "floor1/lamp", "on", 1, false)
		outside.Send(ack(packet.TypePuback, 1))
		w.expectPublish(inside, "lamp", "on", 1, false)
		w.expectAck(inside, packet.TypePuback, 1)
		inside.Send(ack(packet.TypePuback, 1))

		outside.Publish("floor1/lamp", "off", 0, false, 0)
		w.expectPublish(inside, "lamp", "off", 0, false)
		w.expectPublish(outside, "floor1/lamp", "off", 0, false)
		outside.Publish("floor2/lamp", "off", 0, false, 0)
		inside.Nothing()

		late, _ := w.by(floor, v, packet.Connect{ClientID: "late", CleanStart: true,
			Will: &packet.Will{Topic: "late", Payload: []byte("gone")}})
		late.Subscribe("lamp", 0)
		w.expectPublish(late, "lamp", "on", 0, true)
		late.Send(&packet.Unsubscribe{PacketID: 3, Filters: []string{"lamp"}})
		brokertest.Get[*packet.Unsuback](late)
		inside.Publish("lamp", "again", 0, false, 0)
		w.expectPublish(outside, "floor1/lamp", "again", 0, false)
		late.Nothing()
		late.Close()
		w.expectPublish(outside, "floor1/late", "gone", 0, false)
	})
}

// A session that moves to another listener is not shown what lies outside of it.
func TestMountPointOfAnotherListener(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c, _ := w.durable(packet.V311, "mover")
		c.Subscribe("#", 1)
		c.Close()
		time.Sleep(time.Millisecond)
		pub := w.clean(packet.V311, "pub")
		pub.Publish("attic/x", "secret", 1, false, 1)
		pub.Publish("floor1/x", "ours", 1, false, 2)
		floor := broker.ListenerInfo{Name: "floor", Rules: &broker.ListenerRules{MountPoint: "floor1/"}}
		c, _ = w.by(floor, packet.V311, packet.Connect{ClientID: "mover"})
		w.expectPublish(c, "x", "ours", 1, false)
		c.Nothing()
	})
}

func TestListenerRules(t *testing.T) {
	one, none, three := byte(1), uint16(0), uint16(3)
	inWorld(t, nil, func(w *world) {
		for _, x := range []struct {
			name  string
			rules broker.ListenerRules
			v     packet.Version
			p     packet.Connect
			code  packet.ReasonCode // of MQTT 5
			old   byte              // of MQTT 3
		}{
			{"version let in", broker.ListenerRules{Versions: []packet.Version{packet.V311}}, packet.V311, packet.Connect{ClientID: "a"}, 0, 0},
			{"version kept out", broker.ListenerRules{Versions: []packet.Version{packet.V50}}, packet.V311, packet.Connect{ClientID: "a"}, 0, 1},
			{"5 kept out", broker.ListenerRules{Versions: []packet.Version{packet.V311}}, packet.V50, packet.Connect{ClientID: "a"}, packet.UnsupportedProtocolVersion, 0},
			{"empty identifier", broker.ListenerRules{NoEmptyClientID: true}, packet.V311, packet.Connect{CleanStart: true}, 0, 2},
			{"empty identifier, 5", broker.ListenerRules{NoEmptyClientID: true}, packet.V50, packet.Connect{CleanStart: true}, packet.ClientIDNotValid, 0},
			{"user as identifier, none", broker.ListenerRules{UserAsClientID: true}, packet.V311, packet.Connect{ClientID: "a"}, 0, 5},
			{"user as identifier", broker.ListenerRules{UserAsClientID: true}, packet.V311, packet.Connect{ClientID: "a", HasUserName: true, UserName: "bob"}, 0, 0},
		} {
			_, got := w.by(broker.ListenerInfo{Name: x.name, Rules: &x.rules}, x.v, x.p)
			if got.Code != x.code && x.v == packet.V50 || byte(got.ReturnCode) != x.old {
				t.Errorf("%s: %v %d", x.name, got.Code, got.ReturnCode)
			}
		}
		if _, _, err := w.b.Session("bob"); err != nil {
			t.Error("no session with the user's name:", err)
		}
		limits := broker.ListenerInfo{Name: "l", Rules: &broker.ListenerRules{
			MaximumQoS: &one, TopicAliasMaximum: &three, OutgoingAliases: &none, AutoIDPrefix: "lamp-", MaxConnections: 2}}
		p := packet.Connect{CleanStart: true}
		p.Properties.SetTopicAliasMaximum(10)
		c, got := w.by(limits, packet.V50, p)
		if pr := got.Properties; pr.MaximumQoS != 1 || pr.TopicAliasMaximum != 3 || len(pr.AssignedClientID) < 6 || pr.AssignedClientID[:5] != "lamp-" {
			t.Errorf("CONNACK %+v", pr)
		}
		c.Subscribe("long/topic/name", 0)
		w.clean(packet.V50, "pub").Publish("long/topic/name", "x", 0, false, 0)
		if m := w.expectPublish(c, "long/topic/name", "x", 0, false); m.HasAlias {
			t.Error("an alias, and the listener has none")
		}
		w.by(limits, packet.V311, packet.Connect{ClientID: "second", CleanStart: true})
		if third := w.open(limits, packet.V311); !third.Closed() {
			t.Error("one more than max_connections")
		}
		w.clean(packet.V311, "elsewhere") // other listeners go on
		w.b.DisconnectListener("l")
		if !c.Closed() {
			t.Error("the listener is gone, its client is not")
		}
	})
}

func TestReconfigure(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		old := w.clean(packet.V50, "old")
		cfg := w.cfg
		cfg.MaxPayload, cfg.MaxPacketSize, cfg.MaxSessions, cfg.Durability = 3, 1000, 2, broker.Memory
		if err := w.b.Reconfigure(cfg); err != nil {
			t.Fatal(err)
		}
		_, got := w.login(packet.V50, packet.Connect{ClientID: "new", CleanStart: true})
		if got.Properties.MaximumPacketSize != 1000 {
			t.Error("a new connection has the old limit")
		}
		old.Publish("t", "more than three", 1, false, 1) // a connection keeps what it was told
		if a := w.expectAck(old, packet.TypePuback, 1); a.Code.Failed() {
			t.Error("a connection has a limit that it was not told of")
		}
		third := w.open(broker.ListenerInfo{Name: "mqtt"}, packet.V50)
		third.Send(&packet.Connect{Version: packet.V50, ClientID: "third", CleanStart: true})
		if got := brokertest.Get[*packet.Connack](third); got.Code != packet.ServerBusy {
			t.Errorf("more sessions than allowed: %v", got.Code)
		}
		cfg.QueueFull = "never"
		if w.b.Reconfigure(cfg) == nil {
			t.Error("a policy that does not exist")
		}
	})
}

func TestMaxPayload(t *testing.T) {
	inWorld(t, func(c *broker.Config, _ *broker.Deps) { c.MaxPayload = 3 }, func(w *world) {
		sub := w.clean(packet.V311, "sub")
		sub.Subscribe("#", 0)
		five, three := w.clean(packet.V50, "five"), w.clean(packet.V311, "three")
		five.Publish("t", "four", 1, false, 1)
		if a := w.expectAck(five, packet.TypePuback, 1); a.Code != packet.QuotaExceeded {
			t.Errorf("PUBACK %v", a.Code)
		}
		three.Publish("t", "four", 2, false, 1)
		w.expectAck(three, packet.TypePubrec, 1)
		three.Publish("t", "four", 0, false, 0)
		sub.Nothing()
		three.Publish("t", "two", 0, false, 0)
		w.expectPublish(sub, "t", "two", 0, false)
	})
}

func TestUpgradeQoS(t *testing.T) {
	inWorld(t, func(c *broker.Config, _ *broker.Deps) { c.UpgradeQoS = true }, func(w *world) {
		pub, sub := w.clean(packet.V311, "pub"), w.clean(packet.V311, "sub")
		pub.Publish("kept", "x", 0, true, 0)
		pub.Nothing()
		sub.Subscribe("#", 1)
		w.expectPublish(sub, "kept", "x", 1, true)
		sub.Send(ack(packet.TypePuback, 1))
		pub.Publish("t", "x", 0, false, 0)
		w.expectPublish(sub, "t", "x", 1, false)
	})
}

func TestQueueQoS0(t *testing.T) {
	inWorld(t, func(c *broker.Config, _ *broker.Deps) { c.QueueQoS0, c.MaxQueuedMessages = true, 2 }, func(w *world) {
		c, _ := w.durable(packet.V311, "away")
		c.Subscribe("#", 0)
		c.Close()
		time.Sleep(time.Millisecond)
		pub := w.clean(packet.V311, "pub")
		for _, x := range []string{"1", "2", "3"} {
			pub.Publish("t", x, 0, false, 0)
		}
		pub.Nothing()
		c, _ = w.durable(packet.V311, "away")
		w.expectPublish(c, "t", "2", 0, false) // drop_oldest
		w.expectPublish(c, "t", "3", 0, false)
	})
}

func TestRetainedExpiry(t *testing.T) {
	inWorld(t, func(c *broker.Config, _ *broker.Deps) { c.RetainedExpiry = time.Minute }, func(w *world) {
		pub := w.clean(packet.V311, "pub")
		sub, _ := w.durable(packet.V50, "sub")
		sub.Subscribe("t", 1)
		pub.Publish("t", "x", 1, true, 1)
		if m := w.expectPublish(sub, "t", "x", 1, false); m.HasExpiry {
			t.Error("the message itself got an expiry")
		}
		w.clean(packet.V311, "soon").Subscribe("t", 0)
		time.Sleep(2 * time.Minute)
		late := w.clean(packet.V311, "late")
		late.Subscribe("t", 0)
		late.Nothing()
	})
}

// revocable allows everything, but publishing to those it is told of.
type revocable struct {
	brokertest.Everything
	revoked *atomic.Pointer[string]
}

func (r revocable) Authorize(id *broker.Identity, act broker.Action, name string) broker.Decision {
	if who := r.revoked.Load(); act == broker.Publish && who != nil && id.ClientID == *who {
		return broker.Decision{}
	}
	return r.Everything.Authorize(id, act, name)
}

// case A8: what somebody retained whose right to it is gone.
func TestCheckRetainedSource(t *testing.T) {
	var revoked atomic.Pointer[string]
	inWorld(t, func(c *broker.Config, d *broker.Deps) {
		c.CheckRetainedSource = true
		d.Authorizer = revocable{revoked: &revoked}
	}, func(w *world) {
		w.clean(packet.V311, "pub").Publish("t", "x", 0, true, 0)
		w.clean(packet.V311, "other").Publish("u", "x", 0, true, 0)
		revoked.Store(new("pub"))
		sub := w.clean(packet.V311, "sub")
		sub.Subscribe("#", 0)
		w.expectPublish(sub, "u", "x", 0, true)
		sub.Nothing()
	})
}

func TestSysOff(t *testing.T) {
	inWorld(t, func(c *broker.Config, _ *broker.Deps) { c.SysInterval = -1 }, func(w *world) {
		c := w.clean(packet.V311, "c")
		c.Subscribe("$SYS/#", 0)
		time.Sleep(time.Hour)
		c.Nothing()
	})
}
