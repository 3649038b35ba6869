package crashtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/sqlite"
)

// perRecording is how many images are made of one recording.
const perRecording = 500

// TestPowerCut takes the power away at random moments (cases S2 to S4).
func TestPowerCut(t *testing.T) {
	needStrace(t)
	rnd := random(t)
	began := time.Now()
	var total results
	var mu sync.Mutex
	var left atomic.Int64
	left.Store(int64(*images))
	var workers sync.WaitGroup
	for range 2 {
		rnd := rand.New(rand.NewPCG(rnd.Uint64(), 1))
		workers.Go(func() {
			for !t.Failed() {
				n := min(left.Add(-perRecording)+perRecording, perRecording)
				if n <= 0 {
					return
				}
				ok := t.Run("", func(t *testing.T) {
					past := recording{durability: broker.Durable, messages: 1000, limit: patience}.record(t, rnd)
					r := past.cut(t, int(n), rnd, true)
					mu.Lock()
					defer mu.Unlock()
					total.add(r)
				})
				if !ok {
					return
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%v: %s", time.Since(began).Round(time.Second), &total)
}

// TestPowerCutBalanced does the same to a broker that acknowledges what the mode
// balanced lets it: nothing of QoS 2 and of messages for those who are away is lost.
func TestPowerCutBalanced(t *testing.T) {
	needStrace(t)
	rnd := random(t)
	past := recording{durability: broker.Balanced, messages: 1000, limit: patience}.record(t, rnd)
	past.balanced = true
	r := past.cut(t, 200, rnd, true)
	t.Log(&r)
}

// results are what came of many images.
type results struct {
	images, unreadable, lossy, doubling, wrong int
	lost, most                                 int // acknowledged messages and the like, over all images and of the worst
	promised                                   int // of those, how many there were
	by                                         [damages]int
}

func (r *results) add(o results) {
	r.images, r.unreadable, r.lossy = r.images+o.images, r.unreadable+o.unreadable, r.lossy+o.lossy
	r.doubling, r.wrong = r.doubling+o.doubling, r.wrong+o.wrong
	r.lost, r.most, r.promised = r.lost+o.lost, max(r.most, o.most), r.promised+o.promised
	for i := range r.by {
		r.by[i] += o.by[i]
	}
}

func (r *results) bad() int { return r.unreadable + r.lossy + r.doubling + r.wrong }

func (r *results) String() string {
	return fmt.Sprintf("%d images (none, all, subset, torn: %v), %d unreadable, %d with losses (%d of %d acknowledged, at most %d in one), %d with possible duplicates, %d otherwise wrong",
		r.images, r.by, r.unreadable, r.lossy, r.lost, r.promised, r.most, r.doubling, r.wrong)
}

// cut makes n images and looks into each. With strict, what is found fails the test.
func (h *history) cut(t *testing.T, n int, rnd *rand.Rand, strict bool) (r results) {
	t.Helper()
	at := h.moments(n, rnd)
	d, m := newDisk(), newModel()
	m.balanced = h.balanced
	for i, s := range h.steps {
		if err := s.do(d, m); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		for range at[i] {
			how := damage(rnd.IntN(int(damages)))
			dir, err := os.MkdirTemp(folder(t), "image")
			if err != nil {
				t.Fatal(err)
			}
			if err := d.write(dir, how, rnd); err != nil {
				t.Fatal(err)
			}
			r.images++
			r.by[how]++
			r.promised += m.accepted()
			v, err := m.inspect(dir)
			switch {
			case err != nil:
				r.unreadable++
			case v.bad():
				r.count(v)
			}
			if strict && (err != nil || v.bad()) {
				t.Errorf("power cut at step %d of %d (%s): %v %v", i, len(h.steps), how, v, err)
				keepImage(t, dir)
				if r.bad() >= 5 {
					return r
				}
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

func (r *results) count(v *verdict) {
	r.lossy += btoi(len(v.lost) > 0)
	r.doubling += btoi(len(v.duplicates) > 0)
	r.wrong += btoi(len(v.other) > 0)
	r.lost, r.most = r.lost+len(v.lost), max(r.most, len(v.lost))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// accepted is how many messages had been acknowledged.
func (m *model) accepted() int {
	n := 0
	for _, x := range m.messages {
		n += btoi(x.accepted)
	}
	return n
}

// moments chooses n steps: one in three anywhere, one right after the broker has
// said something, one right after an fsync. The result counts per step.
func (h *history) moments(n int, rnd *rand.Rand) map[int]int {
	var kinds [stepKinds][]int
	for i, s := range h.steps {
		kinds[s.kind] = append(kinds[s.kind], i)
	}
	at := map[int]int{}
	for i := range n {
		from := kinds[[...]stepKind{written, said, synced}[i%3]]
		if i%3 == 0 || len(from) == 0 {
			at[rnd.IntN(len(h.steps))]++
		} else {
			at[from[rnd.IntN(len(from))]]++
		}
	}
	return at
}

// inspect opens an image as the broker would and compares. The error says that it
// can't be read.
func (m *model) inspect(dir string) (*verdict, error) {
	path := filepath.Join(dir, "hearthmq.db")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return m.check(&broker.State{}), nil
	}
	log := &lockedBuffer{}
	ctx := context.Background()
	db, err := sqlite.Open(ctx, path, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return nil, err
	}
	store := db.Store()
	state, err := store.Load(ctx)
	if err == nil {
		err = integrity(ctx, path)
	}
	if err = errors.Join(err, store.Close(), db.Close()); err != nil {
		return nil, err
	}
	v := m.check(state)
	if said := log.String(); said != "" {
		v.wrong("the database's package says: %s", said)
	}
	return v, nil
}

// integrity has SQLite look at everything.
func integrity(ctx context.Context, path string) (err error) {
	plain, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	var answer string
	if err := plain.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&answer); err != nil {
		return err
	}
	if answer != "ok" {
		return errors.New(answer)
	}
	return nil
}

// keepImage keeps an image where it was asked for.
func keepImage(t *testing.T, dir string) {
	t.Helper()
	if *keep == "" {
		return
	}
	to := filepath.Join(*keep, filepath.Base(dir))
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Error(err)
	}
	t.Logf("kept in %s (as the database was left after it was opened)", to)
}
