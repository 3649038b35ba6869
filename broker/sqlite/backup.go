package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// ErrExists: there is a file already where one was to be made.
var ErrExists = errors.New("exists already")

// Backup copies the database at path into the file to, as it is at one moment,
// also while a server writes to it. The copy is whole or not there, has mode 0600
// and was looked through for damage. With replace it may take the place of a file.
func Backup(ctx context.Context, path, to string, replace bool) (Contents, error) {
	c, err := backUp(ctx, path, to, replace)
	if err != nil {
		return c, fmt.Errorf("back up %s: %w", path, classified(err))
	}
	return c, nil
}

func backUp(ctx context.Context, path, to string, replace bool) (c Contents, err error) {
	st, err := os.Stat(path)
	if err != nil {
		return c, err
	}
	if old, err := os.Stat(to); err == nil && (!replace || !old.Mode().IsRegular() || os.SameFile(st, old)) {
		return c, fmt.Errorf("%s %w", to, ErrExists)
	}
	if free := freeBytes(filepath.Dir(to)); free >= 0 && free < st.Size()+leastFree {
		return c, fmt.Errorf("%w: %d bytes are free in %s, the database has %d", ErrUnwritable, free, filepath.Dir(to), st.Size())
	}
	tmp := to + ".tmp"
	if err := removeIfThere(tmp); err != nil {
		return c, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeIfThere(tmp))
		}
	}()
	if err := snapshot(ctx, uri(path)+"?_pragma=busy_timeout(5000)", tmp); err != nil {
		return c, err
	}
	if c, err = verify(ctx, tmp); err != nil {
		return c, err
	}
	return c, moveInto(tmp, to)
}

// snapshot writes a consistent copy of the database that SQLite calls name.
func snapshot(ctx context.Context, name, to string) (err error) {
	// VACUUM INTO takes an empty file, which thereby has our mode, not SQLite's.
	if err := createNew(to); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	return err
}

// verify refuses a file that can't become the database: it is not one of
// HearthMQ's, damaged, or of a newer HearthMQ.
func verify(ctx context.Context, path string) (c Contents, err error) {
	if err := inspect(ctx, immutable(path), wholeCheck); err != nil {
		return c, err
	}
	db, err := sql.Open("sqlite", immutable(path))
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	version, err := schemaVersion(ctx, db)
	if err != nil {
		return c, err
	}
	newest, err := newestSchema()
	if err != nil {
		return c, err
	}
	switch {
	case version == 0:
		return c, errors.New("it is empty")
	case version > newest:
		return c, fmt.Errorf("%w (schema %d, this one knows up to %d)", ErrNewer, version, newest)
	}
	return contents(ctx, db)
}

// wholeCheck is a limit that only a disk that stands still reaches.
const wholeCheck = time.Hour

// PrepareBackup writes the database and the accounts file into the folder backup
// beside the database at path, over what is there: what a backup of the whole data
// folder takes of a running server. OpenServer takes it from there when the database
// is missing. Without a database there is nothing to do, and dir is "".
func PrepareBackup(ctx context.Context, path string, log *slog.Logger) (dir string, c Contents, err error) {
	db := &DB{path: path, log: log}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", c, nil
	}
	dir = db.backupDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", c, fmt.Errorf("back up %s: %w", path, err)
	}
	copied := filepath.Join(dir, filepath.Base(path))
	if c, err = Backup(ctx, path, copied, true); err != nil {
		return "", c, err
	}
	// The accounts of the copy, not of this moment.
	snap := &DB{path: copied, log: log}
	if snap.reader, err = sql.Open("sqlite", immutable(copied)); err != nil {
		return "", c, err
	}
	err = snap.writeAccounts(ctx)
	if err = errors.Join(err, snap.closePools()); err != nil {
		return "", c, fmt.Errorf("back up users, roles and rules: %w", err)
	}
	return dir, c, nil
}

// Look says what is in the backup at path, which Restore can take. Otherwise the error
// says why not.
func Look(ctx context.Context, path string) (Contents, error) {
	c, err := verify(ctx, path)
	if err != nil {
		return c, classified(err)
	}
	return c, nil
}

// RemoveBackup removes what PrepareBackup wrote, if it is there.
func RemoveBackup(path string) error {
	if err := os.RemoveAll((&DB{path: path}).backupDir()); err != nil {
		return fmt.Errorf("remove the backup: %w", err)
	}
	return nil
}

// Restored tells what Restore did.
type Restored struct {
	Contents
	// Kept is where the former database is now, "" when there was none.
	Kept string
}

// Restore makes a copy of the backup from the database at path. The caller holds
// the data folder's lock. Until the copy is whole and was looked through, nothing
// happens to the present database; then that is kept under a dated name.
func Restore(ctx context.Context, from, path string, log *slog.Logger) (Restored, error) {
	r, err := restore(ctx, from, path, log)
	if err != nil {
		return r, fmt.Errorf("restore %s: %w", from, classified(err))
	}
	return r, nil
}

func restore(ctx context.Context, from, path string, log *slog.Logger) (r Restored, err error) {
	st, err := os.Stat(from)
	if err != nil {
		return r, err
	}
	if present, err := os.Stat(path); err == nil && os.SameFile(st, present) {
		return r, errors.New("this is the database itself")
	}
	if err := inspect(ctx, backupName(from), wholeCheck); err != nil {
		return r, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return r, err
	}
	db := &DB{path: path, log: log}
	db.tidy()
	tmp := path + ".restoring"
	if err := removeIfThere(tmp); err != nil {
		return r, err
	}
	if err = snapshot(ctx, backupName(from), tmp); err == nil {
		r.Contents, err = verify(ctx, tmp)
	}
	if err == nil {
		err = moveInto(tmp, db.newName())
	}
	if err != nil {
		return r, errors.Join(err, removeIfThere(tmp))
	}
	if _, err := os.Lstat(path); err == nil {
		if r.Kept, err = putAside(path, "replaced"); err != nil {
			return r, err
		}
	}
	if err := moveInto(db.newName(), path); err != nil {
		return r, err
	}
	// The accounts file is of the former database.
	if db.reader, err = sql.Open("sqlite", immutable(path)); err != nil {
		return r, err
	}
	return r, errors.Join(db.writeAccounts(ctx), db.closePools())
}

// backupName is what SQLite calls a backup: one that was copied together with its
// write-ahead log is read with it.
func backupName(path string) string {
	if st, err := os.Stat(path + "-wal"); err == nil && st.Size() > 0 {
		return uri(path) + onlyLook
	}
	return immutable(path)
}
