package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// A home's files, the passwords are "password".
func mosquittoHome(tb testing.TB) (conf string) {
	tb.Helper()
	dir := tb.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	const hash = "$6$clQ4Ocu312S0qWgl$Cv2wUxgEN73c6C6jlBkswqR4AkHsvDLWvtEXZZ8NpsBLgP1WAo/qA+WXcmEN/mjDNgdUwcxRAveqNMs2xUVQYA=="
	pw := write("pw", "anna:"+hash+"\nbert:"+hash+"\nclear:text\n")
	acl := write("acl", "user anna\ntopic readwrite home/#\npattern write status/%u\n")
	// A mosquitto.db of version 4 with one retained message, of a user that is gone (case A8).
	db := "\x00\xb5\x00mosquitto db\x00\x00\x00\x00\x00\x00\x00\x04" +
		"\x00\x02\x00\x00\x00\x33" + "\x01\x00\x00\x00\x00\x00\x00\x00" + "\x00\x01p" + "\x00\x04gone" + "\x07\x5b" + "\x00\x01\x00\x00" + "\x00\x06home/x" + "\x01\x01" + "\x00\x00\x00\x02hi" +
		"\x00\x04\x00\x00\x00\x08" + "\x01\x00\x00\x00\x00\x00\x00\x00"
	write("mosquitto.db", db)
	return write("mosquitto.conf", "listener 1883\npersistence true\npersistence_location "+dir+"/\npassword_file "+pw+"\nacl_file "+acl+"\n")
}

func TestImportMosquitto(t *testing.T) {
	conf, dir := mosquittoHome(t), t.TempDir()
	got := command(t, dir, "", "import", "mosquitto", "--conf", conf, "--dry-run")
	if got.code != 0 || !strings.Contains(got.stdout, "2 users with the password: \"anna\", \"bert\"") || !strings.Contains(got.stdout, "1 retained message") ||
		!strings.Contains(got.stdout, "\"clear\" is left out") || !strings.Contains(got.stderr, "nothing was imported") {
		t.Fatalf("exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	if list := command(t, dir, "", "user", "list"); strings.Contains(list.stdout, "anna") {
		t.Fatalf("the dry run imported\n%s", list.stdout)
	}
	for i, want := range []string{"users 2, roles 1, retained messages 1", "users 0, roles 0, retained messages 0"} {
		got = command(t, dir, "", "import", "mosquitto", "--conf", conf)
		if got.code != 0 || !strings.Contains(got.stderr, want) {
			t.Fatalf("import %d: exit %d\n%s%s", i+1, got.code, got.stdout, got.stderr)
		}
	}
	if got = command(t, dir, "", "acl", "check", "bert", "publish", "status/bert"); got.code != 0 {
		t.Errorf("bert may not publish: %s", got.stdout)
	}

	s := startIn(t, dir, nil)
	c, err := connect(t, s.mqtt, "c", "anna", "password")
	if err != nil {
		t.Fatal(err)
	}
	retained := make(chan string, 1)
	if tok := c.Subscribe("home/#", 1, func(_ mqtt.Client, m mqtt.Message) { retained <- string(m.Payload()) }); tok.Wait() && tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	select {
	case text := <-retained:
		if text != "hi" {
			t.Errorf("retained %q", text)
		}
	case <-time.After(20 * time.Second):
		t.Error("what was imported is not handed out")
	}

	// Beside the running server users come over and stored messages don't.
	got = command(t, dir, "", "import", "mosquitto", "--conf", conf)
	if got.code != 1 || !strings.Contains(got.stderr, "--live") {
		t.Errorf("while running: exit %d\n%s", got.code, got.stderr)
	}
	other := startIn(t, t.TempDir(), nil)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(other.user("live", "--role", "everything")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var o mqtt.Client
	eventually(t, "the server knows the user", func() bool {
		o, err = connect(t, other.mqtt, "o", "live", readLine(t, password))
		return err == nil
	})
	if tok := o.Publish("home/live", 1, true, "there"); tok.Wait() && tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	s.stop()
	got = command(t, dir, "", "import", "mosquitto", "--live", "mqtt://"+other.mqtt, "--live-user", "live", "--live-password", password)
	if got.code != 0 || !strings.Contains(got.stderr, "retained messages 1,") {
		t.Fatalf("live: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
}

func TestImportRefused(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(bad, []byte("user anna\ntopik x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"nothing":      {nil, "say what to import"},
		"no such file": {[]string{"--db", "/none"}, "nothing was imported"},
		"broken acl":   {[]string{"--acl", bad}, "nothing was imported"},
		"bad url":      {[]string{"--live", "http://x"}, "mqtt://"},
		"no password":  {[]string{"--live", "mqtt://x", "--live-password", os.DevNull}, "no password"},
	} {
		got := command(t, dir, "", append([]string{"import", "mosquitto"}, tt.args...)...)
		if got.code != 1 || !strings.Contains(got.stderr, tt.want) {
			t.Errorf("%s: exit %d\n%s%s", name, got.code, got.stdout, got.stderr)
		}
	}
	if got := command(t, dir, "", "import", "mosquitto", "--acl", bad); !strings.Contains(got.stdout, bad+":2: \"topik\" is not a keyword") {
		t.Error(got.stdout)
	}
}

func readLine(tb testing.TB, file string) string {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
