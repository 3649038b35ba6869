package feed

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// node is one level of the tree: a folder, a topic or both. id, parent, name and
// depth never change.
type node struct {
	id     uint32
	parent *node // nil at the top level
	name   string
	entry  atomic.Pointer[entry] // nil: only a folder
	depth  int                   // 0: top level
	// Feed.mu guards what follows.
	at     int // place in tree.nodes
	gone   bool
	inside *folder // nil: there never was anything below
}

func (n *node) isFolder() bool { return n.inside != nil && n.inside.kids > 0 }

// folder is what lies below a node. Feed.mu guards it; readers hold tree.sorting too.
type folder struct {
	kids   int // nodes directly below
	topics int // topics below, at any depth
	// Together the kids, and nodes that were removed since they were put in order.
	order []*node // in order
	fresh []*node // came since
	spoil int     // removed ones in both
}

func (f *folder) add(n *node) {
	f.kids++
	f.fresh = append(f.fresh, n)
}

// remove forgets n, which is gone. Where nobody looks, removed ones go once they
// are the larger part.
func (f *folder) remove() {
	f.kids--
	if f.spoil++; f.spoil > f.kids+16 {
		f.tidy()
	}
}

func (f *folder) tidy() {
	if f.spoil == 0 {
		return
	}
	gone := func(n *node) bool { return n.gone }
	f.order, f.fresh, f.spoil = slices.DeleteFunc(f.order, gone), slices.DeleteFunc(f.fresh, gone), 0
}

// sorted returns the kids in order. What is in order already stays so: only the
// first look at a large folder takes its time.
func (f *folder) sorted() []*node {
	f.tidy()
	if len(f.fresh) == 0 {
		return f.order
	}
	slices.SortFunc(f.fresh, func(a, b *node) int { return compareNames(a.name, b.name) })
	i, j := len(f.order)-1, len(f.fresh)-1
	f.order = append(f.order, f.fresh...)
	for k := len(f.order) - 1; j >= 0; k-- { // merge from the end
		if i >= 0 && compareNames(f.fresh[j].name, f.order[i].name) < 0 {
			f.order[k], i = f.order[i], i-1
		} else {
			f.order[k], j = f.fresh[j], j-1
		}
	}
	f.fresh = nil
	return f.order
}

// compareNames orders names as people do: in either case, and 9 before 10.
func compareNames(a, b string) int {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		if isDigit(a[i]) && isDigit(b[j]) {
			x, y := digits(a[i:]), digits(b[j:])
			i, j = i+len(x), j+len(y)
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := strings.Compare(x, y); c != 0 {
				return c
			}
			continue
		}
		if x, y := lower(a[i]), lower(b[j]); x != y {
			return int(x) - int(y)
		}
		i, j = i+1, j+1
	}
	if rest := (len(a) - i) - (len(b) - j); rest != 0 {
		return rest
	}
	return strings.Compare(a, b)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// digits is the number that s begins with.
func digits(s string) string {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return s[:i]
		}
	}
	return s
}

// path is the topic (or the beginning of topics) that n stands for.
func (n *node) path() string {
	if e := n.entry.Load(); e != nil {
		return e.topic
	}
	var levels []string
	for ; n != nil; n = n.parent {
		levels = append(levels, n.name)
	}
	slices.Reverse(levels)
	return strings.Join(levels, "/")
}

// tree holds all nodes. Feed.mu guards it.
type tree struct {
	nodes    []*node // in no order
	children map[childKey]*node
	top      folder
	lastID   uint32
	shape    uint64     // goes up with every change of the tree
	sorting  sync.Mutex // serialises those who sort while they hold Feed.mu for reading
}

type childKey struct {
	parent uint32 // 0: the top level
	name   string
}

func newTree() tree { return tree{children: make(map[childKey]*node)} }

func (n *node) key() childKey {
	if n.parent == nil {
		return childKey{name: n.name}
	}
	return childKey{n.parent.id, n.name}
}

// above is the folder that n lies in.
func (t *tree) above(n *node) *folder {
	if n.parent == nil {
		return &t.top
	}
	return n.parent.inside
}

// walk follows a Topic Name as far as there are nodes: it returns the last one, nil
// when there is none, and what of the name is left; more says whether anything is.
func (t *tree) walk(topicName string) (at *node, rest string, more bool) {
	var key childKey
	for rest, more = topicName, true; more; {
		var after string
		var further bool
		key.name, after, further = strings.Cut(rest, "/")
		n := t.children[key]
		if n == nil {
			return at, rest, true
		}
		at, rest, more, key.parent = n, after, further, n.id
	}
	return at, "", false
}

// find returns the node of a Topic Name or of the beginning of some, or nil.
func (t *tree) find(topicName string) *node {
	if n, _, more := t.walk(topicName); !more {
		return n
	}
	return nil
}

// grow makes the nodes that walk found missing below at and returns the last one.
// The names are parts of rest, which must have bytes of its own.
func (t *tree) grow(at *node, rest string, more bool) *node {
	for more {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		t.lastID++
		n := &node{id: t.lastID, parent: at, name: name, at: len(t.nodes)}
		if at != nil {
			n.depth = at.depth + 1
			if at.inside == nil {
				at.inside = new(folder)
			}
		}
		t.children[n.key()] = n
		t.nodes = append(t.nodes, n)
		t.above(n).add(n)
		at = n
	}
	return at
}

// prune removes n and the folders above it that stand for nothing any more, and
// returns how many these were.
func (t *tree) prune(n *node) (removed int) {
	for ; n != nil && !n.isFolder() && n.entry.Load() == nil; n = n.parent {
		last := t.nodes[len(t.nodes)-1]
		t.nodes[n.at], last.at = last, n.at
		t.nodes[len(t.nodes)-1] = nil
		t.nodes = t.nodes[:len(t.nodes)-1]
		delete(t.children, n.key())
		n.gone = true
		t.above(n).remove()
		removed++
	}
	return removed
}

// count notes that there are by more topics at n.
func (t *tree) count(n *node, by int) {
	t.top.topics += by
	for p := n.parent; p != nil; p = p.parent {
		p.inside.topics += by
	}
	t.shape++
}

// first returns at most n names of the top level, sorted, and how many there are.
func (t *tree) first(n int) (names []string, all int) {
	t.sorting.Lock()
	defer t.sorting.Unlock()
	kids := t.top.sorted()
	for _, x := range kids[:min(n, len(kids))] {
		names = append(names, x.name)
	}
	return names, len(kids)
}
