package access

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"hearthmq/broker"
)

// netipOf makes an address of a name, so that tests don't run into the throttle.
func netipOf(name string) netip.AddrPort {
	b := [4]byte{172}
	copy(b[1:], name)
	return netip.AddrPortFrom(netip.AddrFrom4(b), 1)
}

// case A9
func TestReview(t *testing.T) {
	a, d := open(t, Policy{Anonymous: AnonymousRestricted, AnonymousListeners: []string{"mqtt"}})
	create(t, a, NewUser{Name: "ann", Password: "x"})
	ann, err := login(d, here, "ann", "x")
	wantReason(t, err, "")
	restored := &broker.Identity{User: "ann", ClientID: "c"}
	review := func(id *broker.Identity, want broker.Reason) {
		t.Helper()
		if stands, reason := d.Review(id); reason != want || stands != (want == "") {
			t.Errorf("Review(%+v) = %v, %q, want %q", id, stands, reason, want)
		}
	}
	review(ann, "")
	review(restored, "")
	check(t, a.ChangeUser(t.Context(), "ann", UserChange{Note: ptr("n"), Roles: ptr([]string{RoleReadOnly})}))
	review(ann, "")
	_, err = a.SetPassword(t.Context(), "ann", "y", false)
	check(t, err)
	review(ann, AccountChanged)
	review(restored, "")
	check(t, a.ChangeUser(t.Context(), "ann", UserChange{Disabled: ptr(true)}))
	review(ann, broker.UserDisabled)
	review(restored, broker.UserDisabled)
	if d.Authorize(ann, broker.Receive, "a").Allow {
		t.Error("a disabled user still receives")
	}
	check(t, a.DeleteUser(t.Context(), "ann"))
	review(ann, broker.UnknownUser)
	review(restored, broker.UnknownUser)
	if d.Authorize(ann, broker.Publish, "a").Allow {
		t.Error("a deleted user still publishes")
	}
	review(&broker.Identity{Listener: "mqtt"}, "")
	review(&broker.Identity{Listener: "ws"}, broker.AnonymousOff)
	review(&broker.Identity{System: true}, "")
	review(&broker.Identity{System: true, User: "bridge"}, "")
}

// case A21
func TestAnonymous(t *testing.T) {
	try := func(d *Directory, listener string) (*broker.Identity, error) {
		return d.Authenticate(t.Context(), &broker.Credentials{ClientID: "c", Listener: broker.ListenerInfo{Name: listener}, Remote: here})
	}
	_, d := open(t, Policy{})
	_, err := try(d, "mqtt")
	wantReason(t, err, broker.AnonymousOff)
	_, d = open(t, Policy{Anonymous: "yes"}) // what is not known opens nothing
	_, err = try(d, "mqtt")
	wantReason(t, err, broker.AnonymousOff)
	_, d = open(t, Policy{Anonymous: AnonymousFull, AnonymousListeners: []string{"mqtt"}})
	_, err = try(d, "ws")
	wantReason(t, err, broker.AnonymousOff)
	id, err := try(d, "mqtt")
	wantReason(t, err, "")
	if id.User != "" || id.System || len(id.Roles) != 0 || id.Version != 0 {
		t.Errorf("anonymous identity %+v", id)
	}
	if !d.Authorize(id, broker.Publish, "a").Allow {
		t.Error("full is not full")
	}
	const elsewhere = "anonymous access is off: it came by ws, and anonymous_listeners has mqtt alone"
	if _, err := try(d, "ws"); err == nil || err.Error() != "no user name, and "+elsewhere {
		t.Errorf("by ws: %v", err)
	}
	if got := d.Authorize(&broker.Identity{ClientID: "c", Listener: "ws"}, broker.Publish, "a"); got.Allow || got.Rule.Text != elsewhere {
		t.Errorf("a session of another listener: %+v", got)
	}
	for listener, want := range map[string]string{"mqtt": "anonymous access is full (settings)", "": "anonymous access is full (settings)", "ws": elsewhere} {
		q := Question{ClientID: "c", Action: broker.Publish, Name: "a", Listener: listener}
		if got := d.Check(q); got.Rule.Text != want || got.Allow == (want == elsewhere) {
			t.Errorf("question about %q: %+v", listener, got)
		}
	}
	// A session that was imported came by a listener that nobody knows.
	if stands, reason := d.Review(&broker.Identity{ClientID: "c"}); !stands {
		t.Errorf("a session without a listener: %s", reason)
	}
	_, d = open(t, Policy{Anonymous: AnonymousRestricted, AnonymousListeners: []string{"mqtt"}})
	for listener, want := range map[string]bool{"mqtt": true, "ws": false} { // a rule helps nobody who is not let in
		if p, ok := d.Propose(Question{Action: broker.Publish, Name: "a", Listener: listener}); ok != want {
			t.Errorf("proposal for %s: %+v", listener, p)
		}
	}
	// Who has a user name has to prove it, also where others need none.
	_, err = login(d, here, "nobody", "x")
	wantReason(t, err, broker.UnknownUser)
}

// case A16
func TestCertificateUsers(t *testing.T) {
	a, d := open(t, Policy{Anonymous: AnonymousFull})
	create(t, a, NewUser{Name: "lamp", NoPassword: true})
	create(t, a, NewUser{Name: "off", NoPassword: true})
	check(t, a.ChangeUser(t.Context(), "off", UserChange{Disabled: ptr(true)}))
	try := func(listener, name, user string) (*broker.Identity, error) {
		return d.Authenticate(t.Context(), &broker.Credentials{
			ClientID: "c", TLSName: name, User: user, HasPassword: true, Password: []byte("x"),
			Listener: broker.ListenerInfo{Name: listener}, Remote: here,
		})
	}
	id, err := try("mqtts", "lamp", "somebody")
	wantReason(t, err, "")
	if id.User != "lamp" || id.TLSName != "lamp" {
		t.Errorf("identity %+v", id)
	}
	_, err = try("mqtts", "nobody", "")
	wantReason(t, err, broker.UnknownUser)
	_, err = try("mqtts", "off", "")
	wantReason(t, err, broker.UserDisabled)
	_, err = try("wss", "", "lamp") // a listener where certificates name nobody
	wantReason(t, err, broker.WrongPassword)
	// Who may do everything is not who a certificate says, but who knows the password, too.
	secret, _ := a.SystemPassword(HomeAssistantUser)
	for _, tt := range []struct {
		user, password string
		want           broker.Reason
	}{
		{"", "", broker.WrongPassword}, {HomeAssistantUser, "x", broker.WrongPassword}, {"lamp", secret, broker.WrongPassword}, {HomeAssistantUser, secret, ""},
	} {
		_, err := d.Authenticate(t.Context(), &broker.Credentials{
			ClientID: "c", TLSName: HomeAssistantUser, User: tt.user, HasPassword: tt.password != "", Password: []byte(tt.password),
			Listener: broker.ListenerInfo{Name: "mqtts"}, Remote: here,
		})
		wantReason(t, err, tt.want)
	}
}

// elsewhere lets in one user.
type elsewhere struct {
	asked int
	err   error
	roles []string
}

func (e *elsewhere) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	e.asked++
	if e.err != nil {
		return nil, e.err
	}
	if c.User != "frank" || string(c.Password) != "x" {
		return nil, broker.Refuse(broker.WrongPassword, nil)
	}
	return &broker.Identity{ClientID: c.ClientID, User: c.User, Roles: e.roles}, nil
}

func TestChain(t *testing.T) {
	a, d := open(t, Policy{OutsideRoles: []string{RoleEverything}})
	create(t, a, NewUser{Name: "ann", Password: "x"})
	other := new(elsewhere)
	chain := Chain(d, other)
	try := func(user, password string) (*broker.Identity, error) {
		return chain.Authenticate(t.Context(), &broker.Credentials{User: user, HasPassword: true, Password: []byte(password), Remote: here})
	}
	_, err := try("ann", "x")
	wantReason(t, err, "")
	_, err = try("ann", "y")
	wantReason(t, err, broker.WrongPassword)
	_, err = try("", "")
	wantReason(t, err, broker.AnonymousOff)
	_, err = try(HomeAssistantUser, "y")
	wantReason(t, err, broker.WrongPassword)
	if other.asked != 0 {
		t.Errorf("the other was asked %d times about our own users", other.asked)
	}
	frank, err := try("frank", "x")
	wantReason(t, err, "")
	if !d.Authorize(frank, broker.Publish, "a").Allow {
		t.Error("somebody else's user may nothing")
	}
	other.roles = []string{RoleReadOnly, RoleAnonymous}
	reader, err := try("frank", "x")
	wantReason(t, err, "")
	if d.Authorize(reader, broker.Publish, "a").Allow || !d.Authorize(reader, broker.Receive, "a").Allow {
		t.Error("the roles that the other gave don't count")
	}
	// After a restart the broker knows no more than the name.
	restored := &broker.Identity{User: "frank", ClientID: "c"}
	for _, id := range []*broker.Identity{frank, reader, restored} {
		if stands, reason := d.Review(id); !stands || !d.Authorize(id, broker.Receive, "a").Allow {
			t.Errorf("%+v does not stand: %s", id, reason)
		}
	}
	for i := range 10 { // case A25: the throttle is the same, and a backend that is down no failure
		other.err = broker.Refuse(broker.BackendUnavailable, nil)
		_, err = try("frank", fmt.Sprint(i))
		wantReason(t, err, broker.BackendUnavailable)
	}
	other.err = nil
	for i := range 5 {
		_, err = try("frank", fmt.Sprint(i))
		wantReason(t, err, broker.WrongPassword)
	}
	asked := other.asked
	_, err = try("frank", "x")
	wantReason(t, err, broker.TooManyAttempts)
	_, err = try("gina", strings.Repeat("x", 1025))
	wantReason(t, err, broker.UnknownUser)
	if other.asked != asked {
		t.Error("the other was asked in spite of the throttle")
	}
	// A user of our own takes the name over.
	create(t, a, NewUser{Name: "frank"})
	if stands, reason := d.Review(frank); stands || reason != AccountChanged {
		t.Errorf("who had the name before stands: %v %q", stands, reason)
	}
	if d.Authorize(frank, broker.Publish, "a").Allow {
		t.Error("who had the name before keeps its rights")
	}
	// Without OutsideRoles a name that nobody knows is nobody.
	_, d = open(t, Policy{})
	if stands, _ := d.Review(restored); stands || d.Authorize(restored, broker.Receive, "a").Allow {
		t.Error("an unknown user stands")
	}
}

func TestCheckPasswordThrottlesByAddress(t *testing.T) {
	a, d := open(t, Policy{})
	create(t, a, NewUser{Name: "ann", Password: "x", Admin: true})
	bad, good := WithRemote(t.Context(), netip.MustParseAddr("10.0.0.1")), WithRemote(t.Context(), netip.MustParseAddr("10.0.0.2"))
	for i := range 5 {
		_, err := d.CheckPassword(bad, "ann", fmt.Sprint(i))
		wantReason(t, err, broker.WrongPassword)
	}
	_, err := d.CheckPassword(bad, "ann", "x")
	wantReason(t, err, broker.TooManyAttempts)
	u, err := d.CheckPassword(good, "ann", "x")
	wantReason(t, err, "")
	if !u.Admin || u.Hash != "" {
		t.Errorf("CheckPassword = %+v", u)
	}
	// Failures at MQTT are another account.
	_, err = login(d, netip.MustParseAddrPort("10.0.0.1:1"), "ann", "x")
	wantReason(t, err, "")
}

// Rules that got past Accounts: an allow that makes no sense allows nothing, a deny
// denies more rather than less.
func TestInvalidStoredRules(t *testing.T) {
	for _, tt := range []struct {
		rule Rule
		name string
		want bool
	}{
		{Rule{Effect: Allow, Scope: ScopeBoth, Filter: "b/#/c", MaxQoS: AnyQoS}, "b/x", false},
		{Rule{Effect: Allow, Scope: ScopeBoth, Filter: "b", MaxQoS: AnyQoS, Retain: Yes}, "b", false},
		{Rule{Effect: Deny, Scope: ScopePublish, Filter: "a/x", MaxQoS: AnyQoS, Retain: No}, "a/x", false},
		{Rule{Effect: Deny, Scope: ScopePublish, Filter: "a/x", MaxQoS: AnyQoS, Retain: No}, "a/y", true},
		{Rule{Effect: Deny, Scope: ScopeBoth, Filter: "a/#/x", MaxQoS: AnyQoS}, "a/y", false},
		{Rule{Effect: 9, Scope: 9, Filter: ""}, "a/y", false},
		{Rule{Effect: Allow, Scope: ScopeBoth, Filter: "b/#/c", MaxQoS: AnyQoS}, "a/y", true}, // it allows nothing, and takes nothing
	} {
		g := newGrants("u", append(rules(t, "allow both a/#"), tt.rule), nil, nil).done()
		if got := g.set(&broker.Identity{}).decide(broker.Publish, tt.name); got.Allow != tt.want {
			t.Errorf("rule %q, %s: %+v, want %v", tt.rule, tt.name, got, tt.want)
		}
	}
}

// One user with many clients: each has its own rules, and the cache of them is bounded.
func TestManyClientsOfOneUser(t *testing.T) {
	a, d := open(t, Policy{})
	create(t, a, NewUser{Name: "mqtt", Rules: rules(t, "allow both dev/%c/#")})
	for i := range 2 * maxSets {
		id := &broker.Identity{User: "mqtt", ClientID: fmt.Sprint("c", i)}
		if !d.Authorize(id, broker.Publish, fmt.Sprintf("dev/c%d/x", i)).Allow || d.Authorize(id, broker.Publish, fmt.Sprintf("dev/c%d/x", i+1)).Allow {
			t.Fatalf("client %d has the wrong rules", i)
		}
	}
	if n := d.snap.Load().accounts["mqtt"].grants.cache.len(); n != maxSets {
		t.Errorf("%d sets are kept, want %d", n, maxSets)
	}
}

// Whoever rules may concern: Generation tells that earlier decisions are out of date.
func TestGeneration(t *testing.T) {
	a, d := open(t, Policy{})
	last := d.Generation()
	for _, change := range []func() error{
		func() error { _, _, err := a.CreateUser(t.Context(), NewUser{Name: "u", Generate: true}); return err },
		func() error { return a.ChangeUser(t.Context(), "u", UserChange{Note: ptr("n")}) },
		func() error { return a.CreateRole(t.Context(), "r", "", nil) },
		func() error { return a.ChangeRole(t.Context(), "r", 0, "d", nil) },
		func() error { return a.DeleteRole(t.Context(), "r") },
		func() error { return a.DeleteUser(t.Context(), "u") },
	} {
		check(t, change())
		if now := d.Generation(); now <= last {
			t.Errorf("generation %d after %d", now, last)
		} else {
			last = now
		}
	}
}

func TestAuthorizeOddQuestions(t *testing.T) {
	_, d := open(t, Policy{})
	if d.Authorize(nil, broker.Publish, "a").Allow {
		t.Error("nobody may publish")
	}
	if d.Authorize(&broker.Identity{User: HomeAssistantUser}, broker.Action(9), "a").Allow {
		t.Error("an unknown action is allowed")
	}
}

// A server and a command may start on a new database at the same time.
func TestTwoOpenAtOnce(t *testing.T) {
	repo := NewMemoryRepository()
	late := NewAccounts(repo, NewDirectory(Policy{Hashing: cheap}), nil, nil)
	first := NewAccounts(repo, NewDirectory(Policy{Hashing: cheap}), nil, nil)
	late.repo = &between{Repository: repo, then: func() { check(t, first.Open(t.Context())) }}
	check(t, late.Open(t.Context()))
	one, _ := first.SystemPassword(AddonsUser)
	two, ok := late.SystemPassword(AddonsUser)
	if !ok || one != two {
		t.Errorf("the passwords are %q and %q", one, two)
	}
}

// between has something done between loading and the first change.
type between struct {
	Repository
	then func()
}

func (b *between) InsertRole(ctx context.Context, r Role, a AuditEntry) (int64, error) {
	if b.then != nil {
		b.then()
		b.then = nil
	}
	return b.Repository.InsertRole(ctx, r, a)
}

// Where a rule would match and is for another way in, the answer names it.
func TestCheckNamesTheRuleOfAnotherDoor(t *testing.T) {
	a, d := open(t, Policy{})
	rule, err := ParseRule("allow publish home/# listener=mqtts from=192.168.1.0/24")
	if err != nil {
		t.Fatal(err)
	}
	create(t, a, NewUser{Name: "lamp", Generate: true, Rules: []Rule{rule}})
	elsewhere := "no rule matches: " + rule.String() + " (user lamp) needs another listener or network"
	for _, tt := range []struct{ listener, remote, topic, want string }{
		{"mqtts", "192.168.1.7", "home/x", ""},
		{"mqtt", "192.168.1.7", "home/x", elsewhere},
		{"mqtts", "10.0.0.7", "home/x", elsewhere},
		{"mqtt", "192.168.1.7", "garden/x", "no rule matches"},
	} {
		got := d.Check(Question{User: "lamp", Action: broker.Publish, Name: tt.topic, Listener: tt.listener, Remote: netip.MustParseAddr(tt.remote)})
		if got.Allow != (tt.want == "") || !got.Allow && got.Rule.Text != tt.want {
			t.Errorf("%+v: %+v", tt, got)
		}
	}
}
