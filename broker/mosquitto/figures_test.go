package mosquitto_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"hearthmq/broker/mosquitto"
)

// large writes a home beyond all homes: 1,000 users, 5,000 rules and 100,000 retained
// messages of 100 bytes.
func large() mosquitto.Uploaded {
	var pw, acl strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&pw, "user%d:%s\n", i, someHash)
		fmt.Fprintf(&acl, "user user%d\n", i)
		for j := range 4 {
			fmt.Fprintf(&acl, "topic readwrite home/%d/%d/#\n", i, j)
		}
		fmt.Fprintf(&acl, "topic deny home/%d/1/secret\n", i)
	}
	acl.WriteString("pattern write status/%u\npattern read public/#\n")
	db := &mosquitto.Database{Messages: map[uint64]*mosquitto.BaseMessage{}}
	for i := uint64(1); i <= 100_000; i++ {
		db.Messages[i] = &mosquitto.BaseMessage{
			ID: i, Topic: fmt.Sprintf("home/%d/%d/state", i%1000, i), Payload: bytes.Repeat([]byte("x"), 100), QoS: 1, Retain: true,
			SourceID: fmt.Sprintf("device-%d", i%300), SourceUser: "user1",
		}
		db.Retained = append(db.Retained, i)
	}
	return mosquitto.Uploaded{"/pw": []byte(pw.String()), "/acl": []byte(acl.String()), "/db": writeDatabase(6, db)}
}

// The figures without the database: what reading and planning cost.
func TestFigures(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	files := large()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	in := mosquitto.Reader{Files: files}.Read(mosquitto.Sources{Passwords: "/pw", ACL: "/acl", Database: "/db"})
	p := plan(in)
	took := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	rules := 0
	for _, u := range p.Users {
		rules += len(u.Rules)
	}
	t.Logf("%d users, %d rules, %d retained messages read and planned in %v, %d MiB", len(p.Users), rules, len(p.State.Retained), took, (after.HeapAlloc-before.HeapAlloc)>>20)
	if len(p.Users) != 1000 || rules != 5000 || len(p.State.Retained) != 100_000 {
		t.Error(p.Report.Broken)
	}
	runtime.KeepAlive(files)
}

// A sparse file of 1 GiB and one with a payload that claims to be huge cost nothing.
func TestHugeFiles(t *testing.T) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if db, found := mosquitto.ReadDatabase("zeros", &zeros{1 << 30}); db != nil || mosquitto.Worst(found) != mosquitto.Broken {
		t.Error(found)
	}
	w := &dbWriter{version: 6}
	w.WriteString("\x00\xb5\x00mosquitto db")
	w.be(uint32(0), uint32(6), uint32(2), uint32(32+200_000_000))
	w.le(1)
	w.le(0)
	w.be(uint32(200_000_000-1), uint16(0), uint16(0), uint16(0), uint16(1), uint16(0), byte(0), byte(1), byte('t'))
	if db, found := mosquitto.ReadDatabase("claims", w); db != nil || mosquitto.Worst(found) != mosquitto.Broken {
		t.Error(found)
	}
	if list, found := mosquitto.ReadPasswords("zeros", &zeros{1 << 30}); list != nil || mosquitto.Worst(found) != mosquitto.Broken {
		t.Error(found)
	}
	if _, found := mosquitto.ReadACL("zeros", &zeros{1 << 30}); mosquitto.Worst(found) != mosquitto.Broken {
		t.Error(found)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("%d MiB allocated", used>>20)
	}
}
