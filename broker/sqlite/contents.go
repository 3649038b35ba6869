package sqlite

import (
	"context"
	"database/sql"
	"errors"
)

// contents counts what a database holds. Users and roles of HearthMQ's own are
// counted as well.
func contents(ctx context.Context, db *sql.DB) (c Contents, err error) {
	err = db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM user), (SELECT count(*) FROM role), (SELECT count(*) FROM rule),
		(SELECT count(*) FROM session), (SELECT count(*) FROM subscription), (SELECT count(*) FROM retained), (SELECT count(*) FROM outbound)`).
		Scan(&c.Users, &c.Roles, &c.Rules, &c.Sessions, &c.Subscriptions, &c.Retained, &c.Messages)
	return c, err
}

// contentsOf counts what the database of this name (as SQLite calls it) holds.
func contentsOf(ctx context.Context, name string) (c Contents, err error) {
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return contents(ctx, db)
}
