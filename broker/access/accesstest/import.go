package accesstest

import (
	"errors"
	"testing"

	"hearthmq/broker/access"
)

func testImport(t *testing.T, r access.Repository) {
	rule := access.NewRule(access.Allow, access.ScopeBoth, "a/#")
	there := access.Role{Name: "there"}
	there.ID, there.Revision = insertRole(t, r, there), 1
	insertUser(t, r, user("old"))

	fill := there
	fill.Rules = []access.Rule{rule}
	anna := user("anna")
	anna.Roles = []string{"new", "there"}
	anna.Rules = []access.Rule{rule}
	roles := []access.Role{fill, {Name: "new", Rules: []access.Rule{rule, rule}}}
	before, err := r.Audit(t.Context(), access.AuditQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}

	stale := fill
	stale.Revision = 7
	for name, tt := range map[string]struct {
		users []access.User
		roles []access.Role
		want  error
	}{
		"a user exists":             {[]access.User{anna, user("old")}, roles, access.ErrExists},
		"a user stands there twice": {[]access.User{anna, anna}, roles, access.ErrExists},
		"a role exists":             {[]access.User{user("x")}, []access.Role{{Name: "new"}, {Name: "there"}}, access.ErrExists},
		"a role was changed":        {[]access.User{user("x")}, []access.Role{{Name: "new"}, stale}, access.ErrConflict},
		"a role is gone":            {[]access.User{user("x")}, []access.Role{{Name: "new"}, {ID: 1 << 40, Name: "gone"}}, access.ErrNotFound},
		"a user's role is missing":  {[]access.User{anna}, nil, access.ErrNotFound},
	} {
		if err := r.ImportAccounts(t.Context(), tt.users, tt.roles, note("import")); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if d := load(t, r); len(d.Users) != 1 || len(d.Roles) != 1 || len(d.Roles[0].Rules) != 0 {
		t.Fatalf("failed imports left %+v", d)
	}
	if after, err := r.Audit(t.Context(), access.AuditQuery{Limit: 100}); err != nil || len(after) != len(before) {
		t.Errorf("%d audit rows after failed imports, %d before: %v", len(after), len(before), err)
	}

	if err := r.ImportAccounts(t.Context(), []access.User{anna, user("bert")}, roles, note("import")); err != nil {
		t.Fatalf("ImportAccounts: %v", err)
	}
	fill.Revision = 2
	checkRole(t, r, fill)
	d := load(t, r)
	for _, u := range d.Users {
		if u.Name == "anna" {
			anna.ID, anna.Revision = u.ID, 1
		}
	}
	checkUser(t, r, anna)
	if len(d.Users) != 3 || len(d.Roles) != 2 {
		t.Errorf("%d users and %d roles, want 3 and 2", len(d.Users), len(d.Roles))
	}
	if after, err := r.Audit(t.Context(), access.AuditQuery{Limit: 100}); err != nil || len(after) != len(before)+1 {
		t.Errorf("%d audit rows, want one more than %d: %v", len(after), len(before), err)
	}
}
