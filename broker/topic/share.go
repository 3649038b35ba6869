package topic

import (
	"fmt"
	"strings"
)

const sharePrefix = "$share"

// ParseShare splits the name of a shared subscription, "$share/NAME/FILTER", into
// the share name and the Topic Filter. ok is false, and filter is s, when s is not
// one. err tells what is malformed in a string that means to be one; then ok is
// true. A returned filter is not empty; ValidFilter has to judge it.
//
// Access control sees the filter alone, never the "$share" form (case A5).
func ParseShare(s string) (share, filter string, ok bool, err error) {
	first, rest, last := cut(s)
	if first != sharePrefix {
		return "", s, false, nil
	}
	if last {
		return "", "", true, fmt.Errorf("shared subscription %w", ErrShareName)
	}
	share, filter, last = cut(rest)
	if share == "" || strings.ContainsAny(share, "+#") { // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
		return "", "", true, fmt.Errorf("shared subscription %w", ErrShareName)
	}
	if last || filter == "" { // [MQTT-4.8.2-2]
		return "", "", true, fmt.Errorf("shared subscription %w", ErrShareBare)
	}
	return share, filter, true, nil
}
