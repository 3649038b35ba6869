package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"hearthmq/broker/access"
)

// ReadOnlyAccounts returns the users, roles and rules of the database at path for a
// server that can't write there (ErrUnwritable): from the accounts file, else from
// the database. They can be changed, which lasts as long as the process. from is the
// file they come from. With an error the repository is empty, and works.
func ReadOnlyAccounts(ctx context.Context, path string, log *slog.Logger) (_ access.Repository, from string, err error) {
	repo := access.NewMemoryRepository()
	if path, err = filepath.Abs(path); err != nil {
		return repo, "", err
	}
	db := &DB{path: path, log: log}
	data, from, err := db.readOnly(ctx)
	if err != nil {
		return repo, "", fmt.Errorf("read users, roles and rules: %w", err)
	}
	note := access.AuditEntry{Via: access.ViaSelf, Action: "accounts read", Object: filepath.Base(from)}
	for _, r := range data.Roles {
		if _, err := repo.InsertRole(ctx, r, note); err != nil {
			log.Error("a role can't be taken over", "role", r.Name, "err", err)
		}
	}
	for _, u := range data.Users {
		if _, err := repo.InsertUser(ctx, u, note); err != nil {
			log.Error("a user can't be taken over", "user", u.Name, "err", err)
		}
	}
	return repo, from, nil
}

func (db *DB) readOnly(ctx context.Context) (*access.Data, string, error) {
	path := db.accountsPath()
	f, failed := readAccounts(path)
	if f != nil {
		bad := func(err error) {
			db.log.Error("part of the accounts file makes no sense and is passed over", "file", path, "err", err)
		}
		return f.data(bad), path, nil
	}
	if _, err := os.Stat(db.path); err != nil {
		return nil, "", errors.Join(failed, err)
	}
	// As the last checkpoint left it: what the log holds can't be read without
	// writing beside it.
	var err error
	if db.reader, err = sql.Open("sqlite", immutable(db.path)); err != nil {
		return nil, "", errors.Join(failed, err)
	}
	data, err := db.Accounts().Load(ctx)
	if err = errors.Join(err, db.closePools()); err != nil {
		return nil, "", errors.Join(failed, err)
	}
	return data, db.path, nil
}
