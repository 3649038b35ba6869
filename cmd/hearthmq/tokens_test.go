package main

import (
	"path/filepath"
	"strings"
	"testing"

	"hearthmq/broker/access"
	"hearthmq/broker/sqlite"
)

func TestTokenCommands(t *testing.T) {
	dir := t.TempDir()
	do := func(want int, args ...string) string {
		t.Helper()
		var out, errs strings.Builder
		code := run(t.Context(), process{args: append([]string{"--data", dir}, args...), environ: []string{"USER=ann"}, stdout: &out, stderr: &errs})
		if code != want {
			t.Fatalf("%v: exit code %d, want %d\n%s%s", args, code, want, out.String(), errs.String())
		}
		return out.String()
	}
	secret := strings.TrimSpace(do(exitOK, "token", "create", "--label", "grafana"))
	if strings.Contains(secret, "\n") || !strings.HasPrefix(secret, "hmq_") {
		t.Errorf("printed %q, want the token alone", secret)
	}
	do(exitError, "token", "create", "--label", "grafana")
	do(exitError, "token", "create", "--label", "x", "--scope", "owner")
	do(exitOK, "token", "create", "--label", "backup", "--scope", "admin")
	list := do(exitOK, "token", "list")
	for _, want := range []string{"grafana", "read", "backup", "admin", "command line (ann)", "never"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %q:\n%s", want, list)
		}
	}
	if strings.Contains(list, secret) { // case W17
		t.Error("the list shows the token")
	}
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, databaseName), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := access.NewTokens(db.Tokens()).Check(t.Context(), secret); err != nil || got.Label != "grafana" {
		t.Errorf("the printed token: %+v, %v", got, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	do(exitOK, "token", "revoke", "grafana")
	do(exitError, "token", "revoke", "grafana")
	if list := do(exitOK, "token", "list"); strings.Contains(list, "grafana") {
		t.Errorf("still there:\n%s", list)
	}
}
