package access

import "time"

// BrowserLogin is one browser that is logged in to the web admin.
type BrowserLogin struct {
	ID            int64
	User          string
	Address       string // where it logged in from
	Browser       string // what it called itself
	Created, Seen time.Time
	Expires       time.Time
}
