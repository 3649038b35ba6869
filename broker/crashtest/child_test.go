package crashtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/sqlite"
)

// childEnv holds the settings that make this program a broker.
const childEnv = "HEARTHMQ_CRASHTEST"

// settings are the broker's in the child process.
type settings struct {
	Dir        string
	Durability broker.Durability
	// MaxInflight is the broker's setting, 0: its default.
	MaxInflight uint16
	// MaxQueued is the setting MaxQueuedMessages, 0: its default.
	MaxQueued int
	// Processors is how many the process may use at a time, 0: all.
	Processors int
}

func (s settings) database() string { return filepath.Join(s.Dir, "hearthmq.db") }

// runChild is the program of the child process: it serves on a free port of the
// loopback interface and says which. When its standard input ends it shuts the
// broker down, leaves the database as it is, and waits to be killed.
func runChild(text string) int {
	if err := serve(text); err != nil {
		fmt.Fprintln(os.Stderr, "broker:", err)
		return 1
	}
	return 0
}

func serve(text string) error {
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	if s.Processors > 0 {
		runtime.GOMAXPROCS(s.Processors)
	}
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := sqlite.OpenServer(ctx, s.database(), log)
	if err != nil {
		return err
	}
	if r := db.Report(); r.Happened() {
		return fmt.Errorf("the database was not sound: %s", r)
	}
	everybody := brokertest.Everything{}
	b, err := broker.New(
		broker.Config{Durability: s.Durability, MaxInflight: s.MaxInflight, MaxQueuedMessages: s.MaxQueued, SysInterval: time.Hour},
		broker.Deps{Authenticator: everybody, Authorizer: everybody, Store: db.Store(), Log: log})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- b.Serve(ctx, ln, broker.ListenerInfo{Name: "mqtt"}) }()
	fmt.Println(ln.Addr(), os.Getpid())

	// Commands come by lines: what a test wants to know of the broker's figures.
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			b, err := json.Marshal(b.Stats().Store)
			if err != nil {
				panic(err)
			}
			fmt.Println(string(b))
		}
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("listener: %w", err)
	case <-ended:
	}
	stop, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := errors.Join(ln.Close(), b.Shutdown(stop)); err != nil {
		fmt.Fprintln(os.Stderr, "broker:", err)
	}
	fmt.Println("stopped")
	<-time.After(time.Minute) // nobody kills it: the test has gone
	return nil
}

// child is a broker's process, from the test's side.
type child struct {
	settings settings
	addr     string
	pid      int
	began    time.Time

	cmd    *exec.Cmd
	stdin  io.Closer
	ask    io.Writer
	stdout *bufio.Scanner
	errors lockedBuffer
	once   sync.Once
	result error
}

// lockedBuffer is what the process has to say to its owner.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts a broker, by way of the program wrap when that is given, and returns
// once it listens.
func start(t testing.TB, s settings, wrap ...string) *child {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	line := append(wrap, program)
	c := &child{settings: s, began: time.Now(), cmd: exec.Command(line[0], line[1:]...)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	c.cmd.Stderr = &c.errors
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stdin, c.ask = in, in
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.kill() })
	c.stdout = bufio.NewScanner(out)
	if !c.stdout.Scan() {
		t.Fatalf("the broker did not start: %v\n%s", c.stdout.Err(), c.errors.String())
	}
	if _, err := fmt.Sscan(c.stdout.Text(), &c.addr, &c.pid); err != nil {
		t.Fatalf("the broker said %q: %v", c.stdout.Text(), err)
	}
	return c
}

// kill ends the process as kill -9 does and waits for its end.
func (c *child) kill() {
	c.once.Do(func() {
		if p, err := os.FindProcess(c.pid); err == nil && c.pid != 0 {
			p.Kill() // under strace it is not the process that was started
		} else {
			c.cmd.Process.Kill()
		}
		c.stdin.Close()
		c.result = c.cmd.Wait()
	})
}

// stop shuts the broker down in order, so that nothing is pending, and then kills
// the process: its files stay as they are while it runs.
func (c *child) stop(t testing.TB) {
	t.Helper()
	c.stdin.Close()
	for c.stdout.Scan() {
		if strings.HasPrefix(c.stdout.Text(), "stopped") {
			c.kill()
			return
		}
	}
	c.kill()
	t.Errorf("the broker did not stop: %v\n%s", c.result, c.errors.String())
}

// figures asks the process how its journal fares.
func (c *child) figures(t testing.TB) broker.StoreFigures {
	t.Helper()
	var f broker.StoreFigures
	if _, err := fmt.Fprintln(c.ask, "figures"); err != nil {
		t.Fatal(err)
	}
	if !c.stdout.Scan() {
		t.Fatalf("the broker is gone: %v\n%s", c.stdout.Err(), c.errors.String())
	}
	if err := json.Unmarshal(c.stdout.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	return f
}
