package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// memoryGroup is a cgroup that kills who takes more memory than it has, as containers do.
type memoryGroup struct {
	dir          string
	peak, events string // files
	limit        int64
}

// newMemoryGroup makes one, of version 2 or 1; the test is skipped where it may not.
func newMemoryGroup(t *testing.T, limit int64) *memoryGroup {
	t.Helper()
	const root = "/sys/fs/cgroup"
	g := &memoryGroup{limit: limit}
	max := "memory.max"
	switch controllers, err := os.ReadFile(root + "/cgroup.controllers"); {
	case err == nil && strings.Contains(string(controllers), "memory"):
		_ = os.WriteFile(root+"/cgroup.subtree_control", []byte("+memory"), 0) // it may be on already; what follows tells
		g.dir, g.peak, g.events = root+"/hearthmq-test", "memory.peak", "memory.events"
	default:
		g.dir, g.peak, g.events, max = root+"/memory/hearthmq-test", "memory.max_usage_in_bytes", "memory.oom_control", "memory.limit_in_bytes"
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: no cgroup can be made: %v", err)
	}
	t.Cleanup(func() {
		eventually(t, "the cgroup is empty", func() bool { return os.Remove(g.dir) == nil })
	})
	if err := os.WriteFile(filepath.Join(g.dir, max), []byte(strconv.FormatInt(limit, 10)), 0); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: no limit can be set: %v", err)
	}
	// Swap would hide what does not fit.
	for _, swap := range []string{"memory.swap.max", "memory.swappiness"} {
		_ = os.WriteFile(filepath.Join(g.dir, swap), []byte("0"), 0) // the one that this version has
	}
	return g
}

func (g *memoryGroup) read(name string) string {
	text, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// A container with 256 MiB that is told so, and a thousand subscribers of which each has
// a queue to fill, half by reading nothing, half by being away: the kernel kills nobody.
func TestFloodCgroup(t *testing.T) { // cases R5, R6
	const container, limit, readers, size = 256 << 20, 205 << 20, 1000, 4 << 10
	v := newVictim(t, options{"memory_limit": strconv.Itoa(limit), "durability": "memory", "max_connections_per_address": 0})
	g := newMemoryGroup(t, container)
	v.shell = "echo $$ > " + g.dir + "/cgroup.procs; "
	v.start()
	for i := range readers {
		d, err := connectDevice(v.mqtt, fmt.Sprint("slow", i), e2eUser, e2ePassword, i%2 == 0)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		_ = d.Conn.(*net.TCPConn).SetReadBuffer(4096)
		if err := d.subscribe("flood/#", byte(i%2)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			d.Close()
		}
	}
	before, _ := v.rss()
	s := startSentinel(t, v.mqtt)
	pub, err := connectDevice(v.mqtt, "pub", e2eUser, e2ePassword, true)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // until the end of the connection
		for {
			if _, err := pub.next(); err != nil {
				return
			}
		}
	}()
	sent := 0
	// Each message is of its own: one that many queues share would be held once.
	begin := time.Now()
	for tick := time.NewTicker(10 * time.Millisecond); time.Since(begin) < 40*time.Second; <-tick.C {
		var b bytes.Buffer
		for range 10 {
			sent++
			id := string(binary.BigEndian.AppendUint16(nil, uint16(sent%60_000+1)))
			b.WriteString(frameOf(0x32, mqttString("flood/t")+id+fmt.Sprintf("%010d", sent)+strings.Repeat("x", size-10)))
		}
		if _, err := pub.Write(b.Bytes()); err != nil {
			t.Fatalf("after %d messages: %v", sent, err)
		}
	}
	p50, p99, worst := s.end(t)
	_, most := v.rss() // fails the test where the process is gone
	t.Logf("R5/R6: %d messages of %d bytes in 40 s for %d subscribers that read nothing and as many that are away, in a container of %s with memory_limit %s: "+
		"RSS %s before, %s at most; the container %s at most (%s); %d sockets left; sentinel p50 %v p99 %v worst %v",
		sent, size, readers/2, mib(container), mib(limit), mib(before), mib(most), g.read(g.peak), strings.ReplaceAll(g.read(g.events), "\n", ", "), v.sockets(), p50, p99, worst)
	if most > limit+limit/10 {
		t.Errorf("RSS %s with a limit of %s", mib(most), mib(limit))
	}
}
