package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"hearthmq/broker/feed"
)

// histories keeps the histories of pinned topics.
type histories struct{ db *DB }

var _ feed.HistoryStore = histories{}

// Histories returns the histories of pinned topics.
func (db *DB) Histories() feed.HistoryStore { return histories{db} }

// Pinned implements feed.HistoryStore.
func (h histories) Pinned(ctx context.Context) ([]feed.Pinned, error) {
	var out []feed.Pinned
	places := map[int64]int{}
	err := h.db.read(ctx, func(tx *sql.Tx) error {
		err := h.db.each(ctx, tx, "pin", `SELECT id, topic_name FROM pin ORDER BY id`, func(r *row) error {
			var id int64
			var p feed.Pinned
			if err := r.scan(&id, &p.Topic); err != nil {
				return err
			}
			if r.text("topic_name", p.Topic); r.err != nil {
				return r.failed("id", id)
			}
			places[id] = len(out)
			out = append(out, p)
			return nil
		})
		if err != nil {
			return err
		}
		return h.db.each(ctx, tx, "sample", `SELECT pin_id, seq, received, payload, size, properties, qos, retain, publisher_client_id, publisher_user
			FROM sample ORDER BY pin_id, seq`, func(r *row) error {
			var pin, seq, at, qos int64
			var s feed.Sample
			if err := r.scan(&pin, &seq, &at, &s.Payload, &s.Size, &s.Properties, &qos, &s.Retain, &s.ClientID, &s.User); err != nil {
				return err
			}
			s.Seq, s.At, s.QoS = uint64(seq), time.UnixMicro(at), r.upTo2("qos", qos)
			if seq <= 0 || s.Size < len(s.Payload) {
				r.fail("seq or size", seq, "is out of range")
			}
			i, ok := places[pin]
			if !ok {
				r.fail("pin_id", pin, "is no pinned topic")
			}
			if r.err != nil {
				return r.failed("seq", seq)
			}
			out[i].Samples = append(out[i].Samples, s)
			return nil
		})
	})
	return out, err
}

// Pin implements feed.HistoryStore.
func (h histories) Pin(ctx context.Context, topicName string) error {
	return h.db.update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO pin (topic_name, created) VALUES (?, ?) ON CONFLICT DO NOTHING`, topicName, time.Now().UnixMilli())
		return err
	})
}

// Unpin implements feed.HistoryStore.
func (h histories) Unpin(ctx context.Context, topicName string) error {
	return h.db.update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM pin WHERE topic_name = ?`, topicName)
		return err
	})
}

// AddSamples implements feed.HistoryStore.
func (h histories) AddSamples(ctx context.Context, topicName string, first uint64, samples []feed.Sample) error {
	return h.db.update(ctx, func(tx *sql.Tx) error {
		var pin int64
		switch err := tx.QueryRowContext(ctx, `SELECT id FROM pin WHERE topic_name = ?`, topicName).Scan(&pin); {
		case err == sql.ErrNoRows:
			return nil
		case err != nil:
			return err
		}
		insert, err := tx.PrepareContext(ctx, `INSERT OR REPLACE INTO sample
			(pin_id, seq, received, payload, size, properties, qos, retain, publisher_client_id, publisher_user) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
		if err != nil {
			return err
		}
		defer insert.Close()
		for i := range samples {
			s := &samples[i]
			_, err := insert.ExecContext(ctx, pin, int64(s.Seq), s.At.UnixMicro(), blob(s.Payload), s.Size, blob(s.Properties), s.QoS, s.Retain, s.ClientID, s.User)
			if err != nil {
				return fmt.Errorf("sample: %w", err)
			}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM sample WHERE pin_id = ? AND seq < ?`, pin, int64(first))
		return err
	})
}
