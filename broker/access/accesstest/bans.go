package accesstest

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// TestBans is what every access.BanRepository does, seen through access.Bans. make
// returns an empty one and what counts its audit entries.
func TestBans(t *testing.T, make func(tb testing.TB) (repo access.BanRepository, audited func() int)) {
	repo, audited := make(t)
	bans := access.NewBans(repo)
	if err := bans.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	add := func(kind access.BanKind, value string) access.Ban {
		t.Helper()
		b, err := bans.Add(t.Context(), kind, value, " it floods ")
		if err != nil {
			t.Fatalf("%s %s: %v", kind, value, err)
		}
		return b
	}
	client := add(access.BanClient, "plug/1 ")
	add(access.BanAddress, " 192.168.1.20")
	add(access.BanAddress, "::ffff:10.1.2.0/120")
	add(access.BanAddress, "fd00::/64")
	if n := audited(); n != 4 {
		t.Errorf("%d audit entries, want 4", n)
	}
	for _, wrong := range []struct {
		kind  access.BanKind
		value string
	}{
		{access.BanClient, ""}, {access.BanClient, "plug/1 "}, {access.BanAddress, "192.168.1.20"}, {access.BanAddress, "kitchen"},
		{access.BanAddress, "0.0.0.0/0"}, {access.BanAddress, "127.0.0.1"}, {access.BanAddress, "::1"}, {access.BanAddress, "::/0"},
		{access.BanAddress, "172.30.33.7"}, {access.BanAddress, "::ffff:127.0.0.1"}, {"user", "anna"},
	} {
		if _, err := bans.Add(t.Context(), wrong.kind, wrong.value, ""); !isProblem(err) {
			t.Errorf("%s %q: %v", wrong.kind, wrong.value, err)
		}
	}
	again := access.NewBans(repo) // as after a restart
	if err := again.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*access.Bans{bans, again} {
		if list := b.List(); len(list) != 4 || list[3].Value != "plug/1 " || list[3].Note != "it floods" || list[1].Value != "10.1.2.0/24" {
			t.Errorf("listed: %+v", list)
		}
		for _, c := range []struct {
			client, from string
			want         bool
		}{
			{"plug/1 ", "192.168.1.9", true}, {"plug/1", "192.168.1.9", false}, {"x", "192.168.1.20", true}, {"x", "::ffff:192.168.1.20", true},
			{"x", "10.1.2.255", true}, {"x", "10.1.3.0", false}, {"x", "fd00::1%eth0", true}, {"x", "fd00:0:0:1::1", false},
		} {
			if _, got := b.Banned(c.client, netip.MustParseAddr(c.from)); got != c.want {
				t.Errorf("%q from %s: %v", c.client, c.from, got)
			}
		}
		if _, got := b.Banned("x", netip.Addr{}); got {
			t.Error("a client inside the process is kept out by an address")
		}
	}
	if err := bans.Lift(t.Context(), client.ID); err != nil {
		t.Fatal(err)
	}
	if err := bans.Lift(t.Context(), client.ID); !errors.Is(err, access.ErrNotFound) {
		t.Errorf("lifted twice: %v", err)
	}
	if _, got := bans.Banned("plug/1 ", netip.Addr{}); got || audited() != 5 {
		t.Errorf("still banned: %v, %d audit entries", got, audited())
	}
	guarded(t, bans)
}

func isProblem(err error) bool {
	_, ok := errors.AsType[access.Problems](err)
	return ok
}

// letsIn lets everybody in, and bans somebody while it thinks.
type letsIn struct{ during func() }

func (l letsIn) Authenticate(context.Context, *broker.Credentials) (*broker.Identity, error) {
	l.during()
	return new(broker.Identity), nil
}

func guarded(t *testing.T, bans *access.Bans) {
	nothing := func() {}
	for name, c := range map[string]struct {
		client, from string
		during       func()
		refused      bool
	}{
		"free":         {"a", "192.168.1.9:1", nothing, false},
		"banned":       {"b", "192.168.1.20:1", nothing, true},
		"banned while": {"late", "192.168.1.9:1", func() { _, _ = bans.Add(t.Context(), access.BanClient, "late", "") }, true},
	} {
		_, err := bans.Guard(letsIn{c.during}).Authenticate(t.Context(), &broker.Credentials{ClientID: c.client, Remote: netip.MustParseAddrPort(c.from)})
		r, refused := errors.AsType[*broker.Refusal](err)
		if refused != c.refused || refused && r.Reason != broker.Blocked {
			t.Errorf("%s: %v", name, err)
		}
	}
}
