package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/alexedwards/scs/v2"

	"hearthmq/broker/access"
)

// Logins keeps who is logged in to the web admin on its direct port. It is a store
// for scs.SessionManager. The token of a login is in the browser's cookie and
// nowhere else: the database holds its SHA-256, which opens nothing.
type Logins struct{ db *DB }

var (
	_ scs.Store    = Logins{}
	_ scs.CtxStore = Logins{}
)

// Logins returns the logins of the web admin.
func (db *DB) Logins() Logins { return Logins{db} }

// LoginNameKey is the key under which package web puts the name of the user who
// logged in. ListLogins and DeleteLogins know logins by it.
const LoginNameKey = "name"

// Keys under which package web puts what ListLogins tells of a login.
const (
	LoginAddressKey = "address"
	LoginBrowserKey = "browser"
)

// Login is one browser that is logged in. Seen is to the minute.
type Login = access.BrowserLogin

func hashToken(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// FindCtx implements scs.CtxStore.
func (l Logins) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	err = l.db.read(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT data FROM login WHERE token_hash = ? AND expires > ?`,
			hashToken(token), time.Now().UnixMilli()).Scan(&data)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("find login: %w", err)
	case !json.Valid(data):
		return nil, false, nil // of a version that stored it in another form: log in again
	}
	return data, true, nil
}

// CommitCtx implements scs.CtxStore. Expired logins of everybody go with it.
func (l Logins) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	_, values, err := access.LoginCodec{}.Decode(data)
	if err != nil {
		return fmt.Errorf("store login: %w", err)
	}
	user, _ := values[LoginNameKey].(string)
	now := time.Now().UnixMilli()
	err = l.db.update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM login WHERE expires <= ?`, now); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO login (token_hash, user_name, data, created, seen, expires) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (token_hash) DO UPDATE SET (user_name, data, seen, expires) = (excluded.user_name, excluded.data, excluded.seen, excluded.expires)`,
			hashToken(token), user, data, now, now, expiry.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("store login: %w", err)
	}
	return nil
}

// DeleteCtx implements scs.CtxStore.
func (l Logins) DeleteCtx(ctx context.Context, token string) error {
	_, err := l.delete(ctx, `DELETE FROM login WHERE token_hash = ?`, hashToken(token))
	return err
}

// Find implements scs.Store.
func (l Logins) Find(token string) ([]byte, bool, error) {
	return l.FindCtx(context.Background(), token)
}

// Commit implements scs.Store.
func (l Logins) Commit(token string, data []byte, expiry time.Time) error {
	return l.CommitCtx(context.Background(), token, data, expiry)
}

// Delete implements scs.Store.
func (l Logins) Delete(token string) error { return l.DeleteCtx(context.Background(), token) }

// ListLogins returns the logins of user, of everybody when user is "", the last used first.
func (l Logins) ListLogins(ctx context.Context, user string) ([]Login, error) {
	var out []Login
	err := l.db.read(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT id, user_name, created, seen, expires, data FROM login
			WHERE expires > ?1 AND (?2 = '' OR user_name = ?2) ORDER BY seen DESC, id DESC`, time.Now().UnixMilli(), user)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var x Login
			var created, seen, expires int64
			var data []byte
			if err := rows.Scan(&x.ID, &x.User, &created, &seen, &expires, &data); err != nil {
				return err
			}
			if _, values, err := (access.LoginCodec{}).Decode(data); err == nil { // else only who and when are known
				x.Address, _ = values[LoginAddressKey].(string)
				x.Browser, _ = values[LoginBrowserKey].(string)
			}
			x.Created, x.Seen, x.Expires = fromMillis(created), fromMillis(seen), fromMillis(expires)
			out = append(out, x)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list logins: %w", err)
	}
	return out, nil
}

// LoginID returns the ID of the login with this token, 0 when there is none.
func (l Logins) LoginID(ctx context.Context, token string) (id int64, err error) {
	err = l.db.read(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT id FROM login WHERE token_hash = ?`, hashToken(token)).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("find login: %w", err)
	}
	return id, nil
}

// DeleteLogins ends all logins of user and returns how many there were.
func (l Logins) DeleteLogins(ctx context.Context, user string) (int64, error) {
	return l.delete(ctx, `DELETE FROM login WHERE user_name = ?`, user)
}

// DeleteLogin ends one login of ListLogins; one that is gone already is no error.
func (l Logins) DeleteLogin(ctx context.Context, id int64) error {
	_, err := l.delete(ctx, `DELETE FROM login WHERE id = ?`, id)
	return err
}

func (l Logins) delete(ctx context.Context, query string, arg any) (n int64, err error) {
	err = l.db.update(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, query, arg)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("end login: %w", err)
	}
	return n, nil
}
