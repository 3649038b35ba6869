package sqlite_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hearthmq/broker/sqlite"
)

// makeReadOnly takes the right to write in a folder away until the test ends: from
// root by its file system, which is a small one then.
func readOnlyFolder(t *testing.T) (dir string, lock func()) {
	t.Helper()
	if os.Getuid() != 0 {
		dir = t.TempDir()
		return dir, func() {
			if err := os.Chmod(dir, 0o500); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(dir, 0o700) })
		}
	}
	dir = tmpfs(t, "16m")
	remount := func(how string) {
		if out, err := osexec.CommandContext(context.Background(), "mount", "-o", "remount,"+how, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	return dir, func() {
		remount("ro")
		t.Cleanup(func() { remount("rw") })
	}
}

// TestReadOnlyFolder: a server can tell that it can't write, and works with a copy of
// what can be read.
func TestReadOnlyFolder(t *testing.T) { // case S7
	for _, c := range []struct {
		name     string
		spoil    func(t *testing.T, path string)
		accounts bool // are there
		retained int
	}{
		{"sound", func(*testing.T, string) {}, true, 10},
		{"killed before", func(t *testing.T, path string) { // the log was not written back
			db := openServer(t, path)
			_, s, _ := load(t, db)
			apply(t, s, newSession("late"))
			log := read(t, path+"-wal")
			closeAll(t, s, db)
			if err := os.WriteFile(path+"-wal", log, 0o600); err != nil {
				t.Fatal(err)
			}
		}, true, 10},
		{"without accounts file", func(t *testing.T, path string) { remove(t, accountsBeside(path)) }, true, 10},
		{"damaged", func(t *testing.T, path string) { edit(t, path, func(b []byte) []byte { return make([]byte, len(b)) }) }, true, 0},
		{"too large", func(t *testing.T, path string) {
			if err := os.Truncate(path, 33<<20); err != nil {
				t.Fatal(err)
			}
		}, true, 0},
		{"nothing", func(t *testing.T, path string) { remove(t, path, accountsBeside(path)) }, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, lock := readOnlyFolder(t)
			path := filepath.Join(dir, "hearthmq.db")
			furnish(t, path, 10)
			c.spoil(t, path)
			lock()
			log := slog.New(slog.NewTextHandler(t.Output(), nil))
			if db, err := sqlite.OpenServer(t.Context(), path, log); !errors.Is(err, sqlite.ErrUnwritable) {
				if err == nil {
					closeAll(t, db)
				}
				t.Errorf("OpenServer: %v", err)
			}
			db, err := sqlite.OpenStandIn(t.Context(), path, log)
			if err != nil {
				t.Fatal(err)
			}
			if got := accountsOf(t, db); (got == furnished) != c.accounts {
				t.Errorf("accounts are %q", got)
			}
			_, s, state := load(t, db)
			if len(state.Retained) != c.retained {
				t.Errorf("%d retained messages, want %d", len(state.Retained), c.retained)
			}
			apply(t, s, newSession("new"))
			where := db.Path()
			closeAll(t, s, db)
			if _, err := os.Stat(where); err == nil || strings.HasPrefix(where, dir) {
				t.Errorf("the copy %s is still there", where)
			}
		})
	}
}

// TestNewerDatabase: a server that went back to an older version works with what that
// version left, and the newer data stays as it is.
func TestNewerDatabase(t *testing.T) { // case S13
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	furnish(t, path, 10)
	db := open(t, path)
	if err := sqlite.MigrateWith(t.Context(), db, steps(t, "CREATE TABLE more (x INTEGER) STRICT;")); err != nil {
		t.Fatal(err)
	}
	_, s, _ := load(t, db)
	apply(t, s, newSession("newer"))
	closeAll(t, s, db)
	before := read(t, path)
	if db, err := sqlite.OpenServer(t.Context(), path, discard); !errors.Is(err, sqlite.ErrNewer) {
		if err == nil {
			closeAll(t, db)
		}
		t.Fatalf("OpenServer: %v", err)
	}
	db, err := sqlite.OpenStandIn(t.Context(), path, discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := accountsOf(t, db); got != furnished {
		t.Errorf("accounts are %q", got)
	}
	if _, s, state := load(t, db); len(state.Retained) != 10 || len(state.Sessions) != 1 {
		t.Errorf("%d retained messages, %d sessions", len(state.Retained), len(state.Sessions))
	} else {
		closeAll(t, s)
	}
	closeAll(t, db)
	if string(read(t, path)) != string(before) {
		t.Error("the newer database was changed")
	}
}
