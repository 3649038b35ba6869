package addon_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/addon"
	"hearthmq/addon/addontest"
	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/packet"
)

// authenticator is Home Assistant's login with what stands behind it.
type authenticator struct {
	*addon.HomeAssistantLogin
	fake    *addontest.Supervisor
	revoked chan string
}

func newAuthenticator(t *testing.T) *authenticator {
	t.Helper()
	s, fake := supervise(t, addontest.HearthMQ())
	fake.SetUser("anna", "right")
	revoked := make(chan string, 100)
	return &authenticator{addon.NewHomeAssistantLogin(addon.HomeAssistantLoginConfig{
		Check: s.CheckLogin, Roles: []string{"everything"}, Log: slog.New(slog.DiscardHandler), Revoked: func(name string) { revoked <- name },
	}), fake, revoked}
}

// login returns "" for a client that is let in, and the reason otherwise.
func (a *authenticator) login(t *testing.T, user, password string) broker.Reason {
	t.Helper()
	return login(t, a, user, password)
}

func login(t *testing.T, a broker.Authenticator, user, password string) broker.Reason {
	t.Helper()
	id, err := a.Authenticate(t.Context(), &broker.Credentials{
		ClientID: "c", HasUser: true, User: user, HasPassword: true, Password: []byte(password),
		Remote: netip.MustParseAddrPort("192.168.1.9:5000"), Listener: broker.ListenerInfo{Name: "mqtt"},
	})
	if err == nil {
		if id.User != user || id.ClientID != "c" || id.System || id.Version != 0 || id.Listener != "mqtt" {
			t.Errorf("identity %+v", id)
		}
		return ""
	}
	refusal, ok := errors.AsType[*broker.Refusal](err)
	if !ok {
		t.Fatalf("%v is no Refusal", err)
	}
	return refusal.Reason
}

func (a *authenticator) asked() int {
	n := 0
	for _, c := range a.fake.Calls() {
		if c == "POST /auth" {
			n++
		}
	}
	return n
}

func TestHomeAssistantLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator(t)
		for range 3 {
			if got := a.login(t, "anna", "right"); got != "" {
				t.Error(got)
			}
		}
		if n := a.asked(); n != 1 {
			t.Errorf("Home Assistant was asked %d times", n)
		}
		if got := a.login(t, "anna", "wrong"); got != broker.WrongPassword {
			t.Error(got)
		}
		if got := a.login(t, "bert", "right"); got != broker.WrongPassword {
			t.Error(got)
		}
		before := a.asked()
		for range 5 { // a device that tries and tries
			if got := a.login(t, "bert", "right"); got != broker.WrongPassword {
				t.Error(got)
			}
		}
		if a.asked() != before {
			t.Error("the same wrong password is asked about again and again")
		}
		for _, bad := range []struct{ user, password string }{
			{"anna\n", "right"}, {"anna+", "right"}, {" anna", "right"}, {"anna", ""}, {"anna", "\xff\xfe"}, {"anna", strings.Repeat("x", 2000)},
		} {
			if a.login(t, bad.user, bad.password) == "" {
				t.Errorf("%q with %q is let in", bad.user, bad.password)
			}
		}
		if a.asked() != before {
			t.Error("Home Assistant was asked about what can't be")
		}
	})
}

// A changed password, a deleted user: noticed behind the client's back.
func TestHomeAssistantLoginAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator(t)
		if got := a.login(t, "anna", "right"); got != "" {
			t.Fatal(got)
		}
		a.fake.SetUser("anna", "")
		after(t, 2*time.Minute)
		if got := a.login(t, "anna", "right"); got != "" { // let in, and asked in the background
			t.Error(got)
		}
		synctest.Wait() // the Supervisor itself says yes this once, from its cache
		after(t, 2*time.Minute)
		if got := a.login(t, "anna", "right"); got != "" {
			t.Error(got)
		}
		synctest.Wait()
		if len(a.revoked) != 1 || <-a.revoked != "anna" { // who was let in meanwhile goes
			t.Error("nobody was told that it is taken back")
		}
		if got := a.login(t, "anna", "right"); got != broker.WrongPassword {
			t.Errorf("a deleted user: %q", got)
		}
		if len(a.revoked) > 0 {
			t.Error("taken back twice")
		}
	})
}

// case A25
func TestHomeAssistantLoginInTrouble(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trouble func(*addontest.Supervisor)
	}{
		{"Core is down", func(f *addontest.Supervisor) { f.SetUser("x", "x"); f.Core.SetMode(addontest.NotReady) }},
		{"500", func(f *addontest.Supervisor) { f.SetMode(addontest.Fails) }},
		{"hangs", func(f *addontest.Supervisor) { f.SetMode(addontest.Hangs) }},
		{"gone", func(f *addontest.Supervisor) { f.SetMode(addontest.Gone) }},
		{"half an answer", func(f *addontest.Supervisor) { f.SetMode(addontest.Garbled) }},
		{"starting", func(f *addontest.Supervisor) { f.SetMode(addontest.NotReady) }},
		{"token expired", func(f *addontest.Supervisor) { f.SetToken("014ce74a_hearthmq", "new") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAuthenticator(t)
				if got := a.login(t, "anna", "right"); got != "" {
					t.Fatal(got)
				}
				tt.trouble(a.fake)
				for _, wait := range []time.Duration{0, 5 * time.Minute, 5 * time.Minute, 12 * time.Hour} {
					after(t, wait)
					began := time.Now()
					if got := a.login(t, "anna", "right"); got != "" {
						t.Errorf("proven %v ago: %q", wait, got)
					}
					if took := time.Since(began); took > 10*time.Second {
						t.Errorf("took %v", took)
					}
				}
				for _, c := range []struct{ user, password string }{{"anna", "wrong"}, {"bert", "right"}, {"bert", "x"}} {
					got := a.login(t, c.user, c.password)
					if tt.name == "Core is down" && c.user == "anna" {
						if got != broker.WrongPassword { // the Supervisor's cache knows her
							t.Errorf("%s: %q", c.user, got)
						}
						continue
					}
					if got != broker.BackendUnavailable {
						t.Errorf("%s, %s: %q, never let in and never wrong", c.user, c.password, got)
					}
				}
				after(t, 25*time.Hour)
				if got := a.login(t, "anna", "right"); tt.name != "Core is down" && got != broker.BackendUnavailable {
					t.Errorf("after more than a day: %q", got)
				}
				a.fake.SetMode(addontest.Works)
			})
		})
	}
}

// A reconnecting house: one question for each login, few at a time, and the rest
// is told to come back instead of piling up.
func TestHomeAssistantLoginStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most, asked := 0, 0, 0
		a := addon.NewHomeAssistantLogin(addon.HomeAssistantLoginConfig{
			Roles: []string{"everything"}, Log: slog.New(slog.DiscardHandler),
			Check: func(ctx context.Context, _, _ string) error {
				mu.Lock()
				running++
				asked++
				most = max(most, running)
				mu.Unlock()
				timer := time.NewTimer(100 * time.Millisecond)
				defer timer.Stop()
				<-timer.C
				mu.Lock()
				running--
				mu.Unlock()
				return nil
			},
		})
		var all sync.WaitGroup
		counts := make(map[broker.Reason]int)
		for i := range 300 {
			all.Go(func() {
				got := login(t, a, fmt.Sprintf("user%d", i%100), "pw")
				mu.Lock()
				counts[got]++
				mu.Unlock()
			})
		}
		all.Wait()
		if most > 4 || asked > 100 {
			t.Errorf("%d questions, %d at a time", asked, most)
		}
		if counts[""] < 68 || counts[""]+counts[broker.BackendUnavailable] != 300 {
			t.Errorf("%v", counts)
		}
	})
}

// Who goes away does not keep the others from their answer.
func TestHomeAssistantLoginGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator(t)
		a.fake.SetMode(addontest.Slow)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := a.Authenticate(ctx, &broker.Credentials{User: "anna", HasPassword: true, Password: []byte("right")})
		if refusal, ok := errors.AsType[*broker.Refusal](err); !ok || refusal.Code != packet.ServerUnavailable {
			t.Error(err)
		}
		after(t, 5*time.Second)
		if got := a.login(t, "anna", "right"); got != "" || a.asked() != 1 {
			t.Errorf("%q after %d questions", got, a.asked())
		}
	})
}

// In the chain: local names never reach Home Assistant, and others have the rights of
// the roles that the settings name.
func TestHomeAssistantLoginInChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator(t)
		d := access.NewDirectory(access.Policy{
			OutsideRoles: []string{"everything"}, Logins: []access.Login{{Username: "lamp", Password: "lamp's"}},
		})
		accounts := access.NewAccounts(access.NewMemoryRepository(), d, nil, nil)
		if err := accounts.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		chain := access.Chain(d, a)
		a.fake.SetUser("lamp", "of home assistant")
		for user, password := range map[string]string{"lamp": "of home assistant", "homeassistant": "x"} {
			if got := login(t, chain, user, password); got != broker.WrongPassword {
				t.Errorf("%s: %q", user, got)
			}
		}
		if a.asked() != 0 {
			t.Error("Home Assistant was asked about a local name")
		}
		id, err := chain.Authenticate(t.Context(), &broker.Credentials{User: "anna", HasPassword: true, Password: []byte("right")})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Authorize(id, broker.Publish, "any/topic"); !got.Allow {
			t.Errorf("%+v", got)
		}
	})
}

// case A17: who guesses under a name of ours is answered as under any other: with Home
// Assistant away or slow, and when more ask than may wait. Nothing is asked about it.
func TestHomeAssistantLoginHidesOurNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator(t)
		d := access.NewDirectory(access.Policy{
			OutsideRoles: []string{"everything"}, Logins: []access.Login{{Username: "lamp", Password: "lamp's"}},
			Hashing: access.Hashing{Cost: access.Cost{Time: 1, MemoryKiB: 8, Threads: 1}},
		})
		chain := access.RefuseEvenly(access.Chain(d, a))
		tries := 0
		try := func(user string) string {
			tries++
			begun := time.Now()
			_, err := chain.Authenticate(t.Context(), &broker.Credentials{
				ClientID: "c", User: user, HasPassword: true, Password: fmt.Append(nil, "wrong ", tries),
				Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, byte(tries >> 8), byte(tries)}), 1),
			})
			refusal, ok := errors.AsType[*broker.Refusal](err)
			if !ok {
				t.Fatalf("%s came in: %v", user, err)
			}
			return fmt.Sprint(refusal.Code, " after ", time.Since(begun).Round(time.Millisecond))
		}
		same := func(when string) string {
			t.Helper()
			nobody := try("nobody")
			asked := a.asked()
			for range 3 {
				if ours := try("lamp"); ours != nobody {
					t.Errorf("%s: a name of ours hears %s, another %s", when, ours, nobody)
				}
			}
			if a.asked() != asked {
				t.Errorf("%s: Home Assistant was asked about a name of ours", when)
			}
			return nobody
		}
		well := same("all is well")
		a.fake.SetMode(addontest.Fails)
		if away := same("Home Assistant is away"); away == well {
			t.Errorf("away as if well: %s", away)
		}
		a.fake.SetMode(addontest.Slow)
		same("Home Assistant is slow")
		a.fake.SetMode(addontest.Hangs)
		same("Home Assistant hangs")

		// More than may wait ask about others: both are told to come back.
		var crowd sync.WaitGroup
		for i := range 100 {
			crowd.Go(func() { login(t, a, fmt.Sprint("crowd ", i), "wrong") })
		}
		synctest.Wait()
		same("there is a crowd")
		crowd.Wait()

		a.fake.SetMode(addontest.Works)
		if again := same("Home Assistant is back"); again != well {
			t.Errorf("back: %s, before %s", again, well)
		}
	})
}
