package access_test

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// case A10: whoever comes with another user's Client Identifier is refused, with a clean
// start and without, whether its owner is connected or away: the owner is not disturbed,
// loses nothing, and the other learns nothing. Several devices of one user go on as before.
func TestSessionBelongsToItsUser(t *testing.T) {
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V50} {
		for _, clean := range []bool{false, true} {
			for _, away := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v, clean start %v, owner away %v", v, clean, away), func(t *testing.T) {
					inHouse(t, access.Policy{Anonymous: access.AnonymousFull}, nil, func(h *home) {
						h.user("ann", "allow both #")
						h.user("bob", "allow both #")
						stays := packet.Connect{Will: &packet.Will{Topic: "ann/will", Payload: []byte("gone")}}
						stays.Properties.SetSessionExpiry(3600)
						owner := h.connect(packet.V50, "lamp", "ann", stays)
						owner.Subscribe("to/lamp", 1)
						watcher := h.clean(packet.V311, "watcher", "bob")
						watcher.Subscribe("ann/will", 0)
						if away {
							owner.Send(&packet.Disconnect{})
						}
						watcher.Publish("to/lamp", "secret", 1, false, 1)
						for _, user := range []string{"bob", ""} { // anonymous clients are somebody else, too
							thief, ack := h.try(v, "lamp", user, password, packet.Connect{CleanStart: clean})
							switch {
							case ack == nil:
								t.Errorf("%q: no answer", user)
							case v == packet.V50 && ack.Code != packet.ClientIDNotValid && ack.Code != packet.NotAuthorized:
								t.Errorf("%q: %v", user, ack.Code)
							case v != packet.V50 && ack.ReturnCode != 2:
								t.Errorf("%q: return code %d", user, ack.ReturnCode)
							case ack.SessionPresent:
								t.Errorf("%q is told of the session", user)
							}
							if !thief.Closed() {
								t.Errorf("%q: still connected", user)
							}
							h.want(thief)
						}
						if away {
							h.want(h.connect(packet.V50, "lamp", "ann", stays), "to/lamp")
						} else {
							h.want(owner, "to/lamp")
							if owner.Closed() {
								t.Error("the owner was disconnected")
							}
						}
						if _, subs, err := h.b.Session("lamp"); err != nil || len(subs) != 1 {
							t.Errorf("subscriptions %v, %v", subs, err)
						}
						for _, p := range watcher.All() {
							if m, ok := p.(*packet.Publish); ok {
								t.Errorf("the owner's will was sent: %s", m.Topic)
							}
						}
						// Its own user takes it over, and has another beside it.
						h.connect(v, "lamp", "ann", packet.Connect{CleanStart: clean})
						h.connect(v, "lamp 2", "ann", packet.Connect{CleanStart: clean})
					})
				})
			}
		}
	}
}

// case A9: a user who is deleted or disabled, or whose password is changed, is out at once,
// by this process or another; the password that was proven before is worth nothing any more.
func TestChangedUserIsOut(t *testing.T) {
	yes := true
	for name, c := range map[string]struct {
		change func(h *home, a *access.Accounts) error
		keeps  bool // the session stays
	}{
		"deleted": {func(h *home, a *access.Accounts) error { return a.DeleteUser(h.Context(), "ann") }, false},
		"disabled": {func(h *home, a *access.Accounts) error {
			return a.ChangeUser(h.Context(), "ann", access.UserChange{Disabled: &yes})
		}, true},
		"password changed": {func(h *home, a *access.Accounts) error {
			_, err := a.SetPassword(h.Context(), "ann", "another one", false)
			return err
		}, true},
		"deleted, and another made of that name": {func(h *home, a *access.Accounts) error {
			if err := a.DeleteUser(h.Context(), "ann"); err != nil {
				return err
			}
			_, _, err := a.CreateUser(h.Context(), access.NewUser{Name: "ann", Password: "another one", Rules: h.rules("allow both #")})
			return err
		}, false},
	} {
		for _, elsewhere := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, by another process %v", name, elsewhere), func(t *testing.T) {
				inHouse(t, access.Policy{}, nil, func(h *home) {
					h.user("ann", "allow both #")
					h.user("bob", "allow both #")
					stays := packet.Connect{}
					stays.Properties.SetSessionExpiry(3600)
					new5, old := h.connect(packet.V50, "new", "ann", stays), h.connect(packet.V311, "old", "ann", packet.Connect{})
					h.connect(packet.V50, "away", "ann", stays).Close()
					bob := h.clean(packet.V50, "bob", "bob")
					if elsewhere {
						other := access.NewAccounts(h.repo, access.NewDirectory(access.Policy{}), nil, slog.New(slog.DiscardHandler))
						h.must(other.Open(h.Context()))
						h.must(c.change(h, other))
						changed, err := h.accounts.Refresh(h.Context())
						if h.must(err); !changed {
							t.Error("the change was not noticed")
						}
					} else {
						h.must(c.change(h, h.accounts))
					}
					synctest.Wait()
					if bye := brokertest.Get[*packet.Disconnect](new5); bye.Code != packet.NotAuthorized || bye.Properties.ReasonString != "" {
						t.Errorf("DISCONNECT %v %q", bye.Code, bye.Properties.ReasonString)
					}
					if !new5.Closed() || !old.Closed() || bob.Closed() {
						t.Errorf("closed: MQTT 5 %v, 3.1.1 %v, another user %v", new5.Closed(), old.Closed(), bob.Closed())
					}
					for _, id := range []string{"new", "old", "away"} {
						if _, _, err := h.b.Session(id); (err == nil) != c.keeps {
							t.Errorf("session %s: %v, want kept %v", id, err, c.keeps)
						}
					}
					if _, ack := h.try(packet.V50, "new", "ann", password, stays); ack == nil || ack.Code != packet.NotAuthorized {
						t.Errorf("with the password that was proven: %+v", ack)
					}
				})
			})
		}
	}
}

// case A21: without a name one is nobody: not the user of the same name as the role, nor
// with the rights of any other, on the listener where it is allowed alone.
func TestAnonymousIsNobody(t *testing.T) {
	inHouse(t, access.Policy{Anonymous: access.AnonymousRestricted, AnonymousListeners: []string{"mqtt"}}, nil, func(h *home) {
		h.user(access.RoleAnonymous, "allow both #")
		h.user("ann", "allow both #")
		role, _ := h.dir.Role(access.RoleAnonymous)
		h.must(h.accounts.ChangeRole(h.Context(), role.Name, role.Revision, role.Description, h.rules("allow both guests/%c/#", "allow both users/%u/#")))
		all := h.clean(packet.V50, "all", "ann")
		all.Subscribe("#", 0)
		c, ack := h.try(packet.V50, "visitor", "", "", packet.Connect{CleanStart: true})
		if ack == nil || ack.Code != packet.Success {
			t.Fatalf("%+v", ack)
		}
		for _, filter := range []string{"home/#", "guests/other/#", "users/anonymous/#", "users//x", "users/ann/#"} {
			if code := c.Subscribe(filter, 0); code != packet.NotAuthorized {
				t.Errorf("subscribe %s: %v", filter, code)
			}
		}
		for _, name := range []string{"home/x", "users/anonymous/x", "users//x", "guests/visitor/x"} {
			c.Publish(name, "1", 0, false, 0)
		}
		h.want(all, "guests/visitor/x")
		for _, info := range []broker.ListenerInfo{{Name: "mqtts", TLS: true}, {Name: "ws", WebSocket: true}} {
			id, err := h.dir.Authenticate(h.Context(), &broker.Credentials{ClientID: "visitor", Listener: info})
			if err == nil {
				t.Errorf("by %s: %+v", info.Name, id)
			}
		}
	})
}
