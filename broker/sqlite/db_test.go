package sqlite_test

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/sqlite"
)

// raw opens the database behind the package's back.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, db) })
	return db
}

func exec(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func query[T any](t testing.TB, db *sql.DB, query string, args ...any) (v T) {
	t.Helper()
	if err := db.QueryRowContext(context.Background(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func mode(t testing.TB, path string) os.FileMode {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode().Perm()
}

func TestOpenModes(t *testing.T) {
	// A path may hold what means something in a URI.
	path := filepath.Join(t.TempDir(), "new", "100%#?ü folder", "hearthmq.db")
	db := open(t, path)
	s := db.Store()
	if _, err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"..": 0o700, ".": 0o700, "hearthmq.db": 0o600, "hearthmq.db-wal": 0o600, "hearthmq.db-shm": 0o600} {
		if got := mode(t, filepath.Join(filepath.Dir(path), name)); got != want {
			t.Errorf("mode of %s is %o, want %o", name, got, want)
		}
	}
	closeAll(t, s, db)
	if _, err := os.Stat(path + "-wal"); err == nil {
		t.Error("the WAL is still there after Close: somebody kept a statement")
	}
}

func TestOpenTightensMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	closeAll(t, open(t, path))
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	if got := mode(t, path); got != 0o600 {
		t.Errorf("mode is %o", got)
	}
}

func TestPragmas(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "hearthmq.db"))
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "journal_size_limit": "16777216", "application_id": "1213026644",
	} {
		for pool, got := range sqlite.PragmaOfPools(t.Context(), db, pragma) {
			if got != want {
				t.Errorf("%s: %s is %q, want %q", pool, pragma, got, want)
			}
		}
	}
	if got := sqlite.PragmaOfPools(t.Context(), db, "query_only"); got["reader"] != "1" || got["writer"] != "0" {
		t.Errorf("query_only: %v", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		make       func(t *testing.T, path string)
	}{
		{"a newer database", "a newer HearthMQ wrote it (schema 9999, this one knows up to", func(t *testing.T, path string) {
			closeAll(t, open(t, path))
			exec(t, raw(t, path), `INSERT INTO migration (version_id, is_applied) VALUES (9999, 1)`)
		}},
		{"another program's database", "belongs to another program", func(t *testing.T, path string) {
			db := raw(t, path)
			exec(t, db, `PRAGMA application_id = 77`)
			exec(t, db, `CREATE TABLE x (y)`)
		}},
		{"a database without a mark", "belongs to another program", func(t *testing.T, path string) {
			exec(t, raw(t, path), `CREATE TABLE states (entity_id)`)
		}},
		{"no database", "not a SQLite database", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("persistence_location /data\n", 100)), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"a folder", "is a directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hearthmq.db")
			c.make(t, path)
			before, _ := os.ReadFile(path)
			db, err := sqlite.Open(t.Context(), path, slog.New(slog.DiscardHandler))
			if err == nil {
				closeAll(t, db)
				t.Fatal("was opened")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("the error is %q", err)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

// TestTwoProcesses has the database open twice, as `hearthmq user add` does beside
// a running server. (SQLite's locks work between connections as between processes.)
func TestTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	server, command := open(t, path), open(t, path)
	s := server.Store()
	defer closeAll(t, s)
	if _, err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		for i := range 100 {
			if err := command.SetSetting(context.Background(), "n", string(rune('0'+i%10))); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for seq := range int64(100) {
		err := s.Apply(t.Context(), []broker.Change{broker.SessionSaved{Session: broker.SessionRecord{ClientID: "a", Version: 5, Expiry: uint32(seq)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestSetting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	db := open(t, path)
	for _, made := range []string{"first", "second"} {
		if got, err := db.Setting(t.Context(), "installation", func() string { return made }); err != nil || got != "first" {
			t.Fatal(got, err)
		}
	}
	if err := db.SetSetting(t.Context(), "installation", "third"); err != nil {
		t.Fatal(err)
	}
	closeAll(t, db)
	if got, err := open(t, path).Setting(t.Context(), "installation", nil); err != nil || got != "third" {
		t.Fatal(got, err)
	}
}
