package access

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
)

// Who comes from where passwords were wrong waits until nobody else does; who has no place
// in one line may have one in the other.
func TestGateLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 3)
		var at [8]atomic.Int32 // the standing of each
		var mu sync.Mutex
		var order []int
		var errs [8]error
		come := func(ctx context.Context, i int) {
			go func() {
				errs[i] = g.enter(ctx, func() standing { return standing(at[i].Load()) })
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			}()
			synctest.Wait()
		}
		want := func(what string, list ...int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if fmt.Sprint(order) != fmt.Sprint(list) {
				t.Errorf("%s: %v, want %v", what, order, list)
			}
			order = nil
		}
		check(t, g.enter(t.Context(), nil))
		at[0].Store(int32(guesser))
		for i := range 4 {
			come(t.Context(), i)
		}
		want("the gate is taken")
		come(t.Context(), 4) // a fourth without a blemish
		want("the line is full", 4)
		if !errors.Is(errs[4], errGateFull) {
			t.Errorf("a full line: %v", errs[4])
		}
		at[1].Store(int32(guesser))
		come(t.Context(), 5) // 1 makes room for it
		want("there is room by now")
		if n := g.waiting(); n != [standings]int{welcome: 3, guesser: 2} {
			t.Errorf("%d wait", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		at[6].Store(int32(guesser))
		come(ctx, 6)
		want("it waits behind the others")
		at[2].Store(int32(guesser))  // which is noticed when its turn comes
		at[0].Store(int32(stranger)) // and so is this
		for _, next := range []int{3, 5, 0, 1} {
			g.leave()
			want("the next one", next)
		}
		cancel()
		want("it gives up", 6)
		if !errors.Is(errs[6], context.Canceled) {
			t.Errorf("who gives up: %v", errs[6])
		}
		g.leave()
		want("the last one", 2)
		g.leave()
		come(ctx, 7) // its time is up before it begins
		if want("nothing but its end", 7); !errors.Is(errs[7], context.Canceled) {
			t.Errorf("%v", errs[7])
		}
		come(t.Context(), 0)
		want("the gate is free", 0)
	})
}

// A turn that comes while who waited for it gives up is not lost.
func TestGateLosesNoSlot(t *testing.T) {
	g := newGate(1, 3)
	for range 200 {
		check(t, g.enter(t.Context(), nil))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- g.enter(ctx, nil) }()
		for g.waiting() == [standings]int{} {
			runtime.Gosched()
		}
		g.mu.Lock()
		cancel()
		runtime.Gosched() // it finds the gate locked
		g.pass()
		g.mu.Unlock()
		if <-done == nil {
			g.leave()
		}
		if g.mu.Lock(); g.free != 1 {
			t.Fatalf("%d slots", g.free)
		}
		g.mu.Unlock()
	}
}

// case A18, from many addresses: who guesses does not wait before who has not; and the
// owner comes to the admin past those that guess there.
func TestGuessesWaitBehindOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := cheap
		h.Workers, h.Queue = 1, 60
		a, d := open(t, Policy{Hashing: h})
		create(t, a, NewUser{Name: "ann", Password: "right", Admin: true})
		create(t, a, NewUser{Name: "bob", Password: "right", Admin: true})
		host := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 9, byte(i)}) }
		guess := func(i, n int) error {
			_, err := login(d, netip.AddrPortFrom(host(i), 1), fmt.Sprint("name", n), fmt.Sprint("guess", n))
			return err
		}
		admin := func(ctx context.Context, from netip.Addr, user, password string) error {
			_, err := d.CheckPassword(WithRemote(ctx, from), user, password)
			return err
		}
		for i := range 80 {
			wantReason(t, guess(i, i), broker.UnknownUser)
			wantReason(t, admin(t.Context(), host(i), "ann", "guess"), broker.WrongPassword)
		}
		check(t, d.gate.enter(t.Context(), nil))
		check(t, d.reserve.enter(t.Context(), nil))
		var wg sync.WaitGroup
		for i := range 80 { // more than may wait
			wg.Go(func() { _ = guess(i, i+100) })
			wg.Go(func() { _ = admin(t.Context(), host(i), "ann", fmt.Sprint("guess", i)) })
		}
		synctest.Wait()
		var in atomic.Int32
		for _, name := range []string{"ann", "bob"} {
			wg.Go(func() {
				_, err := login(d, here, name, "right")
				wantReason(t, err, "")
				in.Add(1)
			})
			wg.Go(func() {
				wantReason(t, admin(t.Context(), here.Addr(), name, "right"), "")
				in.Add(1)
			})
		}
		synctest.Wait()
		for _, g := range []*gate{d.gate, d.reserve} {
			if n := g.waiting(); n != [standings]int{stranger: 2, guesser: g.most} {
				t.Errorf("%d wait, want 2 strangers and %d that guess", n, g.most)
			}
		}
		d.gate.leave()
		d.reserve.leave()
		wg.Wait()
		if in.Load() != 4 {
			t.Errorf("%d of 4 came in", in.Load())
		}
		if time.Sleep(blemish + time.Second); d.throttle.standing(host(1)) == guesser {
			t.Error("an address is never forgiven")
		}
	})
}

// total is how many wait for g.
func total(g *gate) (n int) {
	for _, line := range g.waiting() {
		n += line
	}
	return n
}

// case A18, from more addresses than can be told to be guessing: who comes from where somebody
// has logged in before comes in before all that nobody knows, and finds a place when their line is full.
func TestKnownComeBeforeStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := cheap
		h.Workers, h.Queue = 1, 10
		a, d := open(t, Policy{Hashing: h})
		create(t, a, NewUser{Name: "ann", Password: "right"})
		create(t, a, NewUser{Name: "bob", Password: "right"})
		_, err := login(d, here, "ann", "right")
		wantReason(t, err, "")
		check(t, d.gate.enter(t.Context(), nil))
		var wg sync.WaitGroup
		var answered atomic.Int32
		for i := range 20 {
			wg.Go(func() {
				from := netip.AddrFrom4([4]byte{10, 1, 0, byte(i)})
				_, _ = login(d, netip.AddrPortFrom(from, 1), "bob", fmt.Sprint("guess", i))
				answered.Add(1)
			})
		}
		synctest.Wait()
		if n := answered.Load(); n != 10 {
			t.Errorf("%d were sent away, want 10", n)
		}
		in := make(chan int32, 1)
		wg.Go(func() {
			_, err := login(d, netip.AddrPortFrom(here.Addr(), 2), "bob", "right")
			wantReason(t, err, "")
			in <- answered.Load()
		})
		synctest.Wait()
		if n := d.gate.waiting(); n != [standings]int{welcome: 1, stranger: 10} {
			t.Errorf("%d wait", n)
		}
		d.gate.leave()
		if n := <-in; n > 11 { // one may answer while bob's login ends
			t.Errorf("%d strangers were served before", n-10)
		}
		wg.Wait()
	})
}

// case A22: a password that nobody can have is refused without a hash, and counts.
func TestImpossiblePasswordsTakeNoHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := open(t, Policy{})
		create(t, a, NewUser{Name: "ann", Password: "right"})
		check(t, d.gate.enter(t.Context(), nil)) // whoever needs a hash waits
		for _, user := range []string{"ann", "nobody"} {
			reason := map[string]broker.Reason{"ann": broker.WrongPassword, "nobody": broker.UnknownUser}[user]
			for i, password := range []string{strings.Repeat("x", 1025), strings.Repeat("x", 65535), "", strings.Repeat("y", 1025), "", ""} {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_, err := d.Authenticate(ctx, &broker.Credentials{User: user, HasUser: true, HasPassword: true, Password: []byte(password), Remote: here})
				cancel()
				if i == 5 {
					reason = broker.TooManyAttempts
				}
				wantReason(t, err, reason)
			}
		}
	})
}
