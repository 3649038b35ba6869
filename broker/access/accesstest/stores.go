// Package accesstest holds the tests that every access.Repository passes.
package accesstest

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// Open returns an empty Repository that lives until the test ends.
type Open func(tb testing.TB) access.Repository

// TestRepository runs all of them. Each opens a Repository of its own.
func TestRepository(t *testing.T, open Open) {
	tests := []struct {
		name string
		test func(*testing.T, access.Repository)
	}{
		{"an empty one", testEmpty},
		{"a user comes back whole", testUserWhole},
		{"a role comes back whole", testRoleWhole},
		{"every sort of rule comes back", testRules},
		{"names are exact and unique", testNames},
		{"lists are sorted by bytes", testSorted},
		{"an update replaces everything", testUpdateUser},
		{"an update of a role replaces everything", testUpdateRole},
		{"the second of two edits is told", testConflict},
		{"what is gone is not found", testNotFound},
		{"a failed change leaves nothing", testAtomic},
		{"a deleted user leaves nothing", testDeleteUser},
		{"a deleted role leaves its users", testDeleteRole},
		{"the audit", testAudit},
		{"pages of the audit", testAuditQuery},
		{"learning", testLearning},
		{"the data version", testDataVersion},
		{"an import is all or nothing", testImport},
		{"many at a time", testConcurrent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

var at = time.Date(2026, 11, 21, 8, 30, 15, 123_000_000, time.UTC)

func note(action string) access.AuditEntry {
	return access.AuditEntry{At: at, Actor: "test", Action: action, Object: "x"}
}

func user(name string) access.User {
	return access.User{
		Name: name, Kind: access.Chosen, Hash: "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$c3Vtc3Vtc3Vtc3Vtc3Vt",
		Version: 1, Created: at, Changed: at,
	}
}

// hostile are texts that a careless database layer would change.
var hostile = []string{"it's", `"quoted"`, "%_;--", "çäö😀", "A", "a", "a b", "\\", "tab\there", "NULL"}

func testEmpty(t *testing.T, r access.Repository) {
	if d := load(t, r); len(d.Users) != 0 || len(d.Roles) != 0 {
		t.Errorf("Load of an empty repository = %+v", d)
	}
	if list, err := r.Audit(t.Context(), access.AuditQuery{Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("Audit = %v, %v", list, err)
	}
}

func testUserWhole(t *testing.T, r access.Repository) {
	insertRole(t, r, access.Role{Name: "b"})
	insertRole(t, r, access.Role{Name: "a"})
	want := access.User{
		Name: "kitchen", Kind: access.Generated, Hash: "$sha256$x$y", Secret: "clear", Disabled: true, Admin: true, System: true,
		Note: "line one\nline 'two'", Roles: []string{"b", "a"},
		Rules: []access.Rule{
			access.NewRule(access.Allow, access.ScopeBoth, "b/%u/#"),
			access.NewRule(access.Deny, access.ScopePublish, "a/+/%c"),
		},
		Limits:   broker.Limits{Connections: 2, MessageRate: 0.5, RetainedBytes: 1 << 40},
		Networks: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fd00::/8")},
		Version:  1 << 40, Created: at, Changed: at.Add(time.Hour),
	}
	id := insertUser(t, r, want)
	want.ID, want.Revision = id, 1
	want.Roles = []string{"a", "b"}
	checkUser(t, r, want)
}

func testRoleWhole(t *testing.T, r access.Repository) {
	want := access.Role{
		Name: "sensors", Description: "what\nsensors 'may'", Builtin: true,
		Rules: []access.Rule{access.NewRule(access.Allow, access.ScopePublish, "sensors/%u/#")},
	}
	want.ID, want.Revision = insertRole(t, r, want), 1
	checkRole(t, r, want)
	plain := access.Role{Name: "empty"}
	plain.ID, plain.Revision = insertRole(t, r, plain), 1
	checkRole(t, r, plain)
}

func testRules(t *testing.T, r access.Repository) {
	var rules []access.Rule
	for _, text := range []string{
		"allow both #", "deny publish a/b/+", "allow subscribe $SYS/#", `allow publish "living room/#"`,
		"allow both x qos<=0", "allow both x qos<=1 no-retain", "deny publish x retain",
		"allow both x listener=mqtts", "allow both x from=192.168.1.0/24", "allow both x from=fd00::/8",
		"deny both x listener=ws from=10.0.0.1/32",
	} {
		rule, err := access.ParseRule(text)
		if err != nil {
			t.Fatalf("ParseRule(%q): %v", text, err)
		}
		rules = append(rules, rule)
	}
	rules = append(rules, rules[0]) // twice the same is not the repository's business
	role := access.Role{Name: "r", Rules: rules}
	role.ID, role.Revision = insertRole(t, r, role), 1
	checkRole(t, r, role)
	u := user("u")
	u.Rules = rules
	u.ID, u.Revision = insertUser(t, r, u), 1
	checkUser(t, r, u)

	seen := make(map[int64]bool)
	d := load(t, r)
	for _, rule := range slices.Concat(d.Users[0].Rules, d.Roles[0].Rules) {
		if rule.ID <= 0 || seen[rule.ID] {
			t.Errorf("the ID %d of rule %q is not its own", rule.ID, rule)
		}
		seen[rule.ID] = true
	}
}

func testNames(t *testing.T, r access.Repository) {
	for _, name := range hostile {
		insertUser(t, r, user(name))
		insertRole(t, r, access.Role{Name: name})
	}
	for _, name := range hostile {
		if _, err := r.InsertUser(t.Context(), user(name), note("again")); !errors.Is(err, access.ErrExists) {
			t.Errorf("second user %q: %v, want ErrExists", name, err)
		}
		if _, err := r.InsertRole(t.Context(), access.Role{Name: name}, note("again")); !errors.Is(err, access.ErrExists) {
			t.Errorf("second role %q: %v, want ErrExists", name, err)
		}
	}
	if d := load(t, r); len(d.Users) != len(hostile) || len(d.Roles) != len(hostile) {
		t.Errorf("%d users and %d roles, want %d each", len(d.Users), len(d.Roles), len(hostile))
	}
}

func testSorted(t *testing.T, r access.Repository) {
	for _, name := range hostile {
		insertUser(t, r, user(name))
		insertRole(t, r, access.Role{Name: name})
	}
	want := slices.Sorted(slices.Values(hostile))
	var users, roles []string
	d := load(t, r)
	for _, u := range d.Users {
		users = append(users, u.Name)
	}
	for _, role := range d.Roles {
		roles = append(roles, role.Name)
	}
	if diff := cmp.Diff(want, users); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, roles); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
}

func load(t *testing.T, r access.Repository) *access.Data {
	t.Helper()
	d, err := r.Load(t.Context())
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return d
}

func insertUser(t *testing.T, r access.Repository, u access.User) int64 {
	t.Helper()
	id, err := r.InsertUser(t.Context(), u, note("user created"))
	if err != nil || id <= 0 {
		t.Fatalf("InsertUser(%q) = %d, %v", u.Name, id, err)
	}
	return id
}

func insertRole(t *testing.T, r access.Repository, role access.Role) int64 {
	t.Helper()
	id, err := r.InsertRole(t.Context(), role, note("role created"))
	if err != nil || id <= 0 {
		t.Fatalf("InsertRole(%q) = %d, %v", role.Name, id, err)
	}
	return id
}

// checkUser compares everything but the rules' IDs.
func checkUser(t *testing.T, r access.Repository, want access.User) {
	t.Helper()
	for _, got := range load(t, r).Users {
		if got.Name == want.Name {
			if diff := cmp.Diff(want, got, loose...); diff != "" {
				t.Errorf("user %q (-want +got):\n%s", want.Name, diff)
			}
			return
		}
	}
	t.Errorf("user %q is not there", want.Name)
}

func checkRole(t *testing.T, r access.Repository, want access.Role) {
	t.Helper()
	for _, got := range load(t, r).Roles {
		if got.Name == want.Name {
			if diff := cmp.Diff(want, got, loose...); diff != "" {
				t.Errorf("role %q (-want +got):\n%s", want.Name, diff)
			}
			return
		}
	}
	t.Errorf("role %q is not there", want.Name)
}

// loose compares rules by what they say, times as moments, empty lists as none.
var loose = []cmp.Option{
	cmp.Comparer(func(a, b access.Rule) bool { a.ID, b.ID = 0, 0; return a == b }),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Transformer("names", func(s []string) [1]string {
		var all [1]string
		for _, name := range s {
			all[0] += name + "\n"
		}
		return all
	}),
	cmp.FilterValues(func(a, b []access.Rule) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore()),
}

func testConcurrent(t *testing.T, r access.Repository) {
	insertRole(t, r, access.Role{Name: "role"})
	var wg sync.WaitGroup
	ctx := context.WithoutCancel(t.Context())
	for i := range 8 {
		wg.Go(func() {
			u := user(string(rune('a' + i)))
			u.Roles = []string{"role"}
			if _, err := r.InsertUser(ctx, u, note("user created")); err != nil {
				t.Errorf("InsertUser: %v", err)
			}
		})
		wg.Go(func() {
			if _, err := r.Load(ctx); err != nil {
				t.Errorf("Load: %v", err)
			}
		})
	}
	wg.Wait()
	if d := load(t, r); len(d.Users) != 8 {
		t.Errorf("%d users, want 8", len(d.Users))
	}
}
