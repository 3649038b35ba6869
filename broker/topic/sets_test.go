package topic_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"hearthmq/broker/topic"
)

// set is the bits of the names that a filter matches.
type set []uint64

func setOf(filter string, names []string) set {
	s := make(set, (len(names)+63)/64)
	for i, n := range names {
		if matches(filter, n) {
			s[i/64] |= 1 << (i % 64)
		}
	}
	return s
}

func (s set) or(o set) set {
	r := slices.Clone(s)
	for i := range o {
		r[i] |= o[i]
	}
	return r
}

// anyBit reports whether f leaves a bit in some word of the three sets.
func anyBit(a, b, c set, f func(a, b, c uint64) uint64) bool {
	for i := range a {
		if f(a[i], b[i], c[i]) != 0 {
			return true
		}
	}
	return false
}

func TestCoversOverlapsBruteForce(t *testing.T) { // case A4
	for _, alphabet := range [][]string{{"a", "", "$x"}, {"a", "b"}} {
		depth := 3
		if len(alphabet) == 2 {
			depth = 4
		}
		filters, names := allFilters(depth, alphabet...), allNames(depth, alphabet...)
		sets := make([]set, len(filters))
		for i, f := range filters {
			sets[i] = setOf(f, names)
		}
		for i, a := range filters {
			for j, b := range filters {
				covers := !anyBit(sets[i], sets[j], sets[j], func(a, b, _ uint64) uint64 { return b &^ a })
				if got := topic.Covers(a, b); got != covers {
					t.Fatalf("Covers(%q, %q) = %v", a, b, got)
				}
				overlaps := anyBit(sets[i], sets[j], sets[j], func(a, b, _ uint64) uint64 { return a & b })
				if got := topic.Overlaps(a, b); got != overlaps {
					t.Fatalf("Overlaps(%q, %q) = %v", a, b, got)
				}
			}
		}
		t.Logf("%q: %d filters, %d names", alphabet, len(filters), len(names))
	}
}

// checkRules compares Remaining and FullyAllowed with the sets.
func checkRules(t *testing.T, filter string, allow, deny []string, f, a, d set) {
	t.Helper()
	want := anyBit(f, a, d, func(f, a, d uint64) uint64 { return f & a &^ d })
	if got, exact := topic.Remaining(filter, allow, deny); got != want || !exact {
		t.Fatalf("Remaining(%q, %q, %q) = %v, %v", filter, allow, deny, got, exact)
	}
	want = !anyBit(f, a, d, func(f, a, d uint64) uint64 { return f &^ (a &^ d) })
	if got, exact := topic.FullyAllowed(filter, allow, deny); got != want || !exact {
		t.Fatalf("FullyAllowed(%q, %q, %q) = %v, %v", filter, allow, deny, got, exact)
	}
}

func TestRulesBruteForce(t *testing.T) { // case A4
	t.Run("one rule each, depth 2", func(t *testing.T) {
		alphabet := []string{"a", "", "$x"}
		filters, names := allFilters(2, alphabet...), allNames(2, alphabet...)
		for _, f := range filters {
			for _, a := range filters {
				for _, d := range filters {
					checkRules(t, f, []string{a}, []string{d}, setOf(f, names), setOf(a, names), setOf(d, names))
				}
			}
		}
	})
	t.Run("several rules, depth 3 and 4", func(t *testing.T) {
		rounds := 60_000
		if testing.Short() {
			rounds = 5_000
		}
		for _, depth := range []int{3, 4} {
			alphabet := []string{"a", "b", "", "$x"}
			if depth == 4 {
				alphabet = []string{"a", "$x"}
			}
			filters, names := allFilters(depth, alphabet...), allNames(depth, alphabet...)
			sets := make([]set, len(filters))
			for i, f := range filters {
				sets[i] = setOf(f, names)
			}
			rnd := rand.New(rand.NewPCG(1, uint64(depth)))
			pick := func(n int) (list []string, union set) {
				union = make(set, len(sets[0]))
				for range rnd.IntN(n + 1) {
					i := rnd.IntN(len(filters))
					list, union = append(list, filters[i]), union.or(sets[i])
				}
				return list, union
			}
			for range rounds {
				i := rnd.IntN(len(filters))
				allow, a := pick(5)
				deny, d := pick(5)
				checkRules(t, filters[i], allow, deny, sets[i], a, d)
			}
		}
	})
}

func TestRules(t *testing.T) {
	deep := strings.Repeat("a/", topic.MaxLevels-2) + "a"
	for _, c := range []struct {
		name, filter string
		allow, deny  []string
		remains, all bool
	}{
		{"no rules", "a", nil, nil, false, false},
		{"same", "a/b", []string{"a/b"}, nil, true, true},
		{"wider than allowed", "#", []string{"a/b/c"}, nil, true, false},             // case A3
		{"wider than allowed, levels", "a/+/#", []string{"a/b/c"}, nil, true, false}, // case A3
		{"outside", "b/#", []string{"a/#"}, nil, false, false},
		{"denied whole", "a/+", []string{"#"}, []string{"a/#"}, false, false},
		{"denied in part", "a/+", []string{"#"}, []string{"a/secret"}, true, false},
		{"two denies make a whole", "a/#", []string{"#"}, []string{"a", "a/+/#"}, false, false},
		{"two allows make a whole", "a/#", []string{"a", "a/+/#"}, nil, true, true},
		{"deny elsewhere", "a/#", []string{"#"}, []string{"b/#"}, true, true},
		{"allow everything hides $SYS", "$SYS/#", []string{"#"}, nil, false, false},
		{"deny everything spares $SYS", "$SYS/#", []string{"$SYS/#"}, []string{"#"}, true, true},
		{"everything is not $SYS", "#", []string{"#"}, []string{"$SYS/#"}, true, true},
		{"the empty name is none", "/#", []string{"/+/#"}, nil, true, true},
		{"the empty name is none, denied", "/#", []string{"/#"}, []string{"/+/#"}, false, false},
		{"a rule with NUL matches nothing", "#", []string{"a\x00/#"}, nil, false, false},
		{"no name is deeper than MaxLevels", deep + "/#", []string{deep + "/#"}, []string{deep, deep + "/+"}, false, false},
		{"as deep as MaxLevels", deep + "/#", []string{deep, deep + "/+"}, nil, true, true},
		{"malformed filter", "a/#/b", []string{"#"}, nil, false, true},
		{"malformed rules", "#", []string{"a+", "#/a"}, []string{"b#"}, false, false},
		{"malformed deny", "a", []string{"a"}, []string{"a#"}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, exact := topic.Remaining(c.filter, c.allow, c.deny); got != c.remains || !exact {
				t.Errorf("Remaining = %v, %v", got, exact)
			}
			if got, exact := topic.FullyAllowed(c.filter, c.allow, c.deny); got != c.all || !exact {
				t.Errorf("FullyAllowed = %v, %v", got, exact)
			}
		})
	}
}

// Rules that would need more states than there is memory for end in "don't know",
// which is the safe answer of both questions, within a bounded time.
func TestRulesGiveUp(t *testing.T) {
	// The search may not depend on how long filters are: a client chooses its own. What it
	// allocates says how much it did, on a busy machine too.
	for _, length := range []int{1, 30_000} {
		long := strings.Repeat("x", length)
		var deny []string
		for i := range 40 { // any subset of them can still be open after 40 levels
			levels := strings.Split(strings.Repeat("+/", 80)+"x", "/")
			levels[i] = "a"
			deny = append(deny, strings.Join(levels[:60+i%3], "/")+fmt.Sprintf("/%d/#", i))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		if remains, exact := topic.Remaining("+/#", []string{strings.Repeat("+/", 100) + long}, deny); !remains || exact {
			t.Errorf("Remaining = %v, %v", remains, exact)
		}
		if all, exact := topic.FullyAllowed(strings.Repeat("+/", 70)+long, []string{"#"}, deny); all || exact {
			t.Errorf("FullyAllowed = %v, %v", all, exact)
		}
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if b := after.TotalAlloc - before.TotalAlloc; b > 30<<20 {
			t.Errorf("levels of %d bytes: %d bytes allocated", length, b)
		}
		t.Logf("levels of %d bytes: gave up twice in %v with %d bytes", length, took, after.TotalAlloc-before.TotalAlloc)
	}
}

func TestManyRules(t *testing.T) {
	var allow, deny []string
	for i := range 5000 {
		allow = append(allow, fmt.Sprintf("room%d/+/state", i), fmt.Sprintf("home/device%d/#", i))
		deny = append(deny, fmt.Sprintf("room%d/#", i), fmt.Sprintf("home/device%d/#", i))
	}
	start := time.Now()
	if remains, exact := topic.Remaining("#", allow, deny); remains || !exact {
		t.Errorf("Remaining = %v, %v", remains, exact)
	}
	t.Logf("10,000 rules each way in %v", time.Since(start))
	if remains, exact := topic.Remaining("#", allow, deny[1:]); !remains || !exact {
		t.Errorf("one deny less: Remaining = %v, %v", remains, exact)
	}
}

func TestSubstitute(t *testing.T) { // case A1
	for _, c := range []struct {
		filter, user, client, want string
		ok                         bool
	}{
		{"a/b", "", "", "a/b", true},
		{"a/%u", "ann", "", "a/ann", true},
		{"a/%c/#", "", "c1", "a/c1/#", true},
		{"%u/%c/%u", "u", "c", "u/c/u", true},
		{"dev-%u.%c/+", "u", "c", "dev-u.c/+", true},
		{"a/%u", "b/c", "", "", false},
		{"a/%c/#", "u", "victim/x", "", false},
		{"a/%u", "%c", "x", "a/%c", true},
		{"a/%u/%c", "%u%c", "%u", "a/%u%c/%u", true},
		{"a/%u", "${username}", "", "a/${username}", true},
		{"a/%x/%/%%/%", "u", "c", "a/%x/%/%%/%", true},
		{"a/%%u", "u", "c", "a/%u", true},
		{"a/%u", "", "c", "", false},
		{"a/%c", "u", "", "", false},
		{"a/%u", "#", "", "", false},
		{"a/%u", "+", "", "", false},
		{"a/%u", "a/#", "", "", false},
		{"a/%u", "x+", "", "", false},
		{"a/%c", "u", "x\x00", "", false},
		{"a/b", "#", "+", "a/b", true},
	} {
		got, ok := topic.Substitute(c.filter, c.user, c.client)
		if ok != c.ok || got != c.want {
			t.Errorf("Substitute(%q, %q, %q) = %q, %v", c.filter, c.user, c.client, got, ok)
		}
	}
}
