package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// OpenStandIn opens a copy of the database at path for a server that can't write
// there (ErrUnwritable) or must not (ErrNewer), so that a home has its broker all the
// same: users and rules, and with copyMost bytes at most also sessions and messages,
// as they were, or as they were before a newer HearthMQ changed them. The copy is in a
// temporary folder, in memory where there is such a folder; what changes lasts as long
// as the process, and Close removes it. Parts that can't be read are logged and missing.
func OpenStandIn(ctx context.Context, path string, log *slog.Logger) (*DB, error) {
	db, err := standIn(ctx, path, path, log)
	if errors.Is(err, ErrNewer) {
		newest, e := newestSchema()
		if e != nil {
			return nil, errors.Join(err, e)
		}
		db, err = standIn(ctx, path, bakName(path, newest), log)
	}
	if err != nil {
		return nil, fmt.Errorf("stand in for database %s: %w", path, err)
	}
	return db, nil
}

// standIn is OpenStandIn with the copy of the database from another file.
func standIn(ctx context.Context, path, from string, log *slog.Logger) (*DB, error) {
	dir, err := temporaryFolder()
	if err != nil {
		return nil, err
	}
	db := &DB{path: filepath.Join(dir, filepath.Base(path)), log: log, server: true, temporary: dir}
	var size int64
	for _, part := range []string{"", "-wal"} {
		if st, err := os.Stat(from + part); err == nil {
			size += st.Size()
		}
	}
	names := map[string]string{accountsPath(path): db.accountsPath()}
	if size <= copyMost {
		names[from], names[from+"-wal"] = db.path, db.path+"-wal"
	} else {
		log.Error("the database is too large to work with a copy: sessions and messages are missing", "database", from, "bytes", size)
	}
	for from, to := range names {
		if err := copyFile(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			log.Error("a file can't be read and is missing", "file", from, "err", err)
		}
	}
	return begin(ctx, db, (*DB).start)
}

// copyMost is how much of a database fits where a stand-in is: the memory that
// container engines share out by default has 64 MiB.
const copyMost = 32 << 20

func temporaryFolder() (string, error) {
	var failed []error
	for _, parent := range []string{"/dev/shm", os.TempDir()} {
		dir, err := os.MkdirTemp(parent, "hearthmq-")
		if err == nil {
			return dir, nil
		}
		failed = append(failed, err)
	}
	return "", errors.Join(failed...)
}
