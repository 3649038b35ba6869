package sqlite_test

import (
	"fmt"
	"log/slog"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"hearthmq/broker/sqlite"
)

const bigStep = `CREATE TABLE more (topic TEXT NOT NULL, payload BLOB NOT NULL) STRICT; INSERT INTO more SELECT topic_name, payload FROM retained;
	CREATE INDEX more_by_topic ON more (topic); ALTER TABLE session ADD COLUMN more INTEGER; UPDATE session SET more = 1;`

// TestMigrationKilled kills the process at one write after the other while it
// migrates: afterwards the step is taken as a whole or not at all.
func TestMigrationKilled(t *testing.T) { // case S12
	strace, err := osexec.LookPath("strace")
	if err != nil {
		skipLoudly(t, "no strace to kill at a write")
	}
	made := filepath.Join(t.TempDir(), "hearthmq.db")
	furnish(t, made, 500)
	taken := map[bool]int{}
	for _, n := range []int{1, 3, 10, 50, 100, 150, 200, 250, 300, 400} {
		path := filepath.Join(t.TempDir(), "hearthmq.db")
		if err := os.WriteFile(path, read(t, made), 0o600); err != nil {
			t.Fatal(err)
		}
		// Without --seccomp-bpf: with it, strace 6.1 injects no signal.
		lines, _, wait := helper(t, "TestHelperMigrationKilled", path,
			strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", fmt.Sprint("inject=pwrite64:signal=KILL:when=", n))
		done := false
		for line, ok := lines(); ok; line, ok = lines() {
			done = done || line == "migrated"
		}
		if err := wait(); err == nil && !done {
			t.Errorf("write %d: neither killed nor migrated", n)
		}
		db := raw(t, path)
		if got := query[string](t, db, `PRAGMA integrity_check`); got != "ok" {
			t.Errorf("write %d: %s", n, got)
		}
		table := query[bool](t, db, `SELECT count(*) FROM sqlite_schema WHERE name = 'more'`)
		version := query[bool](t, db, `SELECT count(*) FROM migration WHERE version_id = 9000`)
		if table != version || table && query[int](t, db, `SELECT count(*) FROM more`) != 500 || done && !table {
			t.Errorf("write %d: table %v, version %v, told %v", n, table, version, done)
		}
		taken[table]++
		if table {
			continue
		}
		// This binary goes on with it as if nothing had happened, and the step can be taken.
		server := openServer(t, path)
		if r := server.Report(); r.Happened() || accountsOf(t, server) != furnished {
			t.Errorf("write %d: %s", n, r)
		}
		if err := sqlite.MigrateWith(t.Context(), server, steps(t, bigStep)); err != nil {
			t.Errorf("write %d: %v", n, err)
		}
	}
	if taken[false] < 3 {
		t.Errorf("killed before the end %d times, after it %d times", taken[false], taken[true])
	}
}

func TestHelperMigrationKilled(t *testing.T) {
	path := os.Getenv("HEARTHMQ_TEST_DATABASE")
	if path == "" {
		t.Skip("run by TestMigrationKilled")
	}
	runtime.LockOSThread() // strace counts the writes of each thread
	defer runtime.UnlockOSThread()
	db, err := sqlite.Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		say("open: %v", err)
		return
	}
	if err := sqlite.MigrateWith(t.Context(), db, steps(t, bigStep)); err != nil {
		say("migrate: %v", err)
		return
	}
	say("migrated")
	closeAll(t, db)
}
