package access_test

import (
	"cmp"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// trusted connects as somebody whom nobody asks for a password.
func trusted(h *home, id *broker.Identity, clientID string, will *packet.Will) *brokertest.Client {
	client, server := brokertest.Pipe()
	go h.b.ServeConn(h.Context(), server, broker.ListenerInfo{Name: "trusted", Trusted: id})
	c := brokertest.NewClient(h.T, client, packet.V50)
	c.Send(&packet.Connect{Version: packet.V50, ClientID: clientID, CleanStart: true, Will: will})
	brokertest.Get[*packet.Connack](c)
	return c
}

// case A8: what is retained is handed to a new subscription as long as whoever published
// it may still do so, with every version of MQTT, before a restart and after it, which
// forgets all of the author but its names. It is kept, and comes back with the right.
func TestRetainedNeedsItsAuthor(t *testing.T) {
	const name = "home/ann/x"
	yes, no := true, false
	from := func(user string) func(h *home) {
		id := map[string]string{"all": "all"}[user]
		return func(h *home) { h.clean(packet.V50, cmp.Or(id, "dev"), user).Publish(name, "1", 0, true, 0) }
	}
	as := func(id *broker.Identity) func(h *home) {
		return func(h *home) {
			h.must(h.b.Attach(id, broker.LocalOptions{}).Publish(h.Context(), broker.NewMessage(name, []byte("1"), 0, true)))
		}
	}
	ann := func(rules ...string) func(h *home) { return func(h *home) { h.become("ann", rules...) } }
	change := func(c access.UserChange) func(h *home) {
		return func(h *home) { h.must(h.accounts.ChangeUser(h.Context(), "ann", c)) }
	}
	gone := func(h *home) { h.must(h.accounts.DeleteUser(h.Context(), "ann")) }
	restricted := access.Policy{Anonymous: access.AnonymousRestricted}
	role := func(rules ...string) func(h *home) {
		return func(h *home) {
			r, _ := h.dir.Role(access.RoleAnonymous)
			h.must(h.accounts.ChangeRole(h.Context(), r.Name, r.Revision, "", h.rules(rules...)))
		}
	}
	token := func(h *home) { // as Chain lets one in
		id := &broker.Identity{User: "token", Roles: []string{"posters"}}
		trusted(h, id, "dev", nil).Publish(name, "1", 0, true, 0)
	}
	posters := func(rules ...string) func(h *home) {
		return func(h *home) {
			r, _ := h.dir.Role("posters")
			h.must(h.accounts.ChangeRole(h.Context(), "posters", r.Revision, "", h.rules(rules...)))
		}
	}
	for _, tt := range []struct {
		what       string
		policy     access.Policy
		rules      string // ann's at first
		publish    func(h *home)
		then       []func(h *home)
		now, later bool // handed out, and after a restart
	}{
		{"nothing happened", access.Policy{}, "", from("ann"), nil, yes, yes},
		{"the right is gone", access.Policy{}, "", from("ann"), []func(h *home){ann("allow publish elsewhere/#")}, no, no},
		{"no rule is left", access.Policy{}, "", from("ann"), []func(h *home){ann()}, no, no},
		{"a deny inside", access.Policy{}, "", from("ann"), []func(h *home){ann("allow both home/#", "deny publish home/ann/#")}, no, no},
		{"only the right to read is gone", access.Policy{}, "", from("ann"), []func(h *home){ann("allow publish home/#")}, yes, yes},
		{"only the right to retain is gone", access.Policy{}, "", from("ann"), []func(h *home){ann("allow publish home/# no-retain")}, no, no},
		{"retaining is denied", access.Policy{}, "", from("ann"), []func(h *home){ann("allow publish home/#", "deny publish # retain")}, no, no},
		{"the right came back", access.Policy{}, "", from("ann"), []func(h *home){ann(), ann("allow publish home/#")}, yes, yes},
		{"disabled", access.Policy{}, "", from("ann"), []func(h *home){change(access.UserChange{Disabled: &yes})}, no, no},
		{"enabled again", access.Policy{}, "", from("ann"), []func(h *home){change(access.UserChange{Disabled: &yes}), change(access.UserChange{Disabled: &no})}, yes, yes},
		{"deleted", access.Policy{}, "", from("ann"), []func(h *home){gone}, no, no},
		{"deleted, and somebody new has the name", access.Policy{}, "", from("ann"), []func(h *home){gone, func(h *home) { h.user("ann", "allow publish home/#") }}, yes, yes},
		{"another password", access.Policy{}, "", from("ann"), []func(h *home){func(h *home) {
			_, err := h.accounts.SetPassword(h.Context(), "ann", "another password", false)
			h.must(err)
		}}, yes, yes},
		{"by user name", access.Policy{}, "allow publish home/%u/#", from("ann"), nil, yes, yes},
		{"by client identifier", access.Policy{}, "allow publish home/#", from("ann"), []func(h *home){ann("allow publish +/+/x", "deny publish home/%c/#", "deny publish %c")}, yes, yes},
		{"by another client identifier", access.Policy{}, "", from("ann"), []func(h *home){ann("allow publish home/%c/x")}, no, no},
		{"from one network", access.Policy{}, "", from("ann"), []func(h *home){ann("allow publish home/# from=198.51.100.0/24")}, yes, yes},
		{"by a listener", access.Policy{}, "", from("ann"), []func(h *home){ann("allow publish home/# listener=wss")}, yes, yes},
		{"not by a listener", access.Policy{}, "", from("ann"), []func(h *home){ann("allow publish home/#", "deny publish home/# listener=mqtt", "deny publish # from=0.0.0.0/0")}, yes, yes},
		{"a deny that is for everywhere", access.Policy{}, "", from("ann"), []func(h *home){ann("allow publish home/# listener=wss", "deny publish home/ann/x")}, no, no},
		{"a will", access.Policy{}, "", func(h *home) {
			h.connect(packet.V311, "dev", "ann", packet.Connect{CleanStart: true, Will: &packet.Will{Topic: name, Payload: []byte("1"), Retain: true}}).Close()
		}, []func(h *home){ann()}, no, no},
		{"anonymous", restricted, "", func(h *home) { role("allow publish home/#")(h); from("")(h) }, nil, yes, yes},
		{"anonymous, without the right", restricted, "", func(h *home) { role("allow publish home/#")(h); from("")(h) }, []func(h *home){role()}, no, no},
		{"a user of a token", access.Policy{Tokens: true}, "", token, nil, yes, yes},
		{"a user of a token, without the right", access.Policy{Tokens: true}, "", token, []func(h *home){posters()}, no, yes}, // its roles are not known later
		{"deleted, where tokens are taken", access.Policy{Tokens: true}, "", from("ann"), []func(h *home){gone}, no, no},
		{"deleted, where Home Assistant's users may everything", access.Policy{OutsideRoles: []string{access.RoleEverything}}, "", from("ann"), []func(h *home){gone}, no, no},
		{"the will of one deleted", access.Policy{OutsideRoles: []string{access.RoleEverything}}, "", func(h *home) {
			h.connect(packet.V311, "dev", "ann", packet.Connect{CleanStart: true, Will: &packet.Will{Topic: name, Payload: []byte("1"), Retain: true}}).Close()
		}, []func(h *home){gone}, no, no},
		{"the will of one deleted, due after a restart", access.Policy{OutsideRoles: []string{access.RoleEverything}}, "", func(h *home) {
			p := lasting()
			p.Will = &packet.Will{Topic: name, Payload: []byte("1"), Retain: true}
			p.Will.Properties.SetWillDelay(60)
			h.connect(packet.V50, "dev", "ann", p)
			h.stop()
			h.start()
			brokertest.Pass(2 * time.Minute)
		}, []func(h *home){gone}, no, no},
		{"of a part that acts for one deleted", access.Policy{OutsideRoles: []string{access.RoleEverything}}, "", func(h *home) {
			u, _ := h.dir.User("ann")
			as(&broker.Identity{ClientID: "bridge", User: "ann", Version: u.Version})(h)
		}, []func(h *home){gone}, no, no},
		{"a user of Home Assistant", access.Policy{OutsideRoles: []string{"posters"}}, "", token, nil, yes, yes},
		{"a user of Home Assistant, without the right", access.Policy{OutsideRoles: []string{"posters"}}, "", token, []func(h *home){posters()}, no, no},
		{"the system user", access.Policy{}, "", as(&broker.Identity{ClientID: "ha", User: access.HomeAssistantUser, System: true}), nil, yes, yes},
		{"the broker", access.Policy{}, "", as(nil), nil, yes, yes},
		{"a part of the broker", access.Policy{}, "", as(&broker.Identity{ClientID: "part", System: true}), nil, yes, yes},
		{"a bridge", access.Policy{}, "", func(h *home) {
			trusted(h, &broker.Identity{System: true}, "bridge", nil).Publish(name, "1", 0, true, 0)
		}, nil, yes, yes},
		{"the will of a bridge", access.Policy{}, "", func(h *home) {
			trusted(h, &broker.Identity{System: true}, "bridge", &packet.Will{Topic: name, Payload: []byte("1"), Retain: true}).Close()
		}, nil, yes, yes},
		{"a bridge as a user", access.Policy{}, "", as(&broker.Identity{ClientID: "bridge", User: "ann"}), []func(h *home){ann()}, no, no},
		{"the admin", access.Policy{}, "", func(h *home) {
			m := broker.NewMessage(name, []byte("1"), 0, true)
			m.PublisherID, m.PublisherUser = "HearthMQ admin", "somebody"
			h.must(h.b.Publish(h.Context(), m))
		}, nil, yes, yes},
		{"deleted and put back by the admin", access.Policy{}, "", func(h *home) {
			from("ann")(h)
			list, err := h.b.DropRetained(h.Context(), []string{name}, false)
			h.must(err)
			_, err = h.b.RestoreRetained(h.Context(), list, false)
			h.must(err)
		}, []func(h *home){ann()}, no, no},
		{"published by somebody else since", access.Policy{}, "", func(h *home) { from("ann")(h); from("all")(h) }, []func(h *home){ann()}, yes, yes},
		{"the same message by another user of that client identifier before", access.Policy{}, "", func(h *home) {
			c := h.clean(packet.V50, "dev", "all")
			c.Publish(name, "1", 0, true, 0)
			c.Close()
			synctest.Wait()
			from("ann")(h)
		}, []func(h *home){ann()}, no, no},
		{"the same message by somebody else before", access.Policy{}, "", func(h *home) { from("all")(h); from("ann")(h) }, []func(h *home){ann()}, no, no},
	} {
		t.Run(tt.what, func(t *testing.T) {
			inHouse(t, tt.policy, nil, func(h *home) {
				h.user("all", "allow both #")
				h.user("ann", "allow both home/#")
				h.must(h.accounts.CreateRole(h.Context(), "posters", "", h.rules("allow publish home/#")))
				if tt.rules != "" {
					h.become("ann", tt.rules)
				}
				tt.publish(h)
				synctest.Wait()
				for _, f := range tt.then {
					f(h)
					synctest.Wait()
				}
				look := func(when string, want bool) {
					t.Helper()
					for _, v := range []packet.Version{packet.V31, packet.V311, packet.V50} {
						c := h.clean(v, fmt.Sprint("sub ", v), "all")
						c.Subscribe("home/#", 0)
						if list := got(c); (len(list) == 1) != want {
							t.Errorf("%s, %v: got %q", when, v, list)
						}
					}
					kept := 0
					for m := range h.b.Retained(name) {
						kept++
						if rule, withheld := h.b.Withheld(m); withheld == want || withheld != (rule.Text != "") {
							t.Errorf("%s: withheld %v, %+v", when, withheld, rule)
						}
					}
					if kept != 1 {
						t.Errorf("%s: %d messages", when, kept)
					}
				}
				look("now", tt.now)
				h.stop()
				h.start()
				look("after a restart", tt.later)
			})
		})
	}
}

// Switched off, nobody is asked.
func TestRetainedWithoutItsAuthor(t *testing.T) {
	inHouse(t, access.Policy{}, func(h *home) { h.cfg.CheckRetainedSource = false }, func(h *home) {
		h.user("ann", "allow both home/#")
		h.user("all", "allow both #")
		h.clean(packet.V311, "dev", "ann").Publish("home/x", "1", 0, true, 0)
		synctest.Wait()
		h.must(h.accounts.DeleteUser(h.Context(), "ann"))
		c := h.clean(packet.V311, "sub", "all")
		c.Subscribe("#", 0)
		h.want(c, "home/x")
	})
}

// What a bridge says of itself below $SYS needs no right, and is judged by none afterwards.
func TestStateOfBridgeNeedsNoRight(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		const state = "$SYS/broker/connection/far/state"
		h.user("bridge", "allow both home/#")
		h.user("all", "allow both #", "allow subscribe $SYS/#")
		h.clean(packet.V50, "far", "bridge").Publish(state, "1", 1, true, 1)
		c := h.clean(packet.V311, "sub", "all")
		c.Subscribe(state, 0)
		h.want(c, state)
	})
}
