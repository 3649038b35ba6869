package access_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

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
