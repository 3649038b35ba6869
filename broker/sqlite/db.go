package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// DB is an open database. All methods are safe for concurrent use; what Store
// returns has rules of its own.
//
// Locks, outermost first: pools, watch, trouble (a leaf).
type DB struct {
	path   string
	log    *slog.Logger
	server bool // OpenServer: this process looks after the files
	brief  bool // OpenBrief: nothing in it outlives the process
	// temporary is the folder of an OpenStandIn, "" of others.
	temporary string

	// pools is held for reading while a connection is used, and for writing while
	// the pools are replaced.
	pools      sync.RWMutex
	writer     *sql.DB // one connection
	reader     *sql.DB // readers, and one that watches for changes
	closed     bool
	generation atomic.Int64 // grows when they are replaced

	watch struct {
		sync.Mutex
		conn    *sql.Conn
		version int64 // PRAGMA data_version of conn
		access  int64 // what DataVersion answered for it
	}

	trouble  trouble
	upkeep   upkeep
	exporter exporter
	report   Report // complete when OpenServer returns; guarded by pools
}

// readers is how many queries run at once.
const readers = 4

// Open opens the database at path for a command beside a server, which may be
// running, and brings it to the present schema. A missing database is made (mode
// 0600), as is its folder (mode 0700). An existing one is copied to
// path.v<old>.bak before it is migrated. It is an error when the database is
// newer than this HearthMQ, the file is not HearthMQ's, or it is damaged: errors
// then are ErrDamaged, and ErrUnwritable when nothing can be written there.
func Open(ctx context.Context, path string, log *slog.Logger) (*DB, error) {
	return begin(ctx, &DB{path: path, log: log}, (*DB).open)
}

func begin(ctx context.Context, db *DB, open func(*DB, context.Context) error) (*DB, error) {
	path, err := filepath.Abs(db.path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db.path = path
	if err := open(db, ctx); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, errors.Join(classified(err), db.Close()))
	}
	return db, nil
}

func (db *DB) open(ctx context.Context) error {
	if err := db.find(ctx); err != nil {
		return err
	}
	if err := createFile(db.path); err != nil {
		return err
	}
	// Asked of a plain connection, before WAL mode changes a file that may not be ours.
	if err := db.look(ctx, 0); err != nil {
		return err
	}
	if err := db.openPools(ctx); err != nil {
		return err
	}
	return db.refill(ctx)
}

// openPools opens the connections and migrates. pools is held, or nobody else
// knows db yet.
func (db *DB) openPools(ctx context.Context) error {
	var err error
	var more []string
	if db.brief {
		more = append(more, "synchronous(OFF)")
	}
	if db.writer, err = sql.Open("sqlite", dsn(db.path, "immediate", more...)); err != nil {
		return err
	}
	db.writer.SetMaxOpenConns(1)
	if err := db.migrate(ctx); err != nil {
		return err
	}
	if db.reader, err = sql.Open("sqlite", dsn(db.path, "deferred", "query_only(1)")); err != nil {
		return err
	}
	db.reader.SetMaxOpenConns(readers + 1)
	db.reader.SetMaxIdleConns(readers + 1)
	return db.reader.PingContext(ctx)
}

// closePools closes the connections. pools is held, or nobody else knows db yet.
func (db *DB) closePools() error {
	var errs []error
	db.watch.Lock()
	if db.watch.conn != nil {
		errs = append(errs, db.watch.conn.Close())
		db.watch.conn = nil
	}
	db.watch.Unlock()
	// The writer last: the last connection to go writes the WAL back, which a
	// query_only one may not.
	if db.reader != nil {
		errs = append(errs, db.reader.Close())
		db.reader = nil
	}
	if db.writer != nil {
		errs = append(errs, db.writer.Close())
		db.writer = nil
	}
	return errors.Join(errs...)
}

// Close closes the database. Calls under way are waited for; later ones fail.
func (db *DB) Close() error {
	db.upkeep.end()
	db.pools.Lock()
	defer db.pools.Unlock()
	db.closed = true
	err := db.closePools()
	if db.temporary != "" {
		err = errors.Join(err, os.RemoveAll(db.temporary))
	}
	return err
}

// Path is where the database is.
func (db *DB) Path() string { return db.path }

// dsn names the file as a URI (a path may hold '?', '#' or '%') with the PRAGMAs
// that each connection starts with. The driver runs busy_timeout before the others.
func dsn(path, txlock string, pragmas ...string) string {
	q := url.Values{
		"_txlock": {txlock},
		"_pragma": append([]string{
			"busy_timeout(5000)",
			"journal_mode(WAL)",
			"synchronous(FULL)",
			"foreign_keys(1)",
			"journal_size_limit(16777216)",
			"trusted_schema(0)",
		}, pragmas...),
	}
	return uri(path) + "?" + q.Encode()
}

func uri(path string) string {
	return "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
}

// createFile makes the folder and the file with the modes they shall have,
// whatever the umask; SQLite itself would leave the database readable by all,
// and gives its -wal and -shm files the mode of the database.
func createFile(path string) error {
	if err := createFolder(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	switch {
	case err != nil:
	case !st.Mode().IsRegular():
		err = errors.New("not a regular file")
	case st.Mode().Perm() != 0o600:
		err = f.Chmod(0o600)
	}
	return errors.Join(err, f.Close())
}

// createNew makes an empty file for a copy. One that is there already is an error: in a
// folder that others may write to it could be somebody else's, who would read the copy.
func createNew(path string) error {
	if err := createFolder(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// createFolder makes the folder of a file, where it is missing.
func createFolder(path string) error {
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return os.MkdirAll(filepath.Dir(path), 0o700)
}

// errorCode is SQLite's extended result code, 0 when err does not come from there.
func errorCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// isUnique reports whether err says that a value is there already.
func isUnique(err error) bool {
	c := errorCode(err)
	return c == sqlite3.SQLITE_CONSTRAINT_UNIQUE || c == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}

// update runs f in one transaction of the writer: all of it or nothing. When the
// disk is full it makes room and runs f once more.
func (db *DB) update(ctx context.Context, f func(tx *sql.Tx) error) error {
	if err := db.mend(ctx); err != nil {
		return err
	}
	err := db.attempt(ctx, f)
	if db.condition(err) == DiskFull && db.makeRoom(ctx) {
		err = db.attempt(ctx, f)
	}
	if err = db.judge(err); err == nil {
		db.maintain()
	}
	return err
}

func (db *DB) attempt(ctx context.Context, f func(tx *sql.Tx) error) error {
	db.pools.RLock()
	defer db.pools.RUnlock()
	if db.writer == nil {
		return errClosed
	}
	tx, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, rollback(tx))
	}
	return tx.Commit()
}

// readLimit is how long a reader may take: as long as one reads, the write-ahead log
// can only grow.
const readLimit = 10 * time.Second

// read runs f in one transaction of a reader, which sees one state of the database
// and ends after readLimit.
func (db *DB) read(ctx context.Context, f func(tx *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	return db.readAll(ctx, f)
}

// readAll is read without a limit, for when nobody writes.
func (db *DB) readAll(ctx context.Context, f func(tx *sql.Tx) error) error {
	err := func() (err error) {
		db.pools.RLock()
		defer db.pools.RUnlock()
		if db.reader == nil {
			return errClosed
		}
		tx, err := db.reader.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rollback(tx)) }()
		return f(tx)
	}()
	db.suspect(err)
	return err
}

var errClosed = errors.New("the database is closed")

// rollback ends a transaction that failed. SQLite may have rolled it back by
// itself (disk full, I/O error), and so does a context that ended.
func rollback(tx *sql.Tx) error {
	err := tx.Rollback()
	if err == nil || errors.Is(err, sql.ErrTxDone) || strings.Contains(err.Error(), "no transaction is active") {
		return nil
	}
	return err
}
