package topic

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxWork bounds a search: comparisons of one filter with one level. Each costs the
// same, however long the filter is, so that giving up takes some tens of
// milliseconds. "#" against ten thousand plain rules stays within it.
const maxWork = 1 << 17

// search looks for a name by the subset construction: it goes through all names at
// once, level by level. After some levels all that matters of a name is its state,
// what is left to match of each filter. Levels that no filter mentions are all
// alike, so one stands for them, and each state has finitely many successors.
type search struct {
	wanted func(match, allowed, denied bool) bool // what name is looked for
	dead   func(state) bool                       // nothing wanted can follow
	work   int

	lefts   []left           // by number; anything is the first
	numbers map[string]int32 // of what is left of filters, the same for the same text
	texts   map[string]int32 // of levels
}

// left is what is left of a filter to match, looked at once for all states it is in.
type left struct {
	level string // the first of its levels
	text  int32  // the level's number
	next  int32  // what is left after it; end: nothing
	wild  bool   // the level matches more than itself
	odd   bool   // no name has this level
}

const (
	anything int32 = 0  // "#"
	end      int32 = -1 // the filter ends with this level
)

type role uint8

const (
	asks   role = iota // the one filter in question
	allows             // any of these
	denies             // none of these
	roles
)

// part is one filter's place in a state: what is left of it, by number. That is
// anything alone, after the first level, where the filter matches whatever follows.
type part struct {
	role role
	left int32
}

// state is sorted and has no part twice.
type state []part

// has reports whether some part of the role is left.
func (st state) has(r role) bool {
	return slices.ContainsFunc(st, func(p part) bool { return p.role == r })
}

// rest reports whether a part of the role matches whatever follows.
func (st state) rest(r role) bool { return slices.Contains(st, part{r, anything}) }

// key tells states apart.
func (st state) key() string {
	b := make([]byte, 0, 5*len(st))
	for _, p := range st {
		b = binary.BigEndian.AppendUint32(append(b, byte(p.role)), uint32(p.left))
	}
	return string(b)
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
	s.numbers, s.texts = map[string]int32{}, map[string]int32{}
	s.number("#")
	start := state{{asks, s.number(filter)}}
	add := func(r role, rules []string) {
		for _, f := range rules {
			if strings.IndexByte(f, 0) < 0 && Overlaps(f, filter) {
				start = append(start, part{r, s.number(f)})
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
			for _, b := range s.branches(st) {
				if s.work += len(b.parts) + 1; s.work > maxWork {
					return false, false
				}
				to, ends := s.step(b, depth == 0)
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

// number returns the number of a filter, or of what is left of one.
func (s *search) number(text string) (first int32) {
	before := &first
	for {
		if n, ok := s.numbers[text]; ok {
			*before = n
			return first
		}
		level, rest, last := cut(text)
		t, ok := s.texts[level]
		if !ok {
			t = int32(len(s.texts))
			s.texts[level] = t
		}
		n := int32(len(s.lefts))
		s.numbers[text], *before = n, n
		s.lefts = append(s.lefts, left{
			level: level, text: t, next: end, wild: text == "#" || level == "+",
			odd: strings.ContainsAny(level, "+#\x00") || !utf8.ValidString(level),
		})
		if last {
			return first
		}
		text, before = rest, &s.lefts[n].next // written to before lefts grows again
	}
}

// branches lists the levels to try: one for all texts that no part asks for, and
// each text that some part does. Where the filter in question asks for a text, only
// that.
func (s *search) branches(st state) []branch {
	var (
		wild, literal state
		asked         *left
	)
	for _, p := range st {
		l := &s.lefts[p.left]
		switch {
		case l.wild:
			wild = append(wild, p)
		case p.role == asks:
			asked = l
			literal = append(literal, p)
		case !l.odd:
			literal = append(literal, p)
		}
	}
	var list []branch
	if asked == nil {
		list = append(list, branch{other: true, parts: wild})
	}
	text := func(p part) int32 { return s.lefts[p.left].text }
	slices.SortFunc(literal, func(a, b part) int { return cmp.Compare(text(a), text(b)) })
	for len(literal) > 0 {
		n, first := 1, &s.lefts[literal[0].left]
		for n < len(literal) && text(literal[n]) == first.text {
			n++
		}
		if asked == nil || asked.text == first.text {
			list = append(list, branch{text: first.level, parts: slices.Concat(literal[:n], wild)})
		}
		literal = literal[n:]
	}
	return list
}

// step appends the level to the names. ends tells for each role whether a filter
// matches the name that ends here.
func (s *search) step(b branch, start bool) (to state, ends [roles]bool) {
	shut := start && !b.other && hidden(b.text)
	for _, p := range b.parts {
		l := &s.lefts[p.left]
		if shut && l.wild { // [MQTT-4.7.2-1]
			continue
		}
		if p.left == anything {
			ends[p.role] = true
			to = append(to, p)
			continue
		}
		ends[p.role] = ends[p.role] || l.next == end || l.next == anything
		if l.next != end {
			to = append(to, part{p.role, l.next})
		}
	}
	return to.reduced(), ends
}

// reduced brings st in order and drops parts beside one of the same role that
// matches whatever follows.
func (st state) reduced() state {
	var rest [roles]bool
	for _, p := range st {
		rest[p.role] = rest[p.role] || p.left == anything
	}
	st = slices.DeleteFunc(st, func(p part) bool { return rest[p.role] && p.left != anything })
	slices.SortFunc(st, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.role, b.role), cmp.Compare(a.left, b.left))
	})
	return slices.Compact(st)
}
