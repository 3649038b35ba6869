package feed

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"hearthmq/broker/topic"
)

// FuzzFilter compares with the shortest program that says the same.
func FuzzFilter(f *testing.F) {
	f.Add("kitchen", "home/Kitchen", []byte("21"))
	f.Add("home/#", "home/x", []byte(nil))
	f.Add("ÄB", "x", []byte("äb"))
	f.Add("a+b", "a+b", []byte("\xff"))
	ascii := func(s []byte) []byte {
		out := bytes.Clone(s)
		for i, c := range out {
			if 'A' <= c && c <= 'Z' {
				out[i] = c | 0x20
			}
		}
		return out
	}
	f.Fuzz(func(t *testing.T, text, name string, value []byte) {
		x := newFilter(text)
		trimmed := strings.TrimSpace(text)
		if trimmed == "" {
			if x != nil {
				t.Fatal("nothing to look for")
			}
			return
		}
		if len(trimmed) > maxFilter {
			return
		}
		got := x.matchTopic(name) || x.matchValue(value)
		var want bool
		switch {
		case strings.ContainsAny(trimmed, "+#") && topic.ValidFilter(trimmed) == nil && topic.HasWildcard(trimmed):
			want = topic.Match(trimmed, name)
		case strings.IndexFunc(trimmed, func(r rune) bool { return r >= utf8.RuneSelf }) < 0:
			n := ascii([]byte(trimmed))
			want = bytes.Contains(ascii([]byte(name)), n) || bytes.Contains(ascii(value), n)
		default:
			n := bytes.ToLower([]byte(trimmed))
			want = bytes.Contains(bytes.ToLower([]byte(name)), n) || bytes.Contains(bytes.ToLower(value), n)
		}
		if got != want {
			t.Errorf("filter %q topic %q value %q: %v, want %v", text, name, value, got, want)
		}
	})
}

func FuzzQuoted(f *testing.F) {
	f.Add("a\x00\"\\\n\u2028</script>")
	f.Add("\xff\xc3")
	f.Fuzz(func(t *testing.T, s string) {
		q := appendQuoted(nil, s)
		var back string
		if err := json.Unmarshal(q, &back); err != nil {
			t.Fatalf("%q: %v", q, err)
		}
		want := string([]rune(s)) // invalid bytes become U+FFFD each
		if back != want {
			t.Errorf("%q became %q", s, back)
		}
		if utf8.ValidString(s) && len(q) != quotedLen([]byte(s)) {
			t.Errorf("%q: length %d, foretold %d", s, len(q), quotedLen([]byte(s)))
		}
	})
}

func TestRate(t *testing.T) {
	const second = int64(1e9)
	var w window
	at := 1_000_000 * second
	first := at
	for range 300 { // 10 a second for 30 s
		w.add(at)
		at += second / 10
	}
	if got := w.perSecond(at, first); got < 9.5 || got > 10.5 {
		t.Errorf("rate %v, want 10", got)
	}
	if got := w.perSecond(at+30*second, first); got != 0 {
		t.Errorf("rate %v long after the last message", got)
	}
	var young window
	young.add(at)
	young.add(at)
	if got := young.perSecond(at+second, at); got != 2 {
		t.Errorf("rate %v of two messages in the first second", got)
	}
}
