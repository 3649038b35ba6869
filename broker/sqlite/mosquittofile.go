package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"hearthmq/broker/mosquitto"
)

// ReadMosquitto reads a mosquitto.sqlite3, which a Mosquitto must not have open: its
// sessions, retained and queued messages. The file is copied first, with its
// write-ahead log, so that nothing is changed where it is. It never fails: what is
// wrong is Broken among the notices, and the database is nil.
func ReadMosquitto(ctx context.Context, path string) (*mosquitto.Database, []mosquitto.Notice) {
	ctx, cancel := context.WithTimeout(ctx, mosquittoTime)
	defer cancel()
	rows, err := readMosquitto(ctx, path)
	if err != nil {
		return nil, []mosquitto.Notice{{File: path, Level: mosquitto.Broken, Text: fmt.Sprintf("can't be read: %v", err)}}
	}
	return mosquitto.FromRows(path, rows)
}

// Limits of a mosquitto.sqlite3. A hostile one could keep a query busy for ever.
const (
	mosquittoTime = 2 * time.Minute
	mosquittoSize = 2 << 30
)

func readMosquitto(ctx context.Context, path string) (_ *mosquitto.Rows, err error) {
	dir, err := os.MkdirTemp("", "hearthmq-import-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	copied := filepath.Join(dir, "m.sqlite3")
	if err := copyMosquitto(path, copied); err != nil {
		return nil, err
	}
	if err := copyMosquitto(path+"-wal", copied+"-wal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	db, err := sql.Open("sqlite", uri(copied)+"?_pragma=trusted_schema(0)&_pragma=cell_size_check(1)")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	m := &mosquittoFile{ctx: ctx, db: db, rows: new(mosquitto.Rows)}
	for _, step := range []func() error{m.check, m.messages, m.retained, m.clients, m.subscriptions, m.queued} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return m.rows, nil
}

func copyMosquitto(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // only read
	st, err := in.Stat()
	switch {
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return errors.New("not a regular file")
	case st.Size() > mosquittoSize:
		return fmt.Errorf("the file is larger than %d MiB", mosquittoSize>>20)
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// mosquittoFile is one reading. Names are CASTed: their columns have the type STRING,
// which is a number to SQLite where the text looks like one.
type mosquittoFile struct {
	ctx  context.Context
	db   *sql.DB
	rows *mosquitto.Rows
}

// check makes sure that the tables are tables: a view can stand for anything.
func (m *mosquittoFile) check() error {
	var n int
	err := m.db.QueryRowContext(m.ctx, `SELECT count(*) FROM sqlite_schema WHERE type = 'table'
		AND name IN ('base_msgs', 'retains', 'clients', 'subscriptions', 'client_msgs') AND sql NOT LIKE 'CREATE VIRTUAL%'`).Scan(&n)
	if err == nil && n != 5 {
		err = errors.New("this is not a database of Mosquitto")
	}
	return err
}

func (m *mosquittoFile) each(query string, do func(r *sql.Rows) error, args ...any) (err error) {
	r, err := m.db.QueryContext(m.ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for r.Next() {
		if err := do(r); err != nil {
			return err
		}
	}
	return r.Err()
}

func (m *mosquittoFile) messages() error {
	total := 0
	return m.each(`SELECT coalesce(store_id, 0), coalesce(expiry_time, 0), coalesce(CAST(topic AS TEXT), ''),
		CASE WHEN coalesce(length(payload), 0) <= ? THEN CAST(payload AS BLOB) END, coalesce(length(payload), 0) > ?,
		coalesce(CAST(source_id AS TEXT), ''), coalesce(CAST(source_username AS TEXT), ''),
		coalesce(qos, 0), coalesce(retain, 0), coalesce(CAST(properties AS TEXT), '') FROM base_msgs`,
		func(r *sql.Rows) error {
			var x mosquitto.MessageRow
			var large bool
			if err := r.Scan(&x.StoreID, &x.ExpiryTime, &x.Topic, &x.Payload, &large, &x.SourceID, &x.SourceUsername, &x.QoS, &x.Retain, &x.Properties); err != nil {
				return err
			}
			if total += len(x.Payload) + len(x.Topic) + len(x.Properties); total > mosquitto.MaxRowBytes {
				return fmt.Errorf("the messages are larger than %d MiB together", mosquitto.MaxRowBytes>>20)
			}
			if large {
				m.rows.TooLarge++
			} else {
				m.rows.Messages = append(m.rows.Messages, x)
			}
			return nil
		}, mosquitto.MaxRowPayload, mosquitto.MaxRowPayload)
}

func (m *mosquittoFile) retained() error {
	return m.each(`SELECT coalesce(store_id, 0) FROM retains`, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		m.rows.Retained = append(m.rows.Retained, id)
		return err
	})
}

func (m *mosquittoFile) clients() error {
	return m.each(`SELECT client_id, coalesce(username, ''), coalesce(session_expiry_time, 0), coalesce(session_expiry_interval, 0) FROM clients`,
		func(r *sql.Rows) error {
			var x mosquitto.ClientRow
			err := r.Scan(&x.ClientID, &x.Username, &x.SessionExpiryTime, &x.ExpiryInterval)
			m.rows.Clients = append(m.rows.Clients, x)
			return err
		})
}

func (m *mosquittoFile) subscriptions() error {
	return m.each(`SELECT client_id, topic, coalesce(subscription_options, 0), coalesce(subscription_identifier, 0) FROM subscriptions`,
		func(r *sql.Rows) error {
			var x mosquitto.SubscriptionRow
			err := r.Scan(&x.ClientID, &x.Topic, &x.Options, &x.Identifier)
			m.rows.Subscriptions = append(m.rows.Subscriptions, x)
			return err
		})
}

func (m *mosquittoFile) queued() error {
	return m.each(`SELECT client_id, coalesce(store_id, 0), coalesce(direction, 0), coalesce(mid, 0), coalesce(qos, 0), coalesce(retain, 0),
		coalesce(state, 0), coalesce(subscription_identifier, 0) FROM client_msgs ORDER BY client_id, cmsg_id, rowid`,
		func(r *sql.Rows) error {
			var x mosquitto.QueuedRow
			err := r.Scan(&x.ClientID, &x.StoreID, &x.Direction, &x.PacketID, &x.QoS, &x.Retain, &x.State, &x.Identifier)
			m.rows.Queued = append(m.rows.Queued, x)
			return err
		})
}
