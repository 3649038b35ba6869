package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"time"
)

// PragmaOfPools asks one connection of each pool.
func PragmaOfPools(ctx context.Context, db *DB, pragma string) map[string]string {
	out := map[string]string{}
	for name, pool := range map[string]*sql.DB{"writer": db.writer, "reader": db.reader} {
		var v string
		if err := pool.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&v); err != nil {
			v = err.Error()
		}
		out[name] = v
	}
	return out
}

// MigrateWith runs other steps than those that are built in.
func MigrateWith(ctx context.Context, db *DB, steps fs.FS) error { return db.migrateWith(ctx, steps) }

// Garbage is how many rows of message wait to be collected.
func Garbage(s *Store) int { return len(s.garbage.sizes) }

// Remembered counts what the Store keeps in memory.
func Remembered(s *Store) (sessions, deliveries, messages int) {
	for _, x := range s.sessions {
		deliveries += len(x.queue)
	}
	return len(s.sessions), deliveries, len(s.messages)
}

// LimitPages lets the database grow to so many pages and no further, as a full disk does.
func LimitPages(ctx context.Context, db *DB, pages int) {
	if _, err := db.writer.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
		panic(err)
	}
}

// Upkeep does now, and at once, what happens once a minute.
func Upkeep(db *DB) {
	db.upkeep.mu.Lock()
	db.upkeep.last = time.Time{}
	db.upkeep.mu.Unlock()
	db.maintain()
	db.upkeep.wg.Wait()
}

// Broken has the next write look into the database first, as after a failed fsync.
func Broken(db *DB) {
	db.trouble.Lock()
	defer db.trouble.Unlock()
	db.trouble.mend = true
}

// Estimated is what Written answers where the system does not count.
func Estimated(s *Store) int64 { return s.estimated.Load() }

// Read runs f in a transaction of a reader.
func Read(ctx context.Context, db *DB, f func(tx *sql.Tx) error) error { return db.read(ctx, f) }

// Salvaged are the tables that are copied from a damaged database.
var Salvaged = salvaged

// SetWall has the clock show something else from the next Load on.
func SetWall(s *Store, wall func(time.Time) time.Time) { s.wall = wall }
