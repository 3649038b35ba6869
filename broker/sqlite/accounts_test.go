package sqlite_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hearthmq/broker/access"
	"hearthmq/broker/access/accesstest"
	"hearthmq/broker/sqlite"
)

func TestRepository(t *testing.T) {
	accesstest.TestRepository(t, func(tb testing.TB) access.Repository {
		return open(tb, filepath.Join(tb.TempDir(), "hearthmq.db")).Accounts()
	})
}

func TestTokens(t *testing.T) {
	accesstest.TestTokens(t, func(tb testing.TB) (access.TokenRepository, func() int) {
		db := open(tb, filepath.Join(tb.TempDir(), "hearthmq.db"))
		return db.Tokens(), func() int {
			list, err := db.Accounts().Audit(tb.Context(), access.AuditQuery{Limit: 100})
			if err != nil {
				tb.Fatal(err)
			}
			return len(list)
		}
	})
}

func TestBans(t *testing.T) {
	accesstest.TestBans(t, func(tb testing.TB) (access.BanRepository, func() int) {
		db := open(tb, filepath.Join(tb.TempDir(), "hearthmq.db"))
		return db.Bans(), func() int {
			list, err := db.Accounts().Audit(tb.Context(), access.AuditQuery{Limit: 100})
			if err != nil {
				tb.Fatal(err)
			}
			return len(list)
		}
	})
}

func entry(at time.Time) access.AuditEntry {
	return access.AuditEntry{At: at, Actor: "anna", Action: "role created", Object: "r"}
}

func addRole(t *testing.T, r access.Repository, name string, at time.Time) {
	t.Helper()
	if _, err := r.InsertRole(t.Context(), access.Role{Name: name}, entry(at)); err != nil {
		t.Fatal(err)
	}
}

func TestAccountsSurvive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	db := open(t, path)
	addRole(t, db.Accounts(), "sensors", time.Now())
	closeAll(t, db)
	d, err := open(t, path).Accounts().Load(t.Context())
	if err != nil || len(d.Roles) != 1 || d.Roles[0].Name != "sensors" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestAuditIsShortened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	r := open(t, path).Accounts()
	now := time.Date(2027, 11, 21, 0, 0, 0, 0, time.UTC)
	addRole(t, r, "old", now.AddDate(-1, 0, -1))
	addRole(t, r, "younger", now.AddDate(0, -11, 0))
	addRole(t, r, "now", now)
	if list, err := r.Audit(t.Context(), access.AuditQuery{Limit: 100}); err != nil || len(list) != 2 {
		t.Errorf("%d entries, want those of a year: %v", len(list), err)
	}
	exec(t, raw(t, path), `WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 15000)
		INSERT INTO audit (id, at, actor, action, object, before, after) SELECT i, ?, '', '', '', '', '' FROM n`, now.UnixMilli())
	addRole(t, r, "another", now)
	if list, err := r.Audit(t.Context(), access.AuditQuery{Limit: 20_000}); err != nil || len(list) != 10_000 || list[0].ID != 15_001 {
		t.Errorf("%d entries: %v", len(list), err)
	}
}

// case R12: a clock that is years ahead for a while costs the audit a few entries, and one
// that was not set costs it none.
func TestAuditClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	r := open(t, path).Accounts()
	now := time.Date(2027, 11, 21, 0, 0, 0, 0, time.UTC)
	exec(t, raw(t, path), `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
		INSERT INTO audit (id, at, actor, action, object, before, after) SELECT i, ?, '', '', '', '', '' FROM n`, now.UnixMilli())
	kept := func(want int) {
		t.Helper()
		if list, err := r.Audit(t.Context(), access.AuditQuery{Limit: 20_000}); err != nil || len(list) != want {
			t.Errorf("%d entries, want %d: %v", len(list), want, err)
		}
	}
	addRole(t, r, "unset", time.Unix(77, 0))
	addRole(t, r, "yesterday", now.AddDate(0, 0, -1))
	kept(1002)
	addRole(t, r, "future", now.AddDate(10, 0, 0))
	kept(993) // ten went for their age
	addRole(t, r, "present", now)
	list, err := r.Audit(t.Context(), access.AuditQuery{Limit: 3})
	if err != nil || len(list) != 3 || list[0].ID != 1004 || list[2].ID != 1002 {
		t.Errorf("%+v, %v", list, err)
	}
	kept(994)
}

func TestDataVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	server, command := open(t, path), open(t, path)
	version := func() int64 {
		t.Helper()
		v, err := server.Accounts().DataVersion(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	before := version()
	addRole(t, command.Accounts(), "from another process", time.Now())
	after := version()
	if after == before {
		t.Error("a change by another process is not seen")
	}
	// What else is written is of no interest.
	if err := command.SetSetting(t.Context(), "x", "y"); err != nil {
		t.Fatal(err)
	}
	if err := server.SetSetting(t.Context(), "x", "z"); err != nil {
		t.Fatal(err)
	}
	if version() != after {
		t.Error("DataVersion changed with something else")
	}
	if _, err := server.Accounts().DataVersion(cancelled()); err == nil {
		t.Error("DataVersion does not heed its context")
	}
	if version() != after {
		t.Error("DataVersion changed with a failure")
	}
}

// TestDamagedRights: what can't be read never gives anybody more.
func TestDamagedRights(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	var log strings.Builder
	db, err := sqlite.Open(t.Context(), path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, db)
	other := raw(t, path)
	exec(t, other, `INSERT INTO role VALUES (1, 'good', '', 0, 1), (2, 'wild+card', '', 0, 1)`)
	for i, rule := range []string{
		`'allow', 'publish', 'fine/#', -1, 0, '', ''`,
		`'allow', 'publish', 'bad/#/filter', -1, 0, '', ''`,
		`'allow', 'everything', 'x', -1, 0, '', ''`,
		`'allow', 'publish', 'x', 300, 0, '', ''`,
		`'allow', 'publish', 'x', -1, 256, '', ''`,
		`'allow', 'publish', 'x', -1, 0, '', '192.168.1.0'`,
		`'deny', 'publish', 'x', -1, 0, '', 'nowhere'`,
		`'perhaps', 'publish', 'x', -1, 0, '', ''`,
	} {
		exec(t, other, fmt.Sprintf(`INSERT INTO rule VALUES (%d, NULL, 1, %d, %s)`, i+1, i, rule))
	}
	for i, user := range []string{`'good', 'chosen'`, `'', 'chosen'`, `'#', 'chosen'`, `'kind', 'md5'`, `x'ff', 'chosen'`} {
		exec(t, other, fmt.Sprintf(`INSERT INTO user (id, name, password_kind, password_hash, secret, disabled, admin, system, from_settings, note, version, revision, created, changed)
			SELECT %d, CAST(n AS TEXT), k, '', '', 0, 1, 0, 0, '', 1, 1, 0, 0 FROM (SELECT column1 AS n, column2 AS k FROM (VALUES (%s)))`, i+1, user))
	}
	d, err := db.Accounts().Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Users) != 1 || d.Users[0].Name != "good" || len(d.Roles) != 1 {
		t.Errorf("%+v", d)
	}
	var rules []string
	for _, r := range d.Roles[0].Rules {
		rules = append(rules, r.String())
	}
	if got, want := strings.Join(rules, "; "), "allow publish fine/#; deny both #; deny both #"; got != want {
		t.Errorf("rules are %s, want %s", got, want)
	}
	if got := strings.Count(log.String(), "level=ERROR"); got != 7+1+4 {
		t.Errorf("%d errors in the log\n%s", got, log.String())
	}
}
