package sqlite_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/sqlite"
)

func open(t testing.TB, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, db) })
	return db
}

type closer interface{ Close() error }

func closeAll(t testing.TB, c ...closer) {
	t.Helper()
	for _, c := range c {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStore(t *testing.T) {
	made := filepath.Join(t.TempDir(), "hearthmq.db")
	closeAll(t, open(t, made))
	empty := read(t, made)
	brokertest.TestStore(t, func(t *testing.T) (broker.Store, func() broker.Store) {
		path := filepath.Join(t.TempDir(), "hearthmq.db")
		if err := os.WriteFile(path, empty, 0o600); err != nil {
			t.Fatal(err)
		}
		db := open(t, path)
		s := db.Store()
		return s, func() broker.Store {
			closeAll(t, s, db)
			db = open(t, path)
			s = db.Store()
			return s
		}
	})
}
