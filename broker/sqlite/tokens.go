package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"hearthmq/broker/access"
)

// tokens implements access.TokenRepository.
type tokens struct{ db *DB }

var _ access.TokenRepository = tokens{}

// Tokens returns the tokens of the API.
func (db *DB) Tokens() access.TokenRepository { return tokens{db} }

const tokenColumns = `id, label, scope, created, created_by, used`

func scanToken(scan func(...any) error) (t access.Token, err error) {
	var created int64
	var used sql.NullInt64
	err = scan(&t.ID, &t.Label, &t.Scope, &created, &t.CreatedBy, &used)
	t.Created = fromMillis(created)
	if used.Valid {
		t.Used = fromMillis(used.Int64)
	}
	return t, err
}

// InsertToken implements access.TokenRepository.
func (r tokens) InsertToken(ctx context.Context, t access.Token, hash []byte, a access.AuditEntry) (id int64, err error) {
	err = r.db.update(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `INSERT INTO api_token (label, scope, token_hash, created, created_by) VALUES (?, ?, ?, ?, ?) RETURNING id`,
			t.Label, string(t.Scope), hash, t.Created.UnixMilli(), t.CreatedBy).Scan(&id)
		if err != nil {
			return named(err)
		}
		return writeAudit(ctx, tx, a)
	})
	if err != nil {
		return 0, fmt.Errorf("store token: %w", err)
	}
	return id, nil
}

// Tokens implements access.TokenRepository.
func (r tokens) Tokens(ctx context.Context) ([]access.Token, error) {
	var list []access.Token
	err := r.db.read(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT `+tokenColumns+` FROM api_token ORDER BY label`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			t, err := scanToken(rows.Scan)
			if err != nil {
				return err
			}
			list = append(list, t)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return list, nil
}

// FindToken implements access.TokenRepository.
func (r tokens) FindToken(ctx context.Context, hash []byte) (t access.Token, err error) {
	err = r.db.read(ctx, func(tx *sql.Tx) error {
		t, err = scanToken(tx.QueryRowContext(ctx, `SELECT `+tokenColumns+` FROM api_token WHERE token_hash = ?`, hash).Scan)
		return err
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return access.Token{}, access.ErrNotFound
	case err != nil:
		return access.Token{}, fmt.Errorf("find token: %w", err)
	}
	return t, nil
}

// TouchToken implements access.TokenRepository.
func (r tokens) TouchToken(ctx context.Context, id int64, at time.Time) error {
	err := r.db.update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE api_token SET used = ? WHERE id = ?`, at.UnixMilli(), id)
		return err
	})
	if err != nil {
		return fmt.Errorf("note the use of a token: %w", err)
	}
	return nil
}

// DeleteToken implements access.TokenRepository.
func (r tokens) DeleteToken(ctx context.Context, id int64, a access.AuditEntry) error {
	err := r.db.update(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM api_token WHERE id = ?`, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, access.ErrNotFound)
		}
		return writeAudit(ctx, tx, a)
	})
	if err != nil {
		return fmt.Errorf("delete token: %w", err)
	}
	return nil
}
