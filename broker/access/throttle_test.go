package access

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
)

// case A18: ten wrong passwords a second from one address for a minute take a handful of
// hashes, and keep nobody out who comes from elsewhere or is known.
func TestFloodIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := open(t, Policy{})
		create(t, a, NewUser{Name: "victim", Password: "right"})
		create(t, a, NewUser{Name: "second", Password: "right"})
		device := create(t, a, NewUser{Name: "device"})
		system, _ := a.SystemPassword(AddonsUser)
		_, err := login(d, here, "second", "right")
		wantReason(t, err, "")
		counts := make(map[broker.Reason]int)
		for i := range 600 {
			_, err := login(d, here, "victim", fmt.Sprint("guess", i))
			refusal, _ := errors.AsType[*broker.Refusal](err)
			counts[refusal.Reason]++
			time.Sleep(100 * time.Millisecond)
		}
		if n := counts[broker.WrongPassword]; n < 5 || n > 11 {
			t.Errorf("%d guesses were looked at in a minute, want 5 to 11", n)
		}
		if n := counts[broker.TooManyAttempts]; n != 600-counts[broker.WrongPassword] {
			t.Errorf("counts: %v", counts)
		}
		// From there even the right password has to wait, from elsewhere it does not.
		_, _ = login(d, here, "victim", "the token that came back")
		_, err = login(d, here, "victim", "right")
		wantReason(t, err, broker.TooManyAttempts)
		_, err = login(d, netip.MustParseAddrPort("192.168.1.6:1"), "victim", "right")
		wantReason(t, err, "")
		// Proven by now, so that it works from there as well.
		_, err = login(d, here, "victim", "right")
		wantReason(t, err, "")
		// Others at that address go on.
		for name, password := range map[string]string{"device": device, AddonsUser: system, "second": "right"} {
			_, err = login(d, here, name, password)
			wantReason(t, err, "")
		}
	})
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle()
		a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
		fail := func(from netip.Addr, user string, times int) {
			for i := range times {
				if !th.allowed(from, user) {
					t.Errorf("%s from %s: attempt %d is refused", user, from, i+1)
				}
				th.failed(from, user, broker.WrongPassword)
			}
		}
		fail(a, "ann", 5)
		if th.allowed(a, "ann") || !th.allowed(a, "bob") || !th.allowed(b, "ann") {
			t.Error("five failures lock the wrong ones out")
		}
		time.Sleep(10 * time.Second)
		fail(a, "ann", 1)
		if th.allowed(a, "ann") {
			t.Error("ten seconds bring back more than one attempt")
		}
		// Twenty per address, whatever the names; one is used up.
		for i := range 19 {
			fail(a, fmt.Sprint("user", i), 1)
		}
		if th.allowed(a, "somebody") || !th.allowed(b, "somebody") {
			t.Error("twenty failures lock the wrong ones out")
		}
		time.Sleep(time.Second)
		fail(a, "somebody", 1)
		if th.allowed(a, "else") {
			t.Error("a second brings back more than one attempt")
		}
		// The houses of IPv6 are /64.
		x, y, z := netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2:0:0:1"), netip.MustParseAddr("fd00:0:0:1::1")
		fail(x, "ann", 5)
		if th.allowed(y, "ann") || !th.allowed(z, "ann") {
			t.Error("IPv6 addresses count the wrong way")
		}
		if th.allowed(netip.MustParseAddr("::ffff:10.0.0.1"), "else") {
			t.Error("an IPv4 address in IPv6 form counts as another")
		}
		for range 100 { // an address that is not known
			fail(netip.Addr{}, "ann", 1)
		}
	})
}

func TestThrottleIsBounded(t *testing.T) {
	th := newThrottle()
	for i := range 3 * maxThrottled {
		th.failed(netip.AddrFrom4([4]byte{1, byte(i >> 16), byte(i >> 8), byte(i)}), strings.Repeat("x", 1000), broker.WrongPassword)
	}
	if p, a := th.pairs.len(), th.addrs.len(); p != maxThrottled || a != maxThrottled {
		t.Errorf("%d and %d buckets, want %d each", p, a, maxThrottled)
	}
	for key := range th.pairs.entries {
		if len(key.user) > MaxNameBytes {
			t.Fatalf("a name of %d bytes is kept", len(key.user))
		}
	}
}
