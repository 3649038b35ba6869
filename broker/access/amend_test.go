package access

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// Rules and roles are added and taken away in one change each, whatever else a user has.
func TestAmend(t *testing.T) {
	a, d := open(t, Policy{Logins: []Login{{Username: "panel", Password: "x"}}})
	create(t, a, NewUser{Name: "ann", Password: "x", Roles: []string{RoleReadOnly}, Rules: rules(t, "allow both a", "deny publish b")})
	r := new(told)
	a.SetRevalidator(r)
	of := func() string {
		u, _ := d.User("ann")
		return describeUser(u)
	}
	check(t, a.AmendRules(t.Context(), "ann", rules(t, "allow both a", "allow publish c qos<=1", "allow publish c qos<=1"), rules(t, "deny publish b")))
	r.want(t, "ann")
	if got := of(); got != "roles: read-only; rules: allow both a, allow publish c qos<=1" {
		t.Error(got)
	}
	check(t, a.AmendRoles(t.Context(), "ann", []string{RoleEverything, RoleEverything}, []string{RoleReadOnly}))
	if got := of(); got != "roles: everything; rules: allow both a, allow publish c qos<=1" {
		t.Error(got)
	}
	page, _, err := a.Audit(t.Context(), AuditQuery{Limit: 2})
	if err != nil || page[0].Before != page[1].After || page[0].After != of() || page[1].Before != "roles: read-only; rules: allow both a, deny publish b" {
		t.Errorf("audit: %+v, %v", page, err)
	}
	before := of()
	wantProblem(t, a.AmendRules(t.Context(), "ann", nil, rules(t, "allow publish c")), "rules") // it has another highest QoS
	wantProblem(t, a.AmendRules(t.Context(), "ann", rules(t, "allow both x listener=nowhere"), nil), "rules")
	wantProblem(t, a.AmendRules(t.Context(), "ann", rules(t, "allow both x"), rules(t, "allow both y")), "rules")
	wantProblem(t, a.AmendRoles(t.Context(), "ann", []string{"king"}, nil), "roles")
	wantProblem(t, a.AmendRoles(t.Context(), "ann", []string{RoleReadOnly}, []string{"king"}), "roles")
	if of() != before {
		t.Errorf("what was refused changed something: %s", of())
	}
	for _, name := range []string{HomeAssistantUser, "panel"} {
		wantProblem(t, a.AmendRules(t.Context(), name, rules(t, "allow both x"), nil), "name")
		wantProblem(t, a.AmendRoles(t.Context(), name, []string{RoleReadOnly}, nil), "name")
	}
	for _, err := range []error{
		a.AmendRules(t.Context(), "bob", rules(t, "allow both x"), nil), a.AmendRoles(t.Context(), "bob", []string{RoleReadOnly}, nil),
		a.AmendRole(t.Context(), "king", rules(t, "allow both x"), nil),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("of nobody: %v", err)
		}
	}
	check(t, a.AmendRole(t.Context(), RoleAnonymous, rules(t, "allow publish door", "allow publish gate"), nil))
	check(t, a.AmendRole(t.Context(), RoleAnonymous, nil, rules(t, "allow publish door")))
	if role, _ := d.Role(RoleAnonymous); describeRules(role.Rules) != "allow publish gate" || role.Description == "" {
		t.Errorf("the role: %+v", role)
	}
	wantProblem(t, a.AmendRole(t.Context(), RoleEverything, rules(t, "allow publish door"), nil), "name")
}

// Several commands at the same moment, each in a process of its own: nothing is lost, and
// nobody is told of a conflict.
func TestAmendTogether(t *testing.T) {
	repo := NewMemoryRepository()
	var processes []*Accounts
	for range 3 {
		a := NewAccounts(repo, NewDirectory(Policy{Hashing: cheap}), nil, nil)
		check(t, a.Open(t.Context()))
		processes = append(processes, a)
	}
	create(t, processes[0], NewUser{Name: "ann", Password: "x"})
	for _, a := range processes {
		_, err := a.Refresh(t.Context())
		check(t, err)
	}
	const each = 20
	var want []string
	var group sync.WaitGroup
	for i, a := range processes {
		var own []string
		for k := range each {
			own = append(own, fmt.Sprintf("allow publish p%d/%d", i, k))
		}
		want = append(want, own...)
		adds := rules(t, own...)
		group.Go(func() {
			for _, r := range adds {
				if err := a.AmendRules(t.Context(), "ann", []Rule{r}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	_, err := processes[0].Refresh(t.Context())
	check(t, err)
	u, _ := processes[0].dir.User("ann")
	var got []string
	for _, r := range u.Rules {
		got = append(got, r.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d rules of %d: %v", len(got), len(want), got)
	}
}
