package main

import (
	"bytes"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hearthmq/broker/brokertest"
)

// With Mosquitto's files the admin makes and restores backups as it does without.
func TestStandInBackupAndRestore(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a whole server twice")
	}
	s := newStand(t)
	data, address := filepath.Join(s.dir, "data"), brokertest.FreeAddress(t)
	if r := command(t, data, ownerPassword, "user", "add", "anna", "--admin", "--password-stdin"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	s.args, s.environ = []string{"--data", data}, []string{"HEARTHMQ_WEB_ADDRESS=" + address}
	s.up("listener @1\nallow_anonymous true\npersistence true\npersistence_location @DIR/\n")
	p := newPerson(t, "http://"+address)
	p.post("/login", url.Values{"username": {"anna"}, "password": {ownerPassword}})
	s.expect("a1 connect id=a\na1 pub kept qos=1 retain=1 payload=x", connected, "PUBACK 0x0")
	backup := []byte(p.post("/settings/backup", nil))
	if !bytes.HasPrefix(backup, []byte("SQLite format 3\x00")) {
		t.Fatalf("the backup begins with %.200q", backup)
	}
	p.post("/users/new", url.Values{"name": {"late"}, "password-kind": {"generate"}})
	status, question := p.upload("/settings/restore", "hearthmq.db", backup)
	key := regexp.MustCompile(`name="key" value="([A-Z2-7]+)"`).FindStringSubmatch(question)
	if status != http.StatusOK || key == nil {
		t.Fatalf("upload: %d %.300s", status, question)
	}
	p.post("/settings/restore/confirm", url.Values{"key": {key[1]}})
	eventually(t, "it starts again with the backup", func() bool { return strings.Count(s.log.String(), "ready") == 2 })
	if r := command(t, data, "", "user", "list"); r.code != 0 || !strings.Contains(r.stdout, "anna") || strings.Contains(r.stdout, "late") {
		t.Errorf("the users are not those of the backup: %+v", r)
	}
	s.stop(t)
}

// Where nothing is kept, the page says why there are no backups.
func TestStandInWithoutData(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a whole server")
	}
	s := newStand(t)
	address := brokertest.FreeAddress(t)
	s.environ = []string{"HEARTHMQ_WEB_ADDRESS=" + address}
	s.up("listener @1\nallow_anonymous true\n")
	var token []string
	eventually(t, "it prints the link", func() bool {
		token = regexp.MustCompile(`setup\?token=(\S+)\n`).FindStringSubmatch(s.out.String())
		return token != nil
	})
	p := newPerson(t, "http://"+address)
	p.post("/setup", url.Values{"token": {token[1]}, "name": {"anna"}, "password": {ownerPassword}, "repeat": {ownerPassword}})
	if page := p.get("/settings/backup"); !strings.Contains(page, "persistence is off") {
		t.Errorf("it says %.500s", page)
	}
	s.stop(t)
}
