// Package migrations holds the steps by which HearthMQ's database came to its
// present shape, oldest first. A step that has been released is never edited:
// a change of the schema is a new file. Package broker/sqlite runs them.
package migrations

import "embed"

// Files are the steps, named 000N_name.sql.
//
//go:embed [0-9]*.sql
var Files embed.FS
