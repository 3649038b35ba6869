package access

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxSimilar bounds the names and the length of a name that are compared, in runes:
// strangers choose what is looked up.
const maxSimilar = 64

// similar returns the one of names that name was probably meant to be, "" when none
// is near enough. A name in other capitals is nearest; otherwise a letter, in a
// long one two, may be wrong, missing, too much or in the place of its neighbour.
func similar(name string, names []string) string {
	n := utf8.RuneCountInString(name)
	if n < 3 || n > maxSimilar {
		return ""
	}
	best, least := "", 1+min(2, max(1, n/6))
	for _, other := range names {
		if other == name || utf8.RuneCountInString(other) > maxSimilar {
			continue
		}
		d := typos([]rune(strings.ToLower(name)), []rune(strings.ToLower(other)))
		if d < least {
			best, least = other, d
		}
	}
	return best
}

// typos counts the slips between two words: letters that are wrong, missing, too
// many, or in the place of their neighbours (optimal string alignment).
func typos(a, b []rune) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

// nearFilter returns what the user of a denial may do that looks much like what was
// denied: a filter whose levels in front of a wildcard are almost the topic's. "" when
// none is.
func (d *Directory) nearFilter(n Denial) string {
	u, ok := d.User(n.User)
	if !ok {
		return ""
	}
	rules := slices.Clone(u.Rules)
	for _, name := range u.Roles {
		if r, ok := d.Role(name); ok {
			rules = append(rules, r.Rules...)
		}
	}
	prefixes := make(map[string]string, len(rules)) // what comes before a wildcard, and the filter
	places := strings.NewReplacer("%u", n.User, "%c", n.ClientID)
	meant, least := "", maxSimilar
	for _, r := range rules[:min(len(rules), maxSimilar)] {
		filter := places.Replace(r.Filter)
		prefix, levels := beforeWildcard(filter)
		said := firstLevels(n.Topic, levels)
		switch _, known := prefixes[prefix]; {
		case r.Effect != Allow || levels == 0 || known:
		case said == prefix:
			return "" // the place is right; the right is of another kind
		default:
			prefixes[prefix] = filter
			if similar(said, []string{prefix}) == "" {
				continue
			}
			if d := typos([]rune(said), []rune(prefix)); d < least {
				meant, least = filter, d
			}
		}
	}
	return meant
}

// beforeWildcard returns the levels of a filter in front of its first wildcard, and how
// many they are.
func beforeWildcard(filter string) (prefix string, levels int) {
	all := strings.Split(filter, "/")
	for levels < len(all) && all[levels] != "+" && all[levels] != "#" {
		levels++
	}
	return strings.Join(all[:levels], "/"), levels
}

func firstLevels(name string, n int) string {
	all := strings.SplitN(name, "/", n+1)
	return strings.Join(all[:min(n, len(all))], "/")
}
