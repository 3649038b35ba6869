package topic

import "strings"

// Substitute replaces %u by user and %c by clientID in the filter of an access rule.
// A value stands for literal text: what it contains is not looked at again. ok is
// false when a needed value is empty or contains '+', '#', '/' or NUL; the rule then
// matches nothing, else a client could name itself "#" (CVE-2017-7650), or "a/b" to
// reach into the levels of client "a". Such a client may connect all the same.
//
// The result is a Topic Filter where filter with any text in place of %u and %c is
// one, unless it exceeds a limit; then it matches no valid name or fewer.
func Substitute(filter, user, clientID string) (string, bool) { // case A1
	i := strings.IndexByte(filter, '%')
	if i < 0 {
		return filter, true
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
