package sqlite_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/sqlite"
)

func openServer(t testing.TB, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.OpenServer(t.Context(), path, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, db) })
	return db
}

// furnished databases with their accounts files, by the number of retained messages:
// to make one takes much longer than to copy it.
var furnishings = map[int]furnishing{}

type furnishing struct{ database, accounts []byte }

// furnish makes a database with 2 users, 1 role with 2 rules, a session with a
// queue, and n retained messages.
func furnish(t testing.TB, path string, n int) {
	t.Helper()
	f, ok := furnishings[n]
	if !ok {
		made := filepath.Join(t.TempDir(), "hearthmq.db")
		makeFurnished(t, made, n)
		f = furnishing{read(t, made), read(t, accountsBeside(made))}
		furnishings[n] = f
	}
	for name, b := range map[string][]byte{path: f.database, accountsBeside(path): f.accounts} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func accountsBeside(path string) string { return filepath.Join(filepath.Dir(path), "accounts.json") }

func makeFurnished(t testing.TB, path string, n int) {
	t.Helper()
	db := openServer(t, path)
	r := db.Accounts()
	rules := []access.Rule{access.NewRule(access.Allow, access.ScopeBoth, "sensors/%u/#"), access.NewRule(access.Deny, access.ScopePublish, "locks/#")}
	if _, err := r.InsertRole(t.Context(), access.Role{Name: "sensors", Rules: rules}, entry(time.Now())); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"anna", "lamp"} {
		u := access.User{Name: name, Kind: access.Generated, Hash: "hash of " + name, Admin: name == "anna", Roles: []string{"sensors"}, Version: 3, Created: time.Now(), Changed: time.Now()}
		if _, err := r.InsertUser(t.Context(), u, entry(time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	s := db.Store()
	if _, err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch := []broker.Change{newSession("zigbee2mqtt-1"), benchQueued(1), benchQueued(21)}
	for i := range n {
		batch = append(batch, broker.RetainedSet{Message: broker.NewMessage(fmt.Sprintf("homeassistant/sensor/%04d/state", i), make([]byte, 250), 0, true)})
	}
	apply(t, s, batch...)
	closeAll(t, s, db)
}

// TestCutOffWhileMade opens what a power cut leaves of a database in its first
// transactions, before it is in WAL mode: pages half written and a rollback journal.
func TestCutOffWhileMade(t *testing.T) { // case S2
	made := filepath.Join(t.TempDir(), "hearthmq.db")
	db := raw(t, made)
	db.SetMaxOpenConns(1)
	exec(t, db, `CREATE TABLE first (b BLOB) STRICT; INSERT INTO first VALUES (zeroblob(20000)); DROP TABLE first`)
	exec(t, db, `PRAGMA cache_size = 1`)
	exec(t, db, `BEGIN; CREATE TABLE more (b BLOB) STRICT; INSERT INTO more VALUES (randomblob(50000)); INSERT INTO more VALUES (randomblob(50000))`)
	for _, open := range []func(t *testing.T, path string) (*sqlite.DB, error){
		func(t *testing.T, path string) (*sqlite.DB, error) {
			return sqlite.Open(t.Context(), path, slog.New(slog.NewTextHandler(t.Output(), nil)))
		},
		func(t *testing.T, path string) (*sqlite.DB, error) {
			return sqlite.OpenServer(t.Context(), path, slog.New(slog.NewTextHandler(t.Output(), nil)))
		},
	} {
		path := filepath.Join(t.TempDir(), "hearthmq.db")
		for _, part := range []string{"", "-journal"} {
			if err := os.WriteFile(path+part, read(t, made+part), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		db, err := open(t, path)
		if err != nil {
			t.Fatal(err)
		}
		if r := db.Report(); r.Happened() {
			t.Errorf("%s", r)
		}
		if n := query[int](t, raw(t, path), `SELECT count(*) FROM sqlite_schema WHERE name = 'more'`); n != 0 {
			t.Error("what was not committed is there")
		}
		closeAll(t, db)
	}
}

func accountsOf(t testing.TB, db *sqlite.DB) string {
	t.Helper()
	d, err := db.Accounts().Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range d.Roles {
		for _, rule := range r.Rules {
			out = append(out, r.Name+": "+rule.String())
		}
	}
	for _, u := range d.Users {
		text := fmt.Sprint(u.Name, " ", u.Hash, " ", u.Roles, " ", u.Admin, " ", u.Version)
		if u.Disabled {
			text += " disabled"
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

const furnished = "sensors: allow both sensors/%u/#; sensors: deny publish locks/#; anna hash of anna [sensors] true 3; lamp hash of lamp [sensors] false 3"

func edit(t *testing.T, name string, f func(b []byte) []byte) {
	t.Helper()
	if err := os.WriteFile(name, f(read(t, name)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// quarantined are the files that were put aside.
func quarantined(t *testing.T, path string) []string {
	t.Helper()
	list, err := filepath.Glob(path + ".damaged-*")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list, func(name string) bool { return strings.HasSuffix(name, "-wal") || strings.HasSuffix(name, "-shm") })
}

// TestDamagedDatabase: whatever happened to the file, the server starts, nobody
// loses his account, nothing is deleted, and the report says what happened.
func TestDamagedDatabase(t *testing.T) { // case S9
	for _, c := range []struct {
		name      string
		damage    func(t *testing.T, path string)
		aside     int  // files put aside
		retained  int  // at least so many of 400 are there
		withoutDB bool // nothing can be read of the old one
	}{
		{"all NUL", func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return make([]byte, len(b)) })
		}, 1, 0, true},
		{"garbage header", func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { copy(b, "persistence_location"); return b })
		}, 1, 0, true},
		{"schema page gone", func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { clear(b[100:4096]); return b })
		}, 1, 0, true},
		{"truncated in the middle", func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return b[:len(b)*3/4/4096*4096] })
		}, 1, 20, false},
		{"truncated within a page", func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return b[:len(b)-1000] })
		}, 1, 200, false},
		{"random page", func(t *testing.T, path string) { damageTable(t, path, "retained", 1) }, 1, 300, false},
		{"random pages of users and rules", func(t *testing.T, path string) {
			damageTable(t, path, "rule", 0)
			damageTable(t, path, "user", 0)
		}, 1, 400, false},
		{"zero bytes", func(t *testing.T, path string) {
			edit(t, path, func([]byte) []byte { return nil })
		}, 0, 0, true},
		{"gone", func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, 0, 0, true},
		{"a folder in its place", func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, 1, 0, true},
	} {
		for _, file := range []string{"with accounts file", "without accounts file"} {
			t.Run(c.name+" "+file, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "hearthmq.db")
				furnish(t, path, 400)
				c.damage(t, path)
				with := file == "with accounts file"
				if !with {
					if err := os.Remove(filepath.Join(filepath.Dir(path), "accounts.json")); err != nil {
						t.Fatal(err)
					}
				}
				db := openServer(t, path)
				report := db.Report()
				t.Log(report)
				if aside := quarantined(t, path); len(aside) != c.aside {
					t.Errorf("put aside: %v", aside)
				}
				if (report.Quarantined != "") != (c.aside > 0) || c.aside > 0 && !strings.Contains(report.String(), report.Quarantined) {
					t.Errorf("the report says %#v", report)
				}
				got := accountsOf(t, db)
				switch {
				case with:
					if got != furnished {
						t.Errorf("accounts are %s", got)
					}
				case c.name == "random pages of users and rules":
					if !report.Locked || strings.Contains(got, "allow") && !strings.Contains(got, "deny both #") {
						t.Errorf("lost rules and still: %s", got)
					}
				case !c.withoutDB:
					if got != furnished {
						t.Errorf("accounts are %s", got)
					}
				}
				_, s, state := load(t, db)
				if len(state.Retained) < c.retained || !c.withoutDB && (len(state.Sessions) != 1 || len(state.Sessions[0].Queue) != 2) && c.name != "truncated in the middle" {
					t.Errorf("%d retained, sessions %v", len(state.Retained), state.Sessions)
				}
				if report.Saved.Retained != len(state.Retained) || report.Saved.Retained < 400 && c.aside > 0 && !c.withoutDB && !slices.Contains(report.Lost, "retained") {
					t.Errorf("the report says %#v", report)
				}
				apply(t, s, newSession("new"))
				closeAll(t, s, db)
				// The next start finds nothing wrong.
				db = openServer(t, path)
				if r := db.Report(); r.Happened() {
					t.Errorf("the next start says %s", r)
				}
				if got := query[string](t, raw(t, path), `PRAGMA integrity_check`); got != "ok" {
					t.Error(got)
				}
			})
		}
	}
}

func load(t testing.TB, db *sqlite.DB) (*sqlite.DB, *sqlite.Store, *broker.State) {
	t.Helper()
	s := db.Store()
	state, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return db, s.(*sqlite.Store), state
}

// damageTable overwrites a page of a table: its root, or the n-th below it.
func damageTable(t *testing.T, path, table string, n int) {
	t.Helper()
	db := raw(t, path)
	page := query[int](t, db, `SELECT rootpage FROM sqlite_schema WHERE name = ?`, table)
	closeAll(t, db)
	edit(t, path, func(b []byte) []byte {
		if n > 0 { // the n-th cell of the inner page holds the number of a leaf
			root := b[(page-1)*4096:]
			cell := int(root[12+2*n])<<8 | int(root[13+2*n])
			page = int(root[cell])<<24 | int(root[cell+1])<<16 | int(root[cell+2])<<8 | int(root[cell+3])
		}
		noise := rand.NewChaCha8([32]byte{})
		noise.Read(b[(page-1)*4096 : page*4096])
		return b
	})
}

// TestDamageBesideServer: a command beside a running server never puts files aside.
func TestDamageBesideServer(t *testing.T) { // case S9
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	furnish(t, path, 10)
	edit(t, path, func(b []byte) []byte { return make([]byte, len(b)) })
	_, err := sqlite.Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("Open: %v", err)
	}
	if aside := quarantined(t, path); len(aside) != 0 {
		t.Errorf("put aside: %v", aside)
	}
}

// TestDamageFoundLater: a page that goes bad while the database is in use is found
// by Load or Apply, and the server goes on.
func TestDamageFoundLater(t *testing.T) { // case S9
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	furnish(t, path, 400)
	db := openServer(t, path)
	damageTable(t, path, "retained", 1)
	_, s, state := load(t, db)
	if r := db.Report(); r.Quarantined == "" || r.Saved.Retained < 300 || r.Saved.Retained != len(state.Retained) || r.Saved.Users != 2 {
		t.Errorf("%#v", r)
	}
	apply(t, s, newSession("new"))
	if h := db.Health(); h.Condition != sqlite.OK {
		t.Errorf("%+v", h)
	}

	// Apply: the statement meets the page that it has to change.
	closeAll(t, s, db)
	db = openServer(t, path)
	_, s, _ = load(t, db)
	damageTable(t, path, "session", 0)
	var err error
	for i := range 3 {
		if err = s.Apply(t.Context(), []broker.Change{newSession(fmt.Sprint("later ", i)), newSession("zigbee2mqtt-1")}); err == nil {
			break
		}
		t.Log(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if aside := quarantined(t, path); len(aside) < 2 {
		t.Errorf("put aside: %v", aside)
	}
	if accountsOf(t, db) != furnished {
		t.Error("accounts are lost")
	}
}

// TestCutOffReplacement: the process ends between putting the old database aside
// and moving the new one into its place.
func TestCutOffReplacement(t *testing.T) { // cases S9, S12
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	furnish(t, path, 10)
	if err := os.Rename(path, path+".new"); err != nil {
		t.Fatal(err)
	}
	db := openServer(t, path)
	if _, _, state := load(t, db); len(state.Retained) != 10 || accountsOf(t, db) != furnished {
		t.Error("the new database was not found")
	}
	closeAll(t, db)
	// Beside a database it is a remainder.
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	openServer(t, path)
	if _, err := os.Stat(path + ".new"); err == nil {
		t.Error("the remainder is still there")
	}
}

func TestLogLeftBehind(t *testing.T) { // case S10
	// crashed leaves a database with a log as a process that was killed does.
	crashed := func(t *testing.T, retained int) (path string) {
		t.Helper()
		from := filepath.Join(t.TempDir(), "hearthmq.db")
		furnish(t, from, 400)
		db := openServer(t, from)
		_, s, _ := load(t, db)
		for i := range retained {
			apply(t, s, broker.RetainedSet{Message: broker.NewMessage(fmt.Sprint("after/", i), make([]byte, 3000), 0, true)})
		}
		path = filepath.Join(t.TempDir(), "hearthmq.db")
		for _, part := range []string{"", "-wal"} {
			if err := os.WriteFile(path+part, read(t, from+part), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		closeAll(t, s, db)
		return path
	}
	t.Run("hot", func(t *testing.T) {
		path := crashed(t, 20)
		db := openServer(t, path)
		if r := db.Report(); r.Happened() {
			t.Errorf("an ordinary crash is reported: %s", r)
		}
		if _, _, state := load(t, db); len(state.Retained) != 420 {
			t.Errorf("%d retained", len(state.Retained))
		}
	})
	t.Run("hot with a stale index", func(t *testing.T) {
		path := crashed(t, 20)
		if err := os.WriteFile(path+"-shm", bytes.Repeat([]byte{0xA5}, 32768), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, state := load(t, openServer(t, path)); len(state.Retained) != 420 {
			t.Errorf("%d retained", len(state.Retained))
		}
	})
	t.Run("torn at its end", func(t *testing.T) {
		path := crashed(t, 20)
		edit(t, path+"-wal", func(b []byte) []byte { return b[:len(b)-100] })
		if _, _, state := load(t, openServer(t, path)); len(state.Retained) != 419 {
			t.Errorf("%d retained", len(state.Retained))
		}
	})
	t.Run("without its database", func(t *testing.T) {
		path := crashed(t, 20)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		log := read(t, path+"-wal")
		db := openServer(t, path)
		if r := db.Report(); r.Quarantined == "" || !strings.Contains(r.Problem, "log") {
			t.Errorf("%#v", r)
		} else if kept := read(t, r.Quarantined+"-wal"); !bytes.Equal(kept, log) {
			t.Error("the log was not kept")
		}
		if _, _, state := load(t, db); len(state.Retained) != 0 {
			t.Error("the log was taken for another database's")
		}
	})
	t.Run("of another database", func(t *testing.T) {
		// Somebody puts a smaller, older database back and leaves the log where it was.
		path, older := crashed(t, 60), filepath.Join(t.TempDir(), "hearthmq.db")
		furnish(t, older, 50)
		edit(t, path, func([]byte) []byte { return read(t, older) })
		db := openServer(t, path)
		r := db.Report()
		t.Log(r)
		if _, _, state := load(t, db); len(state.Retained) != 50 || accountsOf(t, db) != furnished {
			t.Errorf("%d retained", len(state.Retained))
		}
		if got := query[string](t, raw(t, path), `PRAGMA integrity_check`); got != "ok" {
			t.Error(got)
		}
		if r.Quarantined == "" {
			t.Error("nothing is reported")
		}
	})
}
