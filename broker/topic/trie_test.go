package topic

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// check compares the whole inner state of t with the keys it should hold: no node,
// level text or value slot beyond what they need.
func (t *Trie[T]) check(tb testing.TB, keys map[string]T) {
	tb.Helper()
	if t.Len() != len(keys) {
		tb.Fatalf("Len() = %d, want %d", t.Len(), len(keys))
	}
	if len(keys) == 0 {
		if t.nodes != nil || t.vals != nil || t.levels.texts != nil || t.edges.slots != nil {
			tb.Fatal("an empty trie holds memory")
		}
		return
	}
	prefixes, texts := map[string]string{}, map[string]uint32{}
	for k := range keys {
		k = strings.TrimSuffix("/"+k, "/#") // one '/' before each level
		for k != "" {
			i := strings.LastIndexByte(k, '/')
			prefixes[k] = k[i+1:]
			k = k[:i]
		}
	}
	literal := 0
	for _, text := range prefixes {
		if text != "+" {
			texts[text]++
			literal++
		}
	}
	freeNodes := 0
	for n := t.free; n != 0; n = t.nodes[n].next {
		freeNodes++
	}
	if got := len(t.nodes) - 1 - freeNodes; got != len(prefixes) {
		tb.Fatalf("%d nodes, want %d", got, len(prefixes))
	}
	if t.edges.used != literal {
		tb.Fatalf("%d edges, want %d", t.edges.used, literal)
	}
	if got := len(t.vals) - 1 - len(t.spare); got != len(keys) {
		tb.Fatalf("%d values, want %d", got, len(keys))
	}
	if t.levels.used != len(texts) || len(t.levels.texts)-2-len(t.levels.free) != len(texts) {
		tb.Fatalf("%d level texts of %d, %d free, want %d", t.levels.used, len(t.levels.texts), len(t.levels.free), len(texts))
	}
	for text, refs := range texts {
		if id := t.levels.find(text); id == noLevel || t.levels.texts[id].refs != refs {
			tb.Fatalf("level %q is number %d, referred to %d times", text, id, refs)
		}
	}
	all := map[string]T{}
	t.All(func(k string, v T) bool { all[k] = v; return true })
	if !slices.Equal(slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(keys))) {
		tb.Fatalf("All visits %v, want %v", all, keys)
	}
}

// compare asks t and the plain map the same question.
func (t *Trie[T]) compare(tb testing.TB, keys map[string]string, question string) {
	tb.Helper()
	var matched, want []string
	t.Match(question, func(v T) bool { matched = append(matched, any(v).(string)); return true })
	for k, v := range keys {
		if Match(k, question) {
			want = append(want, v)
		}
	}
	slices.Sort(matched)
	slices.Sort(want)
	if !slices.Equal(matched, want) {
		tb.Fatalf("Match(%q) = %q, want %q in %q", question, matched, want, keys)
	}
	var selected []string
	want = want[:0]
	t.Select(question, func(name string, v T) bool { selected = append(selected, name+"="+any(v).(string)); return true })
	for k, v := range keys {
		if ValidName(k) == nil && Match(question, k) {
			want = append(want, k+"="+v)
		}
	}
	slices.Sort(selected)
	slices.Sort(want)
	if !slices.Equal(selected, want) {
		tb.Fatalf("Select(%q) = %q, want %q in %q", question, selected, want, keys)
	}
	v, ok := t.Get(question)
	if w, has := keys[question]; ok != has || any(v).(string) != w {
		tb.Fatalf("Get(%q) = %v, %v", question, v, ok)
	}
}

// run plays one operation for each word: ! sets, - deletes, all are asked for.
func run(tb *testing.T, script string) {
	var t Trie[string]
	keys := map[string]string{}
	for i, word := range strings.Fields(script) {
		op, key := word[0], word[1:]
		if ValidFilter(key) != nil {
			continue
		}
		switch op {
		case '!':
			v := strings.Repeat("v", i%7) + key
			t.Set(key, v)
			keys[key] = v
		case '-':
			v, ok := t.Delete(key)
			if want, has := keys[key]; ok != has || v != want {
				tb.Fatalf("Delete(%q) = %q, %v", key, v, ok)
			}
			delete(keys, key)
		}
		t.check(tb, keys)
		t.compare(tb, keys, key)
	}
	for k := range keys {
		if _, ok := t.Delete(k); !ok {
			tb.Fatalf("Delete(%q) finds nothing", k)
		}
		delete(keys, k)
		t.check(tb, keys)
	}
}

func FuzzTrie(f *testing.F) {
	f.Add("!a !a/b !a/# ?a !+ !# -a ?b -# ?$x !$x/+ ?$x/y -a/b -a/#")
	f.Add("!/ !/+ !+/+ ?/ ?/a !// -/ ?+/# !$SYS/# ?$SYS ?#")
	f.Add("!a/b/c/d -a/b/c/d !a/b !a/b/c/d -a/b ?a/+/c/# ?+/+/+/+")
	f.Add("!a !a !a -a -a !a/a/a/a -a/a !+/+ !+ -+/+ ?a/a")
	f.Fuzz(run)
}

// Random operations on a few hundred keys, enough to grow and shrink every table.
func TestTrieRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	texts := []string{"a", "b", "", "+", "$x", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
	random := func() string {
		var levels []string
		for range 1 + rnd.IntN(4) {
			levels = append(levels, texts[rnd.IntN(len(texts))])
		}
		if rnd.IntN(4) == 0 {
			levels = append(levels, "#")
		}
		return strings.Join(levels, "/")
	}
	var trie Trie[string]
	keys := map[string]string{}
	for i := range 40_000 {
		key := random()
		grows := i/5000%2 == 0
		if key == "" {
			continue
		}
		if (rnd.IntN(10) < 8) == grows {
			trie.Set(key, key)
			keys[key] = key
		} else {
			trie.Delete(key)
			delete(keys, key)
		}
		if i%1000 == 999 {
			trie.check(t, keys)
			for range 20 {
				if q := random(); q != "" {
					trie.compare(t, keys, q)
				}
			}
		}
	}
	t.Logf("%d keys, %d nodes", len(keys), len(trie.nodes))
	for k := range keys {
		trie.Delete(k)
	}
	trie.check(t, nil)
}

// Names that come and go for ever must not leave anything behind.
func TestTrieChurn(t *testing.T) {
	var trie Trie[int]
	trie.Set("stays", 1)
	for i := range 20_000 {
		name := "request/" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + "/" + string(rune(0x4e00+i%20000))
		trie.Set(name, i)
		trie.Delete(name)
	}
	trie.check(t, map[string]int{"stays": 1})
	if len(trie.nodes) > 8 || len(trie.vals) > 8 || len(trie.levels.texts) > 8 || len(trie.edges.slots) > 8 {
		t.Errorf("%d nodes, %d values, %d texts, %d edges", len(trie.nodes), len(trie.vals), len(trie.levels.texts), len(trie.edges.slots))
	}
}

func TestTrieStops(t *testing.T) {
	var trie Trie[int]
	for i, k := range []string{"#", "+", "a", "a/#", "+/#"} {
		trie.Set(k, i)
	}
	for stop := 1; stop <= 5; stop++ {
		calls := 0
		trie.Match("a", func(int) bool { calls++; return calls < stop })
		if calls != stop {
			t.Errorf("Match called visit %d times, want %d", calls, stop)
		}
		calls = 0
		trie.All(func(string, int) bool { calls++; return calls < stop })
		if calls != stop {
			t.Errorf("All called visit %d times, want %d", calls, stop)
		}
	}
	var names Trie[int]
	for i, k := range []string{"a", "a/b", "a/b/c", "b", "b/c"} {
		names.Set(k, i)
	}
	for filter, most := range map[string]int{"#": 5, "a/#": 3, "+": 2, "+/+": 2, "b/c": 1} {
		for stop := 1; stop <= most; stop++ {
			calls := 0
			names.Select(filter, func(string, int) bool { calls++; return calls < stop })
			if calls != stop {
				t.Errorf("Select(%q) called visit %d times, want %d", filter, calls, stop)
			}
		}
	}
}

// Readers share a read lock, so the race detector must see no write in them.
func TestTrieReadersTogether(t *testing.T) {
	var trie Trie[int]
	for i, k := range []string{"a/b", "a/+", "#", "a/#", "c"} {
		trie.Set(k, i)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if n := len(trie.MatchAppend(nil, "a/b")); n != 4 {
					t.Errorf("%d match", n)
				}
				trie.Select("+/#", func(string, int) bool { return true })
				trie.All(func(string, int) bool { return true })
				trie.Get("c")
			}
		})
	}
	wg.Wait()
}

func TestTrieZeroValue(t *testing.T) {
	var trie Trie[*int]
	trie.Match("a", func(*int) bool { t.Error("visited"); return true })
	trie.Select("#", func(string, *int) bool { t.Error("visited"); return true })
	trie.All(func(string, *int) bool { t.Error("visited"); return true })
	if _, ok := trie.Get("a"); ok {
		t.Error("Get finds something")
	}
	if _, ok := trie.Delete("a"); ok || trie.Len() != 0 {
		t.Error("Delete finds something")
	}
}
