package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// testServer is a whole HearthMQ, made by run as the binary makes it, in a
// folder and on ports of its own.
type testServer struct {
	tb       testing.TB
	dir      string
	welcome  string      // what it printed
	mqtt     string      // host:port of plain MQTT
	ws       string      // host:port of MQTT over WebSocket
	mqtts    string      // host:port of MQTT over TLS, "" when it is closed
	admin    string      // URL of the direct admin
	setup    string      // the one-time link, "" when there is none
	log      *syncBuffer // what it logged
	cancel   context.CancelFunc
	exit     chan int
	stopOnce sync.Once
	code     int

	sentinels int // how many topics tell that subscriptions stand
}

// syncBuffer is a buffer that tells when something was written to it.
type syncBuffer struct {
	mu      sync.Mutex
	b       bytes.Buffer
	written chan struct{} // closed at the first Write
	also    io.Writer
}

func newSyncBuffer(also io.Writer) *syncBuffer {
	return &syncBuffer{written: make(chan struct{}), also: also}
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.b.Len() == 0 {
		close(s.written)
	}
	if s.also != nil {
		_, _ = s.also.Write(p) // the test's own output
	}
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// options are settings of a test, over those that keep it to this machine.
type options map[string]any

// start runs a server in a new folder until the test ends.
func start(tb testing.TB, o options, environ ...string) *testServer {
	tb.Helper()
	return startIn(tb, tb.TempDir(), o, environ...)
}

// startIn runs a server in dir until it is stopped or the test ends.
func startIn(tb testing.TB, dir string, o options, environ ...string) *testServer {
	tb.Helper()
	all := options{
		"mqtt_address": "127.0.0.1:0", "ws_address": "127.0.0.1:0", "mqtts_address": "127.0.0.1:0", "wss_address": "",
		"web_address": "127.0.0.1:0",
	}
	maps.Copy(all, o)
	writeOptions(tb, dir, all)
	return startAsIs(tb, dir, environ...)
}

// startAsIs runs a server with the settings that stand in dir.
func startAsIs(tb testing.TB, dir string, environ ...string) *testServer {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background()) // the end of the test stops it in order, below
	s := &testServer{tb: tb, dir: dir, log: newSyncBuffer(tb.Output()), cancel: cancel, exit: make(chan int, 1)}
	out := newSyncBuffer(nil)
	go func() {
		s.exit <- run(ctx, process{
			args: []string{"--data", dir}, environ: environ, stdin: strings.NewReader(""), stdout: out, stderr: s.log,
		})
	}()
	tb.Cleanup(func() { s.stop() })
	select {
	case <-out.written:
	case code := <-s.exit:
		s.exit <- code
		tb.Fatalf("ended with %d before it was ready", code)
	case <-time.After(3 * time.Minute):
		tb.Fatal("not ready in time")
	}
	s.welcome = out.String()
	s.mqtt, s.ws, s.mqtts = s.port("MQTT"), s.port("MQTT over WebSocket"), s.port("MQTT, encrypted")
	s.admin = s.match(`(?m)^  Admin +(http://\S+)$`)
	s.setup = s.match(`(?m)^  (http://\S+/setup\?token=\S+)$`)
	return s
}

func writeOptions(tb testing.TB, dir string, o options) {
	tb.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "options.json"), text, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func (s *testServer) match(pattern string) string {
	m := regexp.MustCompile(pattern).FindStringSubmatch(s.welcome)
	if m == nil {
		return ""
	}
	return m[1]
}

func (s *testServer) port(label string) string {
	p := s.match(`(?m)^  ` + label + ` +port (\d+)$`)
	if p == "" {
		return ""
	}
	return net.JoinHostPort("127.0.0.1", p)
}

// stop ends the server as SIGTERM does and returns its exit code.
func (s *testServer) stop() int {
	s.tb.Helper()
	s.stopOnce.Do(func() {
		s.cancel()
		select {
		case s.code = <-s.exit:
		case <-time.After(3 * time.Minute):
			s.tb.Error("did not stop in time")
			s.code = -1
		}
	})
	return s.code
}

// result is what a command left behind.
type result struct {
	code           int
	stdout, stderr string
}

// command runs a command line beside the server.
func command(tb testing.TB, dir, stdin string, args ...string) result {
	tb.Helper()
	var stdout, stderr bytes.Buffer
	code := run(tb.Context(), process{
		args: append([]string{"--data", dir}, args...), environ: []string{"USER=tester"},
		stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr,
	})
	return result{code, stdout.String(), stderr.String()}
}

// user adds a user and returns the password.
func (s *testServer) user(name string, args ...string) string {
	s.tb.Helper()
	r := command(s.tb, s.dir, "", append([]string{"user", "add", name, "--generate"}, args...)...)
	if r.code != 0 {
		s.tb.Fatalf("add user %s: exit %d\n%s", name, r.code, r.stderr)
	}
	return strings.TrimSpace(r.stdout)
}

// eventually waits for something that another goroutine or process brings about.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(3 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			tb.Fatalf("waited in vain: %s", what)
		}
	}
}

// need skips a test whose program is not installed; in CI that is a failure.
func need(tb testing.TB, what string, ok bool) {
	tb.Helper()
	if ok {
		return
	}
	if os.Getenv("CI") == "true" {
		tb.Fatalf("%s is not installed, and CI runs every test: make deps", what)
	}
	tb.Skipf("SKIPPED, NOT TESTED: %s is not installed: make deps", what)
}
