package access

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"hearthmq/broker"
)

// Of several rules for one topic, each message is allowed that one of them allows by itself,
// with its QoS and RETAIN, and no rule denies: what one rule allows of the QoS and another of
// RETAIN does not add up to a third thing. Judged against the rules one by one.
func TestQoSAndRetainTogether(t *testing.T) {
	sorts := rules(t, "allow publish t", "allow publish t qos<=1", "allow publish t qos<=0", "allow publish t no-retain",
		"allow publish t qos<=1 no-retain", "allow publish t qos<=0 no-retain", "deny publish t retain", "deny publish t", "allow subscribe t")
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var own []Rule
		for range rng.IntN(4) + 1 {
			own = append(own, sorts[rng.IntN(len(sorts))])
		}
		d := stored(Policy{}, Data{Users: []User{{ID: 1, Name: "ann", Version: 1, Rules: own}}})
		got := d.Authorize(&broker.Identity{User: "ann", Version: 1}, broker.Publish, "t")
		for qos := range byte(3) {
			for _, retain := range []bool{false, true} {
				want := false
				for _, r := range own {
					want = want || r.Effect == Allow && r.Scope != ScopeSubscribe && (r.MaxQoS == AnyQoS || int(qos) <= int(r.MaxQoS)) && !(retain && r.Retain == No)
				}
				for _, r := range own {
					want = want && !(r.Effect == Deny && (r.Retain != Yes || retain))
				}
				if got.Permits(qos, retain) != want {
					t.Fatalf("%s: QoS %d, retained %v: %+v, want %v", describeRules(own), qos, retain, got, want)
				}
			}
		}
		if got.Allow != (got.Permits(0, false) || got.Permits(0, true)) {
			t.Fatal(fmt.Sprint(describeRules(own), " allows something, and no message: ", got))
		}
	}
}
