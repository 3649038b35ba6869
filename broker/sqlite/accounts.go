package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"hearthmq/broker/access"
)

// accounts implements access.Repository.
type accounts struct{ db *DB }

var _ access.Repository = accounts{}

// Accounts returns the users, roles and rules of the database.
func (db *DB) Accounts() access.Repository { return accounts{db} }

// mutate runs f and writes the audit row in one transaction. what begins the error text.
func (a accounts) mutate(ctx context.Context, what string, entry access.AuditEntry, f func(tx *sql.Tx) error) error {
	err := a.db.update(ctx, func(tx *sql.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return writeAudit(ctx, tx, entry)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	a.db.exportAccounts(ctx)
	return nil
}

// unless returns nil when a statement touched a row. Otherwise it finds out why
// not: the row is gone, or has another revision by now.
func unless(ctx context.Context, tx *sql.Tx, res sql.Result, table string, id int64) error {
	n, err := res.RowsAffected()
	if err != nil || n > 0 {
		return err
	}
	var there bool
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM `+table+` WHERE id = ?`, id).Scan(&there); err != nil {
		return err
	}
	if there {
		return access.ErrConflict
	}
	return access.ErrNotFound
}

// named makes a violated UNIQUE of the name ErrExists.
func named(err error) error {
	if isUnique(err) {
		return access.ErrExists
	}
	return err
}

// Load implements access.Repository.
func (a accounts) Load(ctx context.Context) (*access.Data, error) {
	d := new(access.Data)
	err := a.db.read(ctx, func(tx *sql.Tx) (err error) { d, err = a.data(ctx, tx); return err })
	if err != nil {
		return nil, fmt.Errorf("load users and roles: %w", err)
	}
	return d, nil
}

func (a accounts) data(ctx context.Context, tx *sql.Tx) (*access.Data, error) {
	ofUser, ofRole, err := a.rules(ctx, tx)
	if err != nil {
		return nil, err
	}
	roles, err := a.roles(ctx, tx, ofRole)
	if err != nil {
		return nil, err
	}
	users, err := a.users(ctx, tx, ofUser)
	if err != nil {
		return nil, err
	}
	learning, err := a.learning(ctx, tx)
	if err != nil {
		return nil, err
	}
	return &access.Data{Users: users, Roles: roles, Learning: learning}, nil
}

// DataVersion implements access.Repository. PRAGMA data_version of a connection
// that writes nothing tells of every commit by any other connection, in this
// process or another. Since the broker commits all the time, and every change of
// users and roles writes an audit row, it is the last of those that counts: the
// answer changes with changes made through Accounts, here or elsewhere.
func (a accounts) DataVersion(ctx context.Context) (int64, error) {
	a.db.pools.RLock()
	defer a.db.pools.RUnlock()
	w := &a.db.watch
	w.Lock()
	defer w.Unlock()
	if a.db.reader == nil {
		return 0, errClosed
	}
	if w.conn == nil {
		c, err := a.db.reader.Conn(ctx)
		if err != nil {
			return 0, fmt.Errorf("watch the database: %w", err)
		}
		w.conn, w.version = c, -1
	}
	err := func() error {
		var v int64
		if err := w.conn.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&v); err != nil || v == w.version {
			return err
		}
		before := w.access
		if err := w.conn.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM audit`).Scan(&w.access); err != nil {
			return err
		}
		w.version = v
		if w.access != before {
			a.db.exportSoon() // the other process may have lost a race for the file
		}
		return nil
	}()
	if err != nil {
		// Another connection would count from another number: begin anew.
		err = errors.Join(err, w.conn.Close())
		w.conn = nil
		return 0, fmt.Errorf("watch the database: %w", err)
	}
	return w.access, nil
}
