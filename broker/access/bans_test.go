package access_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/access/accesstest"
)

func TestBans(t *testing.T) {
	accesstest.TestBans(t, func(tb testing.TB) (access.BanRepository, func() int) {
		repo := access.NewMemoryRepository()
		return repo, func() int {
			list, err := repo.Audit(tb.Context(), access.AuditQuery{Limit: 100})
			if err != nil {
				tb.Fatal(err)
			}
			return len(list)
		}
	})
}

// forgetful is a repository whose bans can't be read any more.
type forgetful struct {
	*access.MemoryRepository
	broken bool
}

func (f *forgetful) Bans(ctx context.Context) ([]access.Ban, error) {
	if f.broken {
		return nil, errors.New("disk I/O error")
	}
	return f.MemoryRepository.Bans(ctx)
}

// A change that is stored and can't be read back counts all the same, and nobody who was
// kept out gets in.
func TestBansThatCantBeReadBack(t *testing.T) {
	repo := &forgetful{MemoryRepository: access.NewMemoryRepository()}
	bans := access.NewBans(repo)
	out := func(want ...string) {
		t.Helper()
		for _, client := range []string{"plug", "lamp"} {
			if _, is := bans.Banned(client, netip.Addr{}); is != slices.Contains(want, client) {
				t.Errorf("%s is kept out: %v, want %v", client, is, want)
			}
		}
	}
	if err := bans.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	plug, err := bans.Add(t.Context(), access.BanClient, "plug", "")
	if err != nil {
		t.Fatal(err)
	}
	repo.broken = true
	if err := bans.Open(t.Context()); err == nil {
		t.Error("they were read")
	}
	out("plug")
	if _, err := bans.Add(t.Context(), access.BanClient, "lamp", ""); err != nil {
		t.Error(err)
	}
	out("plug", "lamp")
	if err := bans.Lift(t.Context(), plug.ID); err != nil {
		t.Error(err)
	}
	out("lamp")
	if bans.Trouble() == nil {
		t.Error("no trouble")
	}
	repo.broken = false
	if err := bans.Open(t.Context()); err != nil || bans.Trouble() != nil {
		t.Error(err, bans.Trouble())
	}
	out("lamp")
}

// enhanced lets everybody in, with one step or two.
type enhanced struct{ steps int }

func (*enhanced) Authenticate(context.Context, *broker.Credentials) (*broker.Identity, error) {
	return &broker.Identity{}, nil
}

func (e *enhanced) StartAuth(context.Context, string, *broker.Credentials) (broker.AuthExchange, error) {
	return e, nil
}

func (e *enhanced) Step([]byte) ([]byte, *broker.Identity, error) {
	if e.steps--; e.steps > 0 {
		return nil, nil, nil
	}
	return nil, &broker.Identity{}, nil
}

// Who is blocked while it logs in does not get in, however long that takes.
func TestBannedInBetween(t *testing.T) {
	for _, banned := range []bool{false, true} {
		bans := access.NewBans(access.NewMemoryRepository())
		guard := bans.Guard(&enhanced{steps: 2}).(broker.EnhancedAuthenticator)
		c := &broker.Credentials{ClientID: "plug"}
		x, err := guard.StartAuth(t.Context(), "X", c)
		must(t, err)
		if _, id, err := x.Step(nil); id != nil || err != nil {
			t.Error(id, err)
		}
		if banned {
			_, err = bans.Add(t.Context(), access.BanClient, "plug", "")
			must(t, err)
		}
		if _, _, err := x.Step(nil); (err != nil) != banned {
			t.Errorf("banned %v: %v", banned, err)
		}
		if _, err := guard.StartAuth(t.Context(), "X", c); (err != nil) != banned {
			t.Errorf("banned %v, begun anew: %v", banned, err)
		}
	}
}

// saved is a repository that can't be read, and remembers at a second place.
type saved struct {
	forgetful
	list []access.Ban
}

func (s *saved) SavedBans(context.Context) ([]access.Ban, error) { return s.list, nil }

// case A13: who was blocked stays so when that can't be read at the start, and what the second
// place says does not take the place of what was read.
func TestSavedBans(t *testing.T) {
	repo := &saved{forgetful{MemoryRepository: access.NewMemoryRepository()}, []access.Ban{{ID: 1, Kind: access.BanClient, Value: "saved"}}}
	out := func(bans *access.Bans, client string, want bool) {
		t.Helper()
		if _, is := bans.Banned(client, netip.Addr{}); is != want {
			t.Errorf("%s is kept out: %v", client, is)
		}
	}
	bans := access.NewBans(repo)
	must(t, bans.Open(t.Context()))
	out(bans, "saved", false)
	_, err := bans.Add(t.Context(), access.BanClient, "plug", "")
	must(t, err)
	repo.broken = true
	if bans.Open(t.Context()) == nil {
		t.Error("they were read")
	}
	out(bans, "saved", false)
	out(bans, "plug", true)
	bans = access.NewBans(repo)
	if bans.Open(t.Context()) == nil || bans.Trouble() == nil {
		t.Error("they were read")
	}
	out(bans, "saved", true)
}

// What is no client identifier, no address and no note is not stored, nor more than there may be.
func TestBanBounds(t *testing.T) {
	bans := access.NewBans(access.NewMemoryRepository())
	x := func(n int) string { return strings.Repeat("x", n) }
	const note, client = 200, 65535
	for _, tt := range []struct {
		kind             access.BanKind
		value, note, key string
	}{
		{access.BanClient, "a", x(note), ""}, {access.BanClient, "b", x(note + 1), "note"}, {access.BanClient, "b", "\xff", "note"},
		{access.BanClient, x(client), "", ""}, {access.BanClient, x(client + 1), "", "value"}, {access.BanClient, "\xff", "", "value"}, {access.BanClient, "", "", "value"},
		{"other", "b", "", "kind"}, {access.BanAddress, "10.0.0.0/33", "", "value"}, {access.BanAddress, "0.0.0.0/0", "", "value"},
		{access.BanAddress, "::ffff:10.9.8.7", "", ""}, {access.BanAddress, "10.9.8.7", "", "value"}, // it is there
	} {
		_, err := bans.Add(t.Context(), tt.kind, tt.value, tt.note)
		p, _ := errors.AsType[access.Problems](err)
		if (err == nil) != (tt.key == "") || tt.key != "" && p[tt.key] == "" {
			t.Errorf("%s %.10q %.10q: %v, want a problem with %q", tt.kind, tt.value, tt.note, err, tt.key)
		}
	}
	for len(bans.List()) < access.MaxBans {
		_, err := bans.Add(t.Context(), access.BanClient, fmt.Sprint("c", len(bans.List())), "")
		must(t, err)
	}
	if _, err := bans.Add(t.Context(), access.BanClient, "one more", ""); err == nil || len(bans.List()) != access.MaxBans {
		t.Errorf("%d blocks, %v", len(bans.List()), err)
	}
	first := bans.List()[access.MaxBans-1]
	must(t, bans.Lift(t.Context(), first.ID))
	for _, ban := range bans.List() {
		if ban.ID == first.ID {
			t.Error("it is still there")
		}
	}
	if err := bans.Lift(t.Context(), first.ID); !errors.Is(err, access.ErrNotFound) || len(bans.List()) != access.MaxBans-1 {
		t.Errorf("lifted again: %v", err)
	}
}
