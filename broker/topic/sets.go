package topic

// Filters as sets of Topic Names: every function here is about the names that
// ValidName accepts, with the '$' rule [MQTT-4.7.2-1], and expects well-formed
// filters. Only the length limit in bytes is not considered: filters that come
// near 65,535 bytes are taken to match longer names too.
//
// The traps are where a '#' seems to match the empty name, which is no Topic Name
// [MQTT-4.7.3-1]: "#" and "+/#" are the same set, so are "/#" and "/+/#", and "/#"
// has nothing in common with "+".

// Covers reports whether a matches every name that b matches.
func Covers(a, b string) bool {
	if wildFirst(a) && hidden(b) { // [MQTT-4.7.2-1]
		return false
	}
	switch b { // say the same without the empty name
	case "#":
		b = "+/#"
	case "/#":
		b = "/+/#"
	}
	for {
		la, resta, lasta := cut(a)
		lb, restb, lastb := cut(b)
		switch {
		case la == "#" && lasta:
			return true
		case lb == "#" && lastb: // b goes on to any depth, a does not or not yet
			return false
		case la != "+" && la != lb: // also where b has "+": some text is not la
			return false
		case lasta:
			return lastb
		case lastb:
			return resta == "#"
		}
		a, b = resta, restb
	}
}

// Overlaps reports whether some name is matched by both a and b.
func Overlaps(a, b string) bool {
	if wildFirst(a) && hidden(b) || wildFirst(b) && hidden(a) { // [MQTT-4.7.2-1]
		return false
	}
	for first := true; ; first = false {
		la, resta, lasta := cut(a)
		lb, restb, lastb := cut(b)
		switch {
		case la == "#" && lasta, lb == "#" && lastb:
			return true
		case la != "+" && lb != "+" && la != lb:
			return false
		case lasta && lastb:
			return true
		case lasta || lastb: // only the parent level of a '#' can be common
			return (resta == "#" || restb == "#") && !(first && (la == "" || lb == ""))
		}
		a, b = resta, restb
	}
}

// Remaining reports whether some name is matched by filter, by at least one of
// allow, and by none of deny. exact is false when the rules are so entangled that
// the search gave up; remains is then true, and who asks has to check each name.
func Remaining(filter string, allow, deny []string) (remains, exact bool) {
	s := search{
		wanted: func(match, allowed, denied bool) bool { return match && allowed && !denied },
		dead:   func(st state) bool { return !st.has(allows) || st.rest(denies) },
	}
	found, exact := s.run(filter, allow, deny)
	return found || !exact, exact
}

// FullyAllowed reports whether every name that filter matches is matched by at
// least one of allow and by none of deny. exact is false when the search gave up;
// all is then false.
func FullyAllowed(filter string, allow, deny []string) (all, exact bool) {
	s := search{
		wanted: func(match, allowed, denied bool) bool { return match && (!allowed || denied) },
		dead:   func(st state) bool { return st.rest(allows) && !st.has(denies) },
	}
	found, exact := s.run(filter, allow, deny)
	return exact && !found, exact
}
