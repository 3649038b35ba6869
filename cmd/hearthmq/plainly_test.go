package main

import (
	"bytes"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"hearthmq/broker/access"
	"hearthmq/broker/listen"
	mosq "hearthmq/broker/mosquitto"
	"hearthmq/broker/packet"
	"hearthmq/broker/sqlite"
)

// steering are texts that a terminal would obey, or that look like another line.
var steering = []string{"\x1b[2J\x1b[31mred", "\u009b31m", "\x1b]0;title\x07", "\u202eevil\u2066", "back\b\b\b\bdone", "a\rb", "\ufeff\u200b", "\u2028\u2029", "\x7f", "\xff\xc3"}

// unharmed reports whether a terminal shows a text as it stands.
func unharmed(text string) bool {
	return !strings.ContainsAny(text, "\x00\x07\b\r\x1b\x7f\u009b\u202e\u2066\u2028\u2029\ufeff\u200b") && strings.ToValidUTF8(text, "?") == text
}

// case A23
func TestPlainly(t *testing.T) {
	for _, text := range steering {
		var b bytes.Buffer
		if n, err := (plainly{&b}).Write([]byte("1\t" + text + "\n2")); n != len(text)+4 || err != nil {
			t.Error(n, err)
		}
		if got := b.String(); !unharmed(got) || !strings.HasPrefix(got, "1\t") || !strings.HasSuffix(got, "\n2") {
			t.Errorf("%q is written as %q", text, got)
		}
		if got := visibly("1\n" + text); !unharmed(got) || strings.Contains(got, "\n") {
			t.Errorf("%q is shown as %q", text, got)
		}
	}
	for _, text := range []string{"", "ann", `C:\x "quoted"`, "Küche 😀 👩\u200d🚒 日本", "a\u00a0b", "▀▄█", "\ufffd"} {
		if got := visibly(text); got != text {
			t.Errorf("%q is shown as %q", text, got)
		}
	}
}

// case A23: what others chose steers no terminal by what the commands print.
func TestCommandsSteerNoTerminal(t *testing.T) {
	dir := t.TempDir()
	note := strings.Join(steering, "") + "\nroot  everything  0  admin  -"
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, databaseName), nil)
	if err != nil {
		t.Fatal(err)
	}
	accounts := access.NewAccounts(db.Accounts(), access.NewDirectory(access.Policy{}), nil, nil)
	if err := accounts.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	note = strings.ToValidUTF8(note, "")
	rule := access.NewRule(access.Deny, access.ScopeBoth, "x/"+note)
	if _, _, err := accounts.CreateUser(t.Context(), access.NewUser{Name: "lamp", NoPassword: true, Note: note, Rules: []access.Rule{rule}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		lines int
		args  []string
	}{
		{4, []string{"user", "list"}}, {1, []string{"acl", "check", "lamp", "publish", "x/" + note}}, {0, []string{"user", "delete", note}},
		{0, []string{"token", "create", "--label", note}}, {0, []string{"template", "apply", note, note}}, {0, []string{"learn", "show", note}},
		{0, []string{"why", note}}, {0, []string{note}}, {0, []string{"import", "mosquitto", "--acl", strings.ReplaceAll(note, "\n", "")}},
		{0, []string{"restore", note}}, {0, []string{"--options", note, "user", "list"}},
	} {
		got := command(t, dir, "", x.args...)
		if !unharmed(got.stdout) || !unharmed(got.stderr) {
			t.Errorf("%q prints %q and %q", x.args[0], got.stdout, got.stderr)
		}
		if x.lines > 0 && strings.Count(got.stdout, "\n") != x.lines {
			t.Errorf("%q prints %d lines: %q", x.args[0], strings.Count(got.stdout, "\n"), got.stdout)
		}
	}
}

// case A23: neither the words of a line of the log nor what stands behind them.
func TestLogSteersNoTerminal(t *testing.T) {
	var own, theirs bytes.Buffer
	stand := newStandInLog(io.Discard, &theirs, true)
	if err := stand.use(mosq.Log{Types: []string{"all"}, ConnectionMessages: true}); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, text := range steering {
		text += "\nforged"
		for _, log := range []*slog.Logger{newLog(&own, levelTrace), slog.New(stand)} {
			log.Error(text)
			log.With("k", text).WithGroup("g").Warn("said", "k", text)
			log.Info("client connected", "client_id", text, "user", text, "remote", "192.0.2.1:5", "protocol", "5.0", "keep_alive", 60)
			log.Info("client disconnected", "client_id", text, "user", text, "remote", "192.0.2.1:5", "reason", text, "code", packet.UnspecifiedError)
			log.Info("A proxy's client spoke TLS", "remote", "192.0.2.1:5", "version", text, "cipher", text)
			log.Warn("A proxy's connection was closed", "remote", "192.0.2.1:5", "err", listen.ErrProxyTLS)
		}
		lines += 6
	}
	for name, got := range map[string]string{"own": own.String(), "Mosquitto's": theirs.String()} {
		if !unharmed(got) || strings.Count(got, "\n") != lines || strings.Contains(got, "\nforged") {
			t.Errorf("%s: %d lines: %q", name, strings.Count(got, "\n"), got)
		}
	}
}
