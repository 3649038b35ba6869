package access

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

// case R11: what a user may be seen doing at most, in names that tell as little as they can,
// becomes rules in a moment.
func TestHardNamesAreLearned(t *testing.T) {
	levels := func(i, n int) string {
		parts := make([]string, n)
		for at := range parts {
			parts[at] = string(rune('a' + (i>>(at%11)+at*i)%3))
		}
		return strings.Join(parts, "/")
	}
	var f facts
	for i := range maxFacts {
		f.Publish = append(f.Publish, levels(i, 1+i%60))
		f.Subscribe = append(f.Subscribe, strings.ReplaceAll(levels(i, 1+i%60), "a", "+"))
	}
	m, begun := brokertest.WatchMachine(), time.Now()
	rules := rulesFor(f)
	if took := time.Since(begun); took > 10*time.Second {
		m.Timing(t, "it took %v", took)
	}
	if len(rules) == 0 || len(rules) > maxProposed {
		t.Errorf("%d rules", len(rules))
	}
}

// case R11: a rule with many places for a client's name makes no filter that is longer than a
// topic can be, and decides nothing.
func TestSubstitutionsAreBounded(t *testing.T) {
	id := strings.Repeat("c/", 30_000) // a deny takes slashes, too
	for _, effect := range []Effect{Allow, Deny} {
		r := NewRule(effect, ScopeBoth, strings.Repeat("%c", 20_000))
		if filter, ok := substitute(r, "lamp", id); ok || filter != "" {
			t.Errorf("%v: a filter of %d bytes", effect, len(filter))
		}
	}
	if filter, ok := substitute(NewRule(Deny, ScopeBoth, "x/%c#"[:4]), "lamp", "a/b"); !ok || filter != "x/a/b" {
		t.Errorf("%q, %v", filter, ok)
	}
}

// case R11: the way to a claim is walked once, however long it or the token is.
func TestHardClaimsEnd(t *testing.T) {
	depth := maxWebTokenBytes / len(`{"a":`)
	var all map[string]any
	if err := json.Unmarshal([]byte(strings.Repeat(`{"a":`, depth)+`"x"`+strings.Repeat("}", depth)), &all); err != nil {
		t.Fatal(err)
	}
	m, begun := brokertest.WatchMachine(), time.Now()
	for path, want := range map[string]string{
		strings.TrimSuffix(strings.Repeat("a.", depth), "."): "[x]", strings.Repeat("a.", 100_000): "[]", strings.Repeat(".", 100_000): "[]", "a": "[]", "": "[]",
	} {
		if got := fmt.Sprint(claimTexts(all, path)); got != want {
			t.Errorf("%.20s…: %s, want %s", path, got, want)
		}
	}
	if took := time.Since(begun); took > 2*time.Second {
		m.Timing(t, "it took %v", took)
	}
	long := "eyJ" + strings.Repeat("a", maxWebTokenBytes) + ".a.a"
	if looksLikeToken([]byte(long)) || !looksLikeToken([]byte("eyJa.a.a")) {
		t.Error("a token has no bound")
	}
}
