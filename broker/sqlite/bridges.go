package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hearthmq/broker/access"
	"hearthmq/broker/bridge"
)

// bridges implements bridge.Repository.
type bridges struct{ db *DB }

var _ bridge.Repository = bridges{}

// Bridges returns the bridges to other brokers.
func (db *DB) Bridges() bridge.Repository { return bridges{db} }

// Bridges implements bridge.Repository.
func (b bridges) Bridges(ctx context.Context) (list []bridge.Settings, err error) {
	err = b.db.read(ctx, func(tx *sql.Tx) error {
		return b.db.each(ctx, tx, "bridge", `SELECT name, settings, password, revision FROM bridge ORDER BY name`, func(r *row) error {
			var s bridge.Settings
			var text string
			if err := r.scan(&s.Name, &text, &s.Password, &s.Revision); err != nil {
				return err
			}
			name := s.Name
			if err := json.Unmarshal([]byte(text), &s); err != nil {
				return fmt.Errorf("bridge %q: %w", name, err)
			}
			s.Name = name
			if err := s.Validate(); err != nil {
				return fmt.Errorf("bridge %q: %w", name, err)
			}
			list = append(list, s)
			return nil
		})
	})
	return list, err
}

// InsertBridge implements bridge.Repository.
func (b bridges) InsertBridge(ctx context.Context, s bridge.Settings) error {
	return b.change(ctx, "bridge created", s.Name, describeBridge(&s), func(tx *sql.Tx, text string) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO bridge (name, settings, password, revision, changed) VALUES (?, ?, ?, 1, ?)`,
			s.Name, text, s.Password, time.Now().UnixMilli())
		if isUnique(err) {
			return bridge.ErrExists
		}
		return err
	}, &s)
}

// UpdateBridge implements bridge.Repository.
func (b bridges) UpdateBridge(ctx context.Context, s bridge.Settings) error {
	return b.change(ctx, "bridge changed", s.Name, describeBridge(&s), func(tx *sql.Tx, text string) error {
		res, err := tx.ExecContext(ctx, `UPDATE bridge SET (settings, password, changed) = (?, ?, ?), revision = revision + 1 WHERE name = ? AND revision = ?`,
			text, s.Password, time.Now().UnixMilli(), s.Name, s.Revision)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil || n > 0 {
			return err
		}
		var there bool
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM bridge WHERE name = ?`, s.Name).Scan(&there); err != nil {
			return err
		}
		if there {
			return bridge.ErrConflict
		}
		return bridge.ErrNotFound
	}, &s)
}

// DeleteBridge implements bridge.Repository.
func (b bridges) DeleteBridge(ctx context.Context, name string) error {
	return b.change(ctx, "bridge deleted", name, "", func(tx *sql.Tx, _ string) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM bridge WHERE name = ?`, name)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, bridge.ErrNotFound)
		}
		return nil
	}, nil)
}

// change runs f with the settings as text and writes the audit row.
func (b bridges) change(ctx context.Context, action, name, after string, f func(tx *sql.Tx, text string) error, s *bridge.Settings) error {
	var text []byte
	if s != nil {
		var err error
		if text, err = json.Marshal(s); err != nil {
			return fmt.Errorf("%s %q: %w", action, name, err)
		}
	}
	err := b.db.update(ctx, func(tx *sql.Tx) error {
		before, password, err := b.described(ctx, tx, name)
		if err != nil {
			return err
		}
		if before != "" && s != nil && s.Password != "" && s.Password != password {
			after += " (another)" // describeBridge ends with it
		}
		if err := f(tx, string(text)); err != nil {
			return err
		}
		who := access.Actor(ctx)
		return writeAudit(ctx, tx, access.AuditEntry{
			At: time.Now(), Via: who.Via, Actor: who.Name, Action: action, Object: name, Before: before, After: after,
		})
	})
	if err != nil {
		return fmt.Errorf("%s %q: %w", action, name, err)
	}
	return nil
}

// described is a stored bridge in one line, "" where there is none, and its password.
func (b bridges) described(ctx context.Context, tx *sql.Tx, name string) (line, password string, err error) {
	var text string
	err = tx.QueryRowContext(ctx, `SELECT settings, password FROM bridge WHERE name = ?`, name).Scan(&text, &password)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	var s bridge.Settings
	if json.Unmarshal([]byte(text), &s) != nil {
		return "settings that can't be read", password, nil
	}
	s.Password = password
	return describeBridge(&s), password, nil
}

// describeBridge is for the audit: all that the admin can change, and of a password that
// there is one, at the end.
func describeBridge(s *bridge.Settings) string {
	topics := make([]string, 0, min(len(s.Topics), 20))
	for _, t := range s.Topics[:min(len(s.Topics), 20)] {
		topics = append(topics, t.String())
	}
	text := fmt.Sprintf("to %s as %s; topics: %s", strings.Join(s.Addresses, ", "), s.ClientID, strings.Join(topics, ", "))
	if more := len(s.Topics) - len(topics); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if s.TLS.On {
		text += "; encrypted"
	}
	for _, part := range []struct {
		word, value string
	}{
		{"authorities", s.TLS.CAFile}, {"certificate", s.TLS.CertFile}, {"key", s.TLS.KeyFile}, {"rights of", s.User}, {"user", s.Username},
	} {
		if part.value != "" {
			text += "; " + part.word + " " + part.value
		}
	}
	for _, part := range []struct {
		on   bool
		word string
	}{
		{s.TLS.AnyName, "a certificate of any name"}, {s.DropRetain, "nothing retained there"}, {s.Notify && !s.NotifyLocal, "says there whether it is connected"},
		{s.Disabled, "disabled"}, {true, "MQTT level " + strconv.Itoa(int(s.Version)) + ", " + string(s.Start)}, {s.Password != "", "with a password"},
	} {
		if part.on {
			text += "; " + part.word
		}
	}
	return text
}
