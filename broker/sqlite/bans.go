package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"hearthmq/broker/access"
)

// bans implements access.BanRepository.
type bans struct{ db *DB }

var _ access.BanRepository = bans{}

// Bans returns whom the broker keeps out.
func (db *DB) Bans() access.BanRepository { return bans{db} }

// InsertBan implements access.BanRepository.
func (r bans) InsertBan(ctx context.Context, b access.Ban, a access.AuditEntry) (id int64, err error) {
	err = r.db.update(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `INSERT INTO ban (kind, value, note, created, created_by) VALUES (?, ?, ?, ?, ?) RETURNING id`,
			string(b.Kind), b.Value, b.Note, b.Created.UnixMilli(), b.CreatedBy).Scan(&id)
		if err != nil {
			return named(err)
		}
		return writeAudit(ctx, tx, a)
	})
	if err != nil {
		return 0, fmt.Errorf("store ban: %w", err)
	}
	r.db.exportAccounts(ctx)
	return id, nil
}

// Bans implements access.BanRepository.
func (r bans) Bans(ctx context.Context) (list []access.Ban, err error) {
	err = r.db.read(ctx, func(tx *sql.Tx) (err error) { list, err = bansIn(ctx, tx); return err })
	if err != nil {
		return nil, fmt.Errorf("list bans: %w", err)
	}
	return list, nil
}

func bansIn(ctx context.Context, tx *sql.Tx) ([]access.Ban, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, kind, value, note, created, created_by FROM ban ORDER BY created DESC, id DESC`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []access.Ban
	for rows.Next() {
		var b access.Ban
		var created int64
		if err := rows.Scan(&b.ID, &b.Kind, &b.Value, &b.Note, &created, &b.CreatedBy); err != nil {
			return nil, err
		}
		b.Created = fromMillis(created)
		list = append(list, b)
	}
	return list, rows.Err()
}

// SavedBans implements access.BanRepository: the accounts file has them, too.
func (r bans) SavedBans(context.Context) ([]access.Ban, error) {
	f, err := readAccounts(r.db.accountsPath())
	if err != nil || f == nil {
		return nil, err
	}
	var list []access.Ban
	for _, b := range f.Bans {
		list = append(list, access.Ban{Kind: b.Kind, Value: b.Value, Note: b.Note, Created: b.Created, CreatedBy: b.CreatedBy})
	}
	return list, nil
}

// DeleteBan implements access.BanRepository.
func (r bans) DeleteBan(ctx context.Context, id int64, a access.AuditEntry) error {
	err := r.db.update(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM ban WHERE id = ?`, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, access.ErrNotFound)
		}
		return writeAudit(ctx, tx, a)
	})
	if err != nil {
		return fmt.Errorf("delete ban: %w", err)
	}
	r.db.exportAccounts(ctx)
	return nil
}
