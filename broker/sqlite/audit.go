package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"hearthmq/broker/access"
)

// How much of the audit is kept.
const (
	auditRows  = 10_000
	auditYears = 1
)

// writeAudit writes an entry and forgets those that are too old or too many.
func writeAudit(ctx context.Context, tx *sql.Tx, e access.AuditEntry) error {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	var id int64
	err := tx.QueryRowContext(ctx, `INSERT INTO audit (at, actor, action, object, before, after) VALUES (?, ?, ?, ?, ?, ?) RETURNING id`,
		e.At.UnixMilli(), e.Actor, e.Action, e.Object, e.Before, e.After).Scan(&id)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	// Never the newest: DataVersion counts on ids that rise.
	_, err = tx.ExecContext(ctx, `DELETE FROM audit WHERE id <= ? OR id < ? AND at < ?`,
		id-auditRows, id, e.At.AddDate(-auditYears, 0, 0).UnixMilli())
	if err != nil {
		return fmt.Errorf("shorten audit: %w", err)
	}
	return nil
}

// Audit implements access.Repository.
func (a accounts) Audit(ctx context.Context, limit int) ([]access.AuditEntry, error) {
	var out []access.AuditEntry
	query := fmt.Sprintf(`SELECT id, at, actor, action, object, before, after FROM audit ORDER BY id DESC LIMIT %d`, max(limit, 0))
	err := a.db.read(ctx, func(tx *sql.Tx) error {
		return a.db.each(ctx, tx, "audit", query, func(r *row) error {
			var e access.AuditEntry
			var at int64
			if err := r.scan(&e.ID, &at, &e.Actor, &e.Action, &e.Object, &e.Before, &e.After); err != nil {
				return err
			}
			e.At = fromMillis(at)
			out = append(out, e)
			return nil
		})
	})
	return out, err
}
