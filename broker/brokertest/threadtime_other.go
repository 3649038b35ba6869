//go:build !linux

package brokertest

import "time"

// ThreadTime is unknown here.
func ThreadTime() time.Duration { return 0 }
