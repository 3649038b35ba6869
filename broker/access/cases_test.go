package access_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// case A2: each filter of a SUBSCRIBE has its own answer, in order.
func TestSubackPerFilter(t *testing.T) {
	for _, v := range versions {
		inHouse(t, access.Policy{}, nil, func(h *home) {
			h.user("ann", "allow both home/#")
			c := h.clean(v, "c", "ann")
			c.Send(&packet.Subscribe{PacketID: 7, Subscriptions: []packet.Subscription{{Filter: "home/a", QoS: 1}, {Filter: "secret/a"}, {Filter: "home/b"}}})
			ack := brokertest.Get[*packet.Suback](c)
			want := []packet.ReasonCode{packet.GrantedQoS1, packet.NotAuthorized, packet.Success}
			if v != packet.V50 {
				want[1] = 0x80
			}
			for i, code := range ack.Codes {
				if len(ack.Codes) != 3 || code != want[i] {
					t.Errorf("version %v: SUBACK %v, want %v", v, ack.Codes, want)
					break
				}
			}
		})
	}
}

// case A3: a filter that is wider than the right is granted, and nothing outside the
// right is ever delivered, live or retained.
func TestNarrowedDelivery(t *testing.T) {
	for _, filter := range []string{"#", "+/#", "a/+/#", "a/+/c"} {
		inHouse(t, access.Policy{}, nil, func(h *home) {
			h.user("ann", "allow subscribe a/b/c")
			h.user("all", "allow both #")
			sender := h.clean(packet.V311, "s", "all")
			for _, name := range []string{"a/b/c", "a/b", "a/x/c", "b"} {
				sender.Publish(name, "1", 0, true, 0)
			}
			c := h.clean(packet.V311, "c", "ann")
			if code := c.Subscribe(filter, 0); code >= 0x80 {
				t.Fatalf("%s: %v", filter, code)
			}
			h.want(c, "a/b/c")
			for _, name := range []string{"a/b/c", "a/b", "a/x/c", "b"} {
				sender.Publish(name, "2", 0, false, 0)
			}
			h.want(c, "a/b/c")
			_, subs, err := h.b.Session("c")
			if err != nil || len(subs) != 1 || !subs[0].Narrowed {
				t.Errorf("%s: subscriptions %+v, %v", filter, subs, err)
			}
		})
	}
}

// case A5: access control sees a shared subscription's bare filter.
func TestSharedSubscriptionsAreJudgedByFilter(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("ann", "allow both home/#", "deny both home/lock/#")
		c := h.clean(packet.V50, "c", "ann")
		for filter, denied := range map[string]bool{"$share/g/home/x": false, "$share/g/home/lock/+": true, "$share/g/secret": true, "$share/home/secret": true} {
			if code := c.Subscribe(filter, 0); (code >= 0x80) != denied {
				t.Errorf("%s: %v", filter, code)
			}
		}
		// A member gets nothing that its rules deny, even where the group may.
		c.Subscribe("$share/g/#", 0)
		h.user("all", "allow both #")
		h.clean(packet.V311, "s", "all").Publish("home/lock/set", "1", 0, false, 0)
		h.want(c)
	})
}

// case A6: what is denied inside of what is allowed arrives on no way: live, retained,
// queued while away, resent on resume, released by QoS 2, from a bridge, by a will.
func TestDenyInsideAllow(t *testing.T) {
	const denied, fine = "home/lock/state", "home/light/state"
	start := func(t *testing.T, f func(h *home, all *brokertest.Client)) {
		inHouse(t, access.Policy{}, nil, func(h *home) {
			h.user("ann", "allow both home/#", "deny both home/lock/#")
			h.user("all", "allow both #")
			f(h, h.clean(packet.V50, "all", "all"))
		})
	}
	both := func(c *brokertest.Client, qos byte, retain bool) {
		c.Publish(denied, "1", qos, retain, 1)
		c.Publish(fine, "1", qos, retain, 2)
	}
	t.Run("live", func(t *testing.T) {
		start(t, func(h *home, all *brokertest.Client) {
			c := h.clean(packet.V311, "c", "ann")
			c.Subscribe("home/#", 1)
			both(all, 1, false)
			h.want(c, fine)
		})
	})
	t.Run("retained", func(t *testing.T) {
		start(t, func(h *home, all *brokertest.Client) {
			both(all, 1, true)
			c := h.clean(packet.V311, "c", "ann")
			c.Subscribe("home/#", 1)
			h.want(c, fine)
		})
	})
	t.Run("queued while away", func(t *testing.T) {
		start(t, func(h *home, all *brokertest.Client) {
			c := h.connect(packet.V311, "c", "ann", packet.Connect{})
			c.Subscribe("home/#", 1)
			c.Close()
			both(all, 1, false)
			h.want(h.connect(packet.V311, "c", "ann", packet.Connect{}), fine)
		})
	})
	t.Run("queued, then denied", func(t *testing.T) {
		start(t, func(h *home, all *brokertest.Client) {
			h.become("ann", "allow both home/#")
			c := h.connect(packet.V311, "c", "ann", packet.Connect{})
			c.Subscribe("home/#", 1)
			c.Close()
			both(all, 1, false)
			h.become("ann", "allow both home/#", "deny both home/lock/#")
			h.want(h.connect(packet.V311, "c", "ann", packet.Connect{}), fine)
		})
	})
	t.Run("in flight, resent on resume", func(t *testing.T) {
		start(t, func(h *home, all *brokertest.Client) {
			h.become("ann", "allow both home/#")
			c := h.connect(packet.V311, "c", "ann", packet.Connect{})
			c.Subscribe("home/#", 1)
			both(all, 1, false)
			h.want(c, denied, fine) // not acknowledged
			c.Close()
			h.become("ann", "allow both home/#", "deny both home/lock/#")
			h.want(h.connect(packet.V311, "c", "ann", packet.Connect{}), fine)
		})
	})
	t.Run("QoS 2", func(t *testing.T) {
		start(t, func(h *home, all *brokertest.Client) {
			c := h.connect(packet.V311, "c", "ann", packet.Connect{})
			c.Subscribe("home/#", 2)
			both(all, 2, false)
			all.Send(&packet.Ack{Type: packet.TypePubrel, PacketID: 1}, &packet.Ack{Type: packet.TypePubrel, PacketID: 2})
			h.want(c, fine)
		})
	})
	t.Run("bridge", func(t *testing.T) {
		start(t, func(h *home, _ *brokertest.Client) {
			c := h.clean(packet.V311, "c", "ann")
			c.Subscribe("home/#", 1)
			u, _ := h.dir.User("all")
			bridge := h.b.Attach(&broker.Identity{ClientID: "bridge", User: "all", Version: u.Version}, broker.LocalOptions{})
			for _, name := range []string{denied, fine} {
				h.must(bridge.Publish(h.Context(), broker.NewMessage(name, []byte("1"), 1, false)))
			}
			h.want(c, fine)
			// What a bridge may not bring in stays outside.
			a, _ := h.dir.User("ann")
			bridge = h.b.Attach(&broker.Identity{ClientID: "bridge", User: "ann", Version: a.Version}, broker.LocalOptions{})
			if err := bridge.Publish(h.Context(), broker.NewMessage(denied, []byte("1"), 1, false)); err == nil {
				t.Error("the bridge published what is denied")
			}
		})
	})
	t.Run("will", func(t *testing.T) {
		start(t, func(h *home, all *brokertest.Client) {
			c := h.clean(packet.V311, "c", "ann")
			c.Subscribe("home/#", 1)
			h.connect(packet.V311, "w", "all", packet.Connect{CleanStart: true, Will: &packet.Will{Topic: denied, Payload: []byte("gone")}}).Close()
			h.connect(packet.V311, "w", "all", packet.Connect{CleanStart: true, Will: &packet.Will{Topic: fine, Payload: []byte("gone")}}).Close()
			h.want(c, fine)
		})
	})
}

// case A7: the right to publish is asked for a PUBLISH, for a will when it is set and
// when it fires, delayed or not, and for a QoS 2 message that comes again.
func TestRightToPublish(t *testing.T) {
	start := func(t *testing.T, f func(h *home, watcher *brokertest.Client)) {
		inHouse(t, access.Policy{}, nil, func(h *home) {
			h.user("ann", "allow publish home/#")
			h.user("all", "allow both #")
			w := h.clean(packet.V311, "watcher", "all")
			w.Subscribe("#", 2)
			f(h, w)
		})
	}
	will := func(delay uint32) packet.Connect {
		p := packet.Connect{Will: &packet.Will{Topic: "home/x", Payload: []byte("gone"), QoS: 1}}
		if delay > 0 {
			p.Will.Properties.SetWillDelay(delay)
			p.Properties.SetSessionExpiry(3600)
		}
		return p
	}
	t.Run("publish", func(t *testing.T) {
		start(t, func(h *home, w *brokertest.Client) {
			c := h.clean(packet.V311, "c", "ann")
			c.Publish("secret", "1", 1, false, 1)
			c.Publish("home/x", "1", 1, false, 2)
			h.want(w, "home/x")
		})
	})
	t.Run("will at CONNECT", func(t *testing.T) {
		start(t, func(h *home, w *brokertest.Client) {
			for _, topic := range []string{"secret", "$SYS/x", "$CONTROL/x", "$hearthmq/x"} { // case A12
				for _, user := range []string{"ann", "all"} {
					if user == "all" && topic == "secret" {
						continue
					}
					_, ack := h.try(packet.V50, "c", user, password, packet.Connect{CleanStart: true, Will: &packet.Will{Topic: topic}})
					if ack == nil || ack.Code != packet.NotAuthorized {
						t.Errorf("%s with a will to %s: %+v", user, topic, ack)
					}
				}
			}
			h.want(w)
		})
	})
	t.Run("will that fires after the right was removed", func(t *testing.T) {
		start(t, func(h *home, w *brokertest.Client) {
			c := h.connect(packet.V50, "c", "ann", will(0))
			h.become("ann", "allow publish elsewhere")
			c.Close()
			h.want(w)
			if list := h.denials.Recent(); len(list) != 1 || list[0].Topic != "home/x" || list[0].User != "ann" {
				t.Errorf("denials %+v", list)
			}
		})
	})
	t.Run("delayed will after the right was removed", func(t *testing.T) {
		start(t, func(h *home, w *brokertest.Client) {
			h.connect(packet.V50, "c", "ann", will(60)).Close()
			brokertest.Pass(30 * time.Second)
			h.become("ann", "allow publish elsewhere")
			brokertest.Pass(time.Minute)
			h.want(w)
		})
	})
	t.Run("delayed will with the right", func(t *testing.T) {
		start(t, func(h *home, w *brokertest.Client) {
			h.connect(packet.V50, "c", "ann", will(60)).Close()
			brokertest.Pass(2 * time.Minute)
			h.want(w, "home/x")
		})
	})
	t.Run("QoS 2", func(t *testing.T) {
		start(t, func(h *home, w *brokertest.Client) {
			// The message is passed on when it comes (method B of section 4.3.3), so the
			// right that counts is that of this moment; its release passes on nothing.
			c := h.connect(packet.V50, "c", "ann", packet.Connect{})
			c.Publish("home/x", "1", 2, false, 1)
			h.want(w, "home/x")
			h.become("ann", "allow publish elsewhere")
			c.Send(&packet.Ack{Type: packet.TypePubrel, PacketID: 1})
			h.want(w)
			c.Publish("home/x", "2", 2, false, 1)
			c.Send(&packet.Ack{Type: packet.TypePubrel, PacketID: 1})
			h.want(w)
		})
	})
}

// case A8: a right that is taken away stops what is delivered within a second, and
// takes the subscription, also one of a session that is away.
func TestRightRevoked(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("ann", "allow both home/#")
		h.user("all", "allow both #")
		all := h.clean(packet.V311, "all", "all")
		live, away := h.clean(packet.V311, "live", "ann"), h.connect(packet.V311, "away", "ann", packet.Connect{})
		live.Subscribe("home/#", 1)
		away.Subscribe("home/#", 1)
		away.Close()
		all.Publish("home/x", "1", 1, false, 1)
		h.want(live, "home/x")
		h.become("ann", "allow both elsewhere/#")
		all.Publish("home/x", "2", 1, false, 2)
		brokertest.Pass(time.Second)
		h.want(live)
		back := h.connect(packet.V311, "away", "ann", packet.Connect{})
		h.want(back)
		for _, id := range []string{"live", "away"} {
			if _, subs, err := h.b.Session(id); err != nil || len(subs) != 0 {
				t.Errorf("%s keeps %v, %v", id, subs, err)
			}
		}
	})
}

// case A11: Client Identifiers that differ in a byte are different sessions; one that
// is too long is refused.
func TestClientIdentifiersAreExact(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("ann", "allow both #")
		ids := []string{"lamp", "Lamp", "lamp ", "lämp", "la\u0308mp", "lamp\u200d", strings.Repeat("x", 256)}
		for _, id := range ids {
			h.connect(packet.V50, id, "ann", packet.Connect{CleanStart: true})
		}
		if n := len(h.b.Sessions()); n != len(ids) {
			t.Errorf("%d sessions, want %d", n, len(ids))
		}
		for _, s := range h.b.Sessions() {
			if !s.Connected {
				t.Errorf("%q was taken over by another", s.ClientID)
			}
		}
		for _, v := range versions {
			for _, n := range []int{257, 60_000} {
				_, ack := h.try(v, strings.Repeat("x", n), "ann", password, packet.Connect{CleanStart: true})
				if ack == nil || ack.Code != packet.ClientIDNotValid && ack.ReturnCode != 2 {
					t.Errorf("%v, %d bytes: %+v", v, n, ack)
				}
			}
			if c, ack := h.try(v, strings.Repeat("x", 65_535), "ann", password, packet.Connect{CleanStart: true}); ack != nil && ack.Code == 0 && ack.ReturnCode == 0 || !c.Closed() {
				t.Errorf("%v, 65,535 bytes: %+v", v, ack)
			}
		}
		// A rule for one is none for another.
		h.user("bob", "allow both own/%c/#")
		all := h.clean(packet.V50, "all", "ann")
		all.Subscribe("own/#", 0)
		for _, id := range ids[:6] {
			c := h.clean(packet.V50, id+"2", "bob")
			for _, other := range ids[:6] {
				c.Publish("own/"+other+"2/x", "1", 0, false, 0)
			}
			h.want(all, "own/"+id+"2/x")
		}
	})
}

// case A13: a user without rules may do nothing at all.
func TestNoRulesDenyAll(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("poor")
		h.user("all", "allow both #")
		w := h.clean(packet.V311, "w", "all")
		w.Subscribe("#", 0)
		c := h.clean(packet.V50, "c", "poor")
		for _, filter := range []string{"#", "a", "+/+", "$SYS2/x", "$share/g/#"} {
			if code := c.Subscribe(filter, 0); code != packet.NotAuthorized {
				t.Errorf("subscribe %s: %v", filter, code)
			}
		}
		c.Publish("a", "1", 0, false, 0)
		h.want(w)
	})
}

// case A1: whoever calls itself # gets in, and gets nothing by it.
func TestWildcardsAsNames(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("ann", "allow both clients/%c/#", "allow both own/%u/#")
		h.user("all", "allow both #")
		all := h.clean(packet.V311, "all", "all")
		for _, id := range []string{"#", "+", "a/#", "a/b", "%c", "%u", "${username}"} {
			c := h.clean(packet.V311, id, "ann")
			c.Subscribe("clients/#", 0)
			all.Publish("clients/other/x", "1", 0, false, 0)
			h.want(c)
			c.Subscribe("own/ann/x", 0)
			all.Publish("own/ann/x", "1", 0, false, 0)
			h.want(c, "own/ann/x")
			c.Close()
		}
	})
}

// case A1: the same for names of users, which for those of Home Assistant and of tokens
// nobody here checks, for clients without one, and for a Client Identifier that the broker
// gives; for what is read, written and denied.
func TestWildcardsAsUserNames(t *testing.T) {
	for _, name := range []string{"#", "+", "a/#", "+/x", "a/b", "%c", "%u", "${username}", ""} {
		for _, v := range versions {
			inHouse(t, access.Policy{Anonymous: access.AnonymousRestricted}, nil, func(h *home) {
				h.user("all", "allow both #")
				rules := h.rules("allow both own/%u/#", "allow both clients/%c/#", "allow both open/#", "deny both open/%u/#", "deny both open/%c/#")
				h.must(h.accounts.CreateRole(h.Context(), "r", "", rules))
				anonymous, _ := h.dir.Role(access.RoleAnonymous)
				h.must(h.accounts.ChangeRole(h.Context(), anonymous.Name, anonymous.Revision, "", rules))
				id := &broker.Identity{User: name, Roles: []string{"r"}}
				if name == "" {
					id.Roles = nil
				}
				clientID := name
				if v != packet.V50 && name == "" {
					clientID = "dev"
				}
				c := trusted(h, id, clientID, nil)
				all := h.clean(v, "all", "all")
				all.Subscribe("#", 0)
				topics := []string{"own/other/x", "own/a/b/x", "own//x", "clients/other/x", "clients/a/b/x", "clients//x", "open/free", "own/x", "clients/x"}
				may := []string{"open/free"}
				switch name {
				case "%c", "%u", "${username}": // a level like any other
					may = append(may, "own/"+name+"/x", "clients/"+name+"/x")
					topics = append(topics, "own/"+name+"/x", "clients/"+name+"/x", "open/"+name+"/x")
				case "a/b": // not even so may it get round a deny
					topics = append(topics, "open/a/b/x")
				}
				for _, x := range topics {
					c.Publish(x, "1", 0, false, 0)
				}
				h.want(all, may...)
				if code := c.Subscribe("#", 0); code >= 0x80 {
					t.Fatalf("%q: %v", name, code)
				}
				for _, x := range topics {
					all.Publish(x, "1", 0, false, 0)
				}
				h.want(c, may...)
				if c.Closed() {
					t.Errorf("%q was disconnected", name)
				}
			})
		}
	}
}

// levels is a log that keeps how loud each line was.
type levels struct {
	slog.Handler
	seen map[string]int
}

func (l levels) Enabled(context.Context, slog.Level) bool { return true }

func (l levels) Handle(_ context.Context, r slog.Record) error {
	l.seen[r.Level.String()+" "+r.Message]++
	return nil
}

// case A17: the answer on the wire and the level of the log line are the same for an
// unknown user, a wrong password and a disabled user.
func TestRefusalsLookAlikeOutside(t *testing.T) {
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V50} {
		log := levels{slog.DiscardHandler, map[string]int{}}
		inHouse(t, access.Policy{}, func(h *home) { h.deps.Log = slog.New(log) }, func(h *home) {
			h.user("ann", "allow both #")
			h.user("off", "allow both #")
			yes := true
			h.must(h.accounts.ChangeUser(h.Context(), "off", access.UserChange{Disabled: &yes}))
			var answers []string
			for i, user := range []string{"ann", "nobody", "off"} {
				_, ack := h.try(v, "c", user, "wrong", packet.Connect{CleanStart: true})
				if ack == nil {
					t.Fatalf("%s: no answer", user)
				}
				answers = append(answers, fmt.Sprintf("%x", ack.Append(nil, v)))
				if answers[i] != answers[0] {
					t.Errorf("version %v: %s is answered %s, %s %s", v, user, answers[i], "ann", answers[0])
				}
			}
			if n := log.seen["INFO client refused"]; n != 3 {
				t.Errorf("version %v: %d lines at info, want 3: %v", v, n, log.seen)
			}
		})
	}
}
