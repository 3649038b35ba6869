package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"hearthmq/broker/access"
)

// The command tells the same changes as page and API, the latest first, with what was and
// what is, also while the server runs, and no secret.
func TestAuditCommand(t *testing.T) {
	s := start(t, nil)
	secrets := []string{s.user("owner", "--admin"), s.user("lamp", "--rule", "allow publish home/lamp", "--note", "on \x1b[31mfire")}
	token := strings.TrimSpace(command(t, s.dir, "", "token", "create", "--label", "script").stdout)
	secrets = append(secrets, token, strings.TrimSpace(command(t, s.dir, "", "user", "passwd", "lamp", "--generate").stdout))
	for _, args := range [][]string{
		{"rules", "lamp", "--add", "deny publish home/lamp/secret"}, {"disable", "lamp"}, {"roles", "lamp", "--add", "read-only"}, {"delete", "lamp"},
	} {
		if r := command(t, s.dir, "", append([]string{"user"}, args...)...); r.code != 0 {
			t.Fatal(r.stderr)
		}
	}
	audit := func(args ...string) string {
		t.Helper()
		got := command(t, s.dir, "", append([]string{"audit"}, args...)...)
		if got.code != 0 {
			t.Fatalf("%s: %+v", args, got)
		}
		for _, secret := range secrets {
			if strings.Contains(got.stdout+got.stderr, secret) {
				t.Errorf("%s: a secret in\n%s", args, got.stdout)
			}
		}
		return got.stdout
	}
	timeless := func(text string) string {
		return regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  `).ReplaceAllString(text, "")
	}
	const by = ", by command line (tester)\n"
	const rules = "rules: allow publish home/lamp, deny publish home/lamp/secret"
	const note = `; note: on \x1b[31mfire`
	want := "user deleted: lamp" + by + "  before: roles: read-only; " + rules + "; disabled" + note + "\n" +
		"user changed: lamp" + by + "  before: roles: none; " + rules + "; disabled" + note + "\n  after:  roles: read-only; " + rules + "; disabled" + note + "\n" +
		"user changed: lamp" + by + "  before: roles: none; " + rules + note + "\n  after:  roles: none; " + rules + "; disabled" + note + "\n" +
		"user changed: lamp" + by + "  before: roles: none; rules: allow publish home/lamp" + note + "\n  after:  roles: none; " + rules + note + "\n" +
		"password changed: lamp" + by + "  before: generated\n  after:  generated\n"
	if got := timeless(audit("--limit", "5")); got != want {
		t.Errorf("the last five:\n%s\nwant\n%s", got, want)
	}
	if got := timeless(audit("--about", "LAMP", "--limit", "5", "--via", "command line", "--since", "1h")); got != want {
		t.Errorf("those about lamp:\n%s", got)
	}
	for _, via := range []access.Via{access.ViaAdmin, access.ViaHomeAssistant, access.ViaControl, access.ViaSetup} {
		if got := audit("--via", string(via)); got != "" {
			t.Errorf("by %s:\n%s", via, got)
		}
	}
	if got := audit("--via", "HearthMQ"); !strings.Contains(got, "role created: everything, by HearthMQ\n") || strings.Contains(got, "tester") {
		t.Errorf("by itself:\n%s", got)
	}
	if got := audit("--via", "token"); got != "" {
		t.Errorf("by tokens:\n%s", got)
	}
	for _, args := range [][]string{{"--limit", "-1"}, {"--via", "mail"}, {"--since", "yesterday"}, {"--since", "-1h"}} {
		if got := command(t, s.dir, "", append([]string{"audit"}, args...)...); got.code != exitError || got.stdout != "" || got.stderr == "" {
			t.Errorf("%s: %+v", args, got)
		}
	}
	all := audit("--limit", "0")
	if all != audit("--limit", "1000") || strings.Contains(all, "\x1b") || !strings.Contains(all, "token created: script") || !strings.Contains(all, "role created: everything, by HearthMQ\n") {
		t.Errorf("all:\n%s", all)
	}
	if got := command(t, s.dir, "", "audit", "--limit", "1"); !strings.Contains(got.stderr, "There are older ones") {
		t.Errorf("one of several: %+v", got)
	}
	// The API's answer, in the same words.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.admin+"/api/v1/audit?limit=1000", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Changes []access.AuditEntry }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	var theirs strings.Builder
	a := application{process: process{stdout: &theirs}}
	for _, e := range answer.Changes {
		if err := a.printChange(e); err != nil {
			t.Fatal(err)
		}
	}
	if theirs.String() != all {
		t.Errorf("the API tells\n%s\nthe command\n%s", theirs.String(), all)
	}
}

// counted is an audit of many changes, "0" the first.
type counted struct {
	access.Repository
	most int64
}

func (c counted) Audit(_ context.Context, q access.AuditQuery) (list []access.AuditEntry, err error) {
	for id := c.most; id > 0 && len(list) < q.Limit; id-- {
		if e := (access.AuditEntry{ID: id, Action: "counted", Object: strconv.FormatInt(id-1, 10)}); q.Matches(e) {
			list = append(list, e)
		}
	}
	return list, nil
}

// All that is kept is printed, page by page.
func TestAuditCommandHasAll(t *testing.T) {
	const many = 2*access.MaxAuditPage + 100
	accounts := access.NewAccounts(counted{most: many}, access.NewDirectory(access.Policy{}), nil, nil)
	for limit, want := range map[int]int{0: many, 1000: 1000, 1001: 1001, 2099: 2099, 2000: 2000, 9999: many} {
		var out, said strings.Builder
		a := &application{process: process{stdout: &out, stderr: &said}}
		if err := (&auditCommand{Limit: limit}).print(t.Context(), a, accounts, access.AuditQuery{}); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		older := strings.Contains(said.String(), "There are older ones")
		if len(lines) != want || older != (want < many) || !strings.Contains(lines[0], fmt.Sprintf("counted: %d,", many-1)) || !strings.Contains(lines[len(lines)-1], fmt.Sprintf("counted: %d,", many-want)) {
			t.Errorf("--limit %d: %d lines, older %v, the last %s", limit, len(lines), older, lines[len(lines)-1])
		}
	}
}
