package topic

import "strings"

// Substitute replaces %u by user and %c by clientID in the filter of an access rule.
// A value stands for literal text: what it contains is not looked at again. ok is
// false when a needed value is empty or contains '+', '#', '/' or NUL; the rule then
// matches nothing, else a client could name itself "#" (CVE-2017-7650), or "a/b" to
// reach into the levels of client "a". Such a client may connect all the same.
//
// The result is a Topic Filter where filter with any text in place of %u and %c is
// one, unless it has too many levels; then it matches no valid name or fewer. One that
// would be longer than any name is not made: ok is false (case R11).
func Substitute(filter, user, clientID string) (string, bool) { // case A1
	i := strings.IndexByte(filter, '%')
	if i < 0 {
		return filter, true
	}
	if SubstitutedBytes(filter, user, clientID) > MaxBytes {
		return "", false
	}
	var b strings.Builder
	rest := filter
	for ; i >= 0 && i+1 < len(rest); i = strings.IndexByte(rest, '%') {
		value := ""
		switch rest[i+1] {
		case 'u':
			value = user
		case 'c':
			value = clientID
		default:
			b.WriteString(rest[:i+1])
			rest = rest[i+1:]
			continue
		}
		if value == "" || strings.ContainsAny(value, "+#/\x00") {
			return "", false
		}
		b.WriteString(rest[:i])
		b.WriteString(value)
		rest = rest[i+2:]
	}
	b.WriteString(rest)
	return b.String(), true
}

// SubstitutedBytes is how long a filter is with the values in it. What is longer than
// MaxBytes matches no name; whoever has many places for a client's long name in one filter
// should not make it.
func SubstitutedBytes(filter, user, clientID string) int {
	return len(filter) + strings.Count(filter, "%u")*(len(user)-2) + strings.Count(filter, "%c")*(len(clientID)-2)
}
