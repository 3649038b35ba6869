package sqlite_test

import (
	"path/filepath"
	"testing"

	"hearthmq/migrations"
)

// case A8: what was kept before the store remembered who vouches for it. Where there is no
// user, or the admin is named, nobody's right is asked; of others it is.
func TestOlderRetainedMessages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	closeAll(t, open(t, path))
	db := raw(t, path)
	for _, table := range []string{"retained", "removed"} {
		exec(t, db, `ALTER TABLE `+table+` DROP COLUMN vouched`)
	}
	exec(t, db, `INSERT INTO removal (id, at, actor, what, notified) VALUES (1, 0, '', '', 0)`)
	for topic, from := range map[string][2]string{"bridge": {"local.b", ""}, "admin": {"HearthMQ admin", "anna"}, "device": {"lamp", "lamp"}} {
		exec(t, db, `INSERT INTO retained (topic_name, payload, properties, qos, publisher_client_id, publisher_user) VALUES (?, x'31', x'', 0, ?, ?)`, topic, from[0], from[1])
		exec(t, db, `INSERT INTO removed (removal_id, topic_name, payload, properties, qos, publisher_client_id, publisher_user) VALUES (1, ?, x'31', x'', 0, ?, ?)`,
			topic, from[0], from[1])
	}
	step, err := migrations.Files.ReadFile("0009_vouched.sql")
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, string(step))
	for _, table := range []string{"retained", "removed"} {
		if got := query[string](t, db, `SELECT group_concat(topic_name ORDER BY topic_name) FROM `+table+` WHERE vouched`); got != "admin,bridge" {
			t.Errorf("%s: %s", table, got)
		}
	}
}
