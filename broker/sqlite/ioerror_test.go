package sqlite_test

import (
	"fmt"
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

// TestFailingSync has one fsync after the other fail, as a dying SD card does, and
// checks that nothing is promised that is not there, nothing is there that was
// refused, and the Store goes on by itself.
func TestFailingSync(t *testing.T) { // case S8
	strace, err := osexec.LookPath("strace")
	if err != nil {
		skipLoudly(t, "no strace to make fsync fail")
	}
	if out, err := osexec.CommandContext(t.Context(), strace, "-f", "true").CombinedOutput(); err != nil {
		skipLoudly(t, fmt.Sprintf("strace may not trace: %v %s", err, out))
	}
	failed := 0
	for _, which := range []string{"1", "2", "3", "5", "8", "13", "21", "6..9", "30+7"} {
		path := filepath.Join(t.TempDir(), "hearthmq.db")
		closeAll(t, open(t, path)) // the schema is made without failures
		lines, _, wait := helper(t, "TestHelperFailingSync", path,
			strace, "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when="+which)
		applied, refused, verdict := 0, 0, ""
		for line, ok := lines(); ok; line, ok = lines() {
			switch {
			case line == "applied":
				applied++
			case strings.HasPrefix(line, "refused"):
				refused++
			default:
				verdict = line
			}
		}
		if err := wait(); err != nil || verdict != "ok" || applied != 40 {
			t.Errorf("fsync %s: %d applied, %d refused, %q, %v", which, applied, refused, verdict, err)
		}
		failed += refused
		// Another process, without failures, finds all of it.
		_, _, state := load(t, openServer(t, path))
		if len(state.Sessions) != 1 || len(state.Sessions[0].Queue) != 40 {
			t.Errorf("fsync %s: %+v", which, state.Sessions)
		}
	}
	if failed == 0 {
		t.Error("no fsync failed where Apply waits for it")
	}
}

func TestHelperFailingSync(t *testing.T) {
	path := os.Getenv("HEARTHMQ_TEST_DATABASE")
	if path == "" {
		t.Skip("run by TestFailingSync")
	}
	runtime.LockOSThread() // strace counts calls by thread
	db, err := sqlite.OpenServer(t.Context(), path, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		say("open: %v", err)
		return
	}
	s := db.Store()
	if _, err := s.Load(t.Context()); err != nil {
		say("load: %v", err)
		return
	}
	batch := []broker.Change{newSession("zigbee2mqtt-1")}
	for seq := int64(1); seq <= 40; seq++ {
		q := benchQueued(seq)
		q.ClientID = "zigbee2mqtt-1"
		batch = append(batch, q)
		var err error
		for range 20 {
			if err = s.Apply(t.Context(), batch); err == nil {
				break
			}
			say("refused %v", err)
			if h := db.Health(); h.Condition != sqlite.IOError {
				say("condition is %q", h.Condition)
				return
			}
		}
		if err != nil {
			say("for ever: %v", err)
			return
		}
		say("applied")
		batch = nil
		if sessions, deliveries, messages := sqlite.Remembered(s.(*sqlite.Store)); sessions != 1 || int64(deliveries) != seq || int64(messages) != seq {
			say("remembers %d sessions, %d deliveries, %d messages after %d", sessions, deliveries, messages, seq)
			return
		}
	}
	if h := db.Health(); h.Condition != sqlite.OK {
		say("condition is %q", h.Condition)
		return
	}
	if err := s.Close(); err != nil {
		say("close: %v", err)
	}
	if err := db.Close(); err != nil {
		say("close: %v", err)
	}
	say("ok")
}

// TestMend: the connections are made anew while others use the database, and the
// Store's memory is what the database says.
func TestMend(t *testing.T) { // case S8
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	furnish(t, path, 10)
	db := openServer(t, path)
	_, s, _ := load(t, db)
	if _, err := db.Accounts().DataVersion(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		for range 50 {
			if _, err := db.Accounts().Load(t.Context()); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for i := range 5 {
		exec(t, raw(t, path), `DELETE FROM outbound WHERE seq = ?`, i) // behind its back
		sqlite.Broken(db)
		q := benchQueued(int64(1000 + 20*i))
		q.ClientID = "zigbee2mqtt-1"
		apply(t, s, q, broker.Done{ClientID: "zigbee2mqtt-1", Seq: 999})
		if _, deliveries, _ := sqlite.Remembered(s); deliveries != query[int](t, raw(t, path), `SELECT count(*) FROM outbound`) {
			t.Errorf("%d deliveries remembered", deliveries)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := db.Accounts().DataVersion(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeAll(t, s, db)
	if err := s.Apply(t.Context(), []broker.Change{newSession("late")}); err == nil {
		t.Error("a closed database was written")
	}
}
