package topic_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
	"hearthmq/broker/topic"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		filter, name string
		want         bool
	}{
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/tennis/player1/#", "sport/tennis/player10", false},
		{"sport/#", "sport", true},
		{"sport/#", "sport/", true},
		{"sport/#", "sports", false},
		{"#", "a", true},
		{"#", "/", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"+/tennis/#", "/tennis", true},
		{"a//b", "a//b", true},
		{"a//b", "a/b", false},
		{"a/+/b", "a//b", true},
		{"/", "/", true},
		{"+", "/", false},
		{"a", "A", false},
		{"a", "a/", false},
		{"a/", "a", false},
		{"a/b/#", "a", false},
		{"#", "$SYS", false},
		{"#", "$SYS/uptime", false},
		{"+", "$SYS", false},
		{"+/monitor/Clients", "$SYS/monitor/Clients", false},
		{"$SYS/#", "$SYS/monitor/Clients", true},
		{"$SYS/#", "$SYS", true},
		{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
		{"$SYS/+", "$SYS/$x", true},
		{"a/+", "a/$x", true},
		{"a/#", "a/$x/y", true},
		{"+/$x", "a/$x", true},
		{"$", "$", true},
		{"+", "$", false},
	} {
		var trie, names topic.Trie[string]
		trie.Set(c.filter, c.filter)
		names.Set(c.name, c.name)
		for by, got := range map[string]bool{
			"Match":       topic.Match(c.filter, c.name),
			"Trie.Match":  len(trie.MatchAppend(nil, c.name)) == 1,
			"Trie.Select": len(selected(&names, c.filter)) == 1,
			"the oracle":  matches(c.filter, c.name),
		} {
			if got != c.want {
				t.Errorf("%s says %v: filter %q, name %q", by, got, c.filter, c.name)
			}
		}
	}
}

func selected(t *topic.Trie[string], filter string) (names []string) {
	t.Select(filter, func(name, v string) bool { names = append(names, name); return name == v })
	return names
}

// All filters over small words, in one trie, against all names.
func TestMatchBruteForce(t *testing.T) {
	filters, names := allFilters(4, "a", "", "$x"), allNames(3, "a", "", "$x")
	var byFilter, byName topic.Trie[string]
	for _, f := range filters {
		byFilter.Set(f, f)
	}
	for _, n := range names {
		byName.Set(n, n)
	}
	for _, n := range names {
		var want []string
		for _, f := range filters {
			if matches(f, n) {
				want = append(want, f)
			}
			if topic.Match(f, n) != matches(f, n) {
				t.Fatalf("Match(%q, %q) = %v", f, n, !matches(f, n))
			}
		}
		same(t, "filters for "+n, byFilter.MatchAppend(nil, n), want)
	}
	for _, f := range filters {
		var want []string
		for _, n := range names {
			if matches(f, n) {
				want = append(want, n)
			}
		}
		same(t, "names for "+f, selected(&byName, f), want)
	}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %q, want %q", what, got, want)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("sport/#", "sport", "+/#")
	f.Add("+/monitor/Clients", "$SYS/monitor/Clients", "$SYS/#")
	f.Add("+/+", "/finance", "/+")
	f.Add("a//+", "a//", "#")
	f.Fuzz(func(t *testing.T, filter, name, other string) {
		got := topic.Match(filter, name) // no panic, whatever it is
		if topic.HasWildcard(filter) != strings.ContainsAny(filter, "+#") && topic.ValidFilter(filter) == nil {
			t.Fatalf("HasWildcard(%q)", filter)
		}
		if topic.ValidName(name) != nil {
			return
		}
		var trie, names topic.Trie[string]
		names.Set(name, name)
		want := 0
		for _, f := range []string{filter, other} {
			if _, twice := trie.Get(f); twice || topic.ValidFilter(f) != nil {
				continue
			}
			trie.Set(f, f)
			if matches(f, name) {
				want++
			}
			if topic.Match(f, name) != matches(f, name) || (len(selected(&names, f)) == 1) != matches(f, name) {
				t.Fatalf("filter %q, name %q: the oracle says %v", f, name, matches(f, name))
			}
		}
		if n := len(trie.MatchAppend(nil, name)); n != want {
			t.Fatalf("filters %q, %q, name %q: %d match, want %d (%v)", filter, other, name, n, want, got)
		}
		if topic.ValidFilter(filter) == nil && topic.ValidFilter(other) == nil {
			if matches(filter, name) && matches(other, name) && !topic.Overlaps(filter, other) {
				t.Fatalf("Overlaps(%q, %q) denies %q", filter, other, name)
			}
			if matches(filter, name) && !matches(other, name) && topic.Covers(other, filter) {
				t.Fatalf("Covers(%q, %q) in spite of %q", other, filter, name)
			}
		}
	})
}

func TestMatchDoesNotAllocate(t *testing.T) {
	deep := strings.Repeat("a/", topic.MaxLevels-1) + "a"
	var trie topic.Trie[int]
	for i, f := range []string{"#", "+/b/c", "a/b/c", "a/#", strings.Repeat("+/", topic.MaxLevels-1) + "+", deep} {
		trie.Set(f, i)
	}
	dst := make([]int, 0, 8)
	total := 0
	for what, f := range map[string]func(){
		"Match":            func() { topic.Match("a/+/#", "a/b/c") },
		"Trie.Match":       func() { trie.Match("a/b/c", func(v int) bool { total += v; return true }) },
		"Trie.MatchAppend": func() { dst = trie.MatchAppend(dst[:0], "a/b/c") },
		"128 levels":       func() { dst = trie.MatchAppend(dst[:0], deep) },
		"Get":              func() { trie.Get(deep) },
		"Select":           func() { trie.Select("+/b/#", func(string, int) bool { total++; return true }) },
		"ValidName":        func() { _ = topic.ValidName(deep) },
		"ValidFilter":      func() { _ = topic.ValidFilter("a/+/#") },
		"Covers":           func() { topic.Covers("a/#", deep) },
		"Overlaps":         func() { topic.Overlaps("+/#", deep) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	if len(dst) == 0 {
		t.Error("nothing matched")
	}
}

// What a client can send in one packet must neither take long nor much stack, also
// where nobody has called ValidName before.
func TestDeepNames(t *testing.T) { // case P7, CVE-2019-11779
	slashes := strings.Repeat("/", topic.MaxBytes)
	plus := strings.Repeat("+/", 32766) + "+"
	if topic.ValidName(slashes) == nil || topic.ValidFilter(plus) == nil || topic.ValidFilter(slashes) == nil {
		t.Error("accepted")
	}
	if err := topic.ValidFilter(strings.Repeat("+/", topic.MaxLevels-1) + "#"); err != nil {
		t.Error(err)
	}
	machine, start := brokertest.WatchMachine(), time.Now()
	var trie topic.Trie[string]
	for _, key := range []string{slashes, plus, strings.Repeat("/", 32766), plus + "/#", "#"} {
		trie.Set(key, key)
	}
	if n := len(trie.MatchAppend(nil, slashes)); n != 3 {
		t.Errorf("%d filters match 65,535 slashes, want 3", n)
	}
	if n := len(trie.MatchAppend(nil, strings.Repeat("/", 32766))); n != 4 {
		t.Errorf("%d filters match 32,766 slashes, want 4", n)
	}
	if !topic.Match(plus+"/#", slashes) || topic.Match(plus, slashes) || !topic.Covers(plus+"/#", slashes) || !topic.Overlaps(plus, slashes[:32766]) {
		t.Error("deep filters compare wrongly")
	}
	if got := selected(&trie, strings.Repeat("+/", 32766)+"#"); len(got) != 2 {
		t.Errorf("%d names selected, want 2", len(got))
	}
	topic.Remaining("#", []string{slashes, plus}, []string{plus + "/#"})
	for _, key := range []string{slashes, plus, strings.Repeat("/", 32766), plus + "/#", "#"} {
		if _, ok := trie.Delete(key); !ok {
			t.Error("not found")
		}
	}
	if d := time.Since(start); d > 2*time.Second {
		machine.Timing(t, "took %v", d)
	}
}

// bomb is 10,000 filters that all match one name of 14 levels.
func bomb() *topic.Trie[int] {
	var trie topic.Trie[int]
	for i := 0; trie.Len() < 10_000; i++ {
		var levels []string
		for bit := range 14 {
			levels = append(levels, []string{"+", "a"}[i>>bit&1])
		}
		trie.Set(strings.Join(levels, "/"), i)
	}
	return &trie
}

func TestSubscriptionBomb(t *testing.T) { // case R10
	trie := bomb()
	name := strings.Repeat("a/", 13) + "a"
	dst := make([]int, 0, 10_000)
	machine, best := brokertest.WatchMachine(), time.Hour
	for range 20 {
		start := time.Now()
		dst = trie.MatchAppend(dst[:0], name)
		best = min(best, time.Since(start))
	}
	if len(dst) != 10_000 {
		t.Errorf("%d match", len(dst))
	}
	if limit := time.Millisecond * raceFactor; best > limit {
		machine.Timing(t, "10,000 matches took %v", best)
	}
	t.Logf("10,000 matches in %v", best)
	if n := len(trie.MatchAppend(dst[:0], name+"/a")); n != 0 {
		t.Errorf("%d match a name that is one level longer", n)
	}
}

func ExampleTrie_Match() {
	var subscriptions topic.Trie[string]
	subscriptions.Set("home/+/light", "Ann")
	subscriptions.Set("home/#", "Ben")
	subscriptions.Set("garden/#", "Cleo")
	subscriptions.Match("home/kitchen/light", func(who string) bool {
		fmt.Println(who)
		return true
	})
	// Unordered output:
	// Ann
	// Ben
}
