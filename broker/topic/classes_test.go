package topic

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// What a class was called says for which filters it was: no other state has the same
// name for it, of the same Classes or others, so that a name that was looked up before
// a filter was learnt can't be taken for one of after it.
func TestClassesOfStatesDiffer(t *testing.T) {
	epochs := new(atomic.Uint64)
	seen := make(map[string]bool)
	for range 2 {
		c := NewClasses(epochs)
		for i := range 10 {
			filters := []string{fmt.Sprint("other/", i)}
			c.Learn(filters)
			class, _ := c.Append(nil, "a")
			if seen[string(class)] {
				t.Fatalf("%x once more", class)
			}
			seen[string(class)] = true
			c.Learn(filters)
			if again, _ := c.Append(nil, "a"); string(again) != string(class) {
				t.Fatalf("%x, after nothing new was learnt %x", class, again)
			}
		}
	}
}

// Beyond their bound there are no classes any more, and they say so.
func TestClassesAreBounded(t *testing.T) {
	c := NewClasses(new(atomic.Uint64))
	var filters []string
	for i := range maxClassFilters {
		filters = append(filters, fmt.Sprint("client", i))
	}
	c.Learn(filters)
	if _, ok := c.Append(nil, "client7"); !ok {
		t.Fatal("it gave up too early")
	}
	known := c.Learn([]string{"one/more"})
	if _, ok := c.Append(nil, "client7"); ok || known || c.trie.Len() > 0 {
		t.Errorf("it goes on with %d filters", c.trie.Len())
	}
}

// Filters of somebody are asked for once.
func TestClassesLearnForOnce(t *testing.T) {
	c := NewClasses(new(atomic.Uint64))
	asked := 0
	for i := range 10 {
		c.LearnFor(i%2, func() []string { asked++; return []string{fmt.Sprint("a/", i%2)} })
	}
	if asked != 2 || c.trie.Len() != 2 {
		t.Errorf("asked %d times for %d filters, want twice for 2", asked, c.trie.Len())
	}
}

// Who was learnt for is forgotten where there are too many, as clients with a new name each
// time are, and learnt for again.
func TestClassesForgetWhoWasLearntFor(t *testing.T) {
	c := NewClasses(new(atomic.Uint64))
	asked := 0
	none := func() []string { asked++; return nil }
	held := func() (n int) { c.known.Range(func(any, any) bool { n++; return true }); return n }
	for i := range maxClassFilters {
		c.LearnFor(i, none)
	}
	if n := held(); n != maxClassFilters {
		t.Fatalf("%d are known, want %d", n, maxClassFilters)
	}
	c.LearnFor(-1, none)
	if n := held(); n != 1 {
		t.Errorf("%d are known after one too many, want it alone", n)
	}
	c.LearnFor(0, none)
	c.LearnFor(0, none)
	if asked != maxClassFilters+2 || held() != 2 {
		t.Errorf("asked %d times, %d are known", asked, held())
	}
	// Beyond the bound of filters nobody is of any use.
	filters := make([]string, maxClassFilters+1)
	for i := range filters {
		filters[i] = fmt.Sprint("client", i)
	}
	c.LearnFor(-2, func() []string { return filters })
	if n := held(); n != 0 {
		t.Errorf("%d are known though there are no classes any more", n)
	}
}
