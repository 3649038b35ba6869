package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// Errors of Open and OpenServer for which there is something to do.
var (
	// ErrUnwritable: the folder or the file can't be written (read-only file
	// system, missing rights, no space at all). A broker can still work with
	// OpenStandIn.
	ErrUnwritable = errors.New("the data folder can't be written")
	// ErrDamaged: the file is not a sound database. OpenServer puts such a file
	// aside, so only Open and Restore return it.
	ErrDamaged = errors.New("the database is damaged")
	// ErrNewer: a newer HearthMQ has changed the database's schema. A broker can still
	// work with OpenStandIn.
	ErrNewer = errors.New("a newer HearthMQ wrote it")
)

// Unwritable reports whether an error of the operating system means ErrUnwritable.
func Unwritable(err error) bool {
	c := conditionOfSystem(err)
	return c == ReadOnly || c == DiskFull
}

// classified adds ErrUnwritable or ErrDamaged to what says so in other words.
func classified(err error) error {
	switch {
	case errors.Is(err, ErrUnwritable), errors.Is(err, ErrDamaged):
		return err
	case lost(err):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	switch conditionOf(err) {
	case ReadOnly, DiskFull:
		return fmt.Errorf("%w: %w", ErrUnwritable, err)
	}
	return err
}

// Condition says how the disk treats the database.
type Condition string

// Conditions, as people read them.
const (
	OK       Condition = "ok"
	DiskFull Condition = "disk full"
	ReadOnly Condition = "read only"
	IOError  Condition = "I/O error"
	Damaged  Condition = "damaged"
)

// Health is what there is to know of the database's disk.
type Health struct {
	Condition Condition
	Since     time.Time // of Condition; zero when it was never another than OK
	Err       error     // the last failure of a write, nil while OK
	// FreeBytes is what is left on the file system, -1 where that is not known.
	FreeBytes int64
	// DatabaseBytes is the size of the database with its write-ahead log.
	DatabaseBytes int64
	// Reserve reports whether the file is there that is given up when the disk is full.
	Reserve bool
}

// trouble is the present condition. Its lock is a leaf.
type trouble struct {
	sync.Mutex
	condition Condition // "": OK
	since     time.Time
	err       error
	// mend is set when the connections can't be trusted before they were made anew.
	mend bool
}

// Health tells how the last write went and what room there is. It asks the file
// system, not the database, and does not block.
func (db *DB) Health() Health {
	h := Health{FreeBytes: freeBytes(filepath.Dir(db.path)), Condition: OK}
	for _, name := range []string{db.path, db.path + "-wal"} {
		if st, err := os.Stat(name); err == nil {
			h.DatabaseBytes += st.Size()
		}
	}
	_, err := os.Stat(db.reserve())
	h.Reserve = err == nil
	db.trouble.Lock()
	defer db.trouble.Unlock()
	if db.trouble.condition != "" {
		h.Condition = db.trouble.condition
	}
	h.Since, h.Err = db.trouble.since, db.trouble.err
	return h
}

// judge takes note of how a write ended and returns its error in clear words.
func (db *DB) judge(err error) error {
	c := db.condition(err)
	if c == "" { // its own fault, not the disk's
		return err
	}
	t := &db.trouble
	t.Lock()
	defer t.Unlock()
	if c != t.condition && (c != OK || t.condition != "") {
		t.condition, t.since = c, time.Now()
	}
	t.err = nil
	if c != OK {
		err = fmt.Errorf("%s: %w", c, err)
		t.err = err
	}
	if c == IOError || c == Damaged {
		t.mend = true
	}
	return err
}

// suspect takes note of how reading ended: when the disk failed, the next write
// looks into it first.
func (db *DB) suspect(err error) {
	if c := conditionOf(err); c == Damaged || c == IOError {
		db.trouble.Lock()
		defer db.trouble.Unlock()
		db.trouble.mend = true
	}
}

// condition is what an error says of the disk, "" when nothing.
func (db *DB) condition(err error) Condition {
	c := conditionOf(err)
	if c == IOError && noRoom(db.path) {
		return DiskFull // SQLite tells ENOSPC alone from other failures
	}
	return c
}

func conditionOf(err error) Condition {
	if err == nil {
		return OK
	}
	if errors.Is(err, ErrDamaged) {
		return Damaged
	}
	switch errorCode(err) & 0xff {
	case sqlite3.SQLITE_FULL:
		return DiskFull
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return ReadOnly
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return Damaged
	case sqlite3.SQLITE_IOERR:
		return IOError
	case sqlite3.SQLITE_CANTOPEN:
		return ReadOnly // its -wal or -shm can't be made: the folder is not ours
	}
	return conditionOfSystem(err)
}

// conditionOfSystem judges errors of the operating system.
func conditionOfSystem(err error) Condition {
	for _, e := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, e) {
			return DiskFull
		}
	}
	if errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) {
		return ReadOnly
	}
	if errors.Is(err, syscall.EIO) {
		return IOError
	}
	return ""
}

// mend makes the connections anew when a failure of the disk left them in doubt.
//
// After an fsync that failed, Linux takes the pages for written that are not: a
// commit that follows would stand on a write-ahead log with a hole in it, and fall
// with it at the next power cut. So what the log holds of successful commits is
// copied into the database, by a connection that remembers where they end, and the
// log is emptied; only then are the connections closed. They would take the failed
// commit for a successful one if they read the log anew. A database that is found
// damaged is replaced as at the start.
func (db *DB) mend(ctx context.Context) error {
	db.trouble.Lock()
	due, condition := db.trouble.mend, db.trouble.condition
	db.trouble.Unlock()
	if !due {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	db.pools.Lock()
	defer db.pools.Unlock()
	if db.closed {
		return errClosed
	}
	err := error(ErrDamaged)
	if condition != Damaged {
		err = db.reopen(ctx)
	}
	if lost(err) {
		if !db.server {
			return fmt.Errorf("%w: start HearthMQ, which puts it aside", ErrDamaged)
		}
		err = db.replace(ctx, err)
	}
	if err != nil {
		return db.judge(fmt.Errorf("make the database sound again: %w", err))
	}
	db.generation.Add(1)
	db.trouble.Lock()
	db.trouble.mend = false
	db.trouble.Unlock()
	db.log.Warn("the database was closed and opened again after a failure of its disk")
	return nil
}

// reopen makes the connections anew. pools is held.
func (db *DB) reopen(ctx context.Context) error {
	if db.writer != nil {
		if err := checkpoint(ctx, db.writer); err != nil {
			return err
		}
	}
	if err := db.closePools(); err != nil {
		return err
	}
	if err := db.look(ctx, checkLimit); err != nil {
		return err
	}
	if err := db.openPools(ctx); err != nil {
		return errors.Join(err, db.closePools())
	}
	return nil
}

// checkpoint copies the write-ahead log into the database and empties it.
func checkpoint(ctx context.Context, db *sql.DB) error {
	var busy bool
	var frames, copied int
	if err := db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &copied); err != nil {
		return fmt.Errorf("empty the write-ahead log: %w", err)
	}
	if busy {
		return errors.New("empty the write-ahead log: somebody reads the database")
	}
	return nil
}
