package sqlite_test

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// case A13: users, roles or rules that can't be read, whatever the reason, leave the rights
// as they were while HearthMQ runs; nobody gets a right by it, neither then nor at the next
// start, and all is as before once they can be read again.
func TestUnreadableRules(t *testing.T) {
	const user, allowed, denied, never = "ann", "home/light", "home/lock", "away"
	check := func(t *testing.T, d *access.Directory, when string, wants map[string]bool) {
		t.Helper()
		for name, want := range wants {
			q := access.Question{User: user, ClientID: "c", Action: broker.Publish, Name: name, Listener: "mqtt", Remote: netip.MustParseAddr("192.0.2.1")}
			if got := d.Check(q); got.Allow != want {
				t.Errorf("%s: publish %s: %v (%s), want %v", when, name, got.Allow, got.Rule.Text, want)
			}
		}
	}
	asBefore := map[string]bool{allowed: true, denied: false, never: false}
	for name, x := range map[string]struct {
		damage, repair string
		keeps          bool // loading fails, and what was known last stands
	}{
		"no rules":            {`ALTER TABLE rule RENAME TO hidden`, `ALTER TABLE hidden RENAME TO rule`, true},
		"no roles":            {`ALTER TABLE role RENAME TO hidden`, `ALTER TABLE hidden RENAME TO role`, true},
		"no users":            {`ALTER TABLE user RENAME TO hidden`, `ALTER TABLE hidden RENAME TO user`, true},
		"no roles of users":   {`ALTER TABLE user_role RENAME TO hidden`, `ALTER TABLE hidden RENAME TO user_role`, true},
		"no column":           {`ALTER TABLE rule RENAME COLUMN effect TO hidden`, `ALTER TABLE rule RENAME COLUMN hidden TO effect`, true},
		"a deny without word": {`UPDATE rule SET effect = 'denied' WHERE effect = 'deny'`, `UPDATE rule SET effect = 'deny' WHERE effect = 'denied'`, false},
		"a deny without topic": {`UPDATE rule SET topic_filter = 'home/#/lock' WHERE effect = 'deny'`,
			`UPDATE rule SET topic_filter = 'home/lock/#' WHERE effect = 'deny'`, false},
		"a role of denies without name": {`UPDATE role SET name = 'no#locks' WHERE name = 'no locks'`, `UPDATE role SET name = 'no locks' WHERE name = 'no#locks'`, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hearthmq.db")
			db := openServer(t, path)
			d := access.NewDirectory(access.Policy{})
			a := access.NewAccounts(db.Accounts(), d, nil, slog.New(slog.DiscardHandler))
			must(t, a.Open(t.Context()))
			deny := access.NewRule(access.Deny, access.ScopeBoth, "home/lock/#")
			must(t, a.CreateRole(t.Context(), "no locks", "", []access.Rule{deny}))
			_, _, err := a.CreateUser(t.Context(), access.NewUser{Name: user, NoPassword: true, Roles: []string{"no locks"},
				Rules: []access.Rule{access.NewRule(access.Allow, access.ScopeBoth, "home/#")}})
			must(t, err)
			check(t, d, "at first", asBefore)

			const touch = `; INSERT INTO audit (at, actor, action, object, before, after) VALUES (0, '', '', '', '', '')` // as whoever changes users does
			onFile(t, path, x.damage+touch)
			_, err = a.Refresh(t.Context())
			if (err != nil) != x.keeps {
				t.Errorf("refresh: %v", err)
			}
			wants := asBefore
			if !x.keeps {
				wants = map[string]bool{denied: false, never: false}
			}
			check(t, d, "damaged", wants)
			fresh := access.NewDirectory(access.Policy{})
			if err := access.NewAccounts(db.Accounts(), fresh, nil, slog.New(slog.DiscardHandler)).Load(t.Context()); (err != nil) != x.keeps {
				t.Errorf("load: %v", err)
			}
			check(t, fresh, "another start", map[string]bool{denied: false, never: false})
			onFile(t, path, x.repair+touch)
			if _, err := a.Refresh(t.Context()); err != nil {
				t.Errorf("refresh, repaired: %v", err)
			}
			check(t, d, "repaired", asBefore)
		})
	}
}
