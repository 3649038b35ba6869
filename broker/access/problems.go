package access

import (
	"maps"
	"slices"
	"strings"
)

// Problems maps a form field to what is wrong with its value, in words for people.
// It is the error of every call of Accounts that was asked for something it can't do.
type Problems map[string]string

// Error lists the problems by field name.
func (p Problems) Error() string {
	var b strings.Builder
	for i, field := range slices.Sorted(maps.Keys(p)) {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(field)
		b.WriteString(": ")
		b.WriteString(p[field])
	}
	return b.String()
}

// orNil turns an empty map into no error.
func (p Problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	return p
}
