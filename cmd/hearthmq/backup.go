package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"hearthmq/broker/sqlite"
)

type backupCommand struct {
	File  string `arg:"" help:"File to write. The Supervisor says pre and post instead: pre writes DIR/backup, post removes it."`
	Force bool   `help:"Write over a file that is there."`
}

// Run copies the database, of a running server too.
func (c *backupCommand) Run(ctx context.Context, app *application) error {
	dir, err := app.folder()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, databaseName)
	switch c.File {
	case "pre":
		to, contents, err := sqlite.PrepareBackup(ctx, path, newLog(app.stderr, level("warning")))
		if err != nil {
			return err
		}
		if to == "" {
			app.say("There is no database in %s, so there is nothing to back up.", dir)
			return nil
		}
		app.say("Backed up to %s: %s.", to, contents)
		return nil
	case "post":
		return sqlite.RemoveBackup(path)
	}
	contents, err := sqlite.Backup(ctx, path, c.File, c.Force)
	if errors.Is(err, sqlite.ErrExists) {
		return fmt.Errorf("%w; --force writes over a file", err)
	}
	if err != nil {
		return err
	}
	app.say("Backed up to %s: %s.", c.File, contents)
	app.say("Keep it as you keep passwords: it holds those of Home Assistant and the hashes of all others.")
	return nil
}

type restoreCommand struct {
	File string `arg:"" help:"Backup to go back to."`
}

// Run puts a backup in the database's place. No server may run.
func (c *restoreCommand) Run(ctx context.Context, app *application) error {
	dir, err := app.folder()
	if err != nil {
		return err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return fmt.Errorf("%w; stop it before you restore", err)
	}
	restored, err := sqlite.Restore(ctx, c.File, filepath.Join(dir, databaseName), newLog(app.stderr, level("warning")))
	if err = errors.Join(err, lock.Close()); err != nil {
		return err
	}
	app.say("Restored %s.", restored.Contents)
	if restored.Kept != "" {
		app.say("What was there before is kept as %s.", restored.Kept)
	}
	return nil
}
