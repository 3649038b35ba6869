package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"hearthmq/broker/access"
)

// learning reads who is watched. The facts are read apart: they may be long.
func (a accounts) learning(ctx context.Context, tx *sql.Tx) ([]access.Learning, error) {
	var list []access.Learning
	const query = `SELECT user_id, begun, until, open FROM learning JOIN user ON user.id = user_id ORDER BY user_id`
	err := a.db.each(ctx, tx, "learning", query, func(r *row) error {
		var l access.Learning
		var begun, until int64
		if err := r.scan(&l.UserID, &begun, &until, &l.Open); err != nil {
			return err
		}
		l.Begun, l.Until = fromMillis(begun), fromMillis(until)
		list = append(list, l)
		return nil
	})
	return list, err
}

// StartLearning implements access.Repository.
func (a accounts) StartLearning(ctx context.Context, l access.Learning, entry access.AuditEntry) error {
	return a.mutate(ctx, "start learning", entry, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO learning (user_id, begun, until, open, facts) SELECT id, ?, ?, ?, '' FROM user WHERE id = ?`,
			l.Begun.UnixMilli(), l.Until.UnixMilli(), l.Open, l.UserID)
		if err != nil {
			return err
		}
		return touched(res)
	})
}

// EndLearning implements access.Repository.
func (a accounts) EndLearning(ctx context.Context, userID int64, entry access.AuditEntry) error {
	return a.mutate(ctx, "end learning", entry, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM learning WHERE user_id = ?`, userID)
		if err != nil {
			return err
		}
		return touched(res)
	})
}

// touched is ErrNotFound where a statement changed nothing.
func touched(res sql.Result) error {
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = access.ErrNotFound
	}
	return err
}

// SaveFacts implements access.Repository.
func (a accounts) SaveFacts(ctx context.Context, userID int64, begun time.Time, facts string) error {
	err := a.db.update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE learning SET facts = ? WHERE user_id = ? AND begun = ?`, facts, userID, begun.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("keep what user %d does: %w", userID, err)
	}
	return nil
}

// Facts implements access.Repository.
func (a accounts) Facts(ctx context.Context, userID int64) (facts string, err error) {
	err = a.db.read(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT facts FROM learning WHERE user_id = ?`, userID).Scan(&facts)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read what user %d did: %w", userID, err)
	}
	return facts, nil
}
