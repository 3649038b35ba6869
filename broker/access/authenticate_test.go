package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
)

// cheap keeps tests fast; what a hash costs is no part of what they check.
var cheap = Hashing{Workers: 1, Cost: Cost{Time: 1, MemoryKiB: 64, Threads: 1}}

func open(t *testing.T, p Policy) (*Accounts, *Directory) {
	t.Helper()
	if p.Hashing == (Hashing{}) {
		p.Hashing = cheap
	}
	d := NewDirectory(p)
	a := NewAccounts(NewMemoryRepository(), d, nil, nil)
	check(t, a.Open(t.Context()))
	return a, d
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, a *Accounts, n NewUser) (password string) {
	t.Helper()
	if n.Password == "" && n.Hash == "" && !n.NoPassword {
		n.Generate = true
	}
	_, password, err := a.CreateUser(t.Context(), n)
	check(t, err)
	return password
}

var here = netip.MustParseAddrPort("192.168.1.5:40000")

func login(d *Directory, from netip.AddrPort, user, password string) (*broker.Identity, error) {
	return knock(d, from, user, password)
}

// knock is login at any Authenticator.
func knock(a broker.Authenticator, from netip.AddrPort, user, password string) (*broker.Identity, error) {
	return a.Authenticate(context.Background(), &broker.Credentials{
		ClientID: "c", HasUser: true, User: user, HasPassword: true, Password: []byte(password),
		Listener: broker.ListenerInfo{Name: "mqtt"}, Remote: from,
	})
}

func wantReason(t *testing.T, err error, want broker.Reason) {
	t.Helper()
	refusal, ok := errors.AsType[*broker.Refusal](err)
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (!ok || refusal.Reason != want):
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestAuthenticate(t *testing.T) {
	a, d := open(t, Policy{Logins: []Login{
		{Username: "settings", Password: "from the file"},
		{Username: "hashed", Password: foreign[2].text, PreHashed: true},
	}})
	device := create(t, a, NewUser{Name: "device", Roles: []string{RoleEverything}})
	create(t, a, NewUser{Name: "chosen", Password: "pass word"})
	create(t, a, NewUser{Name: "imported", Hash: foreign[1].text})
	create(t, a, NewUser{Name: "certificate only", NoPassword: true})
	off := create(t, a, NewUser{Name: "off"})
	yes := true
	check(t, a.ChangeUser(t.Context(), "off", UserChange{Disabled: &yes}))
	system, ok := a.SystemPassword(HomeAssistantUser)
	if !ok || len(system) != 26 {
		t.Fatalf("SystemPassword = %q, %v", system, ok)
	}

	tests := []struct {
		user, password string
		want           broker.Reason
	}{
		{"device", device, ""},
		{"device", strings.ToLower(device), broker.WrongPassword},
		{"device", device + "\x00", broker.WrongPassword},
		{"chosen", "pass word", ""},
		{"chosen", "pass word", ""}, // proven by now
		{"chosen", "password", broker.WrongPassword},
		{"chosen", "", broker.WrongPassword},
		{"chosen", strings.Repeat("x", 1025), broker.WrongPassword},
		{"Chosen", "pass word", broker.UnknownUser},
		{"imported", "password", ""},
		{"imported", foreign[1].text, broker.WrongPassword}, // the hash is no password
		{"certificate only", "x", broker.WrongPassword},     // case A14
		{"off", off, broker.UserDisabled},
		{"off", "x", broker.UserDisabled},
		{"nobody", "x", broker.UnknownUser},
		{"settings", "from the file", ""},
		{"settings", "x", broker.WrongPassword},
		{"hashed", "foo", ""},
		{"hashed", "bar", broker.WrongPassword},
		{HomeAssistantUser, system, ""},
		{HomeAssistantUser, "x", broker.WrongPassword},
		{"", "", broker.AnonymousOff},
	}
	for i, tt := range tests {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 1)
		id, err := login(d, from, tt.user, tt.password)
		t.Run(tt.user+"/"+fmt.Sprint(i), func(t *testing.T) {
			wantReason(t, err, tt.want)
			if tt.want != "" {
				return
			}
			u, _ := d.User(tt.user)
			if id.User != tt.user || id.ClientID != "c" || id.Listener != "mqtt" || id.Remote != from ||
				id.Version != u.Version || id.Version == 0 || id.System != u.System {
				t.Errorf("identity %+v of %+v", id, u)
			}
			if stands, reason := d.Review(id); !stands {
				t.Errorf("who has just come in does not stand: %s", reason)
			}
		})
	}
	if id, _ := login(d, here, HomeAssistantUser, system); id == nil || !id.System {
		t.Errorf("%s came in as %+v", HomeAssistantUser, id)
	}
	// A password does not have to be there.
	_, err := d.Authenticate(t.Context(), &broker.Credentials{HasUser: true, User: "device", Remote: here})
	wantReason(t, err, broker.WrongPassword)
}

// case A17: on the wire unknown user, wrong password and disabled user are the same.
func TestRefusalsLookAlike(t *testing.T) {
	codes := make(map[byte]bool)
	for _, r := range []broker.Reason{broker.UnknownUser, broker.WrongPassword, broker.UserDisabled} {
		codes[byte(broker.Refuse(r, nil).Code)] = true
	}
	if len(codes) != 1 {
		t.Errorf("different Reason Codes: %v", codes)
	}
}

// case A17: whoever fails waits for the same gate and computes one Argon2id.
func TestEveryFailureTakesAHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := open(t, Policy{Logins: []Login{{Username: "settings", Password: "x"}}})
		create(t, a, NewUser{Name: "device"})
		create(t, a, NewUser{Name: "chosen", Password: "x"})
		create(t, a, NewUser{Name: "imported", Hash: foreign[0].text})
		create(t, a, NewUser{Name: "none", NoPassword: true})
		create(t, a, NewUser{Name: "off"})
		yes := true
		check(t, a.ChangeUser(t.Context(), "off", UserChange{Disabled: &yes}))
		check(t, d.gate.enter(t.Context(), nil))
		users := []string{"device", "chosen", "imported", "none", "off", "nobody", "settings", HomeAssistantUser}
		var wg sync.WaitGroup
		for _, name := range users {
			wg.Go(func() {
				if _, err := login(d, here, name, "wrong"); err == nil {
					t.Errorf("%s came in", name)
				}
			})
		}
		synctest.Wait()
		if n := total(d.gate); n != len(users) {
			t.Errorf("%d of %d wait for the gate", n, len(users))
		}
		d.gate.leave()
		wg.Wait()
	})
}

// case A20: 300 devices with one user and one password take one hash.
func TestSharedUserIsHashedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := open(t, Policy{})
		create(t, a, NewUser{Name: "mqtt", Password: "shared"})
		check(t, d.gate.enter(t.Context(), nil))
		var wg sync.WaitGroup
		for i := range 300 {
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)
			wg.Go(func() {
				_, err := login(d, from, "mqtt", "shared")
				wantReason(t, err, "")
			})
		}
		synctest.Wait()
		if n := total(d.gate); n != 1 {
			t.Errorf("%d wait for the gate, want 1", n)
		}
		d.gate.leave()
		wg.Wait()
		// From now on the gate is not needed.
		check(t, d.gate.enter(t.Context(), nil))
		_, err := login(d, here, "mqtt", "shared")
		wantReason(t, err, "")
	})
}

// The one who computes may go away; those who wait with it must not suffer.
func TestSomebodyElseTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := open(t, Policy{})
		create(t, a, NewUser{Name: "mqtt", Password: "shared"})
		check(t, d.gate.enter(t.Context(), nil))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := d.Authenticate(ctx, &broker.Credentials{User: "mqtt", HasPassword: true, Password: []byte("shared"), Remote: here})
			wantReason(t, err, broker.BackendUnavailable)
		})
		synctest.Wait()
		for range 5 {
			wg.Go(func() {
				_, err := login(d, here, "mqtt", "shared")
				wantReason(t, err, "")
			})
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if n := total(d.gate); n != 1 {
			t.Errorf("%d wait for the gate, want 1", n)
		}
		d.gate.leave()
		wg.Wait()
		if n := len(d.verifier.flights); n != 0 {
			t.Errorf("%d flights are left", n)
		}
	})
}

// case A19: 300 devices with passwords of their own all get in, from one address, and
// none hears "wrong password" while it waits.
func TestManyChosenPasswords(t *testing.T) {
	a, d := open(t, Policy{})
	for i := range 300 {
		create(t, a, NewUser{Name: fmt.Sprint("user", i), Password: fmt.Sprint("password", i)})
	}
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			_, err := login(d, here, fmt.Sprint("user", i), fmt.Sprint("password", i))
			wantReason(t, err, "")
		})
	}
	wg.Wait()
}

// case A19: over the bound of the queue, or when time is up, it is "unavailable".
func TestGateIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := cheap
		h.Queue = 10
		a, d := open(t, Policy{Hashing: h})
		create(t, a, NewUser{Name: "chosen", Password: "right", Admin: true})
		check(t, d.gate.enter(t.Context(), nil))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				_, err := d.Authenticate(ctx, &broker.Credentials{User: "chosen", HasPassword: true, Password: fmt.Appendf(nil, "wrong%d", i), Remote: here})
				wantReason(t, err, broker.BackendUnavailable)
			})
		}
		synctest.Wait()
		_, err := login(d, here, "chosen", "right")
		wantReason(t, err, broker.BackendUnavailable)
		// The owner has a slot of his own.
		if _, err := d.CheckPassword(t.Context(), "chosen", "right"); err != nil {
			t.Errorf("CheckPassword behind a full gate: %v", err)
		}
		wg.Wait() // ctx ends after a second
		d.gate.leave()
	})
}

// case A9: a proven password is worth nothing once the user was changed.
func TestProvenPasswordEnds(t *testing.T) {
	a, d := open(t, Policy{})
	yes, no := true, false
	try := func(password string, want broker.Reason) {
		t.Helper()
		_, err := login(d, here, "ann", password)
		wantReason(t, err, want)
	}
	create(t, a, NewUser{Name: "ann", Password: "one"})
	try("one", "")
	_, err := a.SetPassword(t.Context(), "ann", "two", false)
	check(t, err)
	try("one", broker.WrongPassword)
	try("two", "")
	check(t, a.ChangeUser(t.Context(), "ann", UserChange{Disabled: &yes}))
	try("two", broker.UserDisabled)
	check(t, a.ChangeUser(t.Context(), "ann", UserChange{Disabled: &no}))
	try("two", "")
	check(t, a.DeleteUser(t.Context(), "ann"))
	try("two", broker.UnknownUser)
	create(t, a, NewUser{Name: "ann", Password: "three"})
	try("two", broker.WrongPassword)
	try("three", "")
}

// case A9: a user who is changed while waiting at the gate does not slip in.
func TestChangedDuringLogin(t *testing.T) {
	for what, change := range map[string]func(a *Accounts){
		"deleted": func(a *Accounts) { check(t, a.DeleteUser(t.Context(), "ann")) },
		"deleted, and somebody else has the name": func(a *Accounts) {
			check(t, a.DeleteUser(t.Context(), "ann"))
			create(t, a, NewUser{Name: "ann"})
		},
		"disabled": func(a *Accounts) {
			check(t, a.ChangeUser(t.Context(), "ann", UserChange{Disabled: ptr(true)}))
		},
		"another password": func(a *Accounts) {
			_, err := a.SetPassword(t.Context(), "ann", "", true)
			check(t, err)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, d := open(t, Policy{})
			create(t, a, NewUser{Name: "ann", Password: "right"})
			check(t, d.gate.enter(t.Context(), nil))
			done := make(chan error)
			go func() {
				_, err := login(d, here, "ann", "right")
				done <- err
			}()
			synctest.Wait()
			change(a)
			d.gate.leave()
			if err := <-done; err == nil {
				t.Error("let in, though " + what)
			} else {
				wantReason(t, err, broker.BackendUnavailable)
			}
		})
	}
}

func TestProvenIsBounded(t *testing.T) {
	v := newVerifier(cheap.Cost)
	for i := range 2 * maxProven {
		key := flightKey{proof: v.proofOf(&User{ID: int64(i)}, []byte("x"))}
		f, _, _ := v.join(key)
		v.land(key, f, true, nil)
	}
	if n := v.proven.len(); n != maxProven {
		t.Errorf("%d proven credentials, want %d", n, maxProven)
	}
	if _, _, known := v.join(flightKey{proof: v.proofOf(&User{ID: 1}, []byte("x"))}); known {
		t.Error("the oldest is still there")
	}
	if _, _, known := v.join(flightKey{proof: v.proofOf(&User{ID: 2*maxProven - 1}, []byte("x"))}); !known {
		t.Error("the latest is gone")
	}
}

// Nothing that differs may have the same proof.
func TestProofs(t *testing.T) {
	v := newVerifier(cheap.Cost)
	seen := make(map[proof]string)
	for _, u := range []User{
		{}, {ID: 1}, {Version: 1}, {ID: 1, Version: 1}, {Name: "a"}, {Name: "ab"}, {Hash: "a"}, {Name: "a", Hash: "b"}, {Hash: "ab"},
	} {
		for _, password := range []string{"", "a", "b", "ab", "a\x00"} {
			what := fmt.Sprintf("%+v %q", []any{u.ID, u.Version, u.Name, u.Hash}, password)
			p := v.proofOf(&u, []byte(password))
			if other, ok := seen[p]; ok {
				t.Errorf("%s and %s have the same proof", what, other)
			}
			seen[p] = what
		}
	}
	if u := (User{ID: 1}); v.proofOf(&u, nil) == newVerifier(cheap.Cost).proofOf(&u, nil) {
		t.Error("another process would make the same proof")
	}
}

// case A17: that a user is unknown can't be told from the time either. Tries of both
// sorts alternate in random order and their times are compared by Kolmogorov and
// Smirnov's test. A busy machine disturbs both alike; only three failures in a row count.
// Imported hashes cost more than ours, or less, or work in another way.
func TestRefusalsTakeTheSameTime(t *testing.T) {
	a, d := open(t, Policy{})
	for name, h := range imported() {
		create(t, a, NewUser{Name: name, Hash: h.String()})
	}
	create(t, a, NewUser{Name: "generated"})
	create(t, a, NewUser{Name: "chosen", Password: "a chosen one"})
	create(t, a, NewUser{Name: "none", NoPassword: true})
	create(t, a, NewUser{Name: "off", Password: "a chosen one"})
	create(t, a, NewUser{Name: "generated, off"})
	yes := true
	check(t, a.ChangeUser(t.Context(), "off", UserChange{Disabled: &yes}))
	check(t, a.ChangeUser(t.Context(), "generated, off", UserChange{Disabled: &yes}))
	for _, name := range append(slices.Sorted(maps.Keys(imported())), "generated", "chosen", "off", "none", "generated, off", HomeAssistantUser) {
		n := 400
		if name == "chosen" && !testing.Short() {
			n = 4000 // 2,000 of each
		}
		for attempt := 1; ; attempt++ {
			known, unknown := timesOf(t, d, name, n)
			p := brokertest.KolmogorovSmirnov(known, unknown)
			if p > 0.01 {
				break
			}
			if attempt == 3 {
				t.Errorf("%s and an unknown user can be told apart: p = %.5f, medians %v and %v", name, p, known[n/4], unknown[n/4])
				break
			}
		}
	}
}

// imported are hashes of each sort that others make, cheap ones.
func imported() map[string]Hash {
	return map[string]Hash{
		"dearer":      newArgon2id([]byte("a chosen one"), Cost{Time: 2, MemoryKiB: 64, Threads: 1}),
		"cheaper":     newArgon2id([]byte("a chosen one"), Cost{Time: 1, MemoryKiB: 32, Threads: 1}),
		"pbkdf2":      {scheme: schemePBKDF2, iterations: 50, salt: randomBytes(12), sum: randomBytes(64)},
		"mosquitto 1": {scheme: schemeSHA512, salt: randomBytes(12), sum: randomBytes(64)},
		"mosquitto 2": {scheme: schemePBKDF2, iterations: 30, salt: randomBytes(12), sum: randomBytes(64)},
	}
}

// timesOf returns the sorted times of n refused logins, half of them as that user and
// half as nobody.
func timesOf(t *testing.T, d *Directory, name string, n int) (known, unknown []time.Duration) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(n), 17))
	first := 0
	for i := range n {
		d.throttle = newThrottle() // what is timed is the answer, not its being put off
		if i%2 == 0 {
			first = r.IntN(2)
		}
		user, list := name, &known
		if i%2 != first {
			user, list = fmt.Sprintf("n%06d", i), &unknown
		}
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 1)
		begun := time.Now()
		_, err := login(d, from, user, fmt.Sprint("wrong ", i))
		*list = append(*list, time.Since(begun))
		if err == nil {
			t.Fatalf("%s came in", user)
		}
	}
	slices.Sort(known)
	slices.Sort(unknown)
	return known, unknown
}

// The test above would notice a difference of a tenth.
func TestKolmogorovSmirnov(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	sample := func(n int, factor float64) []time.Duration {
		list := make([]time.Duration, n)
		for i := range list {
			list[i] = time.Duration(factor * (100_000 + 20_000*r.NormFloat64()))
		}
		slices.Sort(list)
		return list
	}
	if p := brokertest.KolmogorovSmirnov(sample(1000, 1), sample(1000, 1)); p < 0.01 {
		t.Errorf("the same: p = %v", p)
	}
	if p := brokertest.KolmogorovSmirnov(sample(1000, 1), sample(1000, 1.1)); p > 0.01 {
		t.Errorf("a tenth longer: p = %v", p)
	}
	if p := brokertest.KolmogorovSmirnov(sample(500, 1), sample(500, 1)); p < 0.01 {
		t.Errorf("the same: p = %v", p)
	}
}
