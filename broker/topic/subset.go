package topic

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxWork bounds a search: comparisons of one filter with one level, some tens of
// milliseconds in all. "#" against ten thousand plain rules stays within it.
const maxWork = 1 << 17

// search looks for a name by the subset construction: it goes through all names at
// once, level by level. After some levels all that matters of a name is its state,
// what is left to match of each filter. Levels that no filter mentions are all
// alike, so one stands for them, and each state has finitely many successors.
type search struct {
	wanted func(match, allowed, denied bool) bool // what name is looked for
	dead   func(state) bool                       // nothing wanted can follow
	work   int
}

type role uint8

const (
	asks   role = iota // the one filter in question
	allows             // any of these
	denies             // none of these
	roles
)

// part is what is left of a filter. It is "#" alone, after the first level, where
// the filter matches whatever follows.
type part struct {
	role role
	left string
}

// state is sorted and has no part twice.
type state []part

// has reports whether some part of the role is left.
func (st state) has(r role) bool {
	return slices.ContainsFunc(st, func(p part) bool { return p.role == r })
}

// rest reports whether a part of the role matches whatever follows.
func (st state) rest(r role) bool { return slices.Contains(st, part{r, "#"}) }

// key tells states apart; run lets no NUL in.
func (st state) key() string {
	var b strings.Builder
	for _, p := range st {
		b.WriteByte('0' + byte(p.role))
		b.WriteString(p.left)
		b.WriteByte(0)
	}
	return b.String()
}

// branch is one level of the names in question with the parts that match it.
type branch struct {
	text  string
	other bool // stands for every text that no part asks for and that has no '$' first
	parts state
}

// run reports whether a wanted name exists.
func (s *search) run(filter string, allow, deny []string) (found, exact bool) {
	if ValidFilter(filter) != nil { // matches no name
		return false, true
	}
	start := state{{asks, filter}}
	add := func(r role, rules []string) {
		for _, f := range rules {
			if strings.IndexByte(f, 0) < 0 && Overlaps(f, filter) {
				start = append(start, part{r, f})
			}
		}
	}
	add(allows, allow)
	add(denies, deny)
	states := []state{start}
	for depth := 0; depth < MaxLevels && len(states) > 0; depth++ {
		var next []state
		seen := map[string]bool{}
		for _, st := range states {
			for _, b := range st.branches() {
				if s.work += len(b.parts) + 1; s.work > maxWork {
					return false, false
				}
				to, ends := b.step(depth == 0)
				named := depth > 0 || b.text != "" || b.other // the empty name is none [MQTT-4.7.3-1]
				if named && s.wanted(ends[asks], ends[allows], ends[denies]) {
					return true, true
				}
				if !to.has(asks) || s.dead(to) {
					continue
				}
				if depth > 0 && len(to) == len(st) && slices.Equal(to, st) {
					continue // only parts that match whatever follows: nothing new comes
				}
				if k := to.key(); !seen[k] {
					seen[k] = true
					next = append(next, to)
				}
			}
		}
		states = next
	}
	return false, true
}

// branches lists the levels to try: one for all texts that no part asks for, and
// each text that some part does. Where the filter in question asks for a text, only
// that.
func (st state) branches() []branch {
	var (
		wild, literal state
		asked         *part
	)
	for i, p := range st {
		switch {
		case p.left == "#" || first(p) == "+":
			wild = append(wild, p)
		case p.role == asks:
			asked = &st[i]
			literal = append(literal, p)
		case !strings.ContainsAny(first(p), "+#\x00") && utf8.ValidString(first(p)):
			literal = append(literal, p)
		}
	}
	var list []branch
	if asked == nil {
		list = append(list, branch{other: true, parts: wild})
	}
	slices.SortFunc(literal, func(a, b part) int { return cmp.Compare(first(a), first(b)) })
	for len(literal) > 0 {
		text, n := first(literal[0]), 1
		for n < len(literal) && first(literal[n]) == text {
			n++
		}
		if asked == nil || first(*asked) == text {
			list = append(list, branch{text: text, parts: slices.Concat(literal[:n], wild)})
		}
		literal = literal[n:]
	}
	return list
}

func first(p part) string {
	text, _, _ := cut(p.left)
	return text
}

// step appends the level to the names. ends tells for each role whether a filter
// matches the name that ends here.
func (b branch) step(start bool) (to state, ends [roles]bool) {
	shut := start && !b.other && hidden(b.text)
	for _, p := range b.parts {
		if shut && wildFirst(p.left) { // [MQTT-4.7.2-1]
			continue
		}
		if p.left == "#" {
			ends[p.role] = true
			to = append(to, p)
			continue
		}
		_, left, last := cut(p.left)
		ends[p.role] = ends[p.role] || last || left == "#"
		if !last {
			to = append(to, part{p.role, left})
		}
	}
	return to.reduced(), ends
}

// reduced brings st in order and drops parts beside one of the same role that
// matches whatever follows.
func (st state) reduced() state {
	var rest [roles]bool
	for _, p := range st {
		rest[p.role] = rest[p.role] || p.left == "#"
	}
	st = slices.DeleteFunc(st, func(p part) bool { return rest[p.role] && p.left != "#" })
	slices.SortFunc(st, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.role, b.role), cmp.Compare(a.left, b.left))
	})
	return slices.Compact(st)
}
