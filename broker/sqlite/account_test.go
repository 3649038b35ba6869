package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"hearthmq/migrations"
)

// case A8: the same of retained messages and deleted ones.
func TestOlderAuthors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	closeAll(t, open(t, path))
	db := raw(t, path)
	exec(t, db, `INSERT INTO removal (id, at, actor, what, notified) VALUES (1, 0, '', '', 0)`)
	for _, table := range []string{"retained", "removed"} {
		exec(t, db, `ALTER TABLE `+table+` DROP COLUMN publisher_account`)
	}
	for _, user := range []string{"lamp", "of home assistant", ""} {
		exec(t, db, `INSERT INTO retained (topic_name, payload, properties, qos, publisher_client_id, publisher_user, vouched) VALUES ('of ' || ?, x'31', x'', 0, 'x', ?, 0)`, user, user)
		exec(t, db, `INSERT INTO removed (removal_id, topic_name, payload, properties, qos, publisher_client_id, publisher_user, vouched) VALUES (1, 'of ' || ?, x'31', x'', 0, 'x', ?, 0)`, user, user)
	}
	addLamp(t, db)
	step, err := migrations.Files.ReadFile("0011_author.sql")
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, string(step))
	for _, table := range []string{"retained", "removed"} {
		if got := query[string](t, db, `SELECT group_concat(publisher_user) FROM `+table+` WHERE publisher_account`); got != "lamp" {
			t.Errorf("%s: accounts %s", table, got)
		}
	}
}

// addLamp adds a user.
func addLamp(t *testing.T, db *sql.DB) {
	t.Helper()
	exec(t, db, `INSERT INTO user (id, name, password_kind, password_hash, secret, disabled, admin, system, from_settings, note, version, revision, created, changed)
		VALUES (1, 'lamp', '', '', '', 0, 0, 0, 0, '', 1, 1, 0, 0)`)
}

// case A9: sessions from before the store remembered whether their users had an account.
// It is known of those who have one still, and is not lost by the step.
func TestOlderSessions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	closeAll(t, open(t, path))
	db := raw(t, path)
	exec(t, db, `ALTER TABLE session DROP COLUMN account`)
	for i, user := range []string{"lamp", "of home assistant", ""} {
		exec(t, db, `INSERT INTO session VALUES (?, 'client ' || ?, ?, '', 5, 60, NULL, 0)`, i+1, user, user)
	}
	addLamp(t, db)
	step, err := migrations.Files.ReadFile("0010_account.sql")
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, string(step))
	if got := query[string](t, db, `SELECT group_concat(user_name) FROM session WHERE account`); got != "lamp" {
		t.Errorf("accounts: %s", got)
	}
}
