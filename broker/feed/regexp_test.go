package feed

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

// redos are regular expressions that take others very long, most of them exponentially.
var redos = []string{
	`(a+)+$`, `([a-zA-Z]+)*$`, `(a|aa)+$`, `(a|a?)+$`, `(.*a){12}$`, `^(([a-z])+.)+[A-Z]([a-z])+$`, `(x+x+)+y`, `(a*)*b`,
	`((a{0,30}){0,30}){0,1}b`, strings.Repeat(`a?`, 300) + strings.Repeat(`a`, 300), strings.Repeat(`(a*)*`, 150) + `b`,
	strings.Repeat(`.{0,1000}`, 10) + `b`, strings.Repeat(`.{0,1000}`, 100) + `b`, `(.{0,900}b)`, `\pL{500}\pN{400}$`,
	strings.Repeat(`(`, 500) + strings.Repeat(`)`, 500), `[` + strings.Repeat(`\pL`, 300) + `]{300}`,
}

// case R11: whatever somebody looks for, a topic costs a bounded time: the engine does not
// go back, and what is too large for it is refused or looks at less.
func TestRegexpsEnd(t *testing.T) {
	value := []byte(strings.Repeat("a", 64<<10))
	name := strings.Repeat("a", 60_000) + "!"
	for _, text := range redos {
		m := brokertest.WatchMachine()
		begun := time.Now()
		f, err := newRegexp(text)
		if err == nil {
			f.matchTopic(name)
			f.matchValue(value)
		}
		if took := time.Since(begun); took > time.Second {
			m.Timing(t, "%.40s took %v", text, took)
		}
	}
	f, err := newRegexp(`^a+$`)
	if err != nil || !f.matchValue(value[:maxRegexpValue]) {
		t.Errorf("an ordinary one does not see the whole of a value: %v", err)
	}
	if _, err := newRegexp(strings.Repeat(`.{0,1000}`, 10)); err == nil {
		t.Error("ten thousand repetitions are taken")
	}
}

// case R11: a piece of text is found in time that grows with what is looked through, whatever
// both repeat, and found where it is.
func TestTextsEnd(t *testing.T) {
	long := strings.Repeat("a", maxFilter-1)
	value := []byte(strings.Repeat("A", 256<<10))
	for _, text := range []string{long + "b", "b" + long, strings.Repeat("ab", maxFilter/2-1) + "aa", strings.Repeat("a", 16), long[1:] + "\u00e9", strings.Repeat("+", maxFilter)} {
		f := newFilter(text)
		m, begun := brokertest.WatchMachine(), time.Now()
		for range 4 {
			if f.matchValue(value) != (text == strings.Repeat("a", 16)) {
				t.Fatalf("%.10s… is found", text)
			}
		}
		if took := time.Since(begun); took > time.Second { // a megabyte compared anew at each place: more
			m.Timing(t, "%.10s… took %v", text, took)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 { // few letters: they repeat
		value, needle := make([]byte, random.IntN(60)), make([]byte, shortNeedle+1+random.IntN(8))
		for _, b := range [][]byte{value, needle} {
			for i := range b {
				b[i] = "abAB"[random.IntN(4)]
			}
		}
		if random.IntN(2) == 0 && len(value) >= len(needle) {
			copy(value[random.IntN(len(value)-len(needle)+1):], needle)
		}
		want := strings.Contains(strings.ToLower(string(value)), strings.ToLower(string(needle)))
		if newFilter(string(needle)).matchValue(value) != want {
			t.Fatalf("%s in %s: want %v", needle, value, want)
		}
	}
	if f := newFilter(strings.Repeat("x", 100_000)); len(f.needle) != maxFilter {
		t.Errorf("%d bytes are looked for", len(f.needle))
	}
}

// case R11: there is no engine in the program that goes back.
func TestNoBacktrackingEngines(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "hearthmq/cmd/hearthmq").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		for _, engine := range []string{"regexp2", "pcre", "oniguruma", "jsonpath", "gojq", "otto", "goja", "expr-lang", "pongo2"} {
			if strings.Contains(dep, engine) {
				t.Errorf("%s: what it looks for is not bounded by RE2", dep)
			}
		}
	}
}

// A search that takes long goes on piece by piece, and ends.
func TestSearchInSlices(t *testing.T) {
	s := search{matched: make(map[*node]struct{})}
	for i := range 150 {
		s.todo = append(s.todo, &entry{topic: fmt.Sprint("t/", i), node: &node{id: uint32(i)}})
	}
	slow, err := newRegexp(strings.Repeat(`a?`, 300) + strings.Repeat(`a`, 300) + `|7$`)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.todo {
		e.last = []byte(strings.Repeat("a", 16<<10))
	}
	s.filter = slow
	rounds := 0
	for ; len(s.todo) > 0; rounds++ {
		begun, m := time.Now(), brokertest.WatchMachine()
		s.scan()
		if took := time.Since(begun); took > 5*time.Second {
			m.Timing(t, "a piece took %v", took)
		}
	}
	if len(s.matched) != 150 { // each has three hundred letters a, or more
		t.Errorf("found %d", len(s.matched))
	}
	if rounds < 2 {
		t.Errorf("done in %d piece", rounds)
	}
}
