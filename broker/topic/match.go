package topic

// Match reports whether the well-formed filter matches the well-formed name
// (specification 4.7). It does not allocate. For many filters use Trie.Match.
func Match(filter, name string) bool {
	if hidden(name) && wildFirst(filter) { // [MQTT-4.7.2-1]
		return false
	}
	for {
		f, frest, flast := cut(filter)
		if f == "#" && flast { // also the end: the parent level is included
			return true
		}
		n, nrest, nlast := cut(name)
		if f != "+" && f != n { // + matches an empty level too
			return false
		}
		switch {
		case flast:
			return nlast
		case nlast:
			return frest == "#" // "sport/#" matches "sport"
		}
		filter, name = frest, nrest
	}
}

// hidden reports whether wildcards in the first level pass name over.
func hidden(name string) bool { return name != "" && name[0] == '$' }

// wildFirst reports whether the first level of the well-formed filter is a wildcard.
func wildFirst(filter string) bool {
	return filter != "" && (filter[0] == '+' || filter[0] == '#')
}
