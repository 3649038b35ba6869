package difftest

import (
	"slices"
	"time"
)

// shrinkTime bounds the search for a smaller script.
const shrinkTime = 20 * time.Second

// shrink removes steps as long as fails still says so: first many at once, then
// single ones, then single topics and filters.
func shrink(s *script, fails func(*script) bool) *script {
	best := *s
	until := time.Now().Add(shrinkTime)
	try := func(steps []step) bool {
		c := best
		c.steps = steps
		if time.Now().After(until) || !fails(&c) {
			return false
		}
		best = c
		return true
	}
	for size := len(best.steps) / 2; size > 0; {
		removed := false
		for at := len(best.steps) - size; at >= 0; at -= size {
			removed = try(slices.Delete(slices.Clone(best.steps), at, at+size)) || removed
		}
		if !removed {
			size /= 2
		} else {
			size = min(size, max(1, len(best.steps)/2))
		}
	}
	for i := range best.steps {
		for again := true; again; {
			again = false
			for _, do := range simpler(best.steps[i].do) {
				steps := slices.Clone(best.steps)
				steps[i].do = do
				if try(steps) {
					again = true
					break
				}
			}
		}
	}
	return &best
}

// simpler returns variants of an action with something left out.
func simpler(do action) []action {
	var list []action
	switch a := do.(type) {
	case *publish:
		for i := range a.topics {
			if len(a.topics) > 1 {
				b := *a
				b.topics = slices.Delete(slices.Clone(a.topics), i, i+1)
				list = append(list, &b)
			}
		}
		if a.props.String() != "" {
			b := *a
			b.props = props{}
			list = append(list, &b)
		}
		if a.alias > 0 {
			b := *a
			b.alias = 0
			list = append(list, &b)
		}
	case *subscribe:
		for i := range a.subs {
			if len(a.subs) > 1 {
				b := *a
				b.subs = slices.Delete(slices.Clone(a.subs), i, i+1)
				list = append(list, &b)
			}
		}
		if a.id > 0 {
			b := *a
			b.id = 0
			list = append(list, &b)
		}
	case *connect:
		if a.will != nil {
			b := *a
			b.will = nil
			list = append(list, &b)
			if a.will.props.String() != "" {
				b, w := *a, *a.will
				w.props = props{}
				b.will = &w
				list = append(list, &b)
			}
		}
		for _, mod := range []func(*connect){
			func(c *connect) { c.aliases = 0 }, func(c *connect) { c.window = 0 }, func(c *connect) { c.keep = 0 }, func(c *connect) { c.withhold = false },
		} {
			b := *a
			if mod(&b); b != *a {
				list = append(list, &b)
			}
		}
	case *unsubscribe:
		for i := range a.filters {
			if len(a.filters) > 1 {
				list = append(list, &unsubscribe{slices.Delete(slices.Clone(a.filters), i, i+1)})
			}
		}
	}
	return list
}
