package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"hearthmq/addon"
	"hearthmq/broker/access"
	"hearthmq/broker/sqlite"
)

// application is what all commands share: where things are.
type application struct {
	process
	data, options string // of the command line, "" when not given
}

// databaseName is the database's file in the data folder.
const databaseName = "hearthmq.db"

// defaultData is the data folder of somebody who names none.
func (a *application) defaultData() string {
	if addon.InApp(a.environ) {
		return "/data"
	}
	return "./data"
}

// folder returns the data folder as an absolute path.
func (a *application) folder() (string, error) {
	dir := a.data
	if dir == "" {
		dir = a.defaultData()
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("data folder: %w", err)
	}
	return dir, nil
}

// settings reads the settings. A file that was named has to be there.
func (a *application) settings() (o *addon.Options, warnings []string, err error) {
	dir, err := a.folder()
	if err != nil {
		return nil, nil, err
	}
	file := a.options
	switch {
	case file == "":
		file = filepath.Join(dir, "options.json")
	case !addon.InApp(a.environ):
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, addon.Problems{{Text: fmt.Sprintf("the settings %s do not exist", file)}}
		}
	}
	return addon.Load(addon.Source{File: file, Environ: a.environ, Folder: dir})
}

// accounts opens the database for a command beside the server, which sees what
// is changed within half a second. The caller closes the database.
func (a *application) accounts(ctx context.Context) (*sqlite.DB, *access.Directory, *access.Accounts, error) {
	o, _, err := a.settings()
	if err != nil {
		return nil, nil, nil, err
	}
	dir, err := a.folder()
	if err != nil {
		return nil, nil, nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	db, err := sqlite.Open(ctx, filepath.Join(dir, databaseName), quiet)
	if err != nil {
		return nil, nil, nil, err
	}
	directory := access.NewDirectory(o.Access())
	accounts := access.NewAccounts(db.Accounts(), directory, nil, quiet)
	if err := accounts.Open(ctx); err != nil {
		return nil, nil, nil, errors.Join(err, db.Close())
	}
	return db, directory, accounts, nil
}
