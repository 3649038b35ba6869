package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// sentinel is a small home beside a flood: a device that publishes fifty times a second and
// somebody who waits for it. It is a process of its own, since in that of the flood it would
// wait for the flood's clients and not for the broker.
type sentinel struct {
	cmd  *exec.Cmd
	stop io.Closer
	took []time.Duration
	read chan error // what ended the reading of took
}

// sentinelOf has the address in a sentinel's environment.
const sentinelOf = "HEARTHMQ_SENTINEL"

func startSentinel(t *testing.T, addr string) *sentinel {
	t.Helper()
	s := &sentinel{cmd: exec.Command(os.Args[0], "-test.run=^TestSentinelProcess$", "-test.v"), read: make(chan error, 1)}
	s.cmd.Env = append(os.Environ(), sentinelOf+"="+addr)
	stdin, err1 := s.cmd.StdinPipe()
	stdout, err2 := s.cmd.StdoutPipe()
	s.cmd.Stderr = t.Output()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.stop = stdin
	t.Cleanup(func() { stdin.Close() })
	go func() { // ends with the process
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if d, err := time.ParseDuration(lines.Text()); err == nil { // the rest is the test's
				s.took = append(s.took, d)
			}
		}
		s.read <- lines.Err()
	}()
	return s
}

// end stops it and returns median, 99th percentile and worst of the times.
func (s *sentinel) end(t *testing.T) (p50, p99, worst time.Duration) {
	t.Helper()
	s.stop.Close()
	if err := errors.Join(<-s.read, s.cmd.Wait()); err != nil {
		t.Fatalf("the sentinel was cut off: %v", err)
	}
	slices.Sort(s.took)
	n := len(s.took)
	if n == 0 {
		t.Fatal("the sentinel saw nothing")
	}
	return s.took[n/2], s.took[n*99/100], s.took[n-1]
}

// TestSentinelProcess is a sentinel's process: it prints how long each message took until
// its input ends.
func TestSentinelProcess(t *testing.T) {
	addr := os.Getenv(sentinelOf)
	if addr == "" {
		t.Skip("only as a child of the tests of floods")
	}
	var in, out *handset
	for _, d := range []struct {
		to **handset
		id string
	}{{&in, "sentinel-in"}, {&out, "sentinel-out"}} {
		c, err := connectDevice(addr, d.id, e2eUser, e2ePassword, true)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		*d.to = c
	}
	if err := out.subscribe("sentinel/t", 0); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	p := publishBytes("sentinel/t", "21.5")
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		begin := time.Now()
		_ = out.SetDeadline(begin.Add(30 * time.Second))
		if _, err := in.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := out.next(); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString(time.Since(begin).String() + "\n")
	}
}
