package access_test

import (
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
