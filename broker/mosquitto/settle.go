package mosquitto

import (
	"slices"

	"hearthmq/broker/access"
)

// ranked is one entry of a list in which the first match decides.
type ranked struct {
	allow  bool
	filter string // %c for the Client Identifier; of %u there is nothing left
	line   int
}

// clash says that a deny, which in HearthMQ beats every allow, takes away something
// that an earlier allow gave. The deny is there for the sake of a later allow.
type clash struct {
	deny, over, under ranked
}

// settled is a list made into a set: a deny beats an allow, order does not matter.
type settled struct {
	allow, deny []ranked
	// plain says that the set has every entry of the list as it was.
	plain   bool
	clashes []clash
}

// settle makes a set of an ordered list. What the set allows the list allows, too; the
// two are equal when there are no clashes.
//
// A deny can stay as it is when no earlier allow speaks of any of its names. Else only
// that part of it is kept that takes something from a later allow, since what nothing
// allows is denied anyway, and of those parts only the ones that earlier allows don't
// cover.
func settle(list []ranked) settled {
	s := settled{plain: true}
	var denies []string // filters of the denies so far
	var allows []earlier
	for i, r := range list {
		if r.allow {
			s.allow = append(s.allow, r)
			allows = append(allows, earlier{r, denies[:len(denies):len(denies)]})
			continue
		}
		if !slices.ContainsFunc(allows, func(e earlier) bool { return e.speaksOf(r.filter) }) {
			s.deny = append(s.deny, r)
		} else {
			s.plain = false
			for _, later := range list[i+1:] {
				if later.allow && overlap(r.filter, later.filter) {
					s.part(r, later, allows)
				}
			}
		}
		denies = append(denies, r.filter)
	}
	return s
}

// earlier is an allow with the denies that come before it.
type earlier struct {
	ranked
	denies []string
}

// speaksOf reports whether the allow decides about some name that filter matches.
func (e earlier) speaksOf(filter string) bool {
	return overlap(e.filter, filter) && leaves(filter, []string{e.filter}, e.denies)
}

// part adds what deny takes from later, with the allows that come before deny.
func (s *settled) part(deny, later ranked, allows []earlier) {
	filter, ok := intersect(deny.filter, later.filter)
	if !ok {
		filter = deny.filter
	}
	var over []string
	for _, a := range allows {
		if overlap(a.filter, filter) {
			over = append(over, a.filter)
		}
	}
	if covers(over, filter) {
		return // never comes to bear
	}
	s.deny = append(s.deny, ranked{filter: filter, line: deny.line})
	for _, a := range allows {
		if a.speaksOf(filter) {
			s.clashes = append(s.clashes, clash{deny: deny, over: a.ranked, under: later})
			return
		}
	}
}

// merge makes rules of what may be published and what may be received. What is the
// same on both sides becomes one rule.
func merge(publish, subscribe settled) []access.Rule {
	var rules []access.Rule
	at := map[access.Rule]int{}
	add := func(effect access.Effect, scope access.Scope, list []ranked) {
		for _, r := range list {
			key := access.NewRule(effect, access.ScopeBoth, r.filter)
			i, ok := at[key]
			if !ok {
				at[key] = len(rules)
				rules = append(rules, access.NewRule(effect, scope, r.filter))
			} else if rules[i].Scope != scope {
				rules[i].Scope = access.ScopeBoth
			}
		}
	}
	add(access.Deny, access.ScopePublish, publish.deny)
	add(access.Deny, access.ScopeSubscribe, subscribe.deny)
	add(access.Allow, access.ScopePublish, publish.allow)
	add(access.Allow, access.ScopeSubscribe, subscribe.allow)
	return rules
}
