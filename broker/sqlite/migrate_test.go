package sqlite_test

import (
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker"
	"hearthmq/broker/sqlite"
	"hearthmq/migrations"
)

var update = flag.Bool("update", false, "write golden files anew")

const schemaGolden = "../../migrations/schema.golden.sql"

// TestSchema compares what all migrations come to with the file in which people read it.
func TestSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	open(t, path)
	got := schema(t, path)
	if *update {
		if err := os.WriteFile(schemaGolden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(schemaGolden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the schema is not that of %s; run go test -update (-want +got):\n%s", schemaGolden, diff)
	}
}

func schema(t *testing.T, path string) string {
	t.Helper()
	db := raw(t, path)
	rows, err := db.QueryContext(t.Context(), `SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY tbl_name, type DESC, name`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var b strings.Builder
	b.WriteString("-- What all migrations come to. Written by TestSchema in broker/sqlite; not run by anything.\n")
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		b.WriteString("\n" + s + ";\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestSchemaRules checks what the house asks of every table.
func TestSchemaRules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	open(t, path)
	db := raw(t, path)
	rows, err := db.QueryContext(t.Context(), `SELECT l.name, l.strict, c.name, c.type, c."notnull", c.pk > 0, s.sql FROM pragma_table_list l JOIN pragma_table_info(l.name) c JOIN sqlite_schema s ON s.name = l.name
		WHERE l.schema = 'main' AND l.name NOT LIKE 'sqlite_%' AND l.name <> 'migration'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var table, column, kind, text string
		var strict, notNull, pk bool
		if err := rows.Scan(&table, &strict, &column, &kind, &notNull, &pk, &text); err != nil {
			t.Fatal(err)
		}
		if !strict {
			t.Errorf("table %s is not STRICT", table)
		}
		for line := range strings.Lines(text) {
			if f := strings.Fields(line); len(f) > 0 && f[0] == column && !notNull && !pk && !strings.Contains(line, "NULL") && !strings.Contains(line, "REFERENCES") && table != "retained" {
				t.Errorf("%s.%s may be NULL and does not say what that means", table, column)
			}
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// steps are the real migrations and one more.
func steps(t *testing.T, more string) fs.FS {
	t.Helper()
	out := fstest.MapFS{"9000_more.sql": {Data: []byte("-- +goose Up\n" + more)}}
	real, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range real {
		b, err := fs.ReadFile(migrations.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = &fstest.MapFile{Data: b}
	}
	return out
}

func TestMigrateExisting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	db := open(t, path)
	s := db.Store()
	if _, err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := broker.NewMessage("a", []byte("1"), 0, true)
	if err := s.Apply(t.Context(), []broker.Change{broker.RetainedSet{Message: m}}); err != nil {
		t.Fatal(err)
	}
	made, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	bak := fmt.Sprintf("%s.v%d.bak", path, len(made))
	for _, old := range []string{bak, bak + ".tmp"} { // left behind by an attempt that was cut off
		if err := os.WriteFile(old, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := sqlite.MigrateWith(t.Context(), db, steps(t, "ALTER TABLE retained ADD COLUMN more INTEGER;")); err != nil {
		t.Fatal(err)
	}
	if got := query[int](t, raw(t, path), `SELECT count(*) FROM retained WHERE more IS NULL`); got != 1 {
		t.Errorf("%d rows after the migration", got)
	}
	if got := mode(t, bak); got != 0o600 {
		t.Errorf("mode of the copy is %o", got)
	}
	// The copy is a database of the old schema, of which this package takes possession.
	old, err := open(t, bak).Store().Load(t.Context())
	if err != nil || len(old.Retained) != 1 {
		t.Errorf("the copy holds %+v, %v", old, err)
	}
	// What was not migrated by this binary it refuses.
	closeAll(t, s, db)
	if _, err := sqlite.Open(t.Context(), path, nil); err == nil || !strings.Contains(err.Error(), filepath.Base(bak)) {
		t.Errorf("a newer database: %v", err)
	}
}

func TestMigrationFails(t *testing.T) {
	for name, more := range map[string]string{
		"in the middle":     "CREATE TABLE half (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1);",
		"broken references": "PRAGMA defer_foreign_keys = 1; CREATE TABLE orphan (id INTEGER REFERENCES session (id)) STRICT; INSERT INTO orphan VALUES (77);",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hearthmq.db")
			db := open(t, path)
			before := schema(t, path)
			if err := sqlite.MigrateWith(t.Context(), db, steps(t, more)); err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(before, schema(t, path)); diff != "" {
				t.Errorf("half a migration stayed:\n%s", diff)
			}
			// The step can be taken again once it is right.
			if err := sqlite.MigrateWith(t.Context(), db, steps(t, "CREATE TABLE whole (x INTEGER) STRICT;")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMigrationFindsLostReferences(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	closeAll(t, open(t, path))
	other := raw(t, path)
	other.SetMaxOpenConns(1)
	exec(t, other, `PRAGMA foreign_keys = 0`)
	exec(t, other, `INSERT INTO inbound_qos2 VALUES (77, 1), (78, 1)`)
	var log strings.Builder
	db, err := sqlite.Open(t.Context(), path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, db)
	if err := sqlite.MigrateWith(t.Context(), db, steps(t, "CREATE TABLE more (x INTEGER) STRICT;")); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "2 rows of inbound_qos2 point to rows that do not exist") {
		t.Errorf("the log says\n%s", log.String())
	}
}

// TestCutOffStart opens databases as an interrupted first start leaves them.
func TestCutOffStart(t *testing.T) {
	for name, left := range map[string]string{
		"an empty file":          "",
		"a mark only":            "PRAGMA application_id = 1213026644",
		"no migration taken yet": "PRAGMA application_id = 1213026644; CREATE TABLE migration (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now'))); INSERT INTO migration (version_id, is_applied) VALUES (0, 1)",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hearthmq.db")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if left != "" {
				exec(t, raw(t, path), left)
			}
			if _, err := open(t, path).Store().Load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMigrationsNumbered(t *testing.T) {
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		if len(number) != 4 || seen[number] != "" {
			t.Errorf("migration %s: numbers have four digits and are used once", name)
		}
		seen[number] = name
	}
	if len(seen) == 0 {
		t.Error("no migrations", maps.Keys(seen))
	}
}
