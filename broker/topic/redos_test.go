package topic_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
	"hearthmq/broker/topic"
)

// entangled are filters that are hard to tell apart: what one has as a wildcard another has
// as a text, level by level.
func entangled(levels, n int) (list []string) {
	for i := range n {
		parts := make([]string, levels)
		for at := range parts {
			parts[at] = []string{"+", "a", "b"}[(i>>(at%12)+at*i)%3]
		}
		list = append(list, strings.Join(parts, "/")+[]string{"", "/#"}[i%2])
	}
	return list
}

// case R11: no filter, however long or entangled with others, takes long to compare; what can't
// be decided in time is said not to be.
func TestHardFiltersEnd(t *testing.T) {
	deep := topic.MaxLevels - 1
	hard := []string{
		"#", strings.Repeat("+/", deep) + "#", strings.Repeat("+/", deep) + "+", strings.Repeat("/", deep), strings.Repeat("a/", deep) + "b",
		strings.Repeat("a", topic.MaxBytes), strings.Repeat("aaaa/", deep) + strings.Repeat("a", 60_000), strings.Repeat("+/a/", deep/2) + "#",
	}
	name := strings.Repeat("a/", deep) + "a"
	m, begun := brokertest.WatchMachine(), time.Now()
	for _, a := range hard {
		topic.Match(a, name)
		topic.Match(a, strings.Repeat("a", topic.MaxBytes))
		for _, b := range hard {
			topic.Covers(a, b)
			topic.Overlaps(a, b)
		}
	}
	gaveUp := 0
	for _, levels := range []int{3, 12, deep} {
		allow, deny := entangled(levels, 100), entangled(levels, 50)
		for _, filter := range hard {
			for _, ask := range []func(string, []string, []string) (bool, bool){topic.Remaining, topic.FullyAllowed} {
				if _, exact := ask(filter, allow, deny); !exact {
					gaveUp++
				}
			}
		}
	}
	if took := time.Since(begun); took > 20*time.Second {
		m.Timing(t, "all of them took %v", took)
	}
	if gaveUp == 0 {
		t.Error("nothing was too hard: the filters are not as entangled as they should be")
	}
}

// case R11: a client's name that stands in a rule's filter many times makes no filter that is
// longer than a topic can be.
func TestSubstituteMakesNothingHuge(t *testing.T) {
	id := strings.Repeat("c", 60_000)
	for _, filter := range []string{strings.Repeat("%c", 30_000), strings.Repeat("%c/", 100) + "#", "%u/" + strings.Repeat("%c", 20_000), "x/%c/%c"} {
		got, ok := topic.Substitute(filter, "u", id)
		if ok || got != "" {
			t.Errorf("%.10s… becomes %d bytes", filter, len(got))
		}
		if n := testing.AllocsPerRun(1, func() { topic.Substitute(filter, "u", id) }); n > 0 {
			t.Errorf("%.10s…: %v allocations", filter, n)
		}
	}
	for filter, want := range map[string]string{"%c/x": id + "/x", "%u/%c": "u/" + id, "%%c": "%" + id, "%u%u%u": "uuu"} {
		got, ok := topic.Substitute(filter, "u", id)
		if !ok || got != want || topic.SubstitutedBytes(filter, "u", id) != len(want) {
			t.Errorf("%s becomes %d bytes (%d are told), %v, want %d", filter, len(got), topic.SubstitutedBytes(filter, "u", id), ok, len(want))
		}
	}
	if got := fmt.Sprint(topic.Substitute(strings.Repeat("%c", 1), "u", strings.Repeat("c", topic.MaxBytes))); !strings.HasSuffix(got, "true") {
		t.Error("one that is as long as a topic may be is not made")
	}
}
