package access_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/packet"
)

// between is a Directory that does something else when it is asked about a will: a client
// is then logged in and has no session yet.
type between struct {
	*access.Directory
	do func()
}

// Authorize implements broker.Authorizer.
func (x *between) Authorize(id *broker.Identity, act broker.Action, name string) broker.Decision {
	if do := x.do; name == "will" && do != nil {
		x.do = nil
		do()
	}
	return x.Directory.Authorize(id, act, name)
}

// case A9: who is changed or blocked after the password was looked at, and before there is a
// session that could be ended, is out as well.
func TestChangedOnTheWayIn(t *testing.T) {
	yes := true
	var bans *access.Bans
	for name, c := range map[string]struct {
		change func(h *home) error
		out    bool
	}{
		"nothing": {func(*home) error { return nil }, false},
		"deleted": {func(h *home) error { return h.accounts.DeleteUser(h.Context(), "ann") }, true},
		"disabled": {func(h *home) error {
			return h.accounts.ChangeUser(h.Context(), "ann", access.UserChange{Disabled: &yes})
		}, true},
		"password changed": {func(h *home) error {
			_, err := h.accounts.SetPassword(h.Context(), "ann", "another one", false)
			return err
		}, true},
		"blocked": {func(h *home) error { _, err := bans.Add(h.Context(), access.BanClient, "lamp", ""); return err }, true},
	} {
		t.Run(name, func(t *testing.T) {
			x := new(between)
			inHouse(t, access.Policy{}, func(h *home) {
				bans = access.NewBans(access.NewMemoryRepository())
				x.Directory = h.dir
				h.deps.Authenticator, h.deps.Authorizer = bans.Guard(h.dir), x
			}, func(h *home) {
				h.user("ann", "allow both #")
				x.do = func() { h.must(c.change(h)) }
				client, _ := h.try(packet.V50, "lamp", "ann", password, packet.Connect{CleanStart: true, Will: &packet.Will{Topic: "will"}})
				synctest.Wait()
				if client.Closed() != c.out {
					t.Errorf("out: %v, want %v", client.Closed(), c.out)
				}
			})
		})
	}
}

// case A9: that somebody only looks at what was learnt when another process has changed a
// user keeps nobody connected.
func TestLearnedSeesChangedUsers(t *testing.T) {
	inHouse(t, access.Policy{}, nil, func(h *home) {
		h.user("ann", "allow both #")
		h.user("bob", "allow both #")
		h.must(h.accounts.StartLearning(h.Context(), "bob", time.Hour, false))
		ann := h.clean(packet.V50, "lamp", "ann")
		other := access.NewAccounts(h.repo, access.NewDirectory(access.Policy{}), nil, slog.New(slog.DiscardHandler))
		h.must(other.Open(h.Context()))
		_, err := other.SetPassword(h.Context(), "ann", "another one", false)
		h.must(err)
		_, err = h.accounts.Learned(h.Context(), "bob")
		h.must(err)
		_, err = h.accounts.Refresh(h.Context())
		h.must(err)
		synctest.Wait()
		if !ann.Closed() {
			t.Error("who logged in with the former password is still here")
		}
	})
}

// case A10: what a user of ours has left, who was deleted while the broker was stopped, is not
// taken up by one of Home Assistant of that name.
func TestSessionOfDeletedUserIsNotTakenUp(t *testing.T) {
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			inHouse(t, access.Policy{OutsideRoles: []string{access.RoleEverything}}, func(h *home) {
				h.deps.Authenticator = access.Chain(h.dir, elsewhere{})
			}, func(h *home) {
				users := []string{"ann", "outsider", "stays"}
				h.user("ann", "allow both #")
				h.user("stays", "allow both #")
				for _, user := range users {
					h.connect(v, user, user, lasting()).Subscribe("home/#", 1)
				}
				h.stop()
				h.must(h.accounts.DeleteUser(h.Context(), "ann"))
				h.start()
				for _, user := range users {
					_, ack := h.try(v, user, user, password, lasting())
					if want := user != "ann"; ack == nil || ack.Code != packet.Success || v != packet.V31 && ack.SessionPresent != want {
						t.Errorf("%s: %+v, want a session %v", user, ack, want)
					}
					if _, subs, err := h.b.Session(user); err != nil || (len(subs) == 1) != (user != "ann") {
						t.Errorf("%s has %d subscriptions, %v", user, len(subs), err)
					}
				}
			})
		})
	}
}

// tokens lets in who is none of ours with a role of its own, as a token would.
type tokens struct{ role string }

func (x tokens) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	return &broker.Identity{ClientID: c.ClientID, User: c.User, Listener: c.Listener.Name, Remote: c.Remote, Roles: []string{x.role}}, nil
}

// A change of somebody else's rights ends no session that a user of a token has left, of whom
// no roles are known since the restart.
func TestSessionsOfTokensOutliveChanges(t *testing.T) {
	inHouse(t, access.Policy{Tokens: true}, func(h *home) {
		h.deps.Authenticator = access.Chain(h.dir, tokens{access.RoleEverything})
	}, func(h *home) {
		h.connect(packet.V50, "phone", "paula", lasting()).Subscribe("home/#", 1)
		h.stop()
		h.start()
		h.user("ann", "allow both #")
		h.b.Revalidate("")
		if _, ack := h.try(packet.V50, "phone", "paula", password, lasting()); ack == nil || !ack.SessionPresent {
			t.Errorf("%+v", ack)
		}
	})
}
