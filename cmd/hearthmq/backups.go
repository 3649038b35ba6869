package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"hearthmq/broker/access"
	"hearthmq/broker/sqlite"
	"hearthmq/web"
)

// Files of backups in the data folder. None of their names comes from outside (case W19).
const (
	uploadName   = "upload.db"   // being looked through, or waiting for a yes
	downloadName = "download.db" // on its way to a browser
)

// uploadAge is how long an uploaded backup waits for a yes.
const uploadAge = 30 * time.Minute

// backups makes copies of the database for the admin and goes back to uploaded ones:
// the broker stops, the database is replaced, and the same process starts it again.
// Safe for concurrent use.
type backups struct {
	dir string
	log *slog.Logger
	end func() // stops what runs; set before anybody can ask

	making sync.Mutex // held while a copy is made and fetched: one at a time is enough
	mu     sync.Mutex // guards what follows
	key    string     // of the uploaded backup, "" when there is none
	at     time.Time
	yes    bool       // it is to be restored
	who    access.Who // wants it
}

var _ web.Backups = (*backups)(nil)

func newBackups(dir string, log *slog.Logger) *backups {
	b := &backups{dir: dir, log: log}
	for _, name := range []string{uploadName, downloadName} { // of a process that ended in between
		b.remove(name)
	}
	return b
}

func (b *backups) file(name string) string { return filepath.Join(b.dir, name) }

func (b *backups) remove(name string) {
	if err := os.Remove(b.file(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		b.log.Warn("can't remove a copy of the database", "file", b.file(name), "err", err)
	}
}

// Make implements web.Backups.
func (b *backups) Make(ctx context.Context) (file io.ReadCloser, size int64, err error) {
	b.making.Lock()
	defer func() {
		if err != nil {
			b.making.Unlock()
		}
	}()
	if _, err := sqlite.Backup(ctx, b.file(databaseName), b.file(downloadName), true); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(b.file(downloadName))
	if err != nil {
		return nil, 0, fmt.Errorf("open the copy: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("look at the copy: %w", err), f.Close())
	}
	return &fetched{File: f, done: func() { b.remove(downloadName); b.making.Unlock() }}, st.Size(), nil
}

// fetched is a copy that goes when it is closed.
type fetched struct {
	*os.File
	once sync.Once
	done func()
}

// Close implements io.Closer.
func (f *fetched) Close() error {
	err := f.File.Close()
	f.once.Do(f.done)
	return err
}

// Check implements web.Backups.
func (b *backups) Check(ctx context.Context, from io.Reader) (key, contents string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.yes {
		return "", "", access.Problems{"file": "another backup is being restored"}
	}
	b.key = ""
	b.remove(uploadName)
	f, err := os.OpenFile(b.file(uploadName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", "", fmt.Errorf("store the upload: %w", err)
	}
	_, err = io.Copy(f, from)
	if err = errors.Join(err, f.Close()); err != nil {
		b.remove(uploadName)
		return "", "", fmt.Errorf("store the upload: %w", err)
	}
	c, err := sqlite.Look(ctx, b.file(uploadName))
	if err != nil {
		b.remove(uploadName)
		if ctx.Err() != nil {
			return "", "", err
		}
		return "", "", access.Problems{"file": "this is no backup of HearthMQ that can be used: " + err.Error()}
	}
	b.key, b.at = rand.Text(), time.Now()
	return b.key, c.String(), nil
}

// Restore implements web.Backups.
func (b *backups) Restore(ctx context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.key == "" || key != b.key || time.Since(b.at) > uploadAge || b.yes {
		return fmt.Errorf("uploaded backup: %w", access.ErrNotFound)
	}
	b.yes, b.who = true, access.Actor(ctx)
	time.AfterFunc(restoreDelay, b.end)
	return nil
}

// restoreDelay lets the answer reach the browser before the admin stops.
const restoreDelay = 500 * time.Millisecond

// asked reports whether the broker was stopped in order to restore.
func (b *backups) asked() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.yes
}

// restored is what a start has of a backup; contents is "" when it is none.
type restored struct {
	contents string
	who      access.Who // wanted it
}

// note tells the audit of the database that came back.
func (r restored) note(ctx context.Context, accounts *access.Accounts) error {
	if r.contents == "" {
		return nil
	}
	return accounts.Note(access.WithActor(ctx, r.who.Via, r.who.Name), "backup restored", "", "", r.contents)
}

// againWithBackups runs a server, and the next one with each backup that the admin restores.
func againWithBackups(ctx context.Context, run func(restored) (*backups, error)) error {
	for last := (restored{}); ; {
		b, err := run(last)
		if err != nil || ctx.Err() != nil || !b.asked() {
			return err
		}
		last = restored{b.restore(ctx), b.who}
	}
}

// restore puts the uploaded backup in the database's place, while nothing uses it, and
// returns what it holds. When that fails the database stays as it is.
func (b *backups) restore(ctx context.Context) (contents string) {
	restored, err := sqlite.Restore(ctx, b.file(uploadName), b.file(databaseName), b.log)
	b.remove(uploadName)
	if err != nil {
		b.log.Error("the backup could not be restored, HearthMQ goes on with what it had", "err", err)
		return ""
	}
	b.log.Warn("restored a backup", "contents", restored.Contents.String(), "former", restored.Kept)
	return restored.Contents.String()
}
