package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// On a full disk SQLite can't even delete: that, too, is written to the log first.
// So a server keeps a file that it can give up.
const (
	reserveName = "ballast"
	reserveSize = 8 << 20
	// reserveNeeds is how much must be free for the file to be made.
	reserveNeeds = 64 << 20
	// leastFree is what a start needs; with less the reserve goes first.
	leastFree = 1 << 20
)

// reserve is the path of that file.
func (db *DB) reserve() string { return filepath.Join(filepath.Dir(db.path), reserveName) }

// makeRoom gives up the reserve and copies the write-ahead log into the database,
// which shortens it. It reports whether trying once more makes sense.
func (db *DB) makeRoom(ctx context.Context) bool {
	gained := db.server && os.Remove(db.reserve()) == nil
	if gained {
		db.log.Error("the disk is full: the space kept in reserve is given up", "file", db.reserve())
	}
	st, err := os.Stat(db.path + "-wal")
	long := err == nil && st.Size() > 0
	db.pools.RLock()
	defer db.pools.RUnlock()
	if db.writer == nil {
		return false
	}
	// What fails here fails again, and is reported, when the write is tried again.
	shortened := checkpoint(context.WithoutCancel(ctx), db.writer) == nil
	return gained || long && shortened
}

// keepReserve makes the file where it is missing and there is room for it.
func (db *DB) keepReserve() error {
	if st, err := os.Stat(db.reserve()); err == nil && st.Size() >= reserveSize {
		return nil
	}
	if freeBytes(filepath.Dir(db.path)) < reserveNeeds {
		return nil
	}
	tmp := db.reserve() + ".tmp"
	err := writeNoise(tmp)
	if err == nil {
		err = os.Rename(tmp, db.reserve())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep space in reserve: %w", err), removeIfThere(tmp))
	}
	return nil
}

// writeNoise fills a file with what no file system can compress or leave out.
func writeNoise(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	noise := rand.NewChaCha8([32]byte{})
	block := make([]byte, 1<<20)
	for n := 0; n < reserveSize && err == nil; n += len(block) {
		noise.Read(block) // never fails
		_, err = f.Write(block)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// noRoom reports whether a write fails for want of space: SQLite reports a spent
// quota and the limit of a file's size as it reports a broken disk.
func noRoom(path string) bool {
	dir := filepath.Dir(path)
	if free := freeBytes(dir); free >= 0 && free < 64<<10 {
		return true
	}
	limit := fileSizeLimit()
	for _, name := range []string{path, path + "-wal"} {
		if st, err := os.Stat(name); err == nil && limit > 0 && st.Size() >= limit-1<<20 {
			return true
		}
	}
	f, err := os.CreateTemp(dir, "probe-*.tmp")
	if err != nil {
		return conditionOfSystem(err) == DiskFull
	}
	_, err = f.Write(make([]byte, 64<<10))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	return errors.Join(err, os.Remove(f.Name())) != nil && conditionOfSystem(err) == DiskFull
}

// upkeep is what a server does beside its work, in a goroutine that ends by itself
// and that Close waits for.
type upkeep struct {
	mu    sync.Mutex
	ended bool
	busy  bool
	last  time.Time
	wg    sync.WaitGroup
}

// upkeepInterval is the time between two looks at the reserve and the accounts file.
const upkeepInterval = time.Minute

// maintain starts the upkeep when it is due. It is called after each write.
func (db *DB) maintain() {
	if !db.server {
		return
	}
	u := &db.upkeep
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended || u.busy || time.Since(u.last) < upkeepInterval {
		return
	}
	u.busy, u.last = true, time.Now()
	u.wg.Go(func() {
		if err := db.keepReserve(); err != nil {
			db.log.Warn("no space can be kept in reserve for a full disk", "err", err)
		}
		if db.exporter.due.Load() {
			db.exportAccounts(context.Background())
		}
		u.mu.Lock()
		u.busy = false
		u.mu.Unlock()
	})
}

// end waits for the upkeep under way; none begins any more.
func (u *upkeep) end() {
	u.mu.Lock()
	u.ended = true
	u.mu.Unlock()
	u.wg.Wait()
}
