package topic

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of Topic Names and Topic Filters.
const (
	// MaxLevels is the most levels that ValidName and ValidFilter accept, as many as
	// Mosquitto takes. The specification has no such limit; a name of 65,535 slashes
	// has no honest use.
	MaxLevels = 201
	// MaxBytes is the length limit of a UTF-8 string on the wire [MQTT-4.7.3-3].
	MaxBytes = 65535
)

// Reasons why a Topic Name or Topic Filter is not well formed. The text is for
// people; errors.Is tells them apart.
var (
	ErrEmpty     = errors.New("is empty")
	ErrTooLong   = errors.New("is longer than 65535 bytes")
	ErrTooDeep   = errors.New("has too many levels")
	ErrNotUTF8   = errors.New("is not valid UTF-8")
	ErrNUL       = errors.New("contains the character U+0000")
	ErrWildcard  = errors.New("contains a wildcard")
	ErrMultiEnd  = errors.New("has # before the last level")
	ErrNotAlone  = errors.New("has a wildcard that shares its level with other characters")
	ErrShareName = errors.New("has a share name that is empty or contains + or #")
	ErrShareBare = errors.New("has no topic filter after the share name")
)

// ValidName reports what keeps name from being a Topic Name that a PUBLISH, a Will
// or a Response Topic may carry: nil when it is well formed. The error wraps one of
// the Err values of this package.
func ValidName(name string) error {
	if err := validText("topic name", name); err != nil {
		return err
	}
	if i := strings.IndexAny(name, "+#"); i >= 0 { // [MQTT-3.3.2-2] [MQTT-4.7.0-1]
		return fmt.Errorf("topic name %w (%q at byte %d)", ErrWildcard, name[i], i)
	}
	return nil
}

// validText checks what names and filters have in common. It does not look at
// wildcards. what starts the error text.
func validText(what, s string) error {
	switch {
	case s == "": // [MQTT-4.7.3-1]
		return fmt.Errorf("%s %w", what, ErrEmpty)
	case len(s) > MaxBytes: // [MQTT-4.7.3-3]
		return fmt.Errorf("%s %w (%d)", what, ErrTooLong, len(s))
	case strings.IndexByte(s, 0) >= 0: // [MQTT-4.7.3-2] [MQTT-1.5.4-2]
		return fmt.Errorf("%s %w", what, ErrNUL)
	case !utf8.ValidString(s): // [MQTT-1.5.4-1]; Go's UTF-8 has no surrogates
		return fmt.Errorf("%s %w", what, ErrNotUTF8)
	}
	if n := Levels(s); n > MaxLevels {
		return fmt.Errorf("%s %w (%d, the limit is %d)", what, ErrTooDeep, n, MaxLevels)
	}
	return nil
}

// Levels counts the levels of a name or filter. The empty string has one.
func Levels(s string) int { return strings.Count(s, "/") + 1 }

// cut splits the first level off s. last is true when nothing follows it, which a
// trailing '/' (an empty last level) has to be told apart from.
func cut(s string) (level, rest string, last bool) {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return s[:i], s[i+1:], false
	}
	return s, "", true
}
