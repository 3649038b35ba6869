package topic_test

import (
	"slices"
	"strings"

	"hearthmq/broker/topic"
)

// matches is the specification's section 4.7 in the plainest words, the judge of
// everything else in these tests.
func matches(filter, name string) bool {
	f, n := strings.Split(filter, "/"), strings.Split(name, "/")
	if strings.HasPrefix(name, "$") && (f[0] == "+" || f[0] == "#") {
		return false
	}
	for i, level := range f {
		if level == "#" && i == len(f)-1 {
			return len(n) >= i
		}
		if i >= len(n) || level != "+" && level != n[i] {
			return false
		}
	}
	return len(f) == len(n)
}

// words lists all texts of 1 to depth levels over an alphabet.
func words(depth int, alphabet ...string) []string {
	all, last := []string{}, []string{""}
	for d := range depth {
		var next []string
		for _, head := range last {
			for _, level := range alphabet {
				if d > 0 {
					level = head + "/" + level
				}
				next = append(next, level)
			}
		}
		all, last = append(all, next...), next
	}
	return all
}

// allFilters lists the filters among the words; allNames the names, with the text
// "other" that no filter asks for, one level deeper.
func allFilters(depth int, alphabet ...string) []string {
	return slices.DeleteFunc(words(depth, append(alphabet, "+", "#")...), func(s string) bool { return topic.ValidFilter(s) != nil })
}

func allNames(depth int, alphabet ...string) []string {
	return slices.DeleteFunc(words(depth+1, append(alphabet, "other")...), func(s string) bool { return topic.ValidName(s) != nil })
}
