package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// applicationID marks a database as HearthMQ's in its header: "HMQT".
const applicationID = 0x484D5154

// onlyLook is for connections that look and change nothing. With mode=ro they
// leave the write-ahead log where it is when they close.
const onlyLook = "?mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)"

// mayUndo is for a connection that looks as well, and rolls a transaction back that
// a crash has cut off.
const mayUndo = "?mode=rw&_pragma=busy_timeout(5000)&_pragma=query_only(1)"

// checkLimit bounds what looking through the database may add to a start.
const checkLimit = 3 * time.Second

// inspect refuses a file that is something else than HearthMQ's database: with
// ErrDamaged when it is none at all. An empty database is nobody's yet: the
// process may have died before it was filled. With a limit it also looks through
// the whole database for damage, for so long at most; what it did not get to
// counts as sound. name is what SQLite calls the file.
func inspect(ctx context.Context, name string, limit time.Duration) (err error) {
	plain, err := sql.Open("sqlite", name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	plain.SetMaxOpenConns(1)
	var id, tables int64
	err = plain.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)`).Scan(&id, &tables)
	switch {
	case errorCode(err)&0xff == sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: this file is not a SQLite database", ErrDamaged)
	case err != nil:
		return err
	case id == applicationID, id == 0 && tables == 0:
	default:
		return errForeign
	}
	if limit == 0 || tables == 0 {
		return nil
	}
	return quickCheck(ctx, plain, limit)
}

// look inspects the database. Where a crash interrupted its very first transactions,
// before it was in WAL mode, they are undone on the way: a rollback journal is all
// that tells what belongs in the file (case S2).
func (db *DB) look(ctx context.Context, limit time.Duration) error {
	err := inspect(ctx, uri(db.path)+onlyLook, limit)
	if errorCode(err) == sqlite3.SQLITE_READONLY_ROLLBACK {
		return inspect(ctx, uri(db.path)+mayUndo, limit)
	}
	return err
}

var errForeign = errors.New("this SQLite database belongs to another program")

// quickCheck looks through all pages of a database.
func quickCheck(ctx context.Context, db *sql.DB, limit time.Duration) error {
	checking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var found string
	err := db.QueryRowContext(checking, `PRAGMA quick_check(1)`).Scan(&found)
	switch {
	case checking.Err() != nil && ctx.Err() == nil:
		return nil
	case err != nil:
		return err
	case found != "ok":
		return fmt.Errorf("%w: %s", ErrDamaged, found[strings.LastIndexByte(found, '\n')+1:]) // below a headline
	}
	return nil
}

// errorCodes that say that the content of the file is gone.
func lost(err error) bool {
	if errors.Is(err, ErrDamaged) {
		return true
	}
	switch code := errorCode(err); {
	case code&0xff == sqlite3.SQLITE_CORRUPT, code&0xff == sqlite3.SQLITE_NOTADB:
		return true
	case code == sqlite3.SQLITE_IOERR_READ, code == sqlite3.SQLITE_IOERR_SHORT_READ, code == sqlite3.SQLITE_IOERR_DATA, code == sqlite3.SQLITE_IOERR_CORRUPTFS:
		return true // a sector that can't be read any more
	}
	return false
}
