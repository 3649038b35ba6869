package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hearthmq/addon/addontest"
)

// guarded starts a server of the app with settings as they stand, stops it, and
// returns its log.
func guarded(t *testing.T, dir, settings string, fake *addontest.Supervisor) string {
	t.Helper()
	s := guardedServer(t, dir, settings, fake)
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	return s.log.String()
}

func guardedServer(t *testing.T, dir, settings string, fake *addontest.Supervisor) *testServer {
	t.Helper()
	environ := append(fake.Environ(addontest.HearthMQ()),
		"HEARTHMQ_MQTT_ADDRESS=127.0.0.1:0", "HEARTHMQ_WS_ADDRESS=", "HEARTHMQ_MQTTS_ADDRESS=", "HEARTHMQ_WSS_ADDRESS=",
		"HEARTHMQ_INGRESS_ADDRESS=127.0.0.1:0")
	if err := os.WriteFile(filepath.Join(dir, "options.json"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	return startAsIs(t, dir, environ...)
}

// case D2: settings that can't be read or are wrong give way to the last that worked,
// and at the very first start to safe ones. The Supervisor gives the app its ports, so
// the test does it in the environment.
func TestWrongSettingsInApp(t *testing.T) {
	fake := addontest.New(t, addontest.HearthMQ())
	for name, bad := range map[string]string{
		"half-written": `{"log_level": "inf`, "wrong type": `{"max_connections": "many"}`, "a list": `[]`, "10 MB": strings.Repeat(" ", 10<<20) + "{}",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			log := guarded(t, dir, bad, fake)
			if !strings.Contains(log, "the settings are wrong: ") || !strings.Contains(log, "starts with the standard settings") {
				t.Errorf("first start:\n%s", log)
			}
			// Anonymous access is off in the standard settings.
			s := guardedServer(t, dir, bad, fake)
			if _, err := dial(s, "x", "", ""); err == nil {
				t.Error("somebody without a name is let in")
			}
			s.stop()

			if log = guarded(t, dir, `{"anonymous": "full"}`, fake); strings.Contains(log, "error  ") {
				t.Errorf("good settings:\n%s", log)
			}
			s = guardedServer(t, dir, bad, fake)
			if !strings.Contains(s.log.String(), "starts with the last settings that worked") {
				t.Errorf("log:\n%s", s.log)
			}
			c, err := dial(s, "x", "", "")
			if err != nil {
				t.Fatalf("the last good settings let everybody in: %v", err)
			}
			c.Disconnect(0)
			s.stop()
			kept, err := os.ReadFile(filepath.Join(dir, lastGoodName))
			if err != nil || string(kept) != `{"anonymous": "full"}` {
				t.Errorf("kept %q, %v", kept, err)
			}
			if info, err := os.Stat(filepath.Join(dir, lastGoodName)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
		})
	}
	for _, good := range []string{"", "\xef\xbb\xbf{}", `{"colour": "red"}`} {
		if log := guarded(t, t.TempDir(), good, fake); strings.Contains(log, "the settings are wrong") {
			t.Errorf("%q:\n%s", good, log)
		}
	}
}

// case D7: two starts in a row that end within a minute, and the third goes back to
// the last settings that worked, until there are others.
func TestCrashLoop(t *testing.T) {
	dir := t.TempDir()
	fake := addontest.New(t, addontest.HearthMQ())
	guarded(t, dir, `{"anonymous": "off"}`, fake)
	app := &application{process: process{environ: []string{"SUPERVISOR_TOKEN=t"}}, data: dir}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "options.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	begin := func() (anonymous string, notes []string) { // a start that dies at once
		t.Helper()
		g := app.guard()
		o, _, err := g.settings(app)
		if err != nil {
			t.Fatal(err)
		}
		return o.Anonymous, g.notes
	}
	write(`{"anonymous": "full"}`)
	for i, want := range []string{"full", "full", "off", "off"} {
		if got, notes := begin(); got != want || (len(notes) > 0) != (want == "off") {
			t.Errorf("start %d: anonymous %s, %q", i, got, notes)
		}
	}
	write(`{"anonymous": "restricted"}`)
	if got, _ := begin(); got != "restricted" {
		t.Errorf("other settings: anonymous %s", got)
	}
	// A start that went well forgets what was before.
	g := app.guard()
	if _, _, err := g.settings(app); err != nil {
		t.Fatal(err)
	}
	g.good(newLog(&bytes.Buffer{}, level("info")))
	if _, err := os.Stat(filepath.Join(dir, startName)); err == nil {
		t.Error("the start still counts as not over")
	}
	if kept, err := os.ReadFile(filepath.Join(dir, lastGoodName)); err != nil || string(kept) != `{"anonymous": "restricted"}` {
		t.Errorf("kept %q, %v", kept, err)
	}
}

// Outside the app nothing is kept, and wrong settings end the start.
func TestNoGuardOutsideApp(t *testing.T) {
	s := start(t, nil)
	s.stop()
	for _, name := range []string{lastGoodName, startName} {
		if _, err := os.Stat(filepath.Join(s.dir, name)); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}
