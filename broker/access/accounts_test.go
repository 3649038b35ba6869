package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"hearthmq/broker"
)

// told notes whom it is asked to look at again.
type told struct {
	mu   sync.Mutex
	list []string
}

func (r *told) Revalidate(user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, user)
}

func (r *told) want(t *testing.T, users ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.list, users) {
		t.Errorf("revalidated %q, want %q", r.list, users)
	}
	r.list = nil
}

func wantProblem(t *testing.T, err error, field string) {
	t.Helper()
	if p, ok := errors.AsType[Problems](err); !ok || p[field] == "" {
		t.Errorf("got %v, want a problem with %q", err, field)
	}
}

func ptr[T any](v T) *T { return &v }

func rules(t *testing.T, texts ...string) []Rule {
	t.Helper()
	list := make([]Rule, len(texts))
	for i, text := range texts {
		var err error
		list[i], err = ParseRule(text)
		check(t, err)
	}
	return list
}

func TestOpen(t *testing.T) {
	a, d := open(t, Policy{})
	var names []string
	for _, r := range d.Roles() {
		names = append(names, fmt.Sprint(r.Name, describeRules(r.Rules), r.Builtin))
	}
	want := []string{"anonymoustrue", "everythingallow both #true", "read-onlyallow subscribe #true"}
	if !slices.Equal(names, want) {
		t.Errorf("roles %q, want %q", names, want)
	}
	if a.HasAdmin() {
		t.Error("there is an admin")
	}
	for _, u := range d.Users() {
		if !u.System || u.Kind != Generated || u.Hash != "" || u.Secret != "" {
			t.Errorf("system user %+v", u)
		}
	}
	// The passwords stay the same over restarts, and nothing is made twice.
	one, ok1 := a.SystemPassword(HomeAssistantUser)
	addons, ok2 := a.SystemPassword(AddonsUser)
	generation := d.Generation()
	check(t, a.Open(t.Context()))
	two, _ := a.SystemPassword(HomeAssistantUser)
	if !ok1 || !ok2 || one != two || one == addons {
		t.Error("system passwords are not stable")
	}
	if d.Generation() != generation {
		t.Error("a second Open changed something")
	}
	if _, ok := a.SystemPassword("nobody"); ok {
		t.Error("a password of nobody")
	}
}

func TestSystemUsersStay(t *testing.T) {
	a, d := open(t, Policy{})
	for _, name := range []string{HomeAssistantUser, AddonsUser} {
		wantProblem(t, a.DeleteUser(t.Context(), name), "name")
		wantProblem(t, a.ChangeUser(t.Context(), name, UserChange{Disabled: ptr(true)}), "name")
		_, err := a.SetPassword(t.Context(), name, "", true)
		wantProblem(t, err, "name")
		_, _, err = a.CreateUser(t.Context(), NewUser{Name: name, Generate: true})
		wantProblem(t, err, "name")
	}
	// Whoever damages the rows finds them repaired.
	u, err := a.user(HomeAssistantUser)
	check(t, err)
	u.Disabled, u.Hash = true, "rubbish"
	check(t, a.repo.UpdateUser(t.Context(), u, AuditEntry{}))
	check(t, a.Open(t.Context()))
	secret, _ := a.SystemPassword(HomeAssistantUser)
	if secret != u.Secret {
		t.Error("the repair changed the password")
	}
	_, err = login(d, here, HomeAssistantUser, secret)
	wantReason(t, err, "")
}

func TestCreateUser(t *testing.T) {
	a, d := open(t, Policy{Logins: []Login{{Username: "settings", Password: "x"}}})
	r := new(told)
	a.SetRevalidator(r)
	u, generated, err := a.CreateUser(WithActor(t.Context(), ViaAdmin, "owner"), NewUser{
		Name: "lamp", Generate: true, Note: "in the hall", Roles: []string{RoleReadOnly, RoleAnonymous, RoleReadOnly},
		Rules: rules(t, "allow both lamp/#"),
	})
	check(t, err)
	r.want(t, "lamp")
	if len(generated) != 26 || u.Kind != Generated || u.Version%(1<<versionBits) != 1 || u.ID == 0 || u.Hash != "" ||
		!slices.Equal(u.Roles, []string{RoleAnonymous, RoleReadOnly}) || len(u.Rules) != 1 || u.Created.IsZero() {
		t.Errorf("CreateUser = %+v, %q", u, generated)
	}
	if same, ok := d.User("lamp"); !ok || same.ID != u.ID {
		t.Errorf("User = %+v, %v", same, ok)
	}
	list, _, err := a.Audit(t.Context(), AuditQuery{Limit: 1})
	check(t, err)
	if e := list[0]; e.Actor != "owner" || e.Action != "user created" || e.Object != "lamp" ||
		e.After != "roles: anonymous, read-only; rules: allow both lamp/#; note: in the hall" {
		t.Errorf("audit %+v", e)
	}

	for field, n := range map[string]NewUser{
		"name":        {Name: "a+b", Generate: true},
		"name ":       {Name: "lamp", Generate: true},
		"name  ":      {Name: "settings", Generate: true},
		"password":    {Name: "new"},
		"password ":   {Name: "new", Password: strings.Repeat("x", 1025)},
		"password  ":  {Name: "new", Password: "x", Generate: true},
		"password   ": {Name: "new", Hash: "not a hash"},
		"roles":       {Name: "new", Generate: true, Roles: []string{"no such role"}},
		"rules":       {Name: "new", Generate: true, Rules: []Rule{{Filter: "a"}}},
		"rules ":      {Name: "new", Generate: true, Rules: make([]Rule, MaxRules+1)},
		"note":        {Name: "new", Generate: true, Note: strings.Repeat("x", 2000)},
	} {
		_, _, err := a.CreateUser(t.Context(), n)
		wantProblem(t, err, strings.TrimSpace(field))
	}
	if _, ok := d.User("new"); ok {
		t.Error("a user with problems was created")
	}
}

func TestChangeUser(t *testing.T) {
	a, d := open(t, Policy{})
	create(t, a, NewUser{Name: "ann", Password: "x", Roles: []string{RoleReadOnly}})
	r := new(told)
	a.SetRevalidator(r)
	u, _ := d.User("ann")
	check(t, a.ChangeUser(t.Context(), "ann", UserChange{Revision: u.Revision, Note: ptr("n"), Roles: ptr([]string{}), Rules: ptr(rules(t, "deny both a"))}))
	r.want(t, "ann")
	now, _ := d.User("ann")
	if now.Note != "n" || len(now.Roles) != 0 || len(now.Rules) != 1 || now.Version != u.Version || now.Revision == u.Revision {
		t.Errorf("after the change: %+v", now)
	}
	// case W26: the second of two editors is told.
	err := a.ChangeUser(t.Context(), "ann", UserChange{Revision: u.Revision, Note: ptr("m")})
	if !errors.Is(err, ErrConflict) {
		t.Errorf("a change of an old revision: %v", err)
	}
	check(t, a.ChangeUser(t.Context(), "ann", UserChange{Disabled: ptr(true)}))
	if now, _ := d.User("ann"); now.Version != u.Version+1 || now.Note != "n" {
		t.Errorf("after disabling: %+v", now)
	}
	wantProblem(t, a.ChangeUser(t.Context(), "ann", UserChange{Roles: ptr([]string{"x"})}), "roles")
	wantProblem(t, a.ChangeUser(t.Context(), "ann", UserChange{Rules: ptr([]Rule{{}})}), "rules")
	if err := a.ChangeUser(t.Context(), "bob", UserChange{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("ChangeUser of nobody: %v", err)
	}
	if err := a.DeleteUser(t.Context(), "bob"); !errors.Is(err, ErrNotFound) {
		t.Errorf("DeleteUser of nobody: %v", err)
	}
	_, err = a.SetPassword(t.Context(), "bob", "", true)
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("SetPassword of nobody: %v", err)
	}
	_, err = a.SetPassword(t.Context(), "ann", "", false)
	wantProblem(t, err, "password")
}

func TestLastAdminStays(t *testing.T) {
	a, _ := open(t, Policy{})
	create(t, a, NewUser{Name: "one", Password: "x", Admin: true})
	if !a.HasAdmin() {
		t.Error("there is no admin")
	}
	create(t, a, NewUser{Name: "no password", NoPassword: true, Admin: true})
	create(t, a, NewUser{Name: "off", Password: "x", Admin: true})
	create(t, a, NewUser{Name: "plain", Password: "x"})
	check(t, a.ChangeUser(t.Context(), "off", UserChange{Disabled: ptr(true)}))
	wantProblem(t, a.DeleteUser(t.Context(), "one"), "name")
	wantProblem(t, a.ChangeUser(t.Context(), "one", UserChange{Admin: ptr(false)}), "admin")
	wantProblem(t, a.ChangeUser(t.Context(), "one", UserChange{Disabled: ptr(true)}), "disabled")
	check(t, a.ChangeUser(t.Context(), "plain", UserChange{Admin: ptr(true)}))
	check(t, a.ChangeUser(t.Context(), "one", UserChange{Admin: ptr(false)}))
	wantProblem(t, a.DeleteUser(t.Context(), "plain"), "name")
	check(t, a.DeleteUser(t.Context(), "one"))
}

func TestRoles(t *testing.T) {
	a, d := open(t, Policy{})
	r := new(told)
	a.SetRevalidator(r)
	check(t, a.CreateRole(t.Context(), "sensors", "d", rules(t, "allow publish sensors/%u/#")))
	wantProblem(t, a.CreateRole(t.Context(), "sensors", "", nil), "name")
	wantProblem(t, a.CreateRole(t.Context(), "", "", nil), "name")
	wantProblem(t, a.CreateRole(t.Context(), "x", strings.Repeat("x", 2000), nil), "description")
	wantProblem(t, a.CreateRole(t.Context(), "x", "", []Rule{{}}), "rules")
	r.want(t)
	create(t, a, NewUser{Name: "k", Roles: []string{"sensors"}})
	r.want(t, "k")
	may := func() bool { return d.Check(Question{User: "k", Action: broker.Publish, Name: "sensors/k/t"}).Allow }
	if !may() {
		t.Error("the role is without effect")
	}
	role, _ := d.Role("sensors")
	check(t, a.ChangeRole(t.Context(), "sensors", role.Revision, "", rules(t, "allow publish other")))
	r.want(t, "")
	if may() {
		t.Error("the change is without effect")
	}
	if err := a.ChangeRole(t.Context(), "sensors", role.Revision, "", nil); !errors.Is(err, ErrConflict) { // case W26
		t.Errorf("a change of an old revision: %v", err)
	}
	wantProblem(t, a.ChangeRole(t.Context(), RoleEverything, 0, "", nil), "name")
	check(t, a.ChangeRole(t.Context(), RoleAnonymous, 0, "", rules(t, "allow subscribe public/#")))
	for _, name := range []string{RoleEverything, RoleReadOnly, RoleAnonymous} {
		wantProblem(t, a.DeleteRole(t.Context(), name), "name")
	}
	check(t, a.DeleteRole(t.Context(), "sensors"))
	if u, _ := d.User("k"); len(u.Roles) != 0 {
		t.Errorf("the user still has %q", u.Roles)
	}
	if err := a.DeleteRole(t.Context(), "sensors"); !errors.Is(err, ErrNotFound) {
		t.Errorf("DeleteRole of nothing: %v", err)
	}
}

// A second process changes the data; the first one notices.
func TestRefresh(t *testing.T) {
	repo := NewMemoryRepository()
	d := NewDirectory(Policy{Hashing: cheap})
	r := new(told)
	a := NewAccounts(repo, d, r, nil)
	check(t, a.Open(t.Context()))
	other := NewAccounts(repo, NewDirectory(Policy{Hashing: cheap}), nil, nil)
	check(t, other.Load(t.Context()))

	refresh := func(want bool) {
		t.Helper()
		generation := d.Generation()
		changed, err := a.Refresh(t.Context())
		check(t, err)
		if changed != want || (d.Generation() != generation) != want {
			t.Errorf("Refresh = %v, generation %d → %d, want %v", changed, generation, d.Generation(), want)
		}
	}
	refresh(false)
	create(t, other, NewUser{Name: "ann"})
	if _, ok := d.User("ann"); ok {
		t.Error("there before Refresh")
	}
	refresh(true)
	r.want(t, "")
	refresh(false)
	r.want(t)
	if _, ok := d.User("ann"); !ok {
		t.Error("not there after Refresh")
	}
	// A change of our own on top of one we did not know of tells everybody.
	check(t, other.ChangeUser(t.Context(), "ann", UserChange{Note: ptr("n")}))
	create(t, a, NewUser{Name: "bob"})
	r.want(t, "")
	check(t, other.Load(t.Context()))
	check(t, other.ChangeUser(t.Context(), "bob", UserChange{Note: ptr("n")}))
}

// broken fails on demand.
type broken struct {
	Repository
	err error
}

func (b *broken) Load(ctx context.Context) (*Data, error) {
	if b.err != nil {
		return nil, b.err
	}
	return b.Repository.Load(ctx)
}

// case A13: what can't be read leaves the last good state, which never gets wider.
func TestUnreadableKeepsLastGood(t *testing.T) {
	repo := &broken{Repository: NewMemoryRepository()}
	d := NewDirectory(Policy{Hashing: cheap})
	a := NewAccounts(repo, d, nil, nil)
	check(t, a.Open(t.Context()))
	create(t, a, NewUser{Name: "ann", Rules: rules(t, "allow publish a")})
	repo.err = errors.New("the disk is gone")
	other := NewAccounts(repo.Repository, NewDirectory(Policy{Hashing: cheap}), nil, nil)
	check(t, other.Load(t.Context()))
	create(t, other, NewUser{Name: "bob"})
	if _, err := a.Refresh(t.Context()); !errors.Is(err, repo.err) {
		t.Errorf("Refresh: %v", err)
	}
	if !d.Check(Question{User: "ann", Action: broker.Publish, Name: "a"}).Allow || d.Check(Question{User: "ann", Action: broker.Publish, Name: "b"}).Allow {
		t.Error("the last good state is gone")
	}
	repo.err = nil
	if changed, err := a.Refresh(t.Context()); !changed || err != nil {
		t.Errorf("Refresh once it works again = %v, %v", changed, err)
	}
	// Not even the first load may let anybody in.
	repo.err = errors.New("the disk is gone")
	empty := NewDirectory(Policy{Hashing: cheap, Anonymous: AnonymousRestricted})
	if err := NewAccounts(repo, empty, nil, nil).Open(t.Context()); !errors.Is(err, repo.err) {
		t.Errorf("Open: %v", err)
	}
	if empty.Authorize(&broker.Identity{}, broker.Publish, "a").Allow {
		t.Error("a Directory that was never filled allows")
	}
}

// A password that is changed between login and renewal must not come back.
