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
