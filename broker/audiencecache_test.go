package broker

import (
	"fmt"
	"testing"
)

// What is remembered of audiences holds for one state of subscriptions and rules alone (case A6),
// and within its bound, whatever the topics are called (case R10).
func TestAudiencesRemembered(t *testing.T) {
	var a audiences
	made := func(subs, rules uint64, size int) *audience { return &audience{subs: subs, rules: rules, size: size} }
	has := func(key string, subs, rules uint64) bool { return a.get([]byte(key), subs, rules) != nil }

	first := made(1, 1, 3)
	a.put([]byte("home"), first)
	if got := a.get([]byte("home"), 1, 1); got != first {
		t.Errorf("what was put there is not found again: %v", got)
	}
	if has("home", 2, 1) || has("home", 1, 2) || has("garden", 1, 1) {
		t.Error("found for other subscriptions, other rules or another key")
	}
	a.put([]byte("garden"), made(1, 1, 3))
	if !has("home", 1, 1) || !has("garden", 1, 1) {
		t.Error("the second pushed out the first")
	}
	for _, now := range []struct{ subs, rules uint64 }{{2, 1}, {2, 2}} {
		a.put([]byte("cellar"), made(now.subs, now.rules, 3))
		if len(a.made) != 1 || !has("cellar", now.subs, now.rules) {
			t.Errorf("with others %v: %d are remembered", now, len(a.made))
		}
	}

	most := 0
	for i := range 3 * audienceCacheSize / 100 {
		a.put([]byte(fmt.Sprint("room", i)), made(2, 2, 98))
		most = max(most, len(a.made))
		held := 0
		for _, who := range a.made {
			held += 2 + who.size
		}
		if held > audienceCacheSize || held > a.size {
			t.Fatalf("after %d: %d are remembered with %d receivers, counted as %d", i, len(a.made), held, a.size)
		}
	}
	if want := audienceCacheSize/100 + 1; most != want { // the cellar is one of them
		t.Errorf("%d fit, want %d", most, want)
	}
	a.put([]byte("hall"), made(2, 2, audienceCacheSize))
	if has("hall", 2, 2) || a.size != 0 {
		t.Error("one that is larger than all may be is remembered")
	}
	a.put(make([]byte, audienceCacheSize*targetBytes), made(2, 2, 1))
	if len(a.made) != 0 {
		t.Error("one with a key that is larger than all may be is remembered")
	}
	a.put([]byte("hall"), made(2, 2, audienceCacheSize-2))
	if !has("hall", 2, 2) || a.size != audienceCacheSize {
		t.Errorf("one that just fits is not remembered, or counts as %d", a.size)
	}
}

// plainClasses says that a name is a class of its own.
type plainClasses struct{ Authorizer }

func (plainClasses) AppendClass(dst []byte, name string) ([]byte, bool) {
	return append(dst, name...), true
}

// What is looked up tells apart whatever clients may call themselves and their topics: nobody
// chooses a name that gets it the receivers of another topic.
func TestAudienceKeysAreUnlike(t *testing.T) {
	b := &Broker{}
	b.deps.Authorizer = plainClasses{}
	b.subs.trie.Set("x", &subscribers{number: 0x6161616161616161}) // as the name aaaaaaaa
	seen := make(map[string]string)
	for _, clientID := range []string{"", "a", "ab", "abc", "\x00\x00\x00\x01"} {
		for _, name := range []string{"x", "xaaaaaaaa", "bc", "c", "abc", "\x00\x00\x00\x01x"} {
			var from *Session
			if clientID != "" {
				from = &Session{clientID: clientID}
				from.noLocal.Store(true)
			}
			key, known := b.audienceKey(nil, name, from)
			what := fmt.Sprintf("%q from %q", name, clientID)
			if !known || seen[string(key)] != "" {
				t.Errorf("%s: known %v, and is like %s", what, known, seen[string(key)])
			}
			seen[string(key)] = what
		}
	}
	same := &Session{clientID: "other"} // asked for nothing of its own
	if key, _ := b.audienceKey(nil, "x", same); seen[string(key)] != `"x" from ""` {
		t.Error("publishers that asked for nothing of their own don't share what is known")
	}
}

// case R10: a topic that more filters match than a key is good for is not remembered.
func TestAudienceKeysAreBounded(t *testing.T) {
	b := &Broker{}
	b.deps.Authorizer = plainClasses{}
	add := func(i int) {
		f := []byte("a/a/a/a/a/a/a/a/a/a")
		for bit := range 10 {
			if i>>bit&1 == 1 {
				f[2*bit] = '+'
			}
		}
		b.subs.trie.Set(string(f), &subscribers{number: uint64(i)})
	}
	for i := range maxAudienceFilters {
		add(i)
	}
	if key, known := b.audienceKey(nil, "a/a/a/a/a/a/a/a/a/a", nil); !known || len(key) < maxAudienceFilters*8 {
		t.Errorf("%d filters: known %v, a key of %d bytes", maxAudienceFilters, known, len(key))
	}
	for i := maxAudienceFilters; i < 2*maxAudienceFilters; i++ {
		add(i)
	}
	if key, known := b.audienceKey(nil, "a/a/a/a/a/a/a/a/a/a", nil); known || len(key) > maxAudienceFilters*8+100 {
		t.Errorf("%d filters: known %v, a key of %d bytes", 2*maxAudienceFilters, known, len(key))
	}
}
