package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBackupOfRunningServer goes the way of an owner: a copy while it runs, something
// goes wrong, back to the copy.
func TestBackupOfRunningServer(t *testing.T) { // cases S14, S15, S19
	s := start(t, nil)
	s.user("lamp", "--rule", "allow both lamp/#")
	file := filepath.Join(t.TempDir(), "kept.db")
	if r := command(t, s.dir, "", "backup", file); r.code != 0 || !strings.Contains(r.stderr, "3 users") || r.stdout != "" {
		t.Fatalf("exit %d\n%s", r.code, r.stderr)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st, err)
	}
	if r := command(t, s.dir, "", "backup", file); r.code != 1 || !strings.Contains(r.stderr, "--force") {
		t.Errorf("over a file: exit %d\n%s", r.code, r.stderr)
	}
	if r := command(t, s.dir, "", "backup", "--force", file); r.code != 0 {
		t.Errorf("with --force: exit %d\n%s", r.code, r.stderr)
	}
	s.user("later")
	if r := command(t, s.dir, "", "restore", file); r.code != 1 || !strings.Contains(r.stderr, "another HearthMQ runs") || !strings.Contains(r.stderr, "stop it") {
		t.Errorf("beside a server: exit %d\n%s", r.code, r.stderr)
	}
	if r := command(t, s.dir, "", "serve"); r.code != 1 || !strings.Contains(r.stderr, "another HearthMQ runs with the data in "+s.dir) {
		t.Errorf("a second server: exit %d\n%s", r.code, r.stderr)
	}
	s.stop()
	r := command(t, s.dir, "", "restore", file)
	if r.code != 0 || !strings.Contains(r.stderr, "3 users") || !strings.Contains(r.stderr, "kept as "+filepath.Join(s.dir, databaseName)) {
		t.Fatalf("exit %d\n%s", r.code, r.stderr)
	}
	if r := command(t, s.dir, "", "user", "list"); !strings.Contains(r.stdout, "lamp") || strings.Contains(r.stdout, "later") {
		t.Errorf("after the restore:\n%s", r.stdout)
	}
	startIn(t, s.dir, nil)
}

func TestBackupForSupervisor(t *testing.T) { // case S14
	s := start(t, nil)
	s.user("lamp")
	folder := filepath.Join(s.dir, "backup")
	for range 2 {
		if r := command(t, s.dir, "", "backup", "pre"); r.code != 0 {
			t.Fatalf("exit %d\n%s", r.code, r.stderr)
		}
	}
	restored := t.TempDir()
	if err := os.CopyFS(filepath.Join(restored, "backup"), os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r := command(t, s.dir, "", "backup", "post"); r.code != 0 {
			t.Fatalf("exit %d\n%s", r.code, r.stderr)
		}
	}
	if _, err := os.Stat(folder); err == nil {
		t.Error("the backup is still there")
	}
	if r := command(t, restored, "", "user", "list"); !strings.Contains(r.stdout, "lamp") {
		t.Errorf("exit %d, users\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := command(t, t.TempDir(), "", "backup", "pre"); r.code != 0 || !strings.Contains(r.stderr, "no database") {
		t.Errorf("without a database: exit %d\n%s", r.code, r.stderr)
	}
}
