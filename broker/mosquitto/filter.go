package mosquitto

import (
	"strings"

	"hearthmq/broker/topic"
)

// someClient stands for a Client Identifier that no filter mentions.
const someClient = "\ue000client"

// narrow is filter for a client whose identifier no rule mentions.
func narrow(filter string) string { return strings.ReplaceAll(filter, "%c", someClient) }

// wide is filter for all clients at once: a level with %c becomes +.
func wide(filter string) string {
	if !strings.Contains(filter, "%c") {
		return filter
	}
	levels := strings.Split(filter, "/")
	for i, l := range levels {
		if strings.Contains(l, "%c") {
			levels[i] = "+"
		}
	}
	return strings.Join(levels, "/")
}

// overlap reports whether some name may match both, for some client.
func overlap(a, b string) bool { return topic.Overlaps(wide(a), wide(b)) }

// covers reports whether every name that b matches is matched by one of filters, for
// every client. When in doubt it says no.
func covers(filters []string, b string) bool {
	narrowed := make([]string, len(filters))
	for i, f := range filters {
		narrowed[i] = narrow(f)
		if topic.Covers(narrowed[i], narrow(b)) {
			return true
		}
	}
	all, exact := topic.FullyAllowed(narrow(b), narrowed, nil)
	return all && exact
}

// leaves reports whether a name matches filter and one of allow, and none of deny, for
// some client. When in doubt it says yes.
func leaves(filter string, allow, deny []string) bool {
	a := make([]string, len(allow))
	for i, f := range allow {
		a[i] = wide(f)
	}
	d := make([]string, len(deny))
	for i, f := range deny {
		d[i] = narrow(f)
	}
	remains, exact := topic.Remaining(wide(filter), a, d)
	return remains || !exact
}

// intersect returns the filter that matches what both match. ok is false when no
// filter is known that does: there is none, or it depends on the client.
func intersect(a, b string) (filter string, ok bool) {
	if topic.Covers(narrow(a), narrow(b)) {
		return b, true
	}
	if topic.Covers(narrow(b), narrow(a)) {
		return a, true
	}
	if (a[0] == '$') != (b[0] == '$') {
		return "", false
	}
	la, lb := strings.Split(a, "/"), strings.Split(b, "/")
	var out []string
	for i := 0; ; i++ {
		switch {
		case i == len(la) && i == len(lb):
			return strings.Join(out, "/"), true
		case i < len(la) && la[i] == "#":
			return strings.Join(append(out, lb[min(i, len(lb)):]...), "/"), true
		case i < len(lb) && lb[i] == "#":
			return strings.Join(append(out, la[min(i, len(la)):]...), "/"), true
		case i == len(la) || i == len(lb):
			return "", false
		case la[i] == lb[i] || lb[i] == "+":
			out = append(out, la[i])
		case la[i] == "+":
			out = append(out, lb[i])
		default:
			return "", false
		}
	}
}

// literally returns filter with what HearthMQ would take for placeholders made into
// wildcards; changed is false when there was nothing of the kind.
func literally(filter string) (wider string, changed bool) {
	if !strings.Contains(filter, "%u") && !strings.Contains(filter, "%c") {
		return filter, false
	}
	levels := strings.Split(filter, "/")
	for i, l := range levels {
		if strings.Contains(l, "%u") || strings.Contains(l, "%c") {
			levels[i] = "+"
		}
	}
	return strings.Join(levels, "/"), true
}
