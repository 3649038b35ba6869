package sqlite_test

import (
	"database/sql"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/sqlite"
)

// TestLongReader: as long as somebody reads, the write-ahead log grows by what is
// written, and no longer.
func TestLongReader(t *testing.T) { // case S11
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	furnish(t, path, 10)
	db := openServer(t, path)
	_, s, _ := load(t, db)
	defer closeAll(t, s)
	reader := raw(t, path)
	reader.SetMaxOpenConns(1)
	exec(t, reader, `BEGIN`)
	if n := query[int](t, reader, `SELECT count(*) FROM retained`); n != 10 {
		t.Fatal(n)
	}
	noise := rand.NewChaCha8([32]byte{}) // SQLite does not write what has not changed
	write := func(times int) {
		for range times {
			payload := make([]byte, 100<<10)
			noise.Read(payload)
			apply(t, s, broker.RetainedSet{Message: broker.NewMessage("big", payload, 0, true)})
		}
	}
	log := func() int64 {
		st, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	write(200)
	if n := log(); n < 17<<20 {
		t.Errorf("the log has %d bytes: nobody read", n)
	}
	if n := query[int](t, reader, `SELECT count(*) FROM retained`); n != 10 {
		t.Errorf("the reader sees %d messages, not those of its beginning", n)
	}
	exec(t, reader, `END`)
	write(2) // the first copies the log into the database, the second begins it anew
	if n := log(); n > 16<<20 {
		t.Errorf("the log still has %d bytes", n)
	}
	if h := db.Health(); h.Condition != sqlite.OK {
		t.Errorf("%+v", h)
	}
}

// TestReadLimit: no reader of ours goes on for ever.
func TestReadLimit(t *testing.T) { // case S11
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), filepath.Join(folder, "hearthmq.db"), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll(t, db)
		for pause, cut := range map[time.Duration]bool{9 * time.Second: false, 11 * time.Second: true} {
			err := sqlite.Read(t.Context(), db, func(tx *sql.Tx) error {
				time.Sleep(pause) // in the bubble
				synctest.Wait()
				var n int
				return tx.QueryRowContext(t.Context(), `SELECT count(*) FROM retained`).Scan(&n)
			})
			if (err != nil) != cut || cut && !errors.Is(err, sql.ErrTxDone) {
				t.Errorf("a reader of %v: %v", pause, err)
			}
		}
	})
}
