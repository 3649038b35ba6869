package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// The rules and roles of a user who is there, and the roles themselves, as commands.
func TestRightsCommands(t *testing.T) {
	dir := t.TempDir()
	words := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	for _, tt := range []struct {
		args []string
		code int
		out  string // standard output, but for how wide columns are
		said string // part of standard error
	}{
		{[]string{"role", "add", "sensor", "--rule", "allow publish sensors/%u/#", "--description", "Whatever measures"}, 0, "", "Role sensor is added."},
		{[]string{"user", "add", "lamp", "--no-such"}, 1, "", "unknown flag"},
		{[]string{"user", "rules", "lamp"}, 1, "", "there is no user named lamp"},
		{[]string{"user", "roles", "lamp"}, 1, "", "there is no user named lamp"},
		{[]string{"user", "add", "lamp", "--password-stdin", "--role", "sensor", "--rule", "allow both home/lamp"}, 0, "", "added"},
		{[]string{"user", "rules", "lamp"}, 0, "RULE FROM allow both home/lamp user lamp allow publish sensors/%u/# role sensor", ""},
		{[]string{"user", "rules", "lamp", "--add", `allow subscribe "a b" qos<=1`, "--add", "deny publish home/lamp retain", "--remove", "allow both home/lamp"}, 0, "", "The rules of user lamp are changed."},
		{[]string{"user", "rules", "lamp"}, 0, `RULE FROM allow subscribe "a b" qos<=1 user lamp deny publish home/lamp retain user lamp allow publish sensors/%u/# role sensor`, ""},
		{[]string{"user", "rules", "lamp", "--remove", "allow publish sensors/%u/#"}, 1, "", "there is no such rule to take away: allow publish sensors/%u/#"},
		{[]string{"user", "rules", "lamp", "--add", "allow everything"}, 1, "", `rule "allow everything": after allow comes`},
		{[]string{"user", "rules", "lamp", "--remove", ""}, 1, "", "a rule looks like"},
		{[]string{"user", "rules", "lamp", "--add", "allow both x listener=front"}, 1, "", `there is no listener "front"`},
		{[]string{"user", "rules", "nobody", "--add", "allow both x"}, 1, "", "there is no user named nobody"},
		{[]string{"user", "rules", "addons"}, 0, "", "may do everything"},
		{[]string{"user", "rules", "addons", "--add", "deny both #"}, 1, "", "is a system user"},
		{[]string{"user", "roles", "lamp"}, 0, "sensor", ""},
		{[]string{"user", "roles", "lamp", "--add", "read-only", "--add", "anonymous", "--remove", "sensor"}, 0, "", "The roles of user lamp are changed."},
		{[]string{"user", "roles", "lamp"}, 0, "anonymous read-only", ""},
		{[]string{"user", "rules", "lamp"}, 0, `RULE FROM allow subscribe "a b" qos<=1 user lamp deny publish home/lamp retain user lamp - role anonymous allow subscribe # role read-only`, ""},
		{[]string{"user", "roles", "lamp", "--add", "king"}, 1, "", `there is no role "king"`},
		{[]string{"user", "roles", "lamp", "--remove", "sensor"}, 1, "", `user lamp has no role "sensor"`},
		{[]string{"role", "list"}, 0, "ROLE RULES USERS DESCRIPTION anonymous 0 1 What clients without a user name may do while anonymous access is restricted. " +
			"everything 1 0 May publish and subscribe to every topic. read-only 1 1 May subscribe to every topic and publish to none. sensor 1 0 Whatever measures", ""},
		{[]string{"role", "rules", "sensor", "--add", "allow subscribe time", "--remove", "allow publish sensors/%u/#"}, 0, "", "Role sensor is changed."},
		{[]string{"role", "rules", "sensor"}, 0, "allow subscribe time", ""},
		{[]string{"role", "rules", "everything", "--add", "deny both x"}, 1, "", "role everything: is a built-in role"},
		{[]string{"role", "rules", "king"}, 1, "", "there is no role named king"},
		{[]string{"role", "add", "sensor"}, 1, "", "role sensor: exists already"},
		{[]string{"role", "add", "a#"}, 1, "", "wildcards"},
		{[]string{"role", "add", "x", "--rule", "deny"}, 1, "", "publish, subscribe or both"},
		{[]string{"role", "delete", "sensor"}, 0, "", "Role sensor is deleted."},
		{[]string{"user", "add", "plug", "--password-stdin"}, 0, "", "added"},
		{[]string{"user", "rules", "plug"}, 0, "", "User plug has no role and no rule."},
		{[]string{"learn", "start", "plug"}, 0, "", "watches plug"},
		{[]string{"user", "rules", "plug"}, 0, "", "User plug has no role and no rule."},
		{[]string{"learn", "start", "plug", "--open"}, 0, "", "watches plug"},
		{[]string{"user", "rules", "plug"}, 0, "", "user plug may do everything that no rule denies, as it is watched"},
		{[]string{"role", "delete", "sensor"}, 1, "", "there is no role named sensor"},
		{[]string{"role", "delete", "anonymous"}, 1, "", "built-in"},
	} {
		got := command(t, dir, "the lamp's password\n", tt.args...)
		if got.code != tt.code || words(got.stdout) != tt.out || !strings.Contains(got.stderr, tt.said) || tt.said == "" && got.stderr != "" {
			t.Errorf("%q: exit %d, %q, %q\nwant %d, %q, %q", tt.args, got.code, words(got.stdout), got.stderr, tt.code, tt.out, tt.said)
		}
	}
}

// What was denied is allowed by the line that the list ends with, pasted into a shell as it
// is, whatever the names; and it counts for the next login.
func TestDeniedIsPasted(t *testing.T) {
	s := start(t, options{"anonymous": "restricted"})
	const odd = `-Anna's $HOME "lamp"; exit`
	passwords := map[string]string{"": ""}
	for _, name := range []string{"lamp", odd} {
		r := command(t, s.dir, "", "user", "add", "--generate", "--", name)
		if r.code != 0 {
			t.Fatal(r.stderr)
		}
		passwords[name] = strings.TrimSpace(r.stdout)
	}
	in := func(user string) mqtt.Client {
		c, err := connect(t, s.mqtt, "", user, passwords[user])
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	granted := func(user, filter string) bool {
		token := in(user).Subscribe(filter, 1, nil).(*mqtt.SubscribeToken)
		if !token.WaitTimeout(time.Minute) {
			t.Fatal("no SUBACK")
		}
		return token.Result()[filter] != 0x80
	}
	asked := []struct{ user, filter string }{
		{"lamp", "home/lamp"}, {"lamp", "it's/`id`/$HOME \"\\x\"/#"}, {"lamp", "line\nbreak"}, {odd, "home/+"}, {"", "door's"},
	}
	for _, a := range asked {
		if granted(a.user, a.filter) {
			t.Errorf("%q may subscribe to %q already", a.user, a.filter)
		}
	}
	denied := command(t, s.dir, "", "denied")
	lines := strings.Split(strings.TrimSpace(denied.stdout), "\n")[1:]
	if len(lines) != len(asked) {
		t.Fatalf("%d lines, want %d:\n%s%s", len(lines), len(asked), denied.stdout, denied.stderr)
	}
	slices.Reverse(lines) // the latest comes first
	for i, line := range lines {
		_, paste, found := strings.Cut(line, "  hearthmq ")
		out, err := exec.CommandContext(t.Context(), "sh", "-c", `hearthmq() { printf '%s\0' "$@"; }`+"\nhearthmq "+paste).Output()
		if !found || err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		args := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if got := command(t, s.dir, "", args[2:]...); args[0] != "--data" || args[1] != s.dir || got.code != 0 { // command names the folder itself
			t.Errorf("%q: %+v", args, got)
		}
		if !granted(asked[i].user, asked[i].filter) {
			t.Errorf("%q may not subscribe to %q after %q", asked[i].user, asked[i].filter, args)
		}
	}
	if denied = command(t, s.dir, "", "denied"); strings.Count(denied.stdout, "  allowed by now\n") != len(asked) || strings.Contains(denied.stdout, "hearthmq") {
		t.Errorf("after that:\n%s", denied.stdout)
	}
	// The same line stands below what why says of it.
	in("lamp").Subscribe("cellar", 1, nil).Wait()
	want := fmt.Sprintf("\n  hearthmq --data %s user rules lamp --add 'allow subscribe cellar'\n", quoteShell(s.dir))
	if got := command(t, s.dir, "", "why", "lamp"); !strings.Contains(got.stdout, want) {
		t.Errorf("why lacks %q:\n%s", want, got.stdout)
	}
}

// A right that a command takes away is gone with the next login, and within moments for who
// is connected.
func TestRightsHoldAtOnce(t *testing.T) {
	s := start(t, nil)
	password := s.user("lamp", "--rule", "allow both home/#", "--role", "read-only")
	do := func(args ...string) {
		t.Helper()
		if got := command(t, s.dir, "", append([]string{"user"}, args...)...); got.code != 0 {
			t.Fatalf("%s: %s", args, got.stderr)
		}
	}
	granted := func(c mqtt.Client, filter string) bool {
		token := c.Subscribe(filter, 1, nil).(*mqtt.SubscribeToken)
		if !token.WaitTimeout(time.Minute) {
			t.Fatal("no SUBACK")
		}
		return token.Result()[filter] != 0x80
	}
	in := func(id string) mqtt.Client {
		c, err := connect(t, s.mqtt, id, "lamp", password)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	standing := in("standing")
	if !granted(standing, "home/x") || !granted(standing, "hall/x") {
		t.Fatal("it has no rights")
	}
	do("rules", "lamp", "--remove", "allow both home/#", "--add", "deny subscribe home/#")
	if granted(in("next"), "home/x") || !granted(in("next"), "hall/x") {
		t.Error("the rules of before count for the next login")
	}
	do("roles", "lamp", "--remove", "read-only")
	if granted(in("next"), "hall/x") {
		t.Error("the role of before counts for the next login")
	}
	eventually(t, "who is connected loses the right", func() bool { return !granted(standing, "hall/y") })
	do("roles", "lamp", "--add", "everything")
	do("rules", "lamp", "--remove", "deny subscribe home/#")
	if !granted(in("next"), "home/x") {
		t.Error("the new role does not count for the next login")
	}
}
