package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// replace puts the damaged database aside and a new one in its place with all that
// can be read of the old one. The new one is complete before the old one is
// touched, so that a process that dies in between has one or the other. pools is
// held, or nobody else knows db yet; the connections are open when it returns nil.
func (db *DB) replace(ctx context.Context, cause error) error {
	db.log.Error("the database is damaged, a new one is made of what can be read of it", "file", db.path, "err", cause)
	for _, part := range sidecars {
		if err := removeIfThere(db.newName() + part); err != nil {
			return err
		}
	}
	report := Report{Problem: cause.Error(), At: time.Now(), Restored: db.report.Restored}
	if err := db.makeNew(ctx, &report); err != nil {
		return fmt.Errorf("make a new database: %w", err)
	}
	err := db.closePools()
	if err != nil && !lost(err) {
		db.log.Warn("the damaged database could not be closed in good order", "err", err)
	}
	if report.Quarantined, err = putAside(db.path, "damaged"); err != nil {
		return fmt.Errorf("put the damaged database aside: %w", err)
	}
	if err := moveInto(db.newName(), db.path); err != nil {
		return err
	}
	if err := db.openPools(ctx); err != nil {
		return errors.Join(err, db.closePools())
	}
	db.report = report
	db.log.Error(report.String())
	return nil
}

// makeNew makes a database at newName from the damaged one. One that is sound
// without its write-ahead log was given the log of another database, by whoever
// restored it without removing the old one's files: it is taken as it is.
func (db *DB) makeNew(ctx context.Context, report *Report) error {
	if log, err := os.Stat(db.path + "-wal"); err == nil && log.Size() > 0 && soundAlone(ctx, db.path) {
		report.Problem = "its write-ahead log does not belong to it (" + report.Problem + ")"
		if err := copyFile(db.path, db.newName()); err != nil {
			return err
		}
		var err error
		report.Saved, err = contentsOf(ctx, immutable(db.newName()))
		return err
	}
	if err := createFile(db.newName()); err != nil {
		return err
	}
	fresh := &DB{path: db.newName(), log: db.log}
	err := fresh.openPools(ctx)
	if err == nil {
		err = fresh.salvage(ctx, db, report)
	}
	if err == nil {
		report.Saved, err = contents(ctx, fresh.writer)
	}
	return errors.Join(err, fresh.closePools())
}

// soundAlone reports whether a database holds something, and no damage, when its
// write-ahead log is left out.
func soundAlone(ctx context.Context, path string) bool {
	c, err := contentsOf(ctx, immutable(path))
	return err == nil && c != Contents{} && inspect(ctx, immutable(path), checkLimit) == nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// salvaged are the tables in the order in which they are copied: those first that
// others refer to.
var salvaged = []string{
	"setting", "role", "user", "user_role", "rule", "learning", "audit", "login",
	"session", "subscription", "message", "outbound", "inbound_qos2", "will", "retained",
	"pin", "sample", "removal", "removed", "api_token", "bridge", "ban", "deleted",
}

// salvage copies from the damaged database old what can be read, table by table
// and row by row. Users, roles and rules come from the accounts file instead when
// that is not older than they are, or when some of theirs are lost.
func (db *DB) salvage(ctx context.Context, old *DB, report *Report) (err error) {
	// With writable_schema SQLite also reads a file that is shorter than it should be.
	from, err := sql.Open("sqlite", uri(old.path)+onlyLook+"&_pragma=writable_schema(1)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	from.SetMaxOpenConns(1)
	to, err := db.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if _, err := to.ExecContext(ctx, `PRAGMA foreign_keys = 0`); err != nil {
		return err
	}
	tx, err := to.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, table := range salvaged {
		complete, err := rescue(ctx, from, tx, table)
		if err != nil {
			return errors.Join(fmt.Errorf("table %s: %w", table, err), rollback(tx))
		}
		if !complete {
			report.Lost = append(report.Lost, table)
		}
	}
	if err := old.settleAccounts(ctx, tx, report); err != nil {
		return errors.Join(err, rollback(tx))
	}
	if err := old.settleBans(ctx, tx, report); err != nil {
		return errors.Join(err, rollback(tx))
	}
	for _, q := range orphans {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", q, err), rollback(tx))
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = to.ExecContext(ctx, `PRAGMA foreign_keys = 1`)
	return err
}

// orphans remove rows whose session, user or role is lost.
var orphans = []string{
	`DELETE FROM subscription WHERE session_id NOT IN (SELECT id FROM session)`,
	`DELETE FROM outbound WHERE session_id NOT IN (SELECT id FROM session)`,
	`DELETE FROM inbound_qos2 WHERE session_id NOT IN (SELECT id FROM session)`,
	`DELETE FROM will WHERE session_id NOT IN (SELECT id FROM session)`,
	`DELETE FROM user_role WHERE user_id NOT IN (SELECT id FROM user) OR role_id NOT IN (SELECT id FROM role)`,
	`DELETE FROM learning WHERE user_id NOT IN (SELECT id FROM user)`,
	`DELETE FROM rule WHERE user_id NOT IN (SELECT id FROM user) OR role_id NOT IN (SELECT id FROM role)`,
}

// settleAccounts decides where users, roles and rules come from.
func (db *DB) settleAccounts(ctx context.Context, tx *sql.Tx, report *Report) error {
	partial := slices.ContainsFunc(report.Lost, func(t string) bool {
		return t == "user" || t == "role" || t == "user_role" || t == "rule"
	})
	f, err := readAccounts(db.accountsPath())
	if err != nil {
		db.log.Error("the accounts file can't be read", "file", db.accountsPath(), "err", err)
	}
	var change int64
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM audit`).Scan(&change); err != nil {
		return err
	}
	if f != nil && (partial || f.Change >= change) {
		if _, err := tx.ExecContext(ctx, `SAVEPOINT accounts`); err != nil {
			return err
		}
		err := db.takeAccounts(ctx, tx, f, db.accountsPath())
		if err == nil {
			report.Accounts = db.accountsPath()
			report.Lost = slices.DeleteFunc(report.Lost, func(t string) bool {
				return t == "user" || t == "role" || t == "user_role" || t == "rule" || t == "setting"
			})
			_, err = tx.ExecContext(ctx, `RELEASE accounts`)
			return err
		}
		db.log.Error("the accounts file can't be used", "file", db.accountsPath(), "err", err)
		if _, err := tx.ExecContext(ctx, `ROLLBACK TO accounts; RELEASE accounts`); err != nil {
			return err
		}
	}
	if !partial {
		return nil
	}
	// A rule that is lost may be one that denied something.
	report.Locked = true
	const deny = `INSERT INTO rule (%[1]s_id, position, effect, scope, topic_filter, maximum_qos, retain, listener, network)
		SELECT id, -1, 'deny', 'both', '#', -1, 0, '', '' FROM %[1]s WHERE %[2]s = 0`
	for table, ours := range map[string]string{"role": "builtin", "user": "system"} {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(deny, table, ours)); err != nil {
			return err
		}
	}
	return nil
}

// settleBans adds to the bans that could be read those of the accounts file, where some are
// lost: one too many is seen and lifted, one too few is not missed.
func (db *DB) settleBans(ctx context.Context, tx *sql.Tx, report *Report) error {
	if !slices.Contains(report.Lost, "ban") {
		return nil
	}
	f, err := readAccounts(db.accountsPath())
	if err != nil || f == nil || f.Bans == nil {
		return nil // settleAccounts has told of a file that can't be read
	}
	if err := takeBans(ctx, tx, f.Bans); err != nil {
		return err
	}
	report.Lost = slices.DeleteFunc(report.Lost, func(t string) bool { return t == "ban" })
	return nil
}

// rescue copies one table. Where the damage begins it stops, and begins anew from
// the other end. It reports whether everything was read; err is of the new database.
func rescue(ctx context.Context, from *sql.DB, to *sql.Tx, table string) (complete bool, err error) {
	columns, err := columnsOf(ctx, to, table)
	if err != nil {
		return false, err
	}
	key, err := keyOf(ctx, to, table)
	if err != nil {
		return false, err
	}
	names := strings.Join(columns, ", ")
	insert, err := to.PrepareContext(ctx, fmt.Sprintf(`INSERT OR IGNORE INTO %s (%s) VALUES (?%s)`, table, names, strings.Repeat(", ?", len(columns)-1)))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, insert.Close()) }()
	complete = true
	for _, direction := range []string{"", " DESC"} {
		order := strings.ReplaceAll(key, ",", direction+",") + direction
		whole, err := copyRows(ctx, from, insert, fmt.Sprintf(`SELECT %s FROM %s NOT INDEXED ORDER BY %s`, names, table, order), len(columns))
		if err != nil {
			return false, err
		}
		if whole {
			return complete, nil
		}
		complete = false
	}
	return false, nil
}

// copyRows copies rows until they end (whole) or can't be read any more. Rows that
// the new database does not take are not whole either.
func copyRows(ctx context.Context, from *sql.DB, insert *sql.Stmt, query string, columns int) (whole bool, err error) {
	rows, err := from.QueryContext(ctx, query)
	if err != nil {
		return false, ctx.Err()
	}
	defer rows.Close()
	whole = true
	values, pointers := make([]any, columns), make([]any, columns)
	for i := range values {
		pointers[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(pointers...); err != nil {
			return false, ctx.Err()
		}
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				values[i] = blob(b) // the driver reads an empty one as nil and writes nil as NULL
			}
		}
		res, err := insert.ExecContext(ctx, values...)
		n := int64(0)
		if err == nil {
			n, err = res.RowsAffected()
		}
		switch c := conditionOf(err); {
		case err == nil:
			whole = whole && n > 0 // or it has no place, such as one that is there twice
		case c != "" || ctx.Err() != nil:
			return false, err
		default:
			whole = false // it does not fit the column
		}
	}
	return whole && rows.Err() == nil, ctx.Err()
}

func columnsOf(ctx context.Context, tx *sql.Tx, table string) ([]string, error) {
	return strs(ctx, tx, `SELECT name FROM pragma_table_info(?) ORDER BY cid`, table)
}

// keyOf is what a table is sorted by on the disk.
func keyOf(ctx context.Context, tx *sql.Tx, table string) (string, error) {
	key, err := strs(ctx, tx, `SELECT c.name FROM pragma_table_list(?1) l JOIN pragma_table_info(?1) c WHERE l.wr = 1 AND c.pk > 0 ORDER BY c.pk`, table)
	if len(key) == 0 {
		return "rowid", err
	}
	return strings.Join(key, ", "), err
}

func strs(ctx context.Context, tx *sql.Tx, query string, args ...any) (out []string, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
