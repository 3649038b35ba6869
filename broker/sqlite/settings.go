package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// Setting returns a value that HearthMQ makes itself and keeps for good, such as
// the installation's identifier. The first time make is asked for it; of several
// processes that ask at once all get the same.
func (db *DB) Setting(ctx context.Context, name string, make func() string) (value string, err error) {
	err = db.update(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT value FROM setting WHERE name = ?`, name).Scan(&value)
		if err != sql.ErrNoRows {
			return err
		}
		value = make()
		_, err = tx.ExecContext(ctx, `INSERT INTO setting (name, value) VALUES (?, ?)`, name, value)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("setting %s: %w", name, err)
	}
	return value, nil
}

// SetSetting replaces such a value.
func (db *DB) SetSetting(ctx context.Context, name, value string) error {
	err := db.update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)`, name, value)
		return err
	})
	if err != nil {
		return fmt.Errorf("setting %s: %w", name, err)
	}
	return nil
}
