package access

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
)

// What a rule can't be, whoever made it: text is checked by ParseRule, but the API, imports
// and the database bring rules that were never text.
func TestRuleValidate(t *testing.T) {
	with := func(f func(r *Rule)) Rule {
		r := NewRule(Allow, ScopeBoth, "a/#")
		f(&r)
		return r
	}
	deny := func(s Scope) func(r *Rule) { return func(r *Rule) { r.Effect, r.Scope = Deny, s } }
	long := func(n int) string { return strings.Repeat("a", n) }
	for _, tt := range []struct {
		name string
		rule Rule
		ok   bool
	}{
		{"any", with(func(*Rule) {}), true},
		{"no effect", with(func(r *Rule) { r.Effect = 0 }), false},
		{"an unknown effect", with(func(r *Rule) { r.Effect = Deny + 1 }), false},
		{"no scope", with(func(r *Rule) { r.Scope = ScopePublish - 1 }), false},
		{"an unknown scope", with(func(r *Rule) { r.Scope = ScopeBoth + 1 }), false},
		{"no filter", with(func(r *Rule) { r.Filter = "" }), false},
		{"no such filter", with(func(r *Rule) { r.Filter = "a/#/b" }), false},
		{"a shared one", with(func(r *Rule) { r.Filter = "$share/g/a" }), false},
		{"the longest filter", with(func(r *Rule) { r.Filter = long(MaxRuleBytes / 2) }), true},
		{"one too long", with(func(r *Rule) { r.Filter = long(MaxRuleBytes/2 + 1) }), false},
		{"QoS 0", with(func(r *Rule) { r.MaxQoS = 0 }), true},
		{"QoS 2", with(func(r *Rule) { r.MaxQoS = 2 }), true},
		{"QoS 3", with(func(r *Rule) { r.MaxQoS = 3 }), false},
		{"QoS -2", with(func(r *Rule) { r.MaxQoS = AnyQoS - 1 }), false},
		{"a QoS denied", with(func(r *Rule) { deny(ScopeBoth)(r); r.MaxQoS = 1 }), false},
		{"no retain", with(func(r *Rule) { r.Retain = No }), true},
		{"an unknown retain", with(func(r *Rule) { r.Retain = No + 1 }), false},
		{"no retain of a subscription", with(func(r *Rule) { r.Scope, r.Retain = ScopeSubscribe, No }), false},
		{"retained alone", with(func(r *Rule) { r.Retain = Yes }), false},
		{"retaining denied", with(func(r *Rule) { deny(ScopePublish)(r); r.Retain = Yes }), true},
		{"retaining and more denied", with(func(r *Rule) { deny(ScopeBoth)(r); r.Retain = Yes }), false},
		{"not retaining denied", with(func(r *Rule) { deny(ScopePublish)(r); r.Retain = No }), false},
		{"a listener", with(func(r *Rule) { r.Listener = "mqtts" }), true},
		{"the longest listener", with(func(r *Rule) { r.Listener = long(MaxNameBytes) }), true},
		{"one too long", with(func(r *Rule) { r.Listener = long(MaxNameBytes + 1) }), false},
		{"no name of a listener", with(func(r *Rule) { r.Listener = "a\nb" }), false},
		{"a network", with(func(r *Rule) { r.Network = netip.MustParsePrefix("10.0.0.0/8") }), true},
		{"no such network", with(func(r *Rule) { r.Network = netip.PrefixFrom(netip.MustParseAddr("10.0.0.1"), 99) }), false},
	} {
		if err := tt.rule.Validate(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// Networks are compared as they are: without host bits, and IPv4 as IPv4.
func TestRuleNetworks(t *testing.T) {
	for text, want := range map[string]string{
		"192.168.1.7/24": "192.168.1.0/24", "::ffff:192.168.1.7/120": "192.168.1.0/24", "::ffff:10.0.0.1": "10.0.0.1/32",
		"fd00::1/8": "fd00::/8", "fd00::1": "fd00::1/128",
	} {
		r, err := ParseRule("allow both # from=" + text)
		if err != nil || r.Network.String() != want {
			t.Errorf("%s: %v, %v", text, r.Network, err)
		}
	}
	// Wider than all that is IPv4: it stays one of IPv6.
	if p := normalNetwork(netip.MustParsePrefix("::ffff:1.2.3.4/90")); p.Addr().Is4() || p.Bits() != 90 {
		t.Errorf("::ffff:1.2.3.4/90 is %v", p)
	}
}

// stored is a Directory with what stands in the database.
func stored(p Policy, data Data) *Directory {
	p.Hashing = cheap
	d := NewDirectory(p)
	d.swap(&data)
	return d
}

// case A13: of a role that is not there nobody knows what it denied.
func TestRoleThatIsGone(t *testing.T) {
	d := stored(Policy{}, Data{
		Users: []User{
			{ID: 1, Name: "ann", Version: 1, Roles: []string{"gone"}, Rules: rules(t, "allow both #")},
			{ID: 2, Name: "bob", Version: 1, Roles: []string{"there"}, Rules: rules(t, "allow both #")},
		},
		Roles: []Role{{Name: "there"}},
	})
	for user, want := range map[string]bool{"ann": false, "bob": true} {
		id := &broker.Identity{User: user, Version: 1}
		for _, act := range []broker.Action{broker.Publish, broker.Receive, broker.Subscribe} {
			if got := d.Authorize(id, act, "a").Allow; got != want {
				t.Errorf("%s: action %v is allowed: %v", user, act, got)
			}
		}
	}
}

// Who learns with everything open is one user, and for as long as it was said.
func TestOpenLearningIsForOneUser(t *testing.T) {
	now := time.Now().Round(0)
	during := func(user int64, open bool, begun, until time.Duration) Learning {
		return Learning{UserID: user, Open: open, Begun: now.Add(begun), Until: now.Add(until)}
	}
	d := stored(Policy{}, Data{
		Users: []User{{ID: 1, Name: "open", Version: 1}, {ID: 2, Name: "other", Version: 1}, {ID: 3, Name: "watched", Version: 1}, {ID: 4, Name: "over", Version: 1}},
		Learning: []Learning{
			during(1, true, -time.Hour, time.Hour), during(3, false, -time.Hour, time.Hour), during(4, true, -2*time.Hour, -time.Hour),
		},
	})
	for user, want := range map[string]bool{"open": true, "other": false, "watched": false, "over": false} {
		if got := d.Authorize(&broker.Identity{User: user, Version: 1}, broker.Publish, "a").Allow; got != want {
			t.Errorf("%s may publish: %v", user, got)
		}
	}
	if d.learningTurned() {
		t.Error("learning is said to have turned")
	}
}

// case A14: a user who logs in without a password has none, whatever hash stands there.
func TestNoPasswordHasNone(t *testing.T) {
	for _, kind := range []PasswordKind{NoPassword, Chosen} {
		hash := newArgon2id([]byte("secret"), cheap.Cost).String()
		d := stored(Policy{}, Data{Users: []User{{ID: 1, Name: "ann", Version: 1, Kind: kind, Hash: hash}}})
		_, err := login(d, here, "ann", "secret")
		want := broker.Reason("")
		if kind == NoPassword {
			want = broker.WrongPassword
		}
		wantReason(t, err, want)
	}
}

// case A18: a device with a generated password gets in at once from where others guess so
// much that nobody else is asked any more; one with a chosen password has to wait.
func TestGeneratedPasswordIsNotThrottled(t *testing.T) {
	a, d := open(t, Policy{})
	generated := create(t, a, NewUser{Name: "device", Generate: true})
	create(t, a, NewUser{Name: "ann", Password: "chosen by her"})
	for i := range addrBurst {
		_, _ = login(d, here, fmt.Sprint("guess", i), "guess") // refused
	}
	_, err := login(d, here, "device", "guess")
	wantReason(t, err, broker.TooManyAttempts)
	_, err = login(d, here, "ann", "chosen by her")
	wantReason(t, err, broker.TooManyAttempts)
	_, err = login(d, here, "device", generated)
	wantReason(t, err, "")
}

// Users of the admin may see what their requests to $CONTROL come to, others may not; who
// comes from elsewhere reads $SYS as every user does.
func TestReadableByKind(t *testing.T) {
	d := stored(Policy{OutsideRoles: []string{"none"}}, Data{
		Users: []User{{ID: 1, Name: "ann", Version: 1, Admin: true}, {ID: 2, Name: "bob", Version: 1}},
		Roles: []Role{{Name: "none"}},
	})
	for _, tt := range []struct {
		user, filter string
		want         bool
	}{
		{"ann", "$CONTROL/#", true}, {"bob", "$CONTROL/#", false}, {"eve", "$CONTROL/#", false},
		{"ann", "$SYS/#", true}, {"bob", "$SYS/#", true}, {"eve", "$SYS/#", true}, {"eve", "#", false},
	} {
		id := &broker.Identity{User: tt.user}
		if tt.user != "eve" {
			id.Version = 1
		}
		if got := d.Authorize(id, broker.Subscribe, tt.filter).Allow; got != tt.want {
			t.Errorf("%s subscribes to %s: %v", tt.user, tt.filter, got)
		}
	}
}

// case A8: who is judged wherever it may come from.
func TestAuthorizeAnywhere(t *testing.T) {
	data := Data{
		Users: []User{
			{ID: 1, Name: "ann", Version: 1, Rules: rules(t, "allow publish %c/#", "allow publish wss listener=wss", "allow publish all", "deny publish all listener=ws")},
			{ID: 2, Name: "off", Version: 1, Disabled: true, Rules: rules(t, "allow both #")},
			{ID: 3, Name: "house", Version: 1, System: true},
		},
		Roles: []Role{{Name: "posters", Rules: rules(t, "allow publish post")}},
	}
	for _, tt := range []struct {
		what   string
		id     broker.Identity
		topic  string
		tokens bool
		want   bool
	}{
		{"its client identifier", broker.Identity{User: "ann", ClientID: "c"}, "c/x", false, true},
		{"another one", broker.Identity{User: "ann", ClientID: "d"}, "c/x", false, false},
		{"allowed from somewhere", broker.Identity{User: "ann", Listener: "mqtt"}, "wss", false, true},
		{"denied from somewhere", broker.Identity{User: "ann", Listener: "ws"}, "all", false, true},
		{"not allowed", broker.Identity{User: "ann"}, "x", false, false},
		{"disabled", broker.Identity{User: "off"}, "x", false, false},
		{"disabled, where there are tokens", broker.Identity{User: "off"}, "x", true, false},
		{"a user of the house", broker.Identity{User: "house"}, "x", false, true},
		{"a part of the broker", broker.Identity{System: true}, "x", false, true},
		{"a part that acts for somebody", broker.Identity{User: "ann", System: true, Version: 1}, "x", false, false},
		{"nobody", broker.Identity{}, "x", false, false},
		{"nobody, where there are tokens", broker.Identity{}, "x", true, false},
		{"unknown", broker.Identity{User: "eve"}, "x", false, false},
		{"unknown, where there are tokens", broker.Identity{User: "eve"}, "x", true, true},
		{"deleted, where there are tokens", broker.Identity{User: "eve", Version: 1}, "x", true, false},
		{"deleted and restored, where there are tokens", broker.Identity{User: "eve", HadAccount: true}, "x", true, false},
		{"of a token", broker.Identity{User: "eve", Roles: []string{"posters"}}, "post", true, true},
		{"of a token, without the right", broker.Identity{User: "eve", Roles: []string{"posters"}}, "x", true, false},
	} {
		d := stored(Policy{Tokens: tt.tokens}, data)
		if got := d.AuthorizeAnywhere(&tt.id, broker.Publish, tt.topic).Allow; got != tt.want {
			t.Errorf("%s: %v", tt.what, got)
		}
	}
}

// The question "may USER …" is answered for the place that it names, or for any.
func TestCheckNamesAPlace(t *testing.T) {
	d := stored(Policy{Anonymous: AnonymousRestricted, AnonymousListeners: []string{"mqtt"}}, Data{
		Users: []User{
			{ID: 1, Name: "ann", Version: 1, Rules: rules(t, "allow both #"), Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
			{ID: 2, Name: "off", Version: 1, Disabled: true, System: true},
		},
		Roles: []Role{{Name: RoleAnonymous, Rules: rules(t, "allow both #")}},
	})
	for _, tt := range []struct {
		q    Question
		want string // the rule that denies, "": allowed
	}{
		{Question{User: "ann"}, ""},
		{Question{User: "ann", Remote: netip.MustParseAddr("10.1.2.3")}, ""},
		{Question{User: "ann", Remote: netip.MustParseAddr("11.1.2.3")}, `user "ann" may connect from 10.0.0.0/8 only`},
		{Question{User: "off"}, textDisabled},
		{Question{User: "eve"}, `there is no user "eve"`},
		{Question{Listener: "mqtt"}, ""},
		{Question{Listener: "ws"}, textAnonymousOff},
	} {
		tt.q.Action, tt.q.Name = broker.Publish, "a"
		if got := d.Check(tt.q); got.Allow != (tt.want == "") || !strings.HasPrefix(got.Rule.Text, tt.want) {
			t.Errorf("%+v: %+v", tt.q, got)
		}
	}
}

// LimitsOf answers for users of ours, for nobody else.
func TestLimitsOfUsers(t *testing.T) {
	d := stored(Policy{}, Data{Users: []User{{ID: 1, Name: "ann", Version: 1, Limits: broker.Limits{Connections: 2}}, {ID: 2, Name: "house", Version: 1, System: true}}})
	for user, want := range map[string]struct {
		connections   int
		system, known bool
	}{"ann": {2, false, true}, "house": {0, true, true}, "eve": {}, "": {}} {
		l, system, known := d.LimitsOf(&broker.Identity{User: user})
		if l.Connections != want.connections || system != want.system || known != want.known {
			t.Errorf("%q: %+v, %v, %v", user, l, system, known)
		}
	}
}

// Who gives up waiting at the gate leaves the line, and gives away no turn but its own.
func TestGivingUpFreesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 3)
		check(t, g.enter(t.Context(), nil))
		first := make(chan error, 1)
		go func() { first <- g.enter(t.Context(), nil) }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		second := make(chan error, 1)
		go func() { second <- g.enter(ctx, nil) }()
		synctest.Wait()
		cancel()
		if err := <-second; err == nil {
			t.Error("who gives up is let in")
		}
		synctest.Wait()
		select {
		case <-first:
			t.Fatal("two are in where there is room for one")
		default:
		}
		if n := total(g); n != 1 {
			t.Errorf("%d wait, want the first", n)
		}
		g.leave()
		check(t, <-first)
	})
}

// case A17: of many attempts that came at a time from one address as many are told that the
// password was wrong as if they had come one by one, whatever names they guess.
func TestFailuresAtATimeCountTogether(t *testing.T) {
	for _, names := range []int{1, 2 * addrBurst} {
		th, told := newThrottle(), 0
		for i := range 2 * addrBurst {
			if th.failed(here.Addr(), fmt.Sprint("u", i%names), broker.WrongPassword) == broker.WrongPassword {
				told++
			}
		}
		if want := min(pairBurst*names, addrBurst); told != want {
			t.Errorf("%d names: %d are told, want %d", names, told, want)
		}
	}
}

// openDoor lets everybody in and counts.
type openDoor struct{ asked int }

func (o *openDoor) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	o.asked++
	return &broker.Identity{User: c.User}, nil
}

// case A25: nobody else is asked about who has no name, shows a certificate, or brings what
// is no password; nor about users of ours.
func TestChainAsksForNamesWithPasswordsAlone(t *testing.T) {
	a, d := open(t, Policy{})
	create(t, a, NewUser{Name: "ours", Password: "right"})
	other := new(openDoor)
	c := Chain(d, other)
	most := strings.Repeat("x", MaxPasswordBytes)
	for _, tt := range []struct {
		what  string
		cr    broker.Credentials
		asked bool
	}{
		{"a name and a password", broker.Credentials{User: "eve", HasPassword: true, Password: []byte("x")}, true},
		{"the longest password", broker.Credentials{User: "eve", HasPassword: true, Password: []byte(most)}, true},
		{"one too long", broker.Credentials{User: "eve", HasPassword: true, Password: []byte(most + "x")}, false},
		{"an empty one", broker.Credentials{User: "eve", HasPassword: true}, false},
		{"none, though there are bytes", broker.Credentials{User: "eve", Password: []byte("x")}, false},
		{"no name", broker.Credentials{HasPassword: true, Password: []byte("x")}, false},
		{"a certificate of nobody", broker.Credentials{User: "eve", HasPassword: true, Password: []byte("x"), TLSName: "nobody"}, false},
		{"a wrong password of ours", broker.Credentials{User: "ours", HasPassword: true, Password: []byte("x")}, false},
		{"a password of ours that was not sent", broker.Credentials{User: "ours", Password: []byte("right")}, false},
	} {
		other.asked, tt.cr.Remote = 0, here
		if _, err := c.Authenticate(t.Context(), &tt.cr); (err == nil) != tt.asked || (other.asked > 0) != tt.asked {
			t.Errorf("%s: %v, asked %d times", tt.what, err, other.asked)
		}
	}
}
