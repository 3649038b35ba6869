package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"hearthmq/broker/sqlite"
)

// lockPatience is how long the app waits for another server with its data: an update
// starts the new container while the old one ends (case S15). A person at a terminal
// is told at once.
const lockPatience = 30 * time.Second

// claimFolder makes a data folder this server's own until what it returns is closed.
// A folder that can't be written needs no lock: there is nothing to spoil.
func claimFolder(ctx context.Context, dir string, inApp bool, log *slog.Logger) (io.Closer, error) {
	lock, err := lockFolder(dir)
	if inApp && errors.Is(err, errFolderInUse) {
		log.Warn(fmt.Sprintf("another HearthMQ runs with the data in %s: waiting up to %v for its end", dir, lockPatience))
		ctx, cancel := context.WithTimeout(ctx, lockPatience)
		defer cancel()
		tick := time.NewTicker(lockPatience / 100)
		defer tick.Stop()
		for errors.Is(err, errFolderInUse) && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-tick.C:
				lock, err = lockFolder(dir)
			}
		}
	}
	switch {
	case err == nil:
		return lock, nil
	case sqlite.Unwritable(err):
		return io.NopCloser(nil), nil // the database says so, too
	}
	return nil, err
}

// openDatabase opens the database, or a copy of it where the data folder can't be
// written, or a newer HearthMQ wrote the data: a home without its broker is worse
// (cases S7, S13). It returns why nothing
// outlives the process then. brief: the folder goes with the process.
func openDatabase(ctx context.Context, dir string, brief bool, log *slog.Logger) (db *sqlite.DB, unkept, err error) {
	path := filepath.Join(dir, databaseName)
	open := sqlite.OpenServer
	if brief {
		open = sqlite.OpenBrief
	}
	db, err = open(ctx, path, log)
	if errors.Is(err, sqlite.ErrUnwritable) || errors.Is(err, sqlite.ErrNewer) {
		unkept = err
		log.Error("NOTHING IS KEPT: HearthMQ works with a copy of its data, and all that changes from now on is lost when it stops. "+
			"See to what the error says and restart it", "folder", dir, "err", err)
		db, err = sqlite.OpenStandIn(ctx, path, log)
	}
	if err != nil {
		return nil, nil, err
	}
	if r := db.Report(); r.Happened() {
		log.Error(r.String())
	}
	return db, unkept, nil
}
