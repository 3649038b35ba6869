package feed

import (
	"slices"
	"strings"
	"sync/atomic"
)

// node is one level of the tree: a folder, a topic or both. id, parent and name
// never change; a parent's id is smaller than those of its children.
type node struct {
	id     uint32
	parent *node // nil at the top level
	name   string
	entry  atomic.Pointer[entry] // nil: only a folder
	depth  int                   // 0: top level
	kids   int                   // guarded by Feed.mu
	at     int                   // place in tree.nodes, guarded by Feed.mu
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
	byID     map[uint32]*node
	children map[childKey]*node
	lastID   uint32
}

type childKey struct {
	parent uint32 // 0: the top level
	name   string
}

func newTree() tree {
	return tree{byID: make(map[uint32]*node), children: make(map[childKey]*node)}
}

func (n *node) key() childKey {
	if n.parent == nil {
		return childKey{name: n.name}
	}
	return childKey{n.parent.id, n.name}
}

// missing says how many nodes the topic still needs.
func (t *tree) missing(topicName string) int {
	var parent uint32
	for rest, more := topicName, true; more; {
		var name string
		full := rest
		name, rest, more = strings.Cut(rest, "/")
		n := t.children[childKey{parent, name}]
		if n == nil {
			return strings.Count(full, "/") + 1
		}
		parent = n.id
	}
	return 0
}

// grow returns the topic's node; each node that had to be made, parents first,
// is given to made. The names are parts of topicName, which must have bytes of
// its own.
func (t *tree) grow(topicName string, made func(*node)) *node {
	var at *node
	for rest, more := topicName, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		key := childKey{name: name}
		if at != nil {
			key.parent = at.id
		}
		n := t.children[key]
		if n == nil {
			t.lastID++
			n = &node{id: t.lastID, parent: at, name: name, at: len(t.nodes)}
			t.children[key] = n
			t.byID[n.id] = n
			t.nodes = append(t.nodes, n)
			if at != nil {
				at.kids++
				n.depth = at.depth + 1
			}
			made(n)
		}
		at = n
	}
	return at
}

// prune removes n and the folders above it that stand for nothing any more;
// each is given to gone, children first.
func (t *tree) prune(n *node, gone func(*node)) {
	for n != nil && n.kids == 0 && n.entry.Load() == nil {
		last := t.nodes[len(t.nodes)-1]
		t.nodes[n.at], last.at = last, n.at
		t.nodes[len(t.nodes)-1] = nil
		t.nodes = t.nodes[:len(t.nodes)-1]
		delete(t.children, n.key())
		delete(t.byID, n.id)
		gone(n)
		if n.parent != nil {
			n.parent.kids--
		}
		n = n.parent
	}
}

// inOrder returns all nodes, level by level: whoever gets them in parts can begin
// with the top of the tree.
func (t *tree) inOrder() []*node {
	var counts []int
	for _, n := range t.nodes {
		for len(counts) <= n.depth {
			counts = append(counts, 0)
		}
		counts[n.depth]++
	}
	at := 0
	for i, n := range counts {
		counts[i], at = at, at+n
	}
	all := make([]*node, len(t.nodes))
	for _, n := range t.nodes {
		all[counts[n.depth]] = n
		counts[n.depth]++
	}
	return all
}

// top returns at most n names of the top level, sorted, and how many there are.
func (t *tree) top(n int) (names []string, all int) {
	for _, x := range t.nodes {
		if x.parent == nil {
			names = append(names, x.name)
		}
	}
	slices.Sort(names)
	return names[:min(n, len(names))], len(names)
}
