package access_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

var versions = []packet.Version{packet.V31, packet.V311, packet.V50}

// lasting is a CONNECT whose session outlives its connection, whatever the version.
func lasting() packet.Connect {
	var p packet.Connect
	p.Properties.SetSessionExpiry(3600)
	return p
}

// case A6: the ways that take time. The right goes while a message is on one of them.
func TestDeniedOnItsWay(t *testing.T) {
	const denied, fine = "home/lock/state", "home/light/state"
	deny := func(h *home) {
		h.become("ann", "allow both home/#", "deny both home/lock/#")
	}
	send := func(all *brokertest.Client, qos byte, retain bool) {
		for i, name := range []string{fine, denied, fine} {
			if retain && i == 2 {
				name += "/2"
			}
			all.Publish(name, "1", qos, retain, uint16(i+1))
			if qos == 2 {
				all.Send(&packet.Ack{Type: packet.TypePubrel, PacketID: uint16(i + 1)})
			}
		}
		synctest.Wait()
	}
	// acknowledged takes everything and acknowledges it.
	acknowledged := func(h *home, c *brokertest.Client) (topics []string) {
		for range 10 {
			for _, p := range c.All() {
				switch p := p.(type) {
				case *packet.Publish:
					topics = append(topics, string(p.Topic))
					switch p.QoS {
					case 1:
						c.Send(&packet.Ack{Type: packet.TypePuback, PacketID: p.PacketID})
					case 2:
						c.Send(&packet.Ack{Type: packet.TypePubrec, PacketID: p.PacketID})
					}
				case *packet.Ack:
					if p.Type == packet.TypePubrel {
						c.Send(&packet.Ack{Type: packet.TypePubcomp, PacketID: p.PacketID})
					}
				}
			}
		}
		return topics
	}
	for _, tt := range []struct {
		name string
		want []string // once the right is gone
		f    func(h *home, v packet.Version, all *brokertest.Client) *brokertest.Client
	}{
		{"QoS 1 queued behind others", []string{fine}, func(h *home, v packet.Version, all *brokertest.Client) *brokertest.Client {
			c := h.connect(v, "c", "ann", lasting())
			c.Subscribe("home/#", 1)
			send(all, 1, false)
			first := brokertest.Get[*packet.Publish](c)
			deny(h)
			c.Send(&packet.Ack{Type: packet.TypePuback, PacketID: first.PacketID})
			return c
		}},
		{"QoS 2 queued behind others", []string{fine}, func(h *home, v packet.Version, all *brokertest.Client) *brokertest.Client {
			c := h.connect(v, "c", "ann", lasting())
			c.Subscribe("home/#", 2)
			send(all, 2, false)
			first := brokertest.Get[*packet.Publish](c)
			deny(h)
			c.Send(&packet.Ack{Type: packet.TypePubrec, PacketID: first.PacketID})
			return c
		}},
		{"retained behind others", []string{fine, fine + "/2"}, func(h *home, v packet.Version, all *brokertest.Client) *brokertest.Client {
			send(all, 1, true)
			all.Publish("home/first", "1", 1, true, 7)
			c := h.connect(v, "c", "ann", lasting())
			for _, filter := range []string{"home/first", "home/+/state/#"} {
				c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: filter, QoS: 1}}})
			}
			first := brokertest.Get[*packet.Publish](c)
			deny(h)
			c.Send(&packet.Ack{Type: packet.TypePuback, PacketID: first.PacketID})
			return c
		}},
		{"retained with QoS 0 behind others", []string{fine, fine + "/2"}, func(h *home, v packet.Version, all *brokertest.Client) *brokertest.Client {
			send(all, 1, true)
			all.Publish("home/first", "1", 1, true, 7)
			all.Publish("home/second", "1", 1, true, 8)
			c := h.connect(v, "c", "ann", lasting())
			c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "home/first", QoS: 1}, {Filter: "home/second", QoS: 1}, {Filter: "home/+/state/#"}}})
			first := brokertest.Get[*packet.Publish](c)
			deny(h)
			c.Send(&packet.Ack{Type: packet.TypePuback, PacketID: first.PacketID})
			second := brokertest.Get[*packet.Publish](c)
			c.Send(&packet.Ack{Type: packet.TypePuback, PacketID: second.PacketID})
			return c
		}},
		{"queued in the store over a restart", []string{fine, fine}, func(h *home, v packet.Version, all *brokertest.Client) *brokertest.Client {
			c := h.connect(v, "c", "ann", lasting())
			c.Subscribe("home/#", 1)
			c.Close()
			send(all, 1, false)
			h.stop()
			deny(h)
			h.start()
			return h.connect(v, "c", "ann", lasting())
		}},
		{"QoS 2 in flight, resent on resume", []string{fine, fine}, func(h *home, v packet.Version, all *brokertest.Client) *brokertest.Client {
			h.b.Revalidate("") // nothing changed: no harm
			c := h.connect(v, "c", "ann", lasting())
			c.Subscribe("home/lock/#", 2)
			send(all, 2, false)
			if first := brokertest.Get[*packet.Publish](c); string(first.Topic) != denied {
				h.Fatal(string(first.Topic))
			}
			c.Close()
			deny(h)
			all.Publish(fine, "1", 1, false, 9)
			c = h.connect(v, "c", "ann", lasting())
			c.Subscribe("home/light/#", 2)
			send(all, 2, false)
			return c
		}},
		{"QoS 2 released on resume", nil, func(h *home, v packet.Version, all *brokertest.Client) *brokertest.Client {
			c := h.connect(v, "c", "ann", lasting())
			c.Subscribe("home/lock/#", 2)
			send(all, 2, false)
			first := brokertest.Get[*packet.Publish](c)
			c.Send(&packet.Ack{Type: packet.TypePubrec, PacketID: first.PacketID})
			c.Close()
			deny(h)
			c = h.connect(v, "c", "ann", lasting())
			// What it has it is told the end of: its identifier has to come free.
			if a := brokertest.Get[*packet.Ack](c); a.Type != packet.TypePubrel || a.PacketID != first.PacketID {
				h.Errorf("%+v", a)
			}
			c.Send(&packet.Ack{Type: packet.TypePubcomp, PacketID: first.PacketID})
			return c
		}},
		{"a session of a bridge", []string{fine, fine}, func(h *home, v packet.Version, _ *brokertest.Client) *brokertest.Client {
			deny(h)
			c := h.clean(v, "c", "ann")
			c.Subscribe("home/#", 1)
			send(trusted(h, &broker.Identity{System: true}, "bridge", nil), 1, false)
			return c
		}},
		{"a delayed will", nil, func(h *home, v packet.Version, _ *brokertest.Client) *brokertest.Client {
			c := h.clean(v, "c", "ann")
			c.Subscribe("home/#", 1)
			p := lasting()
			p.Will = &packet.Will{Topic: denied, Payload: []byte("gone"), QoS: 1}
			p.Will.Properties.SetWillDelay(30)
			h.connect(packet.V50, "w", "all", p).Close()
			deny(h)
			brokertest.Pass(time.Minute)
			return c
		}},
		{"a Shared Subscription", nil, func(h *home, v packet.Version, all *brokertest.Client) *brokertest.Client {
			c := h.connect(v, "c", "ann", lasting())
			c.Subscribe("$share/g/home/+/state", 1)
			deny(h)
			all.Publish(denied, "1", 1, false, 1)
			return c
		}},
	} {
		for _, v := range versions {
			t.Run(fmt.Sprintf("%s, %v", tt.name, v), func(t *testing.T) {
				inHouse(t, access.Policy{}, func(h *home) { h.cfg.MaxInflight = 1 }, func(h *home) {
					h.user("ann", "allow both home/#")
					h.user("all", "allow both #")
					c := tt.f(h, v, h.clean(packet.V50, "all", "all"))
					list := acknowledged(h, c)
					slices.Sort(list) // what is retained comes in no order
					if fmt.Sprint(list) != fmt.Sprint(tt.want) {
						t.Errorf("got %q, want %q", list, tt.want)
					}
				})
			})
		}
	}
}

// case A7: with each version, with a Topic Alias, and for what rules say of QoS and RETAIN.
func TestRightToPublishByVersion(t *testing.T) {
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			inHouse(t, access.Policy{}, nil, func(h *home) {
				h.user("ann", "allow publish home/#", "allow publish low/# qos<=1 no-retain")
				h.user("all", "allow both #")
				w := h.clean(packet.V50, "w", "all")
				w.Subscribe("#", 2)
				c := h.clean(v, "c", "ann")
				for i, name := range []string{"secret", "home", "low/a"} {
					for qos := range byte(3) {
						c.Publish(name, "1", qos, false, uint16(10*i)+uint16(qos)+1)
					}
				}
				c.Publish("low/b", "1", 0, true, 0)
				h.want(w, "home", "home", "home", "low/a", "low/a")
				var codes []packet.ReasonCode
				for _, p := range c.All() {
					if a, ok := p.(*packet.Ack); ok {
						codes = append(codes, a.Code)
					}
				}
				no := packet.NotAuthorized
				if v != packet.V50 {
					no = packet.Success // MQTT 3 can't say it
				}
				if want := []packet.ReasonCode{no, no, 0, 0, 0, no}; fmt.Sprint(codes) != fmt.Sprint(want) {
					t.Errorf("acknowledged with %v, want %v", codes, want)
				}
				if c.Closed() {
					t.Error("disconnected")
				}
				for m := range h.b.Retained("#") {
					if m.Topic[0] != '$' {
						t.Errorf("retained: %s", m.Topic)
					}
				}
				for topic, want := range map[string]bool{"secret": false, "$SYS/x": false, "$CONTROL/x": false, "$hearthmq/x": false, "home/w": true} {
					for _, user := range []string{"ann", access.HomeAssistantUser} { // case A12: whoever it is
						if topic == "secret" && user != "ann" {
							continue
						}
						pass := password
						if user != "ann" {
							pass, _ = h.accounts.SystemPassword(user)
						}
						_, ack := h.try(v, "w "+user, user, pass, packet.Connect{CleanStart: true, Will: &packet.Will{Topic: topic}})
						if ack == nil || (ack.Code == 0 && ack.ReturnCode == 0) != want || !want && ack.Code != packet.NotAuthorized && ack.ReturnCode != 5 {
							t.Errorf("%s with a will to %s: %+v", user, topic, ack)
						}
					}
				}
			})
		})
	}
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("ann", "allow publish home/#")
		h.user("all", "allow both #")
		w := h.clean(packet.V50, "w", "all")
		w.Subscribe("#", 0)
		c := h.clean(packet.V50, "c", "ann")
		alias := func(topic string) {
			c.Send(&packet.Publish{Topic: []byte(topic), HasAlias: true, TopicAlias: 1, Payload: []byte("1")})
		}
		alias("secret") // sets the alias, is not delivered
		alias("")
		h.want(w)
		alias("home/x")
		alias("")
		h.want(w, "home/x", "home/x")
		h.become("ann", "allow publish elsewhere")
		alias("")
		h.want(w)
	})
}

// case A7: the right to a will is that of the moment when it is due, whatever makes it due.
func TestWillWithoutItsRight(t *testing.T) {
	for name, due := range map[string]func(h *home, c *brokertest.Client){
		"the connection breaks":         func(_ *home, c *brokertest.Client) { c.Close() },
		"DISCONNECT with will":          func(_ *home, c *brokertest.Client) { c.Send(&packet.Disconnect{Code: packet.DisconnectWithWill}) },
		"somebody takes over":           func(h *home, _ *brokertest.Client) { h.clean(packet.V50, "c", "ann") },
		"the owner disconnects it":      func(h *home, _ *brokertest.Client) { h.b.Disconnect("c", packet.AdministrativeAction) },
		"the broker stops":              func(h *home, _ *brokertest.Client) { h.stop(); h.start() },
		"the broker was not there then": nil,
	} {
		for _, keeps := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, the right is there: %v", name, keeps), func(t *testing.T) {
				inHouse(t, access.Policy{}, nil, func(h *home) {
					h.user("ann", "allow publish home/#")
					h.user("all", "allow both #")
					p := lasting()
					p.Will = &packet.Will{Topic: "home/x", Payload: []byte("gone"), QoS: 1, Retain: true}
					if due == nil {
						p.Will.Properties.SetWillDelay(60)
					}
					c := h.connect(packet.V50, "c", "ann", p)
					change := func() {
						if !keeps {
							h.become("ann", "allow publish elsewhere/#", "allow publish home/# no-retain qos<=0", "deny publish home/x")
						}
					}
					if due == nil {
						c.Close()
						h.stop()
						change()
						h.start()
						brokertest.Pass(2 * time.Minute)
					} else {
						change()
						due(h, c)
					}
					synctest.Wait()
					n := 0
					for range h.b.Retained("home/x") {
						n++
					}
					if (n == 1) != keeps {
						t.Errorf("%d wills", n)
					}
				})
			})
		}
	}
}

// case A8: as TestRightRevoked, with each version; what was changed while the broker was
// not there counts when the session is resumed.
func TestRightRevokedByVersion(t *testing.T) {
	for _, v := range versions {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, meanwhile the broker is stopped: %v", v, restart), func(t *testing.T) {
				inHouse(t, access.Policy{}, nil, func(h *home) {
					h.user("ann", "allow both home/#", "allow both other/#")
					h.user("all", "allow both #")
					c := h.connect(v, "c", "ann", lasting())
					for _, filter := range []string{"home/#", "$share/g/home/+", "other/#"} {
						c.Subscribe(filter, 1)
					}
					if restart {
						h.stop()
					} else {
						c.Close()
					}
					h.become("ann", "allow both other/#")
					if restart {
						h.start()
					}
					c = h.connect(v, "c", "ann", lasting())
					all := h.clean(packet.V311, "all", "all")
					all.Publish("home/x", "1", 1, false, 1)
					all.Publish("other/x", "1", 1, false, 2)
					h.want(c, "other/x")
					if _, subs, err := h.b.Session("c"); err != nil || len(subs) != 1 || subs[0].Filter != "other/#" {
						t.Errorf("keeps %v, %v", subs, err)
					}
					// With the right the subscription does not come back by itself.
					h.become("ann", "allow both #")
					all.Publish("home/x", "2", 1, false, 3)
					h.want(c)
				})
			})
		}
	}
}

// case A10: the other order and other owners: the session is bound to who comes first,
// named or not, by whatever door and version, also over a restart.
func TestSessionIsBoundOnFirstUse(t *testing.T) {
	for _, v := range versions {
		for _, owner := range []string{"ann", "bob", ""} {
			for _, restart := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v, owner %q, restart %v", v, owner, restart), func(t *testing.T) {
					inHouse(t, access.Policy{Anonymous: access.AnonymousFull}, nil, func(h *home) {
						h.user("ann", "allow both #")
						h.user("bob", "allow both #")
						c := h.connect(v, "lamp", owner, lasting())
						c.Subscribe("to/lamp", 1)
						if restart {
							h.stop()
							h.start()
						}
						for _, thief := range []string{"ann", "bob", ""} {
							if thief == owner {
								continue
							}
							for _, clean := range []bool{false, true} {
								p := lasting()
								p.CleanStart = clean
								x, ack := h.try(v, "lamp", thief, password, p)
								if ack == nil || ack.SessionPresent || v == packet.V50 && ack.Code != packet.ClientIDNotValid || v != packet.V50 && ack.ReturnCode != 2 || !x.Closed() {
									t.Errorf("%q, clean start %v: %+v", thief, clean, ack)
								}
							}
						}
						if !restart && c.Closed() {
							t.Error("the owner was disconnected")
						}
						again, ack := h.try(v, "lamp", owner, password, lasting())
						if ack == nil || ack.Code != 0 || ack.ReturnCode != 0 || v != packet.V31 && !ack.SessionPresent {
							t.Fatalf("the owner: %+v", ack)
						}
						h.clean(packet.V50, "sender", "ann").Publish("to/lamp", "1", 1, false, 1)
						h.want(again, "to/lamp")
					})
				})
			}
		}
	}
}

// case A7: what the rules say of QoS and RETAIN holds for a will, too, when it is set and
// when it is due.
func TestWillWithConditions(t *testing.T) {
	for _, tt := range []struct{ first, then string }{
		{"allow publish home/# qos<=1 no-retain", "allow publish home/#"},
		{"allow publish home/#", "allow publish home/# qos<=1 no-retain"},
	} {
		for _, v := range versions {
			inHouse(t, access.Policy{}, nil, func(h *home) {
				h.user("ann", tt.first)
				h.user("all", "allow both #")
				w := h.clean(packet.V50, "w", "all")
				w.Subscribe("home/#", 2)
				c := h.connect(v, "c", "ann", packet.Connect{CleanStart: true, Will: &packet.Will{Topic: "home/x", Payload: []byte("gone"), QoS: 2, Retain: true}})
				h.become("ann", tt.then)
				c.Close()
				if m := brokertest.Get[*packet.Publish](w); m.QoS != 1 {
					t.Errorf("%v, %s: QoS %d", v, tt.first, m.QoS)
				}
				for range h.b.Retained("home/x") {
					t.Errorf("%v, %s: retained", v, tt.first)
				}
			})
		}
	}
}

// The highest QoS that a rule allows holds for what is granted, for what arrives live and
// retained where a wider filter was granted more, and for a part of the broker.
func TestHighestQoS(t *testing.T) {
	for _, v := range versions {
		inHouse(t, access.Policy{}, nil, func(h *home) {
			h.user("ann", "allow subscribe home/# qos<=1", "allow subscribe other/#", "allow publish home/# qos<=1 no-retain")
			h.user("all", "allow both #")
			all := h.clean(packet.V50, "all", "all")
			all.Publish("home/kept", "1", 2, true, 1)
			c := h.clean(v, "c", "ann")
			if code := c.Subscribe("home/live", 2); code != packet.GrantedQoS1 {
				t.Errorf("%v: granted %v", v, code)
			}
			if code := c.Subscribe("#", 2); code != packet.GrantedQoS2 {
				t.Errorf("%v: granted %v", v, code)
			}
			all.Publish("home/other", "1", 2, false, 2)
			synctest.Wait()
			n := 0
			for _, p := range c.All() {
				if m, ok := p.(*packet.Publish); ok {
					if n++; m.QoS != 1 {
						t.Errorf("%v: %s with QoS %d", v, m.Topic, m.QoS)
					}
				}
			}
			if n != 2 {
				t.Errorf("%v: %d messages", v, n)
			}
			u, _ := h.dir.User("ann")
			part := h.b.Attach(&broker.Identity{ClientID: "part", User: "ann", Version: u.Version}, broker.LocalOptions{})
			for _, m := range []*broker.Message{broker.NewMessage("home/x", nil, 2, false), broker.NewMessage("home/x", []byte("1"), 0, true)} {
				if err := part.Publish(h.Context(), m); err == nil {
					t.Errorf("a part published with QoS %d, RETAIN %v", m.QoS, m.Retain)
				}
			}
			h.must(part.Publish(h.Context(), broker.NewMessage("home/x", nil, 1, false)))
		})
	}
}
