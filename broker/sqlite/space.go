package sqlite

import "path/filepath"

// Free is how many bytes are left for us where the database is; false: not known.
func (db *DB) Free() (int64, bool) {
	n := freeBytes(filepath.Dir(db.path))
	return n, n >= 0
}
