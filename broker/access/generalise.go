package access

import (
	"maps"
	"slices"
	"strings"

	"hearthmq/broker/topic"
)

// How far a proposal goes beyond what was seen.
const (
	manySiblings = 4 // more topics beside each other than this become one +
	manyFilters  = 8 // more filters below one place than this become one #
	maxProposed  = 200
)

// rulesFor returns rules that allow what was seen, and little else: names beside each
// other that are many become +, and what is still long becomes #. The first level
// always stays as it is. What no rule can allow is left out.
func rulesFor(f facts) []Rule {
	publish := slices.DeleteFunc(generalise(f.Publish), func(filter string) bool { return reserved(filter) != "" })
	var names, wild []string
	for _, filter := range f.Subscribe {
		if topic.HasWildcard(filter) {
			wild = append(wild, filter)
		} else {
			names = append(names, filter)
		}
	}
	subscribe := widest(append(generalise(names), wild...))
	var rules []Rule
	add := func(s Scope, filter string) {
		r, err := NewRule(Allow, s, filter).Normal()
		if err == nil && !strings.Contains(filter, "%") && len(rules) < maxProposed && !idle(s, filter) {
			rules = append(rules, r)
		}
	}
	for _, filter := range publish {
		if slices.Contains(subscribe, filter) {
			add(ScopeBoth, filter)
		} else {
			add(ScopePublish, filter)
		}
	}
	for _, filter := range subscribe {
		if !slices.Contains(publish, filter) {
			add(ScopeSubscribe, filter)
		}
	}
	return rules
}

// idle reports whether a rule would change nothing: everybody may read $SYS.
func idle(s Scope, filter string) bool { return s == ScopeSubscribe && topic.Covers("$SYS/#", filter) }

// widest drops the filters that others cover.
func widest(filters []string) []string {
	slices.Sort(filters)
	filters = slices.Compact(filters)
	return slices.DeleteFunc(slices.Clone(filters), func(f string) bool {
		return slices.ContainsFunc(filters, func(g string) bool { return g != f && topic.Covers(g, f) })
	})
}

// level is a node of the tree of topics that were seen.
type level struct {
	end  bool // a topic ends here
	next map[string]*level
}

func (n *level) child(name string) *level {
	if n.next == nil {
		n.next = make(map[string]*level)
	}
	if n.next[name] == nil {
		n.next[name] = new(level)
	}
	return n.next[name]
}

// generalise returns filters that match all names, sorted.
func generalise(names []string) []string {
	root := new(level)
	for _, name := range names {
		n := root
		for i, part := range strings.Split(name, "/") {
			if i > 0 && strings.Contains(part, "%") {
				part = "+" // %u in a rule is not the text %u
			}
			n = n.child(part)
		}
		n.end = true
	}
	var filters []string
	for _, name := range slices.Sorted(maps.Keys(root.next)) {
		filters = append(filters, root.next[name].filters(name)...)
	}
	return widest(filters)
}

// filters lists what is below n, whose own filter is prefix.
func (n *level) filters(prefix string) (list []string) {
	if len(n.next) > manySiblings {
		merged := new(level)
		for _, c := range n.next {
			merged.join(c)
		}
		n.next = map[string]*level{"+": merged}
	}
	if n.end {
		list = append(list, prefix)
	}
	for _, name := range slices.Sorted(maps.Keys(n.next)) {
		list = append(list, n.next[name].filters(prefix+"/"+name)...)
	}
	if len(list) > manyFilters {
		return []string{prefix + "/#"}
	}
	return list
}

// join takes over what is in o.
func (n *level) join(o *level) {
	n.end = n.end || o.end
	for name, c := range o.next {
		n.child(name).join(c)
	}
}
