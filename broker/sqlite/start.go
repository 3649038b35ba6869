package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// OpenServer opens the database for the server, which holds the data folder's lock
// and alone may put files aside. It does what Open does, and starts all the same
// when the database is damaged: the files are kept under a dated name, what can be
// read of them goes into a new database, and Report tells of it. A database that
// is not there is made of the backup of `backup pre` or of the accounts file.
//
// While it is open the space on the disk is watched; see Health. Errors that a
// server can live with are ErrUnwritable.
func OpenServer(ctx context.Context, path string, log *slog.Logger) (*DB, error) {
	return begin(ctx, &DB{path: path, log: log, server: true}, (*DB).start)
}

// OpenBrief is OpenServer for a folder that goes with the process: nothing waits for
// the disk.
func OpenBrief(ctx context.Context, path string, log *slog.Logger) (*DB, error) {
	return begin(ctx, &DB{path: path, log: log, server: true, brief: true}, (*DB).start)
}

func (db *DB) start(ctx context.Context) error {
	if free := freeBytes(filepath.Dir(db.path)); free >= 0 && free < leastFree && os.Remove(db.reserve()) == nil {
		db.log.Error("the disk is full: the space kept in reserve is given up", "file", db.reserve(), "free", free)
	}
	if err := db.find(ctx); err != nil {
		return err
	}
	db.tidy()
	err := db.openSound(ctx)
	if lost(err) {
		err = db.replace(ctx, errors.Join(err, db.closePools()))
	}
	if err != nil {
		return err
	}
	if err := db.refill(ctx); err != nil {
		return err
	}
	db.exportAccounts(ctx)
	db.upkeep.last = time.Now() // a start has enough to do
	return nil
}

// openSound opens the database unless it is found damaged.
func (db *DB) openSound(ctx context.Context) error {
	if err := createFile(db.path); errors.Is(err, syscall.EISDIR) {
		return fmt.Errorf("%w: there is a folder in its place", ErrDamaged)
	} else if err != nil {
		return err
	}
	if err := db.look(ctx, checkLimit); err != nil {
		return err
	}
	return db.openPools(ctx)
}

// newName is where a database is made that will take the place of the present one.
// When there is no other, it is complete.
func (db *DB) newName() string { return db.path + ".new" }

// backupDir is the folder of `backup pre`.
func (db *DB) backupDir() string { return filepath.Join(filepath.Dir(db.path), "backup") }

// find sees to it that a database that is missing is made of what is there: of a
// replacement that was cut off, or of the backup that the Supervisor brought back.
func (db *DB) find(ctx context.Context) error {
	if st, err := os.Stat(db.path); err == nil && (st.Size() > 0 || st.IsDir()) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil // whatever is wrong with it is not that it is missing
	}
	if err := db.strayLog(); err != nil {
		return err
	}
	if _, err := os.Stat(db.newName()); err == nil {
		return moveInto(db.newName(), db.path)
	}
	backup := filepath.Join(db.backupDir(), filepath.Base(db.path))
	if _, err := os.Stat(backup); err != nil {
		return nil
	}
	if err := inspect(ctx, immutable(backup), checkLimit); err != nil {
		db.log.Error("there is no database, and the backup that could become it is damaged", "backup", backup, "err", err)
		return nil
	}
	saved, err := contentsOf(ctx, immutable(backup))
	if err == nil {
		err = moveInto(backup, db.path)
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", backup, err)
	}
	db.report.Restored, db.report.Saved, db.report.At = backup, saved, time.Now()
	return RemoveBackup(db.path)
}

// strayLog puts a write-ahead log aside that no database belongs to. SQLite would
// delete it, or take it for that of the next database of this name.
func (db *DB) strayLog() error {
	st, err := os.Stat(db.path + "-wal")
	if err != nil || st.Size() == 0 {
		return nil
	}
	kept, err := putAside(db.path, "damaged")
	if err != nil {
		return err
	}
	db.report.Problem = "its write-ahead log is there, the database itself is not"
	db.report.Quarantined, db.report.At = kept, time.Now()
	return nil
}

// immutable names a database that nothing else has open and that is read without
// its write-ahead log and without making any file beside it.
func immutable(path string) string { return uri(path) + "?immutable=1&mode=ro" }

// sidecars are the names of a database's files without the database's name.
var sidecars = [...]string{"-journal", "-shm", "-wal", ""}

// putAside renames a database with all that belongs to it and returns its new
// name. The database itself is last: without it the rest is found as a stray log.
func putAside(path, why string) (kept string, err error) {
	stamp := time.Now().UTC().Format("20060102T150405.000Z")
	kept = fmt.Sprintf("%s.%s-%s", path, why, stamp)
	for n := 2; ; n++ {
		if _, err := os.Lstat(kept); errors.Is(err, fs.ErrNotExist) {
			break
		}
		kept = fmt.Sprintf("%s.%s-%s-%d", path, why, stamp, n)
	}
	for _, part := range sidecars {
		if err := os.Rename(path+part, kept+part); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return kept, syncFile(filepath.Dir(path))
}

// moveInto renames a database into the place of one that is gone.
func moveInto(from, to string) error {
	if err := os.Chmod(from, 0o600); err != nil {
		return err
	}
	if err := errors.Join(syncFile(from), os.Rename(from, to)); err != nil {
		return err
	}
	return syncFile(filepath.Dir(to))
}

// tidy removes what an earlier process was cut off in making.
func (db *DB) tidy() {
	names := []string{db.reserve() + ".tmp", filepath.Join(db.backupDir(), filepath.Base(db.path)+".tmp")}
	for _, part := range sidecars {
		names = append(names, db.newName()+part)
	}
	for _, pattern := range []string{accountsName + ".*.tmp", "probe-*.tmp"} {
		found, err := filepath.Glob(filepath.Join(filepath.Dir(db.path), pattern))
		if err == nil { // a folder whose name is no pattern keeps its remains
			names = append(names, found...)
		}
	}
	for _, name := range names {
		if err := removeIfThere(name); err != nil {
			db.log.Warn("a file left behind can't be removed", "file", name, "err", err)
		}
	}
}
