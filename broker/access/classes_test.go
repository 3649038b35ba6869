package access

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"hearthmq/broker"
)

// What was decided for one name of a class holds for all of it: random rules of some
// users, clients that turn up one after the other, and for each name the decisions that
// the class brought against what each rule says by itself.
func TestClassesAgainstCountingOut(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	everything := names([]string{"a", "b", "z", "u1", "c2"}, 3)
	rounds := 40
	if testing.Short() {
		rounds = 15
	}
	for range rounds {
		d := NewDirectory(Policy{})
		data := &Data{}
		for u := range 4 {
			user := User{ID: int64(u + 1), Name: fmt.Sprint("u", u), Version: 1}
			for range 1 + r.IntN(5) {
				effect := []Effect{Allow, Allow, Deny}[r.IntN(3)]
				rule := NewRule(effect, ScopeBoth, randomFilter(r))
				if r.IntN(3) == 0 {
					rule.Filter = []string{"%u/#", "a/%c", "+/%u", "%c/+/#", "a/%u/%c"}[r.IntN(5)]
				}
				if r.IntN(4) == 0 {
					rule.Listener = "inside"
				}
				if r.IntN(4) == 0 {
					rule.Network = netip.MustParsePrefix("10.0.0.0/9")
				}
				user.Rules = append(user.Rules, rule)
			}
			data.Users = append(data.Users, user)
		}
		d.swap(data)
		var ids []*broker.Identity
		made := make(map[string][]bool)
		for range 60 {
			if r.IntN(6) == 0 {
				ids = append(ids, &broker.Identity{User: fmt.Sprint("u", r.IntN(4)), ClientID: fmt.Sprint("c", r.IntN(5)),
					Listener: []string{"inside", "outside"}[r.IntN(2)],
					Remote:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(2) * 200), 0, 1}), 1),
					Version:  1,
				})
			}
			name := strings.Join(everything[r.IntN(len(everything))], "/")
			before, ok := d.AppendClass(nil, name)
			if !ok {
				t.Fatal("no classes")
			}
			var asked, want []bool
			for _, id := range ids {
				asked = append(asked, d.Authorize(id, broker.Receive, name).Allow)
				want = append(want, countedOut(data, id, name))
			}
			if remembered, ok := made[string(before)]; ok && !slices.Equal(remembered, want[:len(remembered)]) {
				t.Fatalf("%s: the class says %v, want %v", name, remembered, want)
			}
			if !slices.Equal(asked, want) {
				t.Fatalf("%s: %v, want %v", name, asked, want)
			}
			if after, _ := d.AppendClass(nil, name); string(after) == string(before) {
				made[string(before)] = asked
			}
		}
	}
}

// countedOut decides without anything compiled.
func countedOut(data *Data, id *broker.Identity, name string) bool {
	allowed, denied := false, false
	for _, u := range data.Users {
		for _, rule := range u.Rules {
			filter := strings.NewReplacer("%u", id.User, "%c", id.ClientID).Replace(rule.Filter)
			if u.Name != id.User || rule.Listener != "" && rule.Listener != id.Listener ||
				rule.Network.IsValid() && !rule.Network.Contains(id.Remote.Addr()) ||
				!naive(strings.Split(filter, "/"), strings.Split(name, "/")) {
				continue
			}
			allowed = allowed || rule.Effect == Allow
			denied = denied || rule.Effect == Deny
		}
	}
	return allowed && !denied
}

// Names that no rule tells apart are one class, of whatever number of rules.
func TestClassesAreFew(t *testing.T) {
	d := NewDirectory(Policy{})
	data := &Data{}
	for u := range 50 {
		data.Users = append(data.Users, User{ID: int64(u + 1), Name: fmt.Sprint("user", u), Version: 1, Rules: []Rule{
			NewRule(Allow, ScopeBoth, "home/%u/#"), NewRule(Allow, ScopeBoth, "home/+/%c"), NewRule(Allow, ScopeSubscribe, "home/+/state"),
		}})
	}
	d.swap(data)
	seen := make(map[string]bool)
	for i := range 200 {
		name := fmt.Sprintf("home/room%d/state", i)
		for u := range 50 {
			if !d.Authorize(&broker.Identity{User: fmt.Sprint("user", u), ClientID: fmt.Sprint("c", u), Version: 1}, broker.Receive, name).Allow {
				t.Fatal("denied")
			}
		}
		class, _ := d.AppendClass(nil, name)
		seen[string(class)] = true
	}
	if len(seen) != 1 {
		t.Errorf("%d classes of 200 topics that are alike, want 1", len(seen))
	}
}
