package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/feed"
)

// trash keeps deleted retained messages.
type trash struct{ db *DB }

var _ feed.Trash = trash{}

// Trash returns the retained messages that were deleted and can be put back.
func (db *DB) Trash() feed.Trash { return trash{db} }

// Put implements feed.Trash.
func (t trash) Put(ctx context.Context, r feed.Removal, messages []*broker.Message) (id int64, err error) {
	err = t.db.update(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `INSERT INTO removal (at, actor, what, notified) VALUES (?, ?, ?, ?) RETURNING id`,
			r.At.UnixMilli(), r.Actor, r.What, r.Notified).Scan(&id)
		if err != nil {
			return err
		}
		insert, err := tx.PrepareContext(ctx, `INSERT INTO removed
			(removal_id, topic_name, payload, properties, qos, expires, received, publisher_client_id, publisher_user, publisher_account, vouched) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
		if err != nil {
			return err
		}
		defer insert.Close()
		for _, m := range messages {
			_, err := insert.ExecContext(ctx, id, m.Topic, blob(m.Payload), blob(m.Properties), m.QoS,
				orNull(m.Expires), orNull(m.Received), m.PublisherID, m.PublisherUser, m.PublisherAccount, m.Vouched)
			if err != nil {
				return err
			}
		}
		return trimTrash(ctx, tx, id, r.At)
	})
	if err != nil {
		return 0, fmt.Errorf("keep what is deleted: %w", err)
	}
	return id, nil
}

func orNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// trimTrash forgets what is beyond the bounds, never the newest one. For its age only the
// oldest goes each time, which keeps up and costs little while the clock is years ahead; what
// was deleted while the clock was not set is not as old as it looks (case R12).
func trimTrash(ctx context.Context, tx *sql.Tx, newest int64, now time.Time) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM removal WHERE id < ?1 AND (id = (SELECT min(id) FROM removal WHERE at >= ?5 AND at < ?2) OR id <= (SELECT id FROM removal ORDER BY id DESC LIMIT 1 OFFSET ?3)
		OR ?4 < (SELECT sum(length(payload) + length(properties) + length(CAST(topic_name AS BLOB))) FROM removed WHERE removal_id >= removal.id))`,
		newest, now.Add(-feed.TrashFor).UnixMilli(), feed.TrashRemovals, feed.TrashBytes, broker.ClockFloor.UnixMilli())
	return err
}

const removals = `SELECT id, at, actor, what, notified, (SELECT count(*) FROM removed WHERE removal_id = id),
	(SELECT coalesce(sum(length(payload) + length(properties) + length(CAST(topic_name AS BLOB))), 0) FROM removed WHERE removal_id = id) FROM removal`

// Removals implements feed.Trash.
func (t trash) Removals(ctx context.Context) ([]feed.Removal, error) {
	var out []feed.Removal
	err := t.db.read(ctx, func(tx *sql.Tx) error {
		return t.db.each(ctx, tx, "removal", removals+` ORDER BY id DESC`, func(r *row) error {
			x, err := scanRemoval(r.scan)
			if err == nil {
				out = append(out, x)
			}
			return err
		})
	})
	return out, err
}

func scanRemoval(scan func(...any) error) (r feed.Removal, err error) {
	var at int64
	err = scan(&r.ID, &at, &r.Actor, &r.What, &r.Notified, &r.Topics, &r.Bytes)
	r.At = fromMillis(at)
	return r, err
}

// Removed implements feed.Trash.
func (t trash) Removed(ctx context.Context, id int64) (x feed.Removal, out []*broker.Message, err error) {
	err = t.db.read(ctx, func(tx *sql.Tx) error {
		var err error
		if x, err = scanRemoval(tx.QueryRowContext(ctx, removals+` WHERE id = ?`, id).Scan); err != nil {
			return err
		}
		query := fmt.Sprintf(`SELECT topic_name, payload, properties, qos, expires, received, publisher_client_id, publisher_user, publisher_account, vouched FROM removed WHERE removal_id = %d`, id)
		return t.db.each(ctx, tx, "removed", query, func(r *row) error {
			m := &broker.Message{Retain: true}
			var qos int64
			var expires, received sql.NullInt64
			if err := r.scan(&m.Topic, &m.Payload, &m.Properties, &qos, &expires, &received, &m.PublisherID, &m.PublisherUser, &m.PublisherAccount, &m.Vouched); err != nil {
				return err
			}
			m.QoS, m.Expires, m.Received = r.upTo2("qos", qos), fromNull(expires), fromNull(received)
			if r.message(m); r.err != nil {
				return r.failed("removal_id", id)
			}
			out = append(out, m)
			return nil
		})
	})
	if errors.Is(err, sql.ErrNoRows) {
		return feed.Removal{}, nil, feed.ErrNoRemoval
	}
	return x, out, err
}

// Forget implements feed.Trash.
func (t trash) Forget(ctx context.Context, id int64) error {
	return t.db.update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM removal WHERE id = ?`, id)
		return err
	})
}
