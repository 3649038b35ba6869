package access

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"

	"hearthmq/broker"
)

// Home Assistant can't be locked out: whatever has become of its users in the database, they
// are there at the next start, with a password that stays where it could.
func TestSystemUsersAreRepaired(t *testing.T) {
	for _, tt := range []struct {
		what  string
		spoil func(u *User)
		stays bool // the password
	}{
		{"nothing", func(*User) {}, true},
		{"disabled", func(u *User) { u.Disabled = true }, true},
		{"no system user", func(u *User) { u.System = false }, true},
		{"another hash", func(u *User) { u.Hash = newSHA256("other").String() }, true},
		{"no hash", func(u *User) { u.Hash = "" }, true},
		{"no hash at all", func(u *User) { u.Hash = "$nothing" }, true},
		{"no secret", func(u *User) { u.Secret = "" }, false},
	} {
		repo := NewMemoryRepository()
		made := func() (*Accounts, *Directory) {
			d := NewDirectory(Policy{Hashing: cheap})
			a := NewAccounts(repo, d, nil, nil)
			check(t, a.Open(t.Context()))
			return a, d
		}
		a, _ := made()
		before, _ := a.SystemPassword(HomeAssistantUser)
		for id, u := range repo.users {
			if u.Name == HomeAssistantUser {
				tt.spoil(&u)
				repo.users[id] = u
			}
		}
		a, d := made()
		after, _ := a.SystemPassword(HomeAssistantUser)
		if after == "" || (after == before) != tt.stays {
			t.Errorf("%s: the password is %q, it was %q", tt.what, after, before)
		}
		id, err := login(d, here, HomeAssistantUser, after)
		if err != nil || !id.System || !d.Authorize(id, broker.Publish, "a").Allow {
			t.Errorf("%s: %+v, %v", tt.what, id, err)
		}
	}
}

// case A18: two hashes at a time at most, whatever the machine has and the settings say.
func TestWorkersAreTwoAtMost(t *testing.T) {
	for workers, want := range map[int]int{-1: min(2, runtime.GOMAXPROCS(0)), 0: min(2, runtime.GOMAXPROCS(0)), 1: 1, 2: 2, 3: 2, 64: 2} {
		d := NewDirectory(Policy{Hashing: Hashing{Workers: workers, Cost: cheap.Cost}})
		if d.gate.free != want {
			t.Errorf("%d workers: %d hashes at a time, want %d", workers, d.gate.free, want)
		}
		if d.reserve.free != 1 {
			t.Errorf("%d at a time for the admin", d.reserve.free)
		}
	}
}

// case A18: who has guessed too often is told so at once and takes no place in the line, and
// who came to wait before that is not looked at any more.
func TestThrottledBeforeAndBehindTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := open(t, Policy{})
		create(t, a, NewUser{Name: "ann", Password: "right"})
		for range d.gate.free {
			check(t, d.gate.enter(t.Context(), nil))
		}
		waiting := make(chan error, 1)
		go func() {
			_, err := login(d, here, "ann", "right")
			waiting <- err
		}()
		synctest.Wait()
		for i := range addrBurst {
			d.throttle.failed(here.Addr(), fmt.Sprint("u", i), broker.WrongPassword)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // it would be told of that if it had to wait
		_, err := d.Authenticate(ctx, &broker.Credentials{User: "ann", HasPassword: true, Password: []byte("guess"), Remote: here})
		wantReason(t, err, broker.TooManyAttempts)
		d.gate.leave()
		wantReason(t, <-waiting, broker.TooManyAttempts)
	})
}

// Who has a whole /64 is one, and so is an IPv4 address however it is written.
func TestHostOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.168.1.5:1": "192.168.1.5", "[::ffff:192.168.1.5]:1": "192.168.1.5", "[fd00:1:2:3:4::5]:1": "fd00:1:2:3::/64", "[fe80::1%eth0]:1": "fe80::/64",
		"": "", "nothing": "", "192.168.1.5": "",
	} {
		if got := hostOf(remote); got != want {
			t.Errorf("%q: %q, want %q", remote, got, want)
		}
	}
}

// Limits that were never text are checked as those that were.
func TestLimitsThatWereNoText(t *testing.T) {
	for _, tt := range []struct {
		l  broker.Limits
		ok bool
	}{
		{broker.Limits{}, true}, {broker.Limits{Connections: 1, MessageRate: 0.5, RetainedBytes: 1 << 40}, true},
		{broker.Limits{Connections: -1}, false}, {broker.Limits{MessageRate: -0.5}, false}, {broker.Limits{RetainedBytes: 1 << 60}, false},
	} {
		p := Problems{}
		if checkLimits(tt.l, p); (p["limits"] == "") != tt.ok {
			t.Errorf("%+v: %v", tt.l, p)
		}
	}
	list := []netip.Prefix{}
	for i := range MaxNetworks + 1 {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 1}), 24))
		if _, err := normalNetworks(list); (err == nil) != (i < MaxNetworks) {
			t.Errorf("%d networks: %v", i+1, err)
		}
	}
}
