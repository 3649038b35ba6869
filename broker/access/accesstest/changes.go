package accesstest

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

func testUpdateUser(t *testing.T, r access.Repository) {
	insertRole(t, r, access.Role{Name: "a"})
	insertRole(t, r, access.Role{Name: "b"})
	u := user("old")
	u.Roles = []string{"a", "b"}
	u.Limits, u.Networks = broker.Limits{Connections: 1}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	u.Rules = []access.Rule{access.NewRule(access.Allow, access.ScopeBoth, "old/1"), access.NewRule(access.Allow, access.ScopeBoth, "old/2")}
	u.ID = insertUser(t, r, u)
	other := user("other")
	other.Roles = []string{"a"}
	other.ID, other.Revision = insertUser(t, r, other), 1

	changed := access.User{
		ID: u.ID, Revision: 1, Name: "new", Kind: access.NoPassword, Admin: true, Note: "n", Roles: []string{"b"},
		Rules:   []access.Rule{access.NewRule(access.Deny, access.ScopeBoth, "new")},
		Version: 7, Created: at.Add(-time.Hour), Changed: at.Add(time.Minute),
	}
	if err := r.UpdateUser(t.Context(), changed, note("user changed")); err != nil {
		t.Fatalf("UpdateUser: %v", err)
	}
	changed.Revision, changed.Created = 2, at
	checkUser(t, r, changed)
	checkUser(t, r, other)

	changed.Roles, changed.Rules = nil, nil
	if err := r.UpdateUser(t.Context(), changed, note("user changed")); err != nil {
		t.Fatalf("UpdateUser to no roles and rules: %v", err)
	}
	changed.Revision = 3
	checkUser(t, r, changed)
}

func testUpdateRole(t *testing.T, r access.Repository) {
	role := access.Role{Name: "role", Rules: []access.Rule{access.NewRule(access.Allow, access.ScopeBoth, "old")}}
	role.ID, role.Revision = insertRole(t, r, role), 1
	u := user("u")
	u.Roles = []string{"role"}
	u.ID, u.Revision = insertUser(t, r, u), 1

	role.Description, role.Rules = "new", []access.Rule{access.NewRule(access.Deny, access.ScopePublish, "new/#")}
	if err := r.UpdateRole(t.Context(), role, note("role changed")); err != nil {
		t.Fatalf("UpdateRole: %v", err)
	}
	role.Revision = 2
	checkRole(t, r, role)
	checkUser(t, r, u)
}

// case W26
func testConflict(t *testing.T, r access.Repository) {
	u := user("u")
	u.ID, u.Revision = insertUser(t, r, u), 1
	first, second := u, u
	first.Note, second.Note = "first", "second"
	if err := r.UpdateUser(t.Context(), first, note("first")); err != nil {
		t.Fatalf("first UpdateUser: %v", err)
	}
	if err := r.UpdateUser(t.Context(), second, note("second")); !errors.Is(err, access.ErrConflict) {
		t.Errorf("second UpdateUser: %v, want ErrConflict", err)
	}
	first.Revision = 2
	checkUser(t, r, first)

	role := access.Role{Name: "role"}
	role.ID, role.Revision = insertRole(t, r, role), 1
	one, two := role, role
	one.Description, two.Description = "one", "two"
	if err := r.UpdateRole(t.Context(), one, note("one")); err != nil {
		t.Fatalf("first UpdateRole: %v", err)
	}
	if err := r.UpdateRole(t.Context(), two, note("two")); !errors.Is(err, access.ErrConflict) {
		t.Errorf("second UpdateRole: %v, want ErrConflict", err)
	}
	one.Revision = 2
	checkRole(t, r, one)
}

func testNotFound(t *testing.T, r access.Repository) {
	u := user("ghost")
	u.ID, u.Revision = 12345, 1
	role := access.Role{ID: 12345, Revision: 1, Name: "ghost"}
	for what, err := range map[string]error{
		"UpdateUser": r.UpdateUser(t.Context(), u, note("x")),
		"DeleteUser": r.DeleteUser(t.Context(), u.ID, note("x")),
		"UpdateRole": r.UpdateRole(t.Context(), role, note("x")),
		"DeleteRole": r.DeleteRole(t.Context(), role.ID, note("x")),
	} {
		if !errors.Is(err, access.ErrNotFound) {
			t.Errorf("%s of what does not exist: %v, want ErrNotFound", what, err)
		}
	}
	u = user("u")
	u.Roles = []string{"no such role"}
	if _, err := r.InsertUser(t.Context(), u, note("x")); !errors.Is(err, access.ErrNotFound) {
		t.Errorf("InsertUser with a role that does not exist: %v, want ErrNotFound", err)
	}
}

// A change that fails leaves neither rows nor an audit entry.
func testAtomic(t *testing.T, r access.Repository) {
	insertRole(t, r, access.Role{Name: "role"})
	u := user("u")
	u.Roles = []string{"role"}
	u.Rules = []access.Rule{access.NewRule(access.Allow, access.ScopeBoth, "a")}
	u.ID, u.Revision = insertUser(t, r, u), 1
	before, entries := load(t, r), audit(t, r)

	bad := u
	bad.Note, bad.Roles = "changed", []string{"role", "no such role"}
	if err := r.UpdateUser(t.Context(), bad, note("bad")); !errors.Is(err, access.ErrNotFound) {
		t.Errorf("UpdateUser with a role that does not exist: %v, want ErrNotFound", err)
	}
	bad = u
	bad.Note, bad.Revision = "changed", 99
	if err := r.UpdateUser(t.Context(), bad, note("bad")); !errors.Is(err, access.ErrConflict) {
		t.Errorf("UpdateUser at another revision: %v, want ErrConflict", err)
	}
	fresh := user("fresh")
	fresh.Roles = []string{"no such role"}
	if _, err := r.InsertUser(t.Context(), fresh, note("bad")); err == nil {
		t.Error("InsertUser with a role that does not exist: no error")
	}
	second := user("second")
	insertUser(t, r, second)
	before.Users = load(t, r).Users
	bad = u
	bad.Name = "second"
	if err := r.UpdateUser(t.Context(), bad, note("bad")); !errors.Is(err, access.ErrExists) {
		t.Errorf("UpdateUser to a name that is taken: %v, want ErrExists", err)
	}
	if diff := cmp.Diff(before, load(t, r), loose...); diff != "" {
		t.Errorf("data after failed changes (-before +after):\n%s", diff)
	}
	if got := audit(t, r); len(got) != len(entries)+1 {
		t.Errorf("%d audit entries after failed changes, want %d", len(got), len(entries)+1)
	}
}

func testDeleteUser(t *testing.T, r access.Repository) {
	insertRole(t, r, access.Role{Name: "role"})
	u := user("u")
	u.Roles = []string{"role"}
	u.Rules = []access.Rule{access.NewRule(access.Allow, access.ScopeBoth, "a")}
	id := insertUser(t, r, u)
	if err := r.DeleteUser(t.Context(), id, note("user deleted")); err != nil {
		t.Fatalf("DeleteUser: %v", err)
	}
	if d := load(t, r); len(d.Users) != 0 || len(d.Roles) != 1 {
		t.Errorf("after DeleteUser: %+v", d)
	}
	// The name is free again, and nothing of the old user sticks to the new one.
	again := user("u")
	again.ID, again.Revision = insertUser(t, r, again), 1
	checkUser(t, r, again)
	if again.ID == id {
		t.Error("another user has the id of one that was deleted: a page that was left open changes it")
	}
}

func testDeleteRole(t *testing.T, r access.Repository) {
	insertRole(t, r, access.Role{Name: "stays"})
	id := insertRole(t, r, access.Role{Name: "gone", Rules: []access.Rule{access.NewRule(access.Allow, access.ScopeBoth, "a")}})
	u := user("u")
	u.Roles = []string{"gone", "stays"}
	u.ID = insertUser(t, r, u)
	if err := r.DeleteRole(t.Context(), id, note("role deleted")); err != nil {
		t.Fatalf("DeleteRole: %v", err)
	}
	d := load(t, r)
	if len(d.Roles) != 1 || d.Roles[0].Name != "stays" {
		t.Errorf("roles after DeleteRole: %+v", d.Roles)
	}
	if diff := cmp.Diff([]string{"stays"}, d.Users[0].Roles); diff != "" {
		t.Errorf("the user's roles after DeleteRole (-want +got):\n%s", diff)
	}
	// A new role of that name is another one.
	if insertRole(t, r, access.Role{Name: "gone"}) == id {
		t.Error("another role has the id of one that was deleted")
	}
	if diff := cmp.Diff([]string{"stays"}, load(t, r).Users[0].Roles); diff != "" {
		t.Errorf("the user's roles after the role was made anew (-want +got):\n%s", diff)
	}
}

func testAudit(t *testing.T, r access.Repository) {
	want := access.AuditEntry{At: at, Actor: "ann", Action: "user created", Object: "it's", Before: "", After: "roles: none\n'"}
	id, err := r.InsertUser(t.Context(), user("it's"), want)
	if err != nil {
		t.Fatalf("InsertUser: %v", err)
	}
	for i := range 5 {
		u := user("it's")
		u.ID, u.Revision = id, int64(i+1)
		if err := r.UpdateUser(t.Context(), u, note("user changed")); err != nil {
			t.Fatalf("UpdateUser: %v", err)
		}
	}
	if err := r.DeleteUser(t.Context(), id, note("user deleted")); err != nil {
		t.Fatalf("DeleteUser: %v", err)
	}
	list := audit(t, r)
	if len(list) != 7 {
		t.Fatalf("%d audit entries, want 7", len(list))
	}
	if list[0].Action != "user deleted" || list[6].Action != "user created" {
		t.Errorf("the newest entry is %q, the oldest %q", list[0].Action, list[6].Action)
	}
	got := list[6]
	got.ID = 0
	if diff := cmp.Diff(want, got, loose...); diff != "" {
		t.Errorf("audit entry (-want +got):\n%s", diff)
	}
	for i := range list[1:] {
		if list[i].ID <= list[i+1].ID {
			t.Errorf("entry %d has ID %d, the one before it in time %d", i, list[i].ID, list[i+1].ID)
		}
	}
	if two, err := r.Audit(t.Context(), access.AuditQuery{Limit: 2}); err != nil || len(two) != 2 || two[0].ID != list[0].ID {
		t.Errorf("Audit(2) = %v, %v", two, err)
	}
}

// Two readings with nothing in between are equal, or Refresh would reload for ever.
func testDataVersion(t *testing.T, r access.Repository) {
	insertUser(t, r, user("u"))
	load(t, r)
	one, err := r.DataVersion(t.Context())
	if err != nil {
		t.Fatalf("DataVersion: %v", err)
	}
	load(t, r)
	audit(t, r)
	two, err := r.DataVersion(t.Context())
	if err != nil || one != two {
		t.Errorf("DataVersion = %d, then %d, %v; nothing happened in between", one, two, err)
	}
}

func audit(t *testing.T, r access.Repository) []access.AuditEntry {
	t.Helper()
	list, err := r.Audit(t.Context(), access.AuditQuery{Limit: 1000})
	if err != nil {
		t.Fatalf("Audit: %v", err)
	}
	return list
}
