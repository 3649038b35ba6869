package sqlite_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/sqlite"
)

func remove(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAccountsFile: everything about users, roles and rules survives the loss of
// the database by way of the small file.
func TestAccountsFile(t *testing.T) { // case S9
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	file := filepath.Join(filepath.Dir(path), "accounts.json")
	db := openServer(t, path)
	log := slog.New(slog.DiscardHandler)
	directory := access.NewDirectory(access.Policy{Anonymous: "off"})
	a := access.NewAccounts(db.Accounts(), directory, nil, log)
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	var rules []access.Rule
	for _, text := range []string{"allow both sensors/%u/# qos<=1 no-retain listener=mqtts from=192.168.1.0/24", "deny publish \"a b/\\u00e4\" retain", "allow subscribe $SYS/#"} {
		r, err := access.ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, r)
	}
	if err := a.CreateRole(t.Context(), "my role", "for <people> & others", rules); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		_, _, err := a.CreateUser(t.Context(), access.NewUser{Name: fmt.Sprint("device ü ", i), Generate: true, Admin: i == 0, Note: "n", Roles: []string{"my role"}, Rules: rules[:i],
			Limits: broker.Limits{Connections: i}, Networks: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}[:i%2]})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.SetPassword(t.Context(), "device ü 1", "", true); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Setting(t.Context(), "installation", func() string { return "made once" }); err != nil {
		t.Fatal(err)
	}
	if err := a.DeleteUser(t.Context(), "device ü 2"); err != nil {
		t.Fatal(err)
	}
	want, err := db.Accounts().Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := mode(t, file); got != 0o600 {
		t.Errorf("mode of the file is %o", got)
	}
	closeAll(t, db)
	remove(t, path)

	var said strings.Builder
	lost, err := sqlite.Open(t.Context(), path, slog.New(slog.NewTextHandler(&said, nil))) // `hearthmq user list` before the next start
	if err != nil {
		t.Fatal(err)
	}
	got, err := lost.Accounts().Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(access.Rule{}, "ID"), cmp.Comparer(func(a, b access.Rule) bool { return a.String() == b.String() }),
		cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if r := lost.Report(); r.Accounts != file || r.Saved.Users != 4 || !strings.Contains(r.String(), "accounts.json") {
		t.Errorf("%#v", r)
	}
	if v, err := lost.Setting(t.Context(), "installation", nil); v != "made once" || err != nil {
		t.Error(v, err)
	}
	if said.Len() > 0 {
		t.Error(said.String())
	}
}

// TestAccountsFileFollows: it is written after changes by any process, and only then.
func TestAccountsFileFollows(t *testing.T) { // case S9
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	file := filepath.Join(filepath.Dir(path), "accounts.json")
	furnish(t, path, 1)
	server, command := openServer(t, path), open(t, path)
	before := string(read(t, file))
	stat := func() os.FileInfo {
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	first := stat()
	closeAll(t, server)
	server = openServer(t, path)
	if !os.SameFile(first, stat()) {
		t.Error("a start wrote what was there already")
	}
	if _, err := server.Accounts().DataVersion(t.Context()); err != nil {
		t.Fatal(err)
	}
	addRole(t, command.Accounts(), "another", time.Now())
	if string(read(t, file)) == before {
		t.Error("a change is missing")
	}
	// The command is cut off before it wrote the file: the server does.
	edit(t, file, func([]byte) []byte { return []byte(before) })
	if _, err := server.Accounts().DataVersion(t.Context()); err != nil {
		t.Fatal(err)
	}
	sqlite.Upkeep(server)
	if !strings.Contains(string(read(t, file)), "another") {
		t.Error("the server did not make up for it")
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// A file that can't be written stops nobody.
	remove(t, file)
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	addRole(t, server.Accounts(), "third", time.Now())
}

// TestHostileAccountsFile: what makes no sense is passed over and never gives anybody more.
func TestHostileAccountsFile(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"not JSON":       {"{", ""},
		"NUL":            {strings.Repeat("\x00", 4096), ""},
		"newer format":   {`{"format": 2, "users": [{"name": "a"}]}`, ""},
		"bad names":      {`{"format": 1, "roles": [{"name": "a#"}, {"name": "ok"}], "users": [{"name": ""}, {"name": "+"}, {"name": "b", "kind": "md5"}, {"name": "c", "roles": ["nowhere", "ok"]}]}`, "c  [ok] false 0"},
		"twice":          {`{"format": 1, "users": [{"name": "a", "admin": true}, {"name": "a"}]}`, "a  [] true 0"},
		"bad rules":      {`{"format": 1, "roles": [{"name": "r", "rules": ["allow both a/#/b", "allow", "deny nothing", "perhaps", "allow both x"]}]}`, "r: deny both #; r: deny both #; r: allow both x"},
		"bad networks":   {`{"format": 1, "users": [{"name": "a", "networks": "10.0.0.0/8 home"}]}`, "a  [] false 0 disabled"},
		"ids twice":      {`{"format": 1, "users": [{"id": 7, "name": "a"}, {"id": 7, "name": "b"}]}`, ""},
		"too deep":       {`{"format": 1, "users": ` + strings.Repeat("[", 100_000), ""},
		"a whole number": {`{"format": 1, "users": [{"name": "a", "version": 1e99}]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hearthmq.db")
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), "accounts.json"), []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := accountsOf(t, openServer(t, path)); got != c.want {
				t.Errorf("accounts are %q, want %q", got, c.want)
			}
		})
	}
}
