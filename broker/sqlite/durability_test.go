package sqlite_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/sqlite"
)

func openStore(t testing.TB, path string) (*sqlite.DB, *sqlite.Store, *broker.State) {
	t.Helper()
	db := open(t, path)
	s := db.Store()
	state, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return db, s.(*sqlite.Store), state
}

func apply(t testing.TB, s broker.Store, changes ...broker.Change) {
	t.Helper()
	if err := s.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

func newSession(clientID string) broker.Change {
	return broker.SessionSaved{Session: broker.SessionRecord{ClientID: clientID, Version: 5, Expiry: broker.NeverExpires}}
}

// TestNothingToWrite checks that what cancels out costs no transaction.
func TestNothingToWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	_, s, _ := openStore(t, path)
	retained := broker.NewMessage("state", []byte("on"), 1, true)
	retained.Received = time.Now()
	apply(t, s, newSession("zigbee2mqtt-1"), broker.RetainedSet{Message: retained})
	db := raw(t, path)
	db.SetMaxOpenConns(1)
	version := func() int64 { return query[int64](t, db, `PRAGMA data_version`) }
	before := version()

	apply(t, s, benchQueued(1), broker.Sent{ClientID: "zigbee2mqtt-1", Seq: 1, PacketID: 5, State: broker.StateSent}, broker.Done{ClientID: "zigbee2mqtt-1", Seq: 1})
	apply(t, s, newSession("short"), broker.SessionDeleted{ClientID: "short"})
	apply(t, s, broker.Done{ClientID: "zigbee2mqtt-1", Seq: 9}, broker.Done{ClientID: "unknown", Seq: 9})
	if got := version(); got != before {
		t.Error("something was written")
	}
	again := *retained.Keep()
	again.Received = retained.Received.Add(time.Hour)
	apply(t, s, broker.RetainedSet{Message: &again})
	if got := version(); got != before {
		t.Error("a retained message was written that was there already")
	}
	if got := query[int](t, db, `SELECT count(*) FROM message`); got != 0 {
		t.Errorf("%d messages", got)
	}
}

// TestGarbage runs long queues through and looks at what stays.
func TestGarbage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	db, s, _ := openStore(t, path)
	apply(t, s, newSession("zigbee2mqtt-0"), newSession("zigbee2mqtt-1"))
	to := func(client, seq, message int64) broker.Change {
		q := benchQueued(message)
		q.ClientID, q.Delivery.Seq = fmt.Sprint("zigbee2mqtt-", client), seq
		return q
	}
	const n = 2500
	peak := 0
	for seq := int64(1); seq <= n; seq++ {
		// Session 1 takes every 100th as well, and keeps it.
		batch := []broker.Change{to(0, seq, 3*seq)}
		if seq%100 == 0 {
			batch = append(batch, to(1, seq, 3*seq))
		}
		if seq > 10 {
			batch = append(batch, broker.Done{ClientID: "zigbee2mqtt-0", Seq: seq - 10})
		}
		apply(t, s, batch...)
		peak = max(peak, sqlite.Garbage(s))
	}
	if peak > 1001 {
		t.Errorf("up to %d rows of garbage", peak)
	}
	rows := query[int](t, raw(t, path), `SELECT count(*) FROM message`)
	if want := 10 + n/100 + sqlite.Garbage(s); rows > want || rows < 10+n/100-1 {
		t.Errorf("%d messages, want at most %d", rows, want)
	}
	if _, deliveries, messages := sqlite.Remembered(s); deliveries != 10+n/100 || messages != 10+n/100-1 {
		t.Errorf("%d deliveries and %d messages remembered", deliveries, messages)
	}
	// A message that is garbage comes back, and is there after a restart.
	apply(t, s, to(0, n+1, 3*(n-15)))
	closeAll(t, s, db)
	_, s, state := openStore(t, path)
	if got := len(state.Sessions[0].Queue); got != 11 {
		t.Errorf("%d deliveries", got)
	}
	if got := len(state.Sessions[1].Queue); got != n/100 {
		t.Errorf("%d deliveries", got)
	}
	if sqlite.Garbage(s) == 0 {
		t.Error("Load found no garbage")
	}
	apply(t, s, broker.SessionDeleted{ClientID: "zigbee2mqtt-0"}, broker.SessionDeleted{ClientID: "zigbee2mqtt-1"})
	if sessions, deliveries, messages := sqlite.Remembered(s); sessions+deliveries+messages != 0 {
		t.Error("something is remembered of deleted sessions")
	}
}

// TestLargeGarbage checks that few large messages are not kept for want of many.
func TestLargeGarbage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	_, s, _ := openStore(t, path)
	apply(t, s, newSession("zigbee2mqtt-1"))
	for _, seq := range []int64{1, 21} {
		q := benchQueued(seq)
		q.Delivery.Message = broker.NewMessage("large", make([]byte, 2<<20), 1, false)
		apply(t, s, q)
		apply(t, s, broker.Done{ClientID: q.ClientID, Seq: seq})
	}
	apply(t, s, newSession("other"))
	if got := query[int](t, raw(t, path), `SELECT count(*) FROM message`); got != 0 {
		t.Errorf("%d messages", got)
	}
}

// TestKilled copies the files while the Store writes, as a process that is killed
// leaves them, and looks whether everything is there that Apply had promised.
func TestKilled(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "hearthmq.db")
	_, s, _ := openStore(t, path)
	apply(t, s, newSession("zigbee2mqtt-1"))
	var stored atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		// Message n is queued and message n-50 done, with a retained message that
		// counts along, in one batch: after a crash they must agree.
		for n := int64(1); ctx.Err() == nil; n++ {
			q := benchQueued(n)
			q.ClientID = "zigbee2mqtt-1"
			count := broker.NewMessage("count", fmt.Append(nil, n), 0, true)
			err := s.Apply(context.Background(), []broker.Change{q, broker.Done{ClientID: q.ClientID, Seq: n - 50}, broker.RetainedSet{Message: count}})
			if err != nil {
				done <- err
				return
			}
			stored.Store(n)
		}
		done <- nil
	}()
	for i := range 8 {
		for stored.Load() < int64(i*40+60) {
			select {
			case err := <-done:
				t.Fatal(err)
			default:
			}
		}
		image := filepath.Join(folder, fmt.Sprint("image ", i), "hearthmq.db")
		promised, copied := copyFiles(t, path, image, &stored)
		if !copied {
			continue
		}
		db, s, state := openStore(t, image)
		var last int64
		if _, err := fmt.Sscan(string(state.Retained[0].Payload), &last); err != nil {
			t.Fatal(err)
		}
		q := state.Sessions[0].Queue
		if last < promised || q[len(q)-1].Seq != last || q[0].Seq != last-49 || len(q) != 50 {
			t.Errorf("promised %d, counted %d, deliveries %d to %d (%d)", promised, last, q[0].Seq, q[len(q)-1].Seq, len(q))
		}
		if got := query[string](t, raw(t, image), `PRAGMA integrity_check`); got != "ok" {
			t.Error(got)
		}
		closeAll(t, s, db)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// copyFiles copies database and WAL and returns what was stored before. A copy in
// two steps is the image of one moment only if no checkpoint came between: the
// database must be the same before and after.
func copyFiles(t *testing.T, from, to string, stored *atomic.Int64) (promised int64, ok bool) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	before := read(t, from)
	promised = stored.Load()
	wal := read(t, from+"-wal")
	if string(read(t, from)) != string(before) {
		return 0, false
	}
	for name, b := range map[string][]byte{to: before, to + "-wal": wal} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return promised, true
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFullDisk has a write fail for want of space: nothing of the batch stays, and
// once there is space again the Store is as good as before.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	db, s, _ := openStore(t, path)
	apply(t, s, newSession("zigbee2mqtt-1"), benchQueued(1))
	sqlite.LimitPages(t.Context(), db, 1)
	large := benchQueued(21)
	large.Delivery.Message = broker.NewMessage("large", make([]byte, 8<<20), 1, false)
	batch := []broker.Change{newSession("other"), broker.Done{ClientID: "zigbee2mqtt-1", Seq: 1}, large}
	if err := s.Apply(t.Context(), batch); err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("a full disk: %v", err)
	}
	sqlite.LimitPages(t.Context(), db, 1<<20)
	apply(t, s, batch...)
	closeAll(t, s, db)
	_, _, state := openStore(t, path)
	if len(state.Sessions) != 2 || len(state.Sessions[1].Queue) != 1 || state.Sessions[1].Queue[0].Seq != 21 {
		t.Errorf("%+v", state.Sessions)
	}
}

// TestSynctest: the Store works inside a bubble, where other packages test with it.
func TestSynctest(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), filepath.Join(folder, "hearthmq.db"), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		s := db.Store()
		if _, err := s.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		apply(t, s, newSession("zigbee2mqtt-1"))
		time.Sleep(24 * time.Hour)
		apply(t, s, benchQueued(1))
		closeAll(t, s, db)
	})
}
