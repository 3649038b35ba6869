package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// How much of the audit is kept.
const (
	auditRows  = 10_000
	auditYears = 1
	// auditOld is how many entries are forgotten for their age with each new one: enough to
	// keep up, and little while the clock is years ahead (case R12).
	auditOld = 10
)

// writeAudit writes an entry and forgets those that are too old or too many.
func writeAudit(ctx context.Context, tx *sql.Tx, e access.AuditEntry) error {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	var id int64
	err := tx.QueryRowContext(ctx, `INSERT INTO audit (at, via, actor, action, object, before, after) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		e.At.UnixMilli(), string(e.Via), e.Actor, e.Action, e.Object, e.Before, e.After).Scan(&id)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	// Never the newest: DataVersion counts on ids that rise. What was written while the
	// clock was not set is not as old as it looks.
	_, err = tx.ExecContext(ctx, `DELETE FROM audit WHERE id <= ?1 OR id IN (SELECT id FROM audit WHERE id < ?2 AND at >= ?3 AND at < ?4 ORDER BY id LIMIT ?5)`,
		id-auditRows, id, broker.ClockFloor.UnixMilli(), e.At.AddDate(-auditYears, 0, 0).UnixMilli(), auditOld)
	if err != nil {
		return fmt.Errorf("shorten audit: %w", err)
	}
	return nil
}

// Note implements access.Repository.
func (a accounts) Note(ctx context.Context, entry access.AuditEntry) error {
	return a.mutate(ctx, "note", entry, func(*sql.Tx) error { return nil })
}

// Audit implements access.Repository.
func (a accounts) Audit(ctx context.Context, q access.AuditQuery) ([]access.AuditEntry, error) {
	where, args := []string{"true"}, []any{}
	only := func(condition string, arg any) { where, args = append(where, condition), append(args, arg) }
	if q.Via != "" {
		only(`via = ?`, string(q.Via))
	}
	if !q.Since.IsZero() {
		only(`at >= ?`, q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		only(`at < ?`, q.Until.UnixMilli())
	}
	if q.Before != 0 {
		only(`id < ?`, q.Before)
	}
	if q.Text != "" {
		only(`instr(lower(concat_ws(char(10), actor, action, object, before, after)), lower(?)) > 0`, q.Text)
	}
	query := fmt.Sprintf(`SELECT id, at, via, actor, action, object, before, after FROM audit WHERE %s ORDER BY id DESC LIMIT %d`,
		strings.Join(where, " AND "), max(q.Limit, 0))
	var out []access.AuditEntry
	err := a.db.read(ctx, func(tx *sql.Tx) error {
		return a.db.each(ctx, tx, "audit", query, func(r *row) error {
			var e access.AuditEntry
			var at int64
			if err := r.scan(&e.ID, &at, &e.Via, &e.Actor, &e.Action, &e.Object, &e.Before, &e.After); err != nil {
				return err
			}
			e.At = fromMillis(at)
			out = append(out, e)
			return nil
		}, args...)
	})
	return out, err
}
