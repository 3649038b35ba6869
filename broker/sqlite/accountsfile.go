package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"hearthmq/broker/access"
)

// accountsName is the small file beside the database that survives its loss: who
// may do what, and the values HearthMQ made itself. It holds hashes and the system
// users' passwords, hence mode 0600.
const accountsName = "accounts.json"

// maxAccountsFile bounds what is read back, in bytes.
const maxAccountsFile = 64 << 20

// accountsFile is its content. Rules are written as people write them.
type accountsFile struct {
	Format   int               `json:"format"` // 1
	Change   int64             `json:"change"` // number of the last change, as in the audit
	Users    []savedUser       `json:"users"`
	Roles    []savedRole       `json:"roles"`
	Settings map[string]string `json:"settings"`
	Bans     []savedBan        `json:"bans"` // nil: of a HearthMQ that did not write them
}

type savedBan struct {
	Kind      access.BanKind `json:"kind"`
	Value     string         `json:"value"`
	Note      string         `json:"note,omitempty"`
	Created   time.Time      `json:"created"`
	CreatedBy string         `json:"created_by,omitempty"`
}

type savedUser struct {
	ID       int64               `json:"id"`
	Name     string              `json:"name"`
	Kind     access.PasswordKind `json:"kind"`
	Hash     string              `json:"hash"`
	Secret   string              `json:"secret,omitempty"`
	Disabled bool                `json:"disabled,omitempty"`
	Admin    bool                `json:"admin,omitempty"`
	System   bool                `json:"system,omitempty"`
	Note     string              `json:"note,omitempty"`
	Roles    []string            `json:"roles,omitempty"`
	Rules    []string            `json:"rules,omitempty"`
	Limits   string              `json:"limits,omitempty"`
	Networks string              `json:"networks,omitempty"`
	Version  uint64              `json:"version"`
	Revision int64               `json:"revision"`
	Created  time.Time           `json:"created"`
	Changed  time.Time           `json:"changed"`
}

type savedRole struct {
	ID          int64    `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Builtin     bool     `json:"builtin,omitempty"`
	Revision    int64    `json:"revision"`
	Rules       []string `json:"rules,omitempty"`
}

// exporter writes the accounts file. mu makes the one who reads last write last.
type exporter struct {
	mu     sync.Mutex
	due    atomic.Bool // it is older than the database
	failed bool        // and that was logged
}

func (db *DB) accountsPath() string { return accountsPath(db.path) }

func accountsPath(database string) string { return filepath.Join(filepath.Dir(database), accountsName) }

// exportSoon has the upkeep write the accounts file.
func (db *DB) exportSoon() { db.exporter.due.Store(true) }

// exportAccounts writes the accounts file when it is not what the database says.
// A failure is logged; the upkeep tries again.
func (db *DB) exportAccounts(ctx context.Context) {
	e := &db.exporter
	e.mu.Lock()
	defer e.mu.Unlock()
	e.due.Store(false)
	err := db.writeAccounts(context.WithoutCancel(ctx))
	if err != nil {
		e.due.Store(true)
		if !e.failed {
			db.log.Warn("users, roles and rules can't be written to their second place", "file", db.accountsPath(), "err", err)
		}
	}
	e.failed = err != nil
}

func (db *DB) writeAccounts(ctx context.Context) error {
	var f accountsFile
	err := db.read(ctx, func(tx *sql.Tx) (err error) { f, err = db.gatherAccounts(ctx, tx); return err })
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if old, err := os.ReadFile(db.accountsPath()); err == nil && bytes.Equal(old, text) {
		return os.Chmod(db.accountsPath(), 0o600)
	}
	return replaceFile(db.accountsPath(), text)
}

func (db *DB) gatherAccounts(ctx context.Context, tx *sql.Tx) (accountsFile, error) {
	f := accountsFile{Format: 1, Settings: map[string]string{}}
	data, err := accounts{db}.data(ctx, tx)
	if err != nil {
		return f, err
	}
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM audit`).Scan(&f.Change); err != nil {
		return f, err
	}
	err = db.each(ctx, tx, "setting", `SELECT name, value FROM setting WHERE name <> '`+clockSetting+`'`, func(r *row) error {
		var name, value string
		if err := r.scan(&name, &value); err != nil {
			return err
		}
		f.Settings[name] = value
		return nil
	})
	if err != nil {
		return f, err
	}
	f.Bans, err = db.gatherBans(ctx, tx)
	for _, u := range data.Users {
		f.Users = append(f.Users, savedUser{
			ID: u.ID, Name: u.Name, Kind: u.Kind, Hash: u.Hash, Secret: u.Secret, Disabled: u.Disabled, Admin: u.Admin, System: u.System,
			Note: u.Note, Roles: u.Roles, Rules: ruleTexts(u.Rules), Limits: access.FormatLimits(u.Limits), Networks: access.FormatNetworks(u.Networks),
			Version: u.Version, Revision: u.Revision,
			Created: u.Created.UTC(), Changed: u.Changed.UTC(),
		})
	}
	for _, r := range data.Roles {
		f.Roles = append(f.Roles, savedRole{ID: r.ID, Name: r.Name, Description: r.Description, Builtin: r.Builtin, Revision: r.Revision, Rules: ruleTexts(r.Rules)})
	}
	return f, err
}

// gatherBans reads the bans. Where they can't be read those of the file stay in it.
func (db *DB) gatherBans(ctx context.Context, tx *sql.Tx) ([]savedBan, error) {
	list, err := bansIn(ctx, tx)
	if err != nil {
		old, e := readAccounts(db.accountsPath())
		if e != nil || old == nil {
			return nil, err
		}
		return old.Bans, nil
	}
	out := []savedBan{}
	for _, b := range list {
		out = append(out, savedBan{Kind: b.Kind, Value: b.Value, Note: b.Note, Created: b.Created.UTC(), CreatedBy: b.CreatedBy})
	}
	return out, nil
}

// takeBans adds bans to those that are there.
func takeBans(ctx context.Context, tx *sql.Tx, list []savedBan) error {
	for _, b := range list {
		_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO ban (kind, value, note, created, created_by) VALUES (?, ?, ?, ?, ?)`,
			string(b.Kind), b.Value, b.Note, b.Created.UnixMilli(), b.CreatedBy)
		if err != nil {
			return fmt.Errorf("ban of %s: %w", b.Value, err)
		}
	}
	return nil
}

func ruleTexts(rules []access.Rule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, r.String())
	}
	return out
}

// replaceFile puts content in the place of a file: after a crash it is the old or
// the new one, whole. Its mode is 0600.
func replaceFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncFile(filepath.Dir(path))
}

// readAccounts reads an accounts file; nil when there is none.
func readAccounts(path string) (*accountsFile, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case st.Size() > maxAccountsFile || !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file of accounts", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := new(accountsFile)
	if err := json.Unmarshal(text, f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if f.Format != 1 {
		return nil, fmt.Errorf("%s: a newer HearthMQ wrote it (format %d)", path, f.Format)
	}
	return f, nil
}

// data returns what the file says. What makes no sense is passed over and told to
// bad; an unreadable rule that denied something denies everything, as in rules.
func (f *accountsFile) data(bad func(error)) *access.Data {
	d := new(access.Data)
	roles := map[string]bool{}
	rules := func(of string, texts []string) (out []access.Rule) {
		for _, text := range texts {
			r, err := access.ParseRule(text)
			if err != nil {
				bad(fmt.Errorf("rule %q of %s: %w", text, of, err))
				if len(text) >= 5 && text[:5] == access.Allow.String() {
					continue
				}
				r = access.NewRule(access.Deny, access.ScopeBoth, "#")
			}
			out = append(out, r)
		}
		return out
	}
	for _, r := range f.Roles {
		if why := access.ValidName(r.Name); why != "" || roles[r.Name] {
			bad(fmt.Errorf("role %q: %s", r.Name, why))
			continue
		}
		roles[r.Name] = true
		d.Roles = append(d.Roles, access.Role{ID: r.ID, Name: r.Name, Description: r.Description, Builtin: r.Builtin, Revision: r.Revision, Rules: rules(r.Name, r.Rules)})
	}
	names := map[string]bool{}
	for _, u := range f.Users {
		switch u.Kind {
		case access.NoPassword, access.Chosen, access.Generated:
		default:
			bad(fmt.Errorf("user %q: kind of password is not known", u.Name))
			continue
		}
		if why := access.ValidName(u.Name); why != "" || names[u.Name] {
			bad(fmt.Errorf("user %q: %s", u.Name, why))
			continue
		}
		names[u.Name] = true
		limits, err := access.ParseLimits(u.Limits)
		if err != nil { // those that could be read hold
			bad(fmt.Errorf("user %q: limits: %w", u.Name, err))
		}
		disabled := u.Disabled
		networks, err := access.ParseNetworks(u.Networks)
		if err != nil { // nobody knows from where it may come
			bad(fmt.Errorf("user %q is disabled: networks: %w", u.Name, err))
			disabled = true
		}
		x := access.User{
			ID: u.ID, Name: u.Name, Kind: u.Kind, Hash: u.Hash, Secret: u.Secret, Disabled: disabled, Admin: u.Admin, System: u.System,
			Limits: limits, Networks: networks, Note: u.Note, Rules: rules(u.Name, u.Rules), Version: u.Version, Revision: u.Revision, Created: u.Created, Changed: u.Changed,
		}
		for _, name := range u.Roles {
			if roles[name] {
				x.Roles = append(x.Roles, name)
			}
		}
		d.Users = append(d.Users, x)
	}
	return d
}

// takeAccounts replaces all users, roles and rules of the database by those of a file.
func (db *DB) takeAccounts(ctx context.Context, tx *sql.Tx, f *accountsFile, from string) error {
	d := f.data(func(err error) {
		db.log.Error("part of the accounts file makes no sense and is passed over", "file", from, "err", err)
	})
	for _, q := range []string{`DELETE FROM rule`, `DELETE FROM user_role`, `DELETE FROM user`, `DELETE FROM role`} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	for _, r := range d.Roles {
		_, err := tx.ExecContext(ctx, `INSERT INTO role (id, name, description, builtin, revision) VALUES (?, ?, ?, ?, ?)`,
			orNew(r.ID), r.Name, r.Description, r.Builtin, max(r.Revision, 1))
		if err != nil {
			return fmt.Errorf("role %q: %w", r.Name, err)
		}
		if err := ofName(ctx, tx, "role", r.Name, func(id int64) error { return writeRules(ctx, tx, `role_id`, id, r.Rules) }); err != nil {
			return fmt.Errorf("role %q: %w", r.Name, err)
		}
	}
	for _, u := range d.Users {
		_, err := tx.ExecContext(ctx, `INSERT INTO user (name, password_kind, password_hash, secret, disabled, admin, system, from_settings, note, limits, networks, version, created, changed, revision, id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			append(userColumns(u), u.Created.UnixMilli(), u.Changed.UnixMilli(), max(u.Revision, 1), orNew(u.ID))...)
		if err == nil {
			err = ofName(ctx, tx, "user", u.Name, func(id int64) error { return writeBelongings(ctx, tx, id, u) })
		}
		if err != nil {
			return fmt.Errorf("user %q: %w", u.Name, err)
		}
	}
	if err := takeBans(ctx, tx, f.Bans); err != nil {
		return err
	}
	for name, value := range f.Settings {
		if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO setting (name, value) VALUES (?, ?)`, name, value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return writeAudit(ctx, tx, access.AuditEntry{Via: access.ViaSelf, Action: "accounts restored", Object: filepath.Base(from)})
}

// orNew has the database choose an id where none is given.
func orNew(id int64) any {
	if id <= 0 {
		return nil
	}
	return id
}

func ofName(ctx context.Context, tx *sql.Tx, table, name string, f func(id int64) error) error {
	var id int64
	if err := tx.QueryRowContext(ctx, `SELECT id FROM `+table+` WHERE name = ?`, name).Scan(&id); err != nil {
		return err
	}
	return f(id)
}

// refill gives a database without users and roles those of the accounts file: the
// database was lost, the file was not. A file that can't be used is logged.
func (db *DB) refill(ctx context.Context) error {
	var empty bool
	const query = `SELECT NOT EXISTS (SELECT 1 FROM user) AND NOT EXISTS (SELECT 1 FROM role)`
	err := db.read(ctx, func(tx *sql.Tx) error { return tx.QueryRowContext(ctx, query).Scan(&empty) })
	if err != nil || !empty {
		return err
	}
	for _, path := range []string{db.accountsPath(), filepath.Join(db.backupDir(), accountsName)} {
		f, err := readAccounts(path)
		if err == nil && (f == nil || len(f.Users)+len(f.Roles) == 0) {
			continue
		}
		if err == nil {
			err = db.update(ctx, func(tx *sql.Tx) error {
				if err := tx.QueryRowContext(ctx, query).Scan(&empty); err != nil || !empty {
					return err
				}
				return db.takeAccounts(ctx, tx, f, path)
			})
		}
		if conditionOf(err) == "" {
			db.log.Error("the accounts file can't be used", "file", path, "err", err)
			continue
		}
		if err != nil || !empty { // another process was faster
			return err
		}
		db.report.Accounts, db.report.At = path, time.Now()
		db.report.Saved, err = contents(ctx, db.writer)
		return err
	}
	return nil
}
