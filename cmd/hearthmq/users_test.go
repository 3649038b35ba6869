package main

import (
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// connect logs in with MQTT 3.1.1 and returns the client and what came of it.
func connect(tb testing.TB, address, clientID, user, password string) (mqtt.Client, error) {
	tb.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + address).SetClientID(clientID).SetUsername(user).SetPassword(password).
		SetProtocolVersion(4).SetAutoReconnect(false).SetConnectTimeout(10 * time.Second)
	c := mqtt.NewClient(o)
	t := c.Connect()
	if !t.WaitTimeout(3 * time.Minute) {
		tb.Fatal("no CONNACK")
	}
	tb.Cleanup(func() { c.Disconnect(0) })
	return c, t.Error()
}

func TestUserCommands(t *testing.T) {
	dir := t.TempDir()

	got := command(t, dir, "", "user", "add", "lamp", "--generate", "--role", "read-only", "--note", "Kitchen")
	if got.code != 0 || len(strings.TrimSpace(got.stdout)) != 26 || strings.Count(got.stdout, "\n") != 1 {
		t.Fatalf("exit %d, stdout %q, want the password alone; %s", got.code, got.stdout, got.stderr)
	}
	got = command(t, dir, "correct horse battery\n", "user", "add", "bus", "--password-stdin", "--rule", "allow both bus/%u/#")
	if got.code != 0 || got.stdout != "" || strings.Contains(got.stderr, "horse") {
		t.Fatalf("exit %d, %q, %q", got.code, got.stdout, got.stderr)
	}

	for _, tt := range []struct {
		name, stdin string
		args        []string
		want        string // part of standard error
	}{
		{"exists", "", []string{"user", "add", "lamp", "--generate"}, "exist"},
		{"no password named", "", []string{"user", "add", "x"}, "--generate makes one, --password-stdin reads a line"},
		{"both", "", []string{"user", "add", "x", "--generate", "--password-stdin"}, "can't be used together"},
		{"empty input", "\n", []string{"user", "add", "x", "--password-stdin"}, "holds no password"},
		{"unknown role", "", []string{"user", "add", "x", "--generate", "--role", "king"}, "king"},
		{"rule not understood", "", []string{"user", "add", "x", "--generate", "--rule", "allow everything"}, "allow everything"},
		{"name not valid", "", []string{"user", "add", "", "--generate"}, ""},
		{"no such user", "", []string{"user", "passwd", "nobody", "--generate"}, "there is no user named nobody"},
		{"disable nobody", "", []string{"user", "disable", "nobody"}, "there is no user named nobody"},
		{"delete nobody", "", []string{"user", "delete", "nobody"}, "there is no user named nobody"},
		{"a limit not understood", "", []string{"user", "add", "x", "--generate", "--limits", "connections=none"}, "connections must be a number above 0"},
		{"a network not understood", "", []string{"user", "add", "x", "--generate", "--network", "home"}, "not a network such as"},
		{"limits of nobody", "", []string{"user", "limits", "nobody"}, "there is no user named nobody"},
		{"networks of nobody", "", []string{"user", "networks", "nobody", "10.0.0.0/8"}, "there is no user named nobody"},
		{"limits of a system user", "", []string{"user", "limits", "addons", "connections=1"}, "system user"},
		{"no limit has that name", "", []string{"user", "limits", "lamp", "colour=1"}, "there are connections, connects"},
		{"clear and set", "", []string{"user", "limits", "lamp", "connections=1", "--clear"}, "either --clear or limits"},
		{"any and some", "", []string{"user", "networks", "lamp", "10.0.0.0/8", "--any"}, "either --any or networks"},
		{"not a network", "", []string{"user", "networks", "lamp", "10.0.0.0/40"}, "not a network such as"},
		{"delete a system user", "", []string{"user", "delete", "homeassistant"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := command(t, dir, tt.stdin, tt.args...)
			if got.code != exitError || got.stdout != "" || !strings.Contains(got.stderr, tt.want) || got.stderr == "" {
				t.Errorf("exit %d, %q, %q, want 1 and %q", got.code, got.stdout, got.stderr, tt.want)
			}
		})
	}

	// Limits and networks are printed one a line, replaced as a whole, and taken away.
	if got = command(t, dir, "", "user", "add", "pump", "--generate", "--limits", "connections=2 messages=0.5", "--network", "192.168.1.9/24", "--network", "10.0.0.7"); got.code != 0 {
		t.Fatalf("add with limits: exit %d, %s", got.code, got.stderr)
	}
	for _, tt := range []struct{ args, want string }{
		{"limits pump", "connections=2\nmessages=0.5\n"}, {"networks pump", "10.0.0.7\n192.168.1.0/24\n"},
		{"limits pump retained=5", ""}, {"limits pump", "retained=5\n"}, {"networks pump fd00::/8", ""}, {"networks pump", "fd00::/8\n"},
		{"limits pump --clear", ""}, {"limits pump", ""}, {"networks pump --any", ""}, {"networks pump", ""},
		{"delete pump", ""},
	} {
		if got = command(t, dir, "", append([]string{"user"}, strings.Fields(tt.args)...)...); got.code != 0 || got.stdout != tt.want {
			t.Errorf("user %s: exit %d, %q, want %q; %s", tt.args, got.code, got.stdout, tt.want, got.stderr)
		}
	}

	if got = command(t, dir, "", "user", "disable", "bus"); got.code != 0 {
		t.Fatalf("disable: exit %d, %s", got.code, got.stderr)
	}
	got = command(t, dir, "", "user", "list")
	var names []string
	for line := range strings.Lines(got.stdout) {
		names = append(names, strings.Join(strings.Fields(line)[:4], " "))
	}
	want := []string{
		"NAME ROLES RULES KIND", "addons - 0 system", "bus - 1 disabled", "homeassistant - 0 system", "lamp read-only 0 -",
	}
	if strings.Join(names, "\n") != strings.Join(want, "\n") {
		t.Errorf("list:\n%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
}

// What the commands change takes effect on the running server within a second.
func TestUsersWhileServing(t *testing.T) {
	s := start(t, nil)
	password := s.user("lamp", "--role", "everything")
	var client mqtt.Client
	eventually(t, "the new user may connect", func() bool {
		c, err := connect(t, s.mqtt, "lamp", "lamp", password)
		client = c
		return err == nil
	})
	if _, err := connect(t, s.mqtt, "x", "lamp", "wrong"); err == nil {
		t.Error("a wrong password was accepted")
	}
	if _, err := connect(t, s.mqtt, "x", "", ""); err == nil {
		t.Error("a client without a user name was let in")
	}

	if got := command(t, s.dir, "", "user", "disable", "lamp"); got.code != 0 {
		t.Fatal(got.stderr)
	}
	eventually(t, "the disabled user is disconnected", func() bool { return !client.IsConnected() })
	if _, err := connect(t, s.mqtt, "lamp", "lamp", password); err == nil {
		t.Error("a disabled user was let in")
	}
	if got := command(t, s.dir, "", "user", "enable", "lamp"); got.code != 0 {
		t.Fatal(got.stderr)
	}
	eventually(t, "the enabled user may connect", func() bool {
		c, err := connect(t, s.mqtt, "lamp", "lamp", password)
		client = c
		return err == nil
	})

	got := command(t, s.dir, "", "user", "passwd", "lamp", "--generate")
	if got.code != 0 {
		t.Fatal(got.stderr)
	}
	eventually(t, "the old password's client is disconnected", func() bool { return !client.IsConnected() })
	eventually(t, "the new password is accepted", func() bool {
		c, err := connect(t, s.mqtt, "lamp", "lamp", strings.TrimSpace(got.stdout))
		client = c
		return err == nil
	})
	if got := command(t, s.dir, "", "user", "delete", "lamp"); got.code != 0 {
		t.Fatal(got.stderr)
	}
	eventually(t, "the deleted user is disconnected", func() bool { return !client.IsConnected() })

	if strings.Contains(s.log.String(), password) {
		t.Error("the log tells a password")
	}
}

func TestLoginsOfTheSettings(t *testing.T) {
	s := start(t, options{"logins": []map[string]any{{"username": "panel", "password": "from the settings"}}})
	if _, err := connect(t, s.mqtt, "panel", "panel", "from the settings"); err != nil {
		t.Error(err)
	}
	if got := command(t, s.dir, "", "user", "list"); !strings.Contains(got.stdout, "from the settings") {
		t.Errorf("list:\n%s", got.stdout)
	}
}

func TestACLCheck(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"user", "add", "lamp", "--generate", "--rule", "allow both home/%u/#", "--rule", "deny publish home/+/config"},
		{"user", "add", "panel", "--generate", "--role", "read-only"},
	} {
		if got := command(t, dir, "", args...); got.code != 0 {
			t.Fatal(got.stderr)
		}
	}
	for _, tt := range []struct {
		args []string
		code int
		want string // part of standard output
	}{
		{[]string{"lamp", "publish", "home/lamp/state"}, 0, "allow: allow both home/%u/#"},
		{[]string{"lamp", "publish", "home/lamp/config"}, 1, "deny: deny publish home/+/config"},
		{[]string{"lamp", "publish", "home/door/state"}, 1, "deny: "},
		{[]string{"lamp", "subscribe", "home/lamp/#"}, 0, "allow: "},
		{[]string{"lamp", "subscribe", "#"}, 0, "narrowed"},
		{[]string{"panel", "subscribe", "#"}, 0, "read-only"},
		{[]string{"panel", "publish", "a"}, 1, "deny: "},
		{[]string{"homeassistant", "publish", "a"}, 0, "allow: "},
		{[]string{"nobody", "publish", "a"}, 1, "there is no user \"nobody\""},
		{[]string{"", "publish", "a"}, 1, "anonymous"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			got := command(t, dir, "", append([]string{"acl", "check"}, tt.args...)...)
			if got.code != tt.code || !strings.Contains(got.stdout, tt.want) || strings.Count(got.stdout, "\n") != 1 || got.stderr != "" {
				t.Errorf("exit %d, %q, %q, want %d and %q", got.code, got.stdout, got.stderr, tt.code, tt.want)
			}
		})
	}
	if got := command(t, dir, "", "acl", "check", "lamp", "eat", "a"); got.code != exitError || got.stderr == "" {
		t.Errorf("exit %d, %q", got.code, got.stderr)
	}
}
