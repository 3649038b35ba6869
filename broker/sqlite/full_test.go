package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/sqlite"
)

// skipLoudly skips a test for want of something that CI must have.
func skipLoudly(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("CI must be able to run this: " + why)
	}
	t.Skip("NOT TESTED: " + why)
}

// tmpfs mounts a small file system; it returns its folder.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("NOT TESTED: only root on Linux may mount a small file system")
	}
	dir := t.TempDir()
	if out, err := osexec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: mount: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := osexec.CommandContext(context.Background(), "umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return dir
}

// fillDisk leaves about rest bytes free.
func fillDisk(t *testing.T, dir string, rest int64) (junk string) {
	t.Helper()
	junk = filepath.Join(dir, "junk")
	f, err := os.Create(junk)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
		n += int64(len(block))
	}
	if err := errors.Join(f.Truncate(max(n-rest, 0)), f.Close()); err != nil {
		t.Fatal(err)
	}
	return junk
}

func big(seq int64) broker.Queued {
	q := benchQueued(seq)
	q.ClientID = "zigbee2mqtt-1"
	q.Delivery.Message = broker.NewMessage("big", make([]byte, 100<<10), 1, false)
	return q
}

func TestReserve(t *testing.T) { // case S5
	dir := tmpfs(t, "90m")
	path, reserve := filepath.Join(dir, "hearthmq.db"), filepath.Join(dir, "ballast")
	db := openServer(t, path)
	_, s, _ := load(t, db)
	defer closeAll(t, s)
	apply(t, s, newSession("zigbee2mqtt-1"))
	sqlite.Upkeep(db)
	if st, err := os.Stat(reserve); err != nil || st.Size() != 8<<20 || st.Mode().Perm() != 0o600 {
		t.Fatal(st, err)
	}
	junk := fillDisk(t, dir, 300<<10)
	// The reserve carries the broker on without a failure,
	seq := int64(0)
	for ; seq < 20; seq++ {
		apply(t, s, big(seq+1))
	}
	if _, err := os.Stat(reserve); err == nil {
		t.Fatal("the disk is not full")
	}
	// until that is full as well.
	var err error
	for err == nil && seq < 1000 {
		if err = s.Apply(t.Context(), []broker.Change{big(seq + 1)}); err == nil {
			seq++
		}
	}
	h := db.Health()
	if err == nil || h.Condition != sqlite.DiskFull || h.Err == nil || h.Since.IsZero() || h.Reserve || h.FreeBytes > 1<<20 || h.DatabaseBytes < 4<<20 {
		t.Fatalf("%v, %+v", err, h)
	}
	// Reading works, and what was stored is there.
	if state, err := s.Load(t.Context()); err != nil || int64(len(state.Sessions[0].Queue)) != seq {
		t.Fatal(err, seq)
	}
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	apply(t, s, big(seq+1))
	if h := db.Health(); h.Condition != sqlite.OK || h.Err != nil {
		t.Errorf("%+v", h)
	}
	sqlite.Upkeep(db)
	if h := db.Health(); !h.Reserve {
		t.Errorf("%+v", h)
	}
	closeAll(t, s, db)
	if got := query[string](t, raw(t, path), `PRAGMA integrity_check`); got != "ok" {
		t.Error(got)
	}
}

// TestSmallDisk: too small for a reserve. Nothing is lost that Apply had promised,
// and after making room everything goes on.
func TestSmallDisk(t *testing.T) { // cases S5, S6
	dir := tmpfs(t, "4m")
	path := filepath.Join(dir, "hearthmq.db")
	db := openServer(t, path)
	_, s, _ := load(t, db)
	apply(t, s, newSession("zigbee2mqtt-1"))
	sqlite.Upkeep(db)
	junk := fillDisk(t, dir, 1<<20)
	var err error
	seq := int64(0)
	for ; seq < 1000; seq++ {
		if err = s.Apply(t.Context(), []broker.Change{big(seq + 1)}); err != nil {
			break
		}
	}
	if h := db.Health(); err == nil || h.Condition != sqlite.DiskFull || h.Reserve {
		t.Fatalf("%v, %+v", err, h)
	}
	// Backups (case S6) leave nothing behind.
	if _, err := sqlite.Backup(t.Context(), path, filepath.Join(dir, "copy.db"), false); !errors.Is(err, sqlite.ErrUnwritable) {
		t.Errorf("backup: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "copy*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	// A start on a full disk either works or says what cmd can act on.
	closeAll(t, s, db)
	fillDisk(t, dir, 0)
	if db, err := sqlite.OpenServer(t.Context(), path, slog.New(slog.DiscardHandler)); err == nil {
		closeAll(t, db)
	} else if !errors.Is(err, sqlite.ErrUnwritable) {
		t.Errorf("start: %v", err)
	}
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	db = openServer(t, path)
	if r := db.Report(); r.Happened() {
		t.Error(r)
	}
	_, s, state := load(t, db)
	if int64(len(state.Sessions[0].Queue)) != seq {
		t.Errorf("%d deliveries, promised %d", len(state.Sessions[0].Queue), seq)
	}
	apply(t, s, big(seq+1))
	closeAll(t, s)
}

// TestMigrationOnFullDisk: nothing of a step stays, and the next start takes it.
func TestMigrationOnFullDisk(t *testing.T) { // case S6
	dir := tmpfs(t, "4m")
	path := filepath.Join(dir, "hearthmq.db")
	furnish(t, path, 1000)
	db := openServer(t, path)
	more := steps(t, "CREATE TABLE copy AS SELECT * FROM retained; CREATE TABLE copy2 AS SELECT * FROM retained;")
	junk := fillDisk(t, dir, 600<<10)
	if err := sqlite.MigrateWith(t.Context(), db, more); err == nil {
		t.Fatal("the disk is not full")
	}
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.MigrateWith(t.Context(), db, more); err != nil {
		t.Fatal(err)
	}
}

// helper runs a test of this binary as a process of its own, with args before it,
// and returns what it prints line by line.
func helper(t *testing.T, name, path string, args ...string) (lines func() (string, bool), stdin io.Writer, wait func() error) {
	t.Helper()
	args = append(args, os.Args[0], "-test.run=^"+name+"$", "-test.v")
	cmd := osexec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "HEARTHMQ_TEST_DATABASE="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	lines = func() (string, bool) {
		for scanner.Scan() {
			if line, ok := strings.CutPrefix(scanner.Text(), "> "); ok {
				return line, true
			}
			t.Log(scanner.Text())
		}
		return "", false
	}
	return lines, in, func() error {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%w: %s", err, complaints.String())
		}
		return nil
	}
}

// say prints a line for the process that runs this helper.
func say(format string, args ...any) { fmt.Printf("> "+format+"\n", args...) }

// TestFileSizeLimit: EFBIG, which SQLite reports as an I/O error, is a full disk.
func TestFileSizeLimit(t *testing.T) { // case S6
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	lines, _, wait := helper(t, "TestHelperFileSizeLimit", path)
	for line, ok := lines(); ok; line, ok = lines() {
		if !strings.HasPrefix(line, "ok") {
			t.Error(line)
		}
	}
	if err := wait(); err != nil {
		t.Error(err)
	}
}

func TestHelperFileSizeLimit(t *testing.T) {
	path := os.Getenv("HEARTHMQ_TEST_DATABASE")
	if path == "" {
		t.Skip("run by TestFileSizeLimit")
	}
	db := openServer(t, path)
	_, s, _ := load(t, db)
	apply(t, s, newSession("zigbee2mqtt-1"))
	lift := limitFileSize(t, 2<<20)
	var err error
	seq := int64(0)
	for ; seq < 1000 && err == nil; seq++ {
		err = s.Apply(t.Context(), []broker.Change{big(seq + 1)})
	}
	if h := db.Health(); err == nil || h.Condition != sqlite.DiskFull {
		say("%v, %+v", err, h)
	}
	lift()
	if err := s.Apply(t.Context(), []broker.Change{big(seq)}); err != nil || db.Health().Condition != sqlite.OK {
		say("after the limit: %v %+v", err, db.Health())
	}
	if state, err := s.Load(t.Context()); err != nil || int64(len(state.Sessions[0].Queue)) != seq {
		say("%v: not %d deliveries", err, seq)
	}
	closeAll(t, s)
	say("ok")
}
