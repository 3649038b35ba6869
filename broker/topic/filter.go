package topic

import (
	"fmt"
	"strings"
)

// ValidFilter reports what keeps filter from being a Topic Filter: nil when it is
// well formed. It does not know shared subscriptions; give it the filter that
// ParseShare returns. The error wraps one of the Err values of this package.
func ValidFilter(filter string) error {
	if err := validText("topic filter", filter); err != nil {
		return err
	}
	for rest, last := filter, false; !last; {
		var level string
		level, rest, last = cut(rest)
		switch {
		case level == "#":
			if !last { // [MQTT-4.7.1-1]
				return fmt.Errorf("topic filter %w", ErrMultiEnd)
			}
		case level != "+" && strings.ContainsAny(level, "+#"): // [MQTT-4.7.1-1] [MQTT-4.7.1-2]
			return fmt.Errorf("topic filter %w (level %q)", ErrNotAlone, level)
		}
	}
	return nil
}

// HasWildcard reports whether a well-formed filter contains + or #. A filter
// without one matches only the name that is equal to it.
func HasWildcard(filter string) bool {
	return strings.IndexByte(filter, '+') >= 0 || strings.HasSuffix(filter, "#")
}
