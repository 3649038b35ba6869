package sqlite

import (
	"fmt"
	"strings"
	"time"
)

// Report tells what OpenServer found and did that an owner should know. Its zero
// value means that all was well.
type Report struct {
	// Problem is what was wrong with the database, "" when nothing.
	Problem string
	At      time.Time // when it was found
	// Quarantined is where the database was put that was damaged, with its -wal and
	// -shm beside it; "" when none was. HearthMQ never deletes it.
	Quarantined string
	// Restored is the backup that became the database because there was none.
	Restored string
	// Accounts is the file that users, roles and rules were read from, when they do
	// not come from the database itself; "" when they do.
	Accounts string
	// Saved is what the present database got from the damaged one, from the backup
	// or from the accounts file.
	Saved Contents
	// Lost are the tables of a damaged database of which rows may be missing.
	Lost []string
	// Locked: some rules could not be read. Until an owner looks at them, all roles
	// and users but the built-in ones have a rule that denies everything.
	Locked bool
}

// Happened reports whether there is anything to tell.
func (r Report) Happened() bool { return r.Problem != "" || r.Restored != "" || r.Accounts != "" }

// String tells it in sentences for an owner.
func (r Report) String() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+" ", args...) }
	if r.Problem != "" {
		say("The database could not be used: %s.", strings.TrimSuffix(r.Problem, "."))
	}
	if r.Quarantined != "" {
		say("It was put aside as %s and a new one was made.", r.Quarantined)
	}
	if r.Restored != "" {
		say("There was no database, so the backup %s became it.", r.Restored)
	}
	if r.Accounts != "" {
		say("Users, roles and rules come from %s.", r.Accounts)
	}
	if r.Happened() {
		say("HearthMQ goes on with %s.", r.Saved)
	}
	if len(r.Lost) > 0 {
		say("Some of this may be missing: %s.", strings.Join(r.Lost, ", "))
	}
	if r.Locked {
		say("Not all rules could be read: to be safe, every role and every user has got a rule that denies everything. Look at the rules, then remove it.")
	}
	return strings.TrimSpace(b.String())
}

// Report tells what OpenServer found. It changes only when a database is damaged
// while it is in use.
func (db *DB) Report() Report {
	db.pools.RLock()
	defer db.pools.RUnlock()
	return db.report
}

// Contents counts what a database holds.
type Contents struct {
	Users, Roles, Rules     int
	Sessions, Subscriptions int
	Retained                int // retained messages
	Messages                int // deliveries that wait in sessions' queues
}

func (c Contents) String() string {
	list := []struct {
		n         int
		one, many string
	}{
		{c.Sessions, "session", "sessions"}, {c.Subscriptions, "subscription", "subscriptions"},
		{c.Messages, "waiting message", "waiting messages"}, {c.Retained, "retained message", "retained messages"},
		{c.Users, "user", "users"}, {c.Roles, "role", "roles"}, {c.Rules, "rule", "rules"},
	}
	parts := make([]string, len(list))
	for i, x := range list {
		word := x.many
		if x.n == 1 {
			word = x.one
		}
		parts[i] = fmt.Sprint(x.n, " ", word)
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}
