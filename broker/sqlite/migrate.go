package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"

	"hearthmq/migrations"
)

// migrate brings the database to the newest schema: each step in a transaction
// of its own together with the note that it was taken.
func (db *DB) migrate(ctx context.Context) error {
	return db.migrateWith(ctx, migrations.Files)
}

func (db *DB) migrateWith(ctx context.Context, steps fs.FS) error {
	p, err := goose.NewProvider(goose.DialectSQLite3, db.writer, steps,
		goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	sources := p.ListSources()
	newest := sources[len(sources)-1].Version
	version, err := schemaVersion(ctx, db.writer)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	switch {
	case version == newest:
		return nil
	case version > newest:
		return fmt.Errorf("%w (schema %d, this one knows up to %d): install that version again, "+
			"or put the copy %s in its place, which lacks what happened since", ErrNewer, version, newest, filepath.Base(bakName(db.path, newest)))
	case version > 0:
		if err := db.backup(ctx, version); err != nil {
			return fmt.Errorf("copy the database before migrating it: %w", err)
		}
	default:
		if _, err := db.writer.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
			return fmt.Errorf("mark the database: %w", err)
		}
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate from schema %d to %d: %w", version, newest, err)
	}
	if err := db.checkReferences(ctx); err != nil {
		return fmt.Errorf("after migrating from schema %d to %d: %w", version, newest, err)
	}
	if version > 0 {
		db.log.Info("database migrated", "from", version, "to", newest)
	}
	return nil
}

// versionTable is goose's account of the steps taken.
const versionTable = "migration"

// schemaVersion is the number of the last step taken, 0 for an empty database.
func schemaVersion(ctx context.Context, db *sql.DB) (int64, error) {
	var exists bool
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = ?`, versionTable).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	var v int64
	err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM `+versionTable).Scan(&v)
	return v, err
}

// newestSchema is the number of the last step that this HearthMQ knows.
func newestSchema() (int64, error) {
	names, err := fs.Glob(migrations.Files, "*.sql")
	return int64(len(names)), err // they are numbered from 1 on
}

// bakName is where a database is copied to before it is migrated from a version.
func bakName(path string, version int64) string { return fmt.Sprintf("%s.v%d.bak", path, version) }

// backup copies the database to path.v<version>.bak, over a copy that is there already.
func (db *DB) backup(ctx context.Context, version int64) error {
	bak := bakName(db.path, version)
	tmp := bak + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// VACUUM INTO takes an empty file, which thereby has our mode, not SQLite's.
	if err := createNew(tmp); err != nil {
		return err
	}
	if _, err := db.writer.ExecContext(ctx, `VACUUM INTO ?`, tmp); err != nil {
		return err
	}
	if err := syncFile(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, bak); err != nil {
		return err
	}
	db.log.Info("database copied before the migration", "to", bak)
	return syncFile(filepath.Dir(bak))
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// checkReferences logs rows that point nowhere. They do no harm, being passed over
// when they are read, and are no reason to leave a home without its broker.
func (db *DB) checkReferences(ctx context.Context) error {
	tx, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = db.each(ctx, tx, "references", `SELECT "table", count(*) FROM pragma_foreign_key_check GROUP BY 1`, func(r *row) error {
		var table string
		var rows int
		if err := r.scan(&table, &rows); err != nil {
			return err
		}
		return fmt.Errorf("%d rows of %s point to rows that do not exist", rows, table)
	})
	return errors.Join(err, rollback(tx))
}
