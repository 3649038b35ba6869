package access

import "time"

// Learning is a time in which a user is watched, so that rules can be proposed for it.
type Learning struct {
	UserID       int64
	Begun, Until time.Time
	// Open lets the user do meanwhile whatever no rule denies.
	Open bool
}
