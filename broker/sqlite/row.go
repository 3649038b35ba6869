package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hearthmq/broker"
	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// row reads and judges one row after the other. err is the first thing that is
// wrong with the present one.
type row struct {
	rows *sql.Rows
	err  error
}

// each calls f for each row of the query. An error of f means that the row makes
// no sense; it is logged and the next one follows.
func (db *DB) each(ctx context.Context, tx *sql.Tx, table, query string, f func(r *row) error, args ...any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	defer rows.Close()
	skipped := 0
	r := &row{rows: rows}
	for rows.Next() {
		if err := f(r); err != nil {
			if skipped++; skipped <= maxSkipLogs {
				db.log.Error("stored row makes no sense and is passed over", "table", table, "err", err)
			}
		}
	}
	if skipped > maxSkipLogs {
		db.log.Error("more stored rows make no sense", "table", table, "rows", skipped-maxSkipLogs)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	return nil
}

// maxSkipLogs bounds what a damaged table writes into the log.
const maxSkipLogs = 10

func (r *row) scan(dest ...any) error {
	r.err = nil
	return r.rows.Scan(dest...)
}

func (r *row) fail(column string, value any, why string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s %v %s", column, value, why)
	}
}

// failed is the row's error with the row's key.
func (r *row) failed(key string, value int64) error {
	return fmt.Errorf("row with %s %d: %w", key, value, r.err)
}

// number checks that v fits T.
func number[T uint16 | uint32](r *row, column string, v int64) T {
	n := T(v)
	if int64(n) != v {
		r.fail(column, v, "is out of range")
	}
	return n
}

func (r *row) upTo2(column string, v int64) byte {
	if v < 0 || v > 2 {
		r.fail(column, v, "is not one of 0, 1, 2")
		return 0
	}
	return byte(v)
}

func (r *row) version(v int64) packet.Version {
	if v < int64(packet.V31) || v > int64(packet.V50) {
		r.fail("protocol_version", v, "is not a Protocol Level")
	}
	return packet.Version(v)
}

// text checks what an MQTT string must hold to. Values are not shown: they may be
// anything, of any length.
func (r *row) text(column, s string) {
	if len(s) > topic.MaxBytes || !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		r.fail(column, "", "is not an MQTT string")
	}
}

func (r *row) check(column string, err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%s: %w", column, err)
	}
}

func (r *row) filter(s *broker.Subscription) {
	if s.Share == "" {
		r.check("topic_filter", topic.ValidFilter(s.Filter))
		return
	}
	share, filter, ok, err := topic.ParseShare(s.FullFilter())
	if err == nil && (!ok || share != s.Share || filter != s.Filter) {
		err = errors.New("is not a shared subscription")
	}
	if err == nil {
		err = topic.ValidFilter(filter)
	}
	r.check("share_name and topic_filter", err)
}

// message checks what Application Messages have in common.
func (r *row) message(m *broker.Message) {
	r.check("topic_name", topic.ValidName(m.Topic))
	if len(m.Properties) > 0 {
		_, err := packet.DecodeProperties(m.Properties)
		r.check("properties", err)
	}
	r.text("publisher_client_id", m.PublisherID)
	r.text("publisher_user", m.PublisherUser)
}

// maxSubIDs bounds the Subscription Identifiers of one delivery: one for each of a
// session's subscriptions at most.
const maxSubIDs = 65535

func (r *row) ids(s string) []uint32 {
	if s == "" {
		return nil
	}
	if strings.Count(s, ",") >= maxSubIDs {
		r.fail("subscription_ids", "", "are too many")
		return nil
	}
	var out []uint32
	for part := range strings.SplitSeq(s, ",") {
		id, err := strconv.ParseUint(part, 10, 28)
		if err != nil || id == 0 { // (3.8.2.1.2): 1 to 268,435,455
			r.fail("subscription_ids", "", "are not a list of Subscription Identifiers")
			return nil
		}
		out = append(out, uint32(id))
	}
	return out
}

func (r *row) delay(ms int64) time.Duration {
	if ms < 0 || ms > broker.NeverExpires*1000 {
		r.fail("delay", ms, "is out of range")
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

func fromMillis(ms int64) time.Time {
	if t := time.UnixMilli(ms); !t.IsZero() {
		return t
	}
	return time.Time{}
}

func fromNull(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return fromMillis(ms.Int64)
}
