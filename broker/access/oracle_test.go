package access

import (
	"math/rand/v2"
	"strings"
	"testing"

	"hearthmq/broker"
)

// naive says whether a filter matches a name, in the plainest way.
func naive(filter, name []string) bool {
	switch {
	case len(filter) == 1 && filter[0] == "#":
		return true
	case len(filter) == 0 || len(name) == 0:
		return len(filter) == len(name)
	case filter[0] != "+" && filter[0] != name[0]:
		return false
	}
	return naive(filter[1:], name[1:])
}

// names are all of up to depth levels over the letters.
func names(letters []string, depth int) [][]string {
	var all, last [][]string
	last = [][]string{nil}
	for range depth {
		var next [][]string
		for _, name := range last {
			for _, l := range letters {
				next = append(next, append(name[:len(name):len(name)], l))
			}
		}
		all, last = append(all, next...), next
	}
	return all
}

func randomFilter(r *rand.Rand) string {
	levels := make([]string, 1+r.IntN(3))
	for i := range levels {
		levels[i] = []string{"a", "b", "+"}[r.IntN(3)]
	}
	if r.IntN(3) == 0 {
		levels[len(levels)-1] = "#"
	}
	return strings.Join(levels, "/")
}

// Random rules against counting out: what may be received is exactly what some allow
// and no deny matches; a SUBSCRIBE is granted exactly when some of it may be received,
// and narrowed exactly when some may not (cases A3, A4, A6). Nothing outside the
// grants is ever delivered.
func TestAgainstCountingOut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	everything := names([]string{"a", "b", "z"}, 4)
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	for range rounds {
		var list []Rule
		for range 1 + r.IntN(5) {
			effect := Allow
			if r.IntN(3) == 0 {
				effect = Deny
			}
			list = append(list, NewRule(effect, ScopeSubscribe, randomFilter(r)))
		}
		set := newGrants("u", list, nil, nil).done().set(&broker.Identity{})
		filter := randomFilter(r)
		some, notAll := false, false
		for _, name := range everything {
			allowed, denied := false, false
			for _, rule := range list {
				if naive(strings.Split(rule.Filter, "/"), name) {
					allowed = allowed || rule.Effect == Allow
					denied = denied || rule.Effect == Deny
				}
			}
			want := allowed && !denied
			text := strings.Join(name, "/")
			if got := set.decide(broker.Receive, text); got.Allow != want {
				t.Fatalf("%s: receive %s = %+v, want %v", describeRules(list), text, got, want)
			}
			if naive(strings.Split(filter, "/"), name) {
				some = some || want
				notAll = notAll || !want
			}
		}
		got := set.decide(broker.Subscribe, filter)
		if got.Allow != some || got.Allow && got.Narrowed != notAll {
			t.Fatalf("%s: subscribe %s = %+v, want allow %v, narrowed %v", describeRules(list), filter, got, some, notAll)
		}
		if set.decide(broker.Publish, "a").Allow {
			t.Fatalf("%s: may publish", describeRules(list))
		}
	}
}

func TestLRU(t *testing.T) {
	l := newLRU[int, int](3)
	r := rand.New(rand.NewPCG(3, 4))
	var order []int // used last comes last
	use := func(k int) {
		for i, o := range order {
			if o == k {
				order = append(order[:i], order[i+1:]...)
				break
			}
		}
		order = append(order, k)
		order = order[max(0, len(order)-3):]
	}
	for i := range 2000 {
		k := r.IntN(6)
		if r.IntN(2) == 0 {
			l.put(k, i)
			use(k)
		} else if _, ok := l.get(k); ok {
			use(k)
		}
		if l.len() != len(order) || len(l.all()) != len(order) {
			t.Fatalf("step %d: %d entries, want %d", i, l.len(), len(order))
		}
		for j, k := range order {
			if e := l.entries[k]; e == nil || e.value != l.all()[len(order)-1-j] {
				t.Fatalf("step %d: %v is not in the order %v", i, l.all(), order)
			}
		}
	}
}
