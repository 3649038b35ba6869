package topic

// Both searches go down as far as they can and come back by the parents; the depth
// alone tells which choices are still open. Literal comes before wildcard.

// Match visits the value of every Topic Filter in the trie that matches name, in no
// order, each once, until visit returns false. It costs one step for each node that
// matches the beginning of name, and does not allocate for names of up to MaxLevels
// levels.
func (t *Trie[T]) Match(name string, visit func(T) bool) {
	if t.nodes == nil {
		return
	}
	var (
		buf   [MaxLevels]uint32
		ids   = buf[:0] // levels of name as numbers, looked up on first use
		rest  = name    // not yet looked up
		ended bool      // nothing is left in rest
		n     = uint32(root)
		depth int // levels of name that the way to n covers
		shut  = hidden(name)
	)
	for {
		at := &t.nodes[n]
		wild := depth > 0 || !shut                             // [MQTT-4.7.2-1]
		if at.multi != 0 && wild && !visit(t.vals[at.multi]) { // the parent level of '#' included
			return
		}
		next := uint32(0)
		if ended && depth == len(ids) {
			if at.value != 0 && !visit(t.vals[at.value]) {
				return
			}
		} else {
			if depth == len(ids) {
				var text string
				text, rest, ended = cut(rest)
				ids = append(ids, t.levels.find(text))
			}
			if ids[depth] != noLevel {
				next = t.child(n, ids[depth])
			}
			if next == 0 && wild {
				next = at.plus
			}
		}
		if next != 0 {
			n = next
			depth++
			continue
		}
		// Back to the nearest parent that was left by its literal child and has a
		// "+" child too.
		for {
			if n == root {
				return
			}
			left := &t.nodes[n]
			n = left.parent
			depth--
			if plus := t.nodes[n].plus; plus != 0 && left.level != plusLevel && (depth > 0 || !shut) {
				n = plus
				depth++
				break
			}
		}
	}
}

// MatchAppend appends the values that Match visits to dst. It does not allocate
// where dst has room.
func (t *Trie[T]) MatchAppend(dst []T, name string) []T {
	t.Match(name, func(v T) bool {
		dst = append(dst, v)
		return true
	})
	return dst
}

// Select visits every Topic Name in the trie that filter matches, in no order, until
// visit returns false. Keys with wildcards are passed over. The strings are the keys
// as they were set, nothing is copied; a filter without wildcards costs no more than
// Get, "a/#" the size of what is below "a".
func (t *Trie[T]) Select(filter string, visit func(name string, v T) bool) {
	if t.nodes == nil {
		return
	}
	var (
		buf   [MaxLevels]uint32
		ids   = buf[:0] // the levels of filter without a '#' at the end
		multi bool
	)
	for rest, last := filter, false; !last; {
		var text string
		text, rest, last = cut(rest)
		switch {
		case text == "+":
			ids = append(ids, plusLevel)
		case text == "#" && last:
			multi = true
		default:
			id := t.levels.find(text)
			if id == noLevel {
				return
			}
			ids = append(ids, id)
		}
	}
	n, depth := uint32(root), 0
	for {
		next := uint32(0)
		switch {
		case depth == len(ids) && multi:
			if !t.below(n, visit) {
				return
			}
		case depth == len(ids):
			if slot := t.nodes[n].value; slot != 0 && !visit(t.keys[slot], t.vals[slot]) {
				return
			}
		case ids[depth] == plusLevel:
			next = t.open(t.nodes[n].first)
		default:
			next = t.child(n, ids[depth])
		}
		// Back to the nearest node with an untried sibling at a "+".
		for next == 0 {
			if n == root {
				return
			}
			depth--
			if ids[depth] == plusLevel {
				next = t.open(t.nodes[n].next)
			}
			n = t.nodes[n].parent
		}
		n = next
		depth++
	}
}

// below visits n and everything under it, parents first. It returns false when
// visit did.
func (t *Trie[T]) below(top uint32, visit func(name string, v T) bool) bool {
	for n := top; ; {
		if slot := t.nodes[n].value; slot != 0 && !visit(t.keys[slot], t.vals[slot]) {
			return false
		}
		next := t.open(t.nodes[n].first)
		for next == 0 {
			if n == top {
				return true
			}
			next = t.open(t.nodes[n].next)
			n = t.nodes[n].parent
		}
		n = next
	}
}

// open returns the first in the list from n on that a wildcard may choose.
func (t *Trie[T]) open(n uint32) uint32 {
	for n != 0 && t.nodes[n].parent == root && t.levels.hidden(t.nodes[n].level) { // [MQTT-4.7.2-1]
		n = t.nodes[n].next
	}
	return n
}
