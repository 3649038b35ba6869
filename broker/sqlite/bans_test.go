package sqlite_test

import (
	"database/sql"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"hearthmq/broker/access"
	"hearthmq/broker/sqlite"
)

func block(t *testing.T, db *sqlite.DB, clients ...string) *access.Bans {
	t.Helper()
	b := access.NewBans(db.Bans())
	if err := b.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		if _, err := b.Add(t.Context(), access.BanClient, c, "floods"); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func blocked(b *access.Bans) (names []string) {
	for _, x := range b.List() {
		names = append(names, x.Value)
	}
	slices.Sort(names)
	return names
}

// onFile changes a database behind its owner's back.
func onFile(t *testing.T, path, statement string) {
	t.Helper()
	raw, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// Bans that can't be read at the start keep out all the same those who were kept out when
// they were changed last, until they can be read again; what is changed meanwhile counts.
func TestUnreadableBans(t *testing.T) { // case S9, case A13
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	db := openServer(t, path)
	block(t, db, "plug", "lamp")
	closeAll(t, db)
	onFile(t, path, `ALTER TABLE ban RENAME TO hidden`)

	db = openServer(t, path)
	b := access.NewBans(db.Bans())
	if err := b.Open(t.Context()); err == nil || b.Trouble() == nil {
		t.Fatalf("Open %v, trouble %v", err, b.Trouble())
	}
	if got := blocked(b); fmt.Sprint(got) != "[lamp plug]" {
		t.Errorf("kept out: %v", got)
	}
	if _, is := b.Banned("plug", netip.Addr{}); !is {
		t.Error("the plug gets in")
	}
	// The accounts file is still written, and loses none of them.
	accounts := access.NewAccounts(db.Accounts(), access.NewDirectory(access.Policy{}), nil, slog.New(slog.DiscardHandler))
	if err := accounts.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := accounts.CreateUser(t.Context(), access.NewUser{Name: "anna", NoPassword: true}); err != nil {
		t.Fatal(err)
	}
	if saved, err := db.Bans().SavedBans(t.Context()); err != nil || len(saved) != 2 {
		t.Errorf("the file has %+v, %v", saved, err)
	}
	if _, err := b.Add(t.Context(), access.BanClient, "more", ""); err == nil {
		t.Error("a block that can't be stored was taken")
	}
	onFile(t, path, `ALTER TABLE hidden RENAME TO ban`)
	if err := b.Open(t.Context()); err != nil || b.Trouble() != nil || fmt.Sprint(blocked(b)) != "[lamp plug]" {
		t.Errorf("once they can be read: %v, trouble %v, %v", err, b.Trouble(), blocked(b))
	}
	if _, err := b.Add(t.Context(), access.BanClient, "more", ""); err != nil {
		t.Error(err)
	}
	closeAll(t, db)
}

// A damaged or lost database costs no block: what can't be read comes from the accounts file.
func TestBansSurviveDamage(t *testing.T) { // case S9
	for name, damage := range map[string]func(t *testing.T, path string){
		"their own page": func(t *testing.T, path string) { damageTable(t, path, "ban", 0) },
		"another page":   func(t *testing.T, path string) { damageTable(t, path, "retained", 1) },
		"lost":           func(t *testing.T, path string) { remove(t, path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hearthmq.db")
			furnish(t, path, 400)
			db := openServer(t, path)
			block(t, db, "plug", "lamp")
			closeAll(t, db)
			damage(t, path)
			db = openServer(t, path)
			if got := blocked(block(t, db)); fmt.Sprint(got) != "[lamp plug]" {
				t.Errorf("kept out: %v, report %s", got, db.Report())
			}
			if r := db.Report(); slices.Contains(r.Lost, "ban") {
				t.Errorf("report %+v", r)
			}
			closeAll(t, db)
		})
	}
}

// Every table is rescued from a damaged database. That of migrations is made anew.
func TestEveryTableIsRescued(t *testing.T) { // case S9
	schema, err := os.ReadFile(schemaGolden)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`).FindAllSubmatch(schema, -1) {
		if table := string(m[1]); table != "migration" && !slices.Contains(sqlite.Salvaged, table) {
			t.Errorf("table %s would be lost", table)
		}
	}
}
