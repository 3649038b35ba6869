package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// One command answers why a device gets nothing, and names the rule that would help.
func TestWhyCommand(t *testing.T) {
	s := start(t, nil)
	password := s.user("lamp", "--rule", "allow publish home/lamp")
	introduced(t, s, "lamp", password)
	if _, err := connect(t, s.mqtt, "plug-1", "lamp", "wrong"); err == nil {
		t.Fatal("a wrong password was accepted")
	}
	why := func(about string) string {
		t.Helper()
		got := command(t, s.dir, "", "why", about)
		if got.code != 0 {
			t.Fatalf("exit %d, %s", got.code, got.stderr)
		}
		return got.stdout
	}
	if got := why("plug-1"); !strings.HasPrefix(got, "wrong password: Client \"plug-1\" of user \"lamp\" was not let in: wrong password.\n") ||
		!strings.Contains(got, "Type the password into the device again") {
		t.Errorf("wrong password:\n%s", got)
	}
	if got := why("nobody knows"); !strings.HasPrefix(got, "never seen: ") {
		t.Errorf("never seen:\n%s", got)
	}
	c, err := connect(t, s.mqtt, "plug-1\x1b[31m", "lamp", password)
	if err != nil {
		t.Fatal(err)
	}
	c.Subscribe("home/lamp/set", 0, nil).Wait()
	got := why("[31m")
	if !strings.Contains(got, "add the rule: allow subscribe home/lamp/set") || strings.Contains(got, "\x1b") { // case A23
		t.Errorf("may not subscribe: %q", got)
	}
	denied := command(t, s.dir, "", "denied")
	if denied.code != 0 || !strings.Contains(denied.stdout, "allow subscribe home/lamp/set") || !strings.Contains(denied.stdout, "wrong password") ||
		strings.Contains(denied.stdout, "\x1b") {
		t.Errorf("denied: exit %d\n%s%s", denied.code, denied.stdout, denied.stderr)
	}
	info, err := os.Stat(filepath.Join(s.dir, controlName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	s.stop()
	if got := command(t, s.dir, "", "why", "plug-1"); got.code != exitError || !strings.Contains(got.stderr, "no server runs") {
		t.Errorf("without a server: exit %d, %s", got.code, got.stderr)
	}
}

// introduced waits until the server has noticed a user that a command added. It asks
// only then: attempts before that would be throttled like others.
func introduced(t *testing.T, s *testServer, user, password string) (client mqtt.Client) {
	t.Helper()
	eventually(t, "the server knows the user", func() bool { return strings.Contains(s.log.String(), "changed by another process") })
	client, err := connect(t, s.mqtt, "first", user, password)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// A user is watched by a command beside the server, and gets the rules it needs.
func TestLearnCommands(t *testing.T) {
	s := start(t, nil)
	password := s.user("lamp")
	if got := command(t, s.dir, "", "learn", "show", "lamp"); got.code != exitError || !strings.Contains(got.stderr, "learn start lamp") {
		t.Errorf("show before start: exit %d, %s", got.code, got.stderr)
	}
	if got := command(t, s.dir, "", "learn", "start", "lamp", "--for", "1h", "--open"); got.code != 0 {
		t.Fatalf("start: %s", got.stderr)
	}
	c := introduced(t, s, "lamp", password)
	eventually(t, "what the lamp does is learnt", func() bool {
		c.Publish("home/lamp/state", 1, false, "on").Wait()
		c.Subscribe("home/lamp/set", 1, nil).Wait()
		got := command(t, s.dir, "", "learn", "show", "lamp")
		return got.code == 0 && got.stdout == "allow publish home/lamp/state\nallow subscribe home/lamp/set\n"
	})
	if got := command(t, s.dir, "", "learn", "accept", "lamp"); got.code != 0 {
		t.Fatalf("accept: %s", got.stderr)
	}
	if got := command(t, s.dir, "", "acl", "check", "lamp", "publish", "home/lamp/state", "--from", "10.0.0.1", "--listener", "mqtts"); got.code != 0 ||
		!strings.Contains(got.stdout, "allow publish home/lamp/state (user lamp)") {
		t.Errorf("check: exit %d, %s", got.code, got.stdout)
	}
	if got := command(t, s.dir, "", "learn", "drop", "lamp"); got.code != exitError {
		t.Errorf("drop after accept: exit %d", got.code)
	}
}

func TestTemplateCommands(t *testing.T) {
	dir := t.TempDir()
	if got := command(t, dir, "", "template", "list"); got.code != 0 || !strings.Contains(got.stdout, "tasmota") || strings.Count(got.stdout, "\n") < 29 {
		t.Errorf("list: exit %d\n%s", got.code, got.stdout)
	}
	got := command(t, dir, "", "user", "add", "plug", "--template", "tasmota", "--set", "topic=kitchen", "--host", "ha.local")
	if got.code != 0 || len(strings.TrimSpace(got.stdout)) != 26 || !strings.Contains(got.stderr, "MqttHost ha.local; MqttPort 1883; MqttUser plug;") {
		t.Errorf("add: exit %d, %q\n%s", got.code, got.stdout, got.stderr)
	}
	if got := command(t, dir, "", "acl", "check", "plug", "subscribe", "cmnd/kitchen/#"); got.code != 0 {
		t.Errorf("check: %s%s", got.stdout, got.stderr)
	}
	// The same for a user that is there: shown first, then added to what it has.
	password := strings.TrimSpace(command(t, dir, "", "user", "add", "switch", "--generate", "--rule", "allow publish own", "--rule", "allow publish stat/hall/#").stdout)
	apply := func(more ...string) result {
		return command(t, dir, "", append([]string{"template", "apply", "tasmota", "switch", "--set", "topic=hall"}, more...)...)
	}
	rules := func() string { return command(t, dir, "", "user", "list").stdout }
	shown := apply("--dry-run")
	if shown.code != 0 || strings.Count(shown.stdout, "allow ") != 6 || strings.Contains(shown.stdout, "stat/hall") || !strings.Contains(shown.stderr, "has 1 of the 7 rules of Tasmota") {
		t.Errorf("apply --dry-run: exit %d, %s%s", shown.code, shown.stdout, shown.stderr)
	}
	if !strings.Contains(strings.Join(strings.Fields(rules()), " "), "switch - 2 ") {
		t.Errorf("a dry run changed something:\n%s", rules())
	}
	if got := apply(); got.code != 0 || got.stdout != shown.stdout {
		t.Errorf("apply: exit %d, %s%s", got.code, got.stdout, got.stderr)
	}
	if !strings.Contains(strings.Join(strings.Fields(rules()), " "), "switch - 8 ") {
		t.Errorf("after apply:\n%s", rules())
	}
	got = apply("--new-password", "--host", "ha.local")
	if next := strings.TrimSpace(got.stdout); got.code != 0 || len(next) != 26 || next == password || !strings.Contains(got.stderr, "MqttPassword "+next) {
		t.Errorf("apply --new-password: exit %d, %q\n%s", got.code, got.stdout, got.stderr)
	}
	for _, user := range []string{"nobody", "addons"} {
		if got := command(t, dir, "", "template", "apply", "tasmota", user); got.code != exitError {
			t.Errorf("apply for %s: exit %d", user, got.code)
		}
	}
	for name, args := range map[string][]string{
		"wildcard":     {"--template", "tasmota", "--set", "topic=#"},
		"unknown key":  {"--template", "tasmota", "--set", "colour=red"},
		"no template":  {"--template", "toaster"},
		"set alone":    {"--generate", "--set", "topic=x"},
		"name in rule": {"--template", "tasmota"},
	} {
		user := "x"
		if name == "name in rule" {
			user = "a/b"
		}
		if got := command(t, dir, "", append([]string{"user", "add", user}, args...)...); got.code != exitError || got.stdout != "" || got.stderr == "" {
			t.Errorf("%s: exit %d, %q, %q", name, got.code, got.stdout, got.stderr)
		}
	}
}
