package access

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"hearthmq/broker"
)

// What is proposed for a denial allows it, and over all names of a small alphabet nothing
// else than the proposed rule says, whatever rules the user has. Nothing is proposed only
// where a deny is in the way.
func TestProposalsAllowWhatWasDenied(t *testing.T) {
	const rounds = 400
	r := rand.New(rand.NewPCG(11, 12))
	var all []string
	for _, levels := range names([]string{"a", "b", "z"}, 3) {
		all = append(all, strings.Join(levels, "/"))
	}
	proposed := 0
	for range rounds {
		d := NewDirectory(Policy{Hashing: Hashing{Cost: Cost{Time: 1, MemoryKiB: 8, Threads: 1}}})
		a := NewAccounts(NewMemoryRepository(), d, nil, nil)
		if err := a.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		var rules []Rule
		for range r.IntN(4) {
			effect := Allow
			if r.IntN(3) == 0 {
				effect = Deny
			}
			rules = append(rules, NewRule(effect, Scope(1+r.IntN(3)), randomFilter(r)))
		}
		if _, _, err := a.CreateUser(t.Context(), NewUser{Name: "u", Generate: true, Rules: rules}); err != nil {
			t.Fatal(err)
		}
		id := &broker.Identity{User: "u", ClientID: "c"}
		n, act := Denial{User: "u", ClientID: "c", Action: "publish", Topic: all[r.IntN(len(all))]}, broker.Publish
		if r.IntN(2) == 0 {
			n.Action, n.Topic, act = "subscribe", randomFilter(r), broker.Subscribe
		}
		if d.Authorize(id, act, n.Topic).Allow {
			continue
		}
		p, ok := d.Proposal(n)
		if !ok {
			if !slices.ContainsFunc(rules, func(x Rule) bool { return x.Effect == Deny }) {
				t.Fatalf("nothing is proposed for %v with %v", n, describeRules(rules))
			}
			continue
		}
		proposed++
		rights := func() (list [][2]bool) {
			for _, name := range all {
				list = append(list, [2]bool{d.Authorize(id, broker.Publish, name).Allow, d.Authorize(id, broker.Receive, name).Allow})
			}
			return list
		}
		before := rights()
		if err := a.AddRules(t.Context(), p.User, []Rule{p.Rule}); err != nil {
			t.Fatal(err)
		}
		if now := d.Authorize(id, act, n.Topic); !now.Allow {
			t.Fatalf("%v stays denied after %v: %+v; %s", n, p, now, describeRules(rules))
		}
		for i, now := range rights() {
			for k, of := range []broker.Action{broker.Publish, broker.Subscribe} {
				if now[k] == before[i][k] {
					continue
				}
				if !now[k] || act != of || !naive(strings.Split(p.Rule.Filter, "/"), strings.Split(all[i], "/")) {
					t.Fatalf("%s, %v: %v became %v by %v", all[i], of, before[i][k], now[k], p)
				}
			}
		}
	}
	if proposed < rounds/2 {
		t.Errorf("%d of %d rounds had a proposal", proposed, rounds)
	}
}
