package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/sqlite"
)

var discard = slog.New(slog.DiscardHandler)

// TestBackupUnderLoad: a copy made while the server writes is of one moment, and
// holds everything that had been promised before it began.
func TestBackupUnderLoad(t *testing.T) { // case S14
	dir := t.TempDir()
	path := filepath.Join(dir, "hearthmq.db")
	furnish(t, path, 200)
	db := openServer(t, path)
	_, s, _ := load(t, db)
	var stored atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		for n := int64(1); ctx.Err() == nil; n++ {
			q := benchQueued(100 + n)
			q.ClientID = "zigbee2mqtt-1"
			err := s.Apply(context.Background(), []broker.Change{q, broker.Done{ClientID: q.ClientID, Seq: 100 + n - 50}, broker.RetainedSet{Message: broker.NewMessage("count", fmt.Append(nil, n), 0, true)}})
			if err != nil {
				done <- err
				return
			}
			stored.Store(n)
		}
		done <- nil
	}()
	for i := range 5 {
		for stored.Load() < int64(60*(i+1)) {
			select {
			case err := <-done:
				t.Fatal(err)
			default:
				runtime.Gosched()
			}
		}
		promised := stored.Load()
		to := filepath.Join(dir, fmt.Sprint("copy ", i), "hearthmq.db")
		if err := os.Mkdir(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		c, err := sqlite.Backup(t.Context(), path, to, false)
		if err != nil {
			t.Fatal(err)
		}
		if c.Users != 2 || c.Roles != 1 || c.Rules != 2 || c.Sessions != 1 || c.Retained != 201 || c.Messages != 52 {
			t.Errorf("%+v", c)
		}
		if got := mode(t, to); got != 0o600 {
			t.Errorf("mode is %o", got)
		}
		if list, _ := filepath.Glob(to + "?*"); len(list) > 0 {
			t.Errorf("left behind: %v", list)
		}
		copied := openServer(t, to)
		_, _, state := load(t, copied)
		var last int64
		for _, m := range state.Retained {
			if m.Topic == "count" {
				if _, err := fmt.Sscan(string(m.Payload), &last); err != nil {
					t.Fatal(err)
				}
			}
		}
		q := state.Sessions[0].Queue
		if last < promised || q[len(q)-1].Seq != 100+last || len(q) != 52 {
			t.Errorf("promised %d, counted %d, last delivery %d of %d", promised, last, q[len(q)-1].Seq, len(q))
		}
		if _, err := sqlite.Backup(t.Context(), path, to, false); !errors.Is(err, sqlite.ErrExists) {
			t.Errorf("an existing file: %v", err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	closeAll(t, s)
	if _, err := sqlite.Backup(t.Context(), path, path, true); !errors.Is(err, sqlite.ErrExists) {
		t.Errorf("onto itself: %v", err)
	}
	if _, err := sqlite.Backup(t.Context(), filepath.Join(dir, "nothing.db"), filepath.Join(dir, "x"), false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
}

func TestRestore(t *testing.T) { // case S14
	dir := t.TempDir()
	path, kept := filepath.Join(dir, "hearthmq.db"), filepath.Join(dir, "kept.db")
	furnish(t, path, 20)
	if _, err := sqlite.Backup(t.Context(), path, kept, false); err != nil {
		t.Fatal(err)
	}
	db := openServer(t, path)
	addRole(t, db.Accounts(), "later", time.Now())
	_, s, _ := load(t, db)
	apply(t, s, newSession("later"))
	closeAll(t, s, db)

	r, err := sqlite.Restore(t.Context(), kept, path, discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.String(); got != "1 session, 0 subscriptions, 2 waiting messages, 20 retained messages, 2 users, 1 role and 2 rules" {
		t.Error(got)
	}
	if strings.Contains(string(read(t, filepath.Join(dir, "accounts.json"))), "later") {
		t.Error("the accounts file is of the former database")
	}
	db = openServer(t, path)
	if _, _, state := load(t, db); len(state.Sessions) != 1 || accountsOf(t, db) != furnished || db.Report().Happened() {
		t.Errorf("%+v, %s", state.Sessions, db.Report())
	}
	former := openServer(t, r.Kept)
	if _, _, state := load(t, former); len(state.Sessions) != 2 {
		t.Errorf("the former database has %+v", state.Sessions)
	}
	closeAll(t, db, former)

	// Into an empty folder, which another machine's is.
	elsewhere := filepath.Join(t.TempDir(), "new", "hearthmq.db")
	if r, err := sqlite.Restore(t.Context(), kept, elsewhere, discard); err != nil || r.Kept != "" || r.Users != 2 {
		t.Error(r, err)
	}
	if accountsOf(t, openServer(t, elsewhere)) != furnished {
		t.Error("accounts are missing")
	}
	// Over a damaged database.
	edit(t, path, func(b []byte) []byte { return make([]byte, len(b)) })
	if r, err := sqlite.Restore(t.Context(), kept, path, discard); err != nil || r.Kept == "" {
		t.Error(r, err)
	}
}

// TestRestoreRefuses: before a backup is known to be good nothing happens to the database.
func TestRestoreRefuses(t *testing.T) { // cases S13, S14
	for _, c := range []struct {
		name, want string
		spoil      func(t *testing.T, file string)
	}{
		{"no such file", "no such file", func(t *testing.T, file string) { remove(t, file) }},
		{"not a database", "not a SQLite database", func(t *testing.T, file string) {
			edit(t, file, func([]byte) []byte { return []byte(strings.Repeat("a ", 1000)) })
		}},
		{"an empty file", "empty", func(t *testing.T, file string) { edit(t, file, func([]byte) []byte { return nil }) }},
		{"half of it", "malformed", func(t *testing.T, file string) {
			edit(t, file, func(b []byte) []byte { return b[:len(b)/2] })
		}},
		{"a damaged page", "damaged", func(t *testing.T, file string) { damageTable(t, file, "retained", 1) }},
		{"another program's", "another program", func(t *testing.T, file string) { exec(t, raw(t, file), `PRAGMA application_id = 77`) }},
		{"of a newer HearthMQ", "a newer HearthMQ", func(t *testing.T, file string) {
			exec(t, raw(t, file), `INSERT INTO migration (version_id, is_applied) VALUES (9999, 1)`)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path, file := filepath.Join(dir, "hearthmq.db"), filepath.Join(dir, "kept.db")
			furnish(t, path, 200)
			if _, err := sqlite.Backup(t.Context(), path, file, false); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, file)
			before := string(read(t, path))
			if _, err := sqlite.Restore(t.Context(), file, path, discard); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("%v", err)
			}
			if string(read(t, path)) != before {
				t.Error("the database was changed")
			}
			if list, _ := filepath.Glob(path + ".*"); len(list) > 0 {
				t.Errorf("left behind: %v", list)
			}
		})
	}
}

// TestSupervisorBackup: backup pre, the Supervisor copies all but the live files,
// backup post; later it puts the copy back into an empty folder.
func TestSupervisorBackup(t *testing.T) { // case S14
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	if dir, _, err := sqlite.PrepareBackup(t.Context(), path, discard); dir != "" || err != nil {
		t.Errorf("without a database: %s %v", dir, err)
	}
	furnish(t, path, 20)
	server := openServer(t, path)
	var dir string
	for range 2 { // the second time over what a backup left that was cut off
		var err error
		if dir, _, err = sqlite.PrepareBackup(t.Context(), path, discard); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"hearthmq.db", "accounts.json"} {
		if got := mode(t, filepath.Join(dir, name)); got != 0o600 {
			t.Errorf("mode of %s is %o", name, got)
		}
	}
	for _, without := range []string{"", "hearthmq.db"} { // an excluded name may be excluded everywhere
		back := filepath.Join(t.TempDir(), "hearthmq.db")
		if err := os.CopyFS(filepath.Join(filepath.Dir(back), "backup"), os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if without != "" {
			remove(t, filepath.Join(filepath.Dir(back), "backup", without))
		}
		db := openServer(t, back)
		r := db.Report()
		if (r.Restored != "") != (without == "") || (r.Accounts != "") != (without != "") || r.Saved.Users != 2 || !r.Happened() {
			t.Errorf("%#v", r)
		}
		if accountsOf(t, db) != furnished {
			t.Error("accounts are missing")
		}
		if _, _, state := load(t, db); without == "" && len(state.Retained) != 20 {
			t.Errorf("%d retained", len(state.Retained))
		}
		closeAll(t, db)
		if r := openServer(t, back).Report(); r.Happened() {
			t.Errorf("the next start says %s", r)
		}
	}
	closeAll(t, server)
	for range 2 {
		if err := sqlite.RemoveBackup(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the backup is still there")
	}
}

// TestDamagedSupervisorBackup: a backup that is damaged does not become the
// database; its accounts do.
func TestDamagedSupervisorBackup(t *testing.T) { // case S14
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	furnish(t, path, 200)
	dir, _, err := sqlite.PrepareBackup(t.Context(), path, discard)
	if err != nil {
		t.Fatal(err)
	}
	damageTable(t, filepath.Join(dir, "hearthmq.db"), "retained", 1)
	remove(t, path, filepath.Join(filepath.Dir(path), "accounts.json"))
	db := openServer(t, path)
	if r := db.Report(); r.Restored != "" || accountsOf(t, db) != furnished {
		t.Errorf("%#v", r)
	}
	if _, err := os.Stat(filepath.Join(dir, "hearthmq.db")); err != nil {
		t.Error("the damaged backup was deleted")
	}
}

func BenchmarkBackup(b *testing.B) {
	path := filepath.Join(b.TempDir(), "hearthmq.db")
	furnish(b, path, 100_000)
	db := openServer(b, path)
	b.Run("backup of 100k retained", func(b *testing.B) {
		for b.Loop() {
			if _, err := sqlite.Backup(b.Context(), path, path+".copy", true); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("quick_check", func(b *testing.B) {
		for b.Loop() {
			query[string](b, raw(b, path), `PRAGMA quick_check`)
		}
	})
	closeAll(b, db)
	b.Run("start", func(b *testing.B) {
		for b.Loop() {
			closeAll(b, openServer(b, path))
		}
	})
}
