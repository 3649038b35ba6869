package main

import (
	"bufio"
	"context"
	"io"
	"maps"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The user of the tests with clients that others wrote.
const (
	e2eUser     = "tester"
	e2ePassword = "a password for tests"
)

// startE2E runs a server with that user, who may do everything.
func startE2E(t *testing.T, o options) *testServer {
	t.Helper()
	return startE2EIn(t, t.TempDir(), o)
}

func startE2EIn(t *testing.T, dir string, o options) *testServer {
	t.Helper()
	if testing.Short() {
		t.Skip("not with -short")
	}
	all := options{"logins": []map[string]any{{"username": e2eUser, "password": e2ePassword}}}
	maps.Copy(all, o)
	return startIn(t, dir, all)
}

// program is a running client that somebody else wrote.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string // of its standard output; closed at its end
	err   *syncBuffer
}

// launch starts a program that the end of the test ends.
func launch(t *testing.T, env []string, dir, name string, args ...string) *program {
	t.Helper()
	return launchWith(t, nil, env, dir, name, args...)
}

// launchWith is launch for a program that is told things.
func launchWith(t *testing.T, stdin io.Reader, env []string, dir, name string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // the machine may be busy
	p := &program{t: t, cmd: exec.CommandContext(ctx, name, args...), lines: make(chan string, 1000), err: newSyncBuffer(nil)}
	p.cmd.Env, p.cmd.Dir, p.cmd.Stderr = env, dir, p.err
	if stdin != nil {
		p.cmd.Stdin = stdin
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the program
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		p.drain()
	})
	return p
}

// drain reads what is left and waits for the end of the program.
func (p *program) drain() []string {
	var rest []string
	for line := range p.lines {
		rest = append(rest, line)
	}
	_ = p.cmd.Wait() // ProcessState tells how it ended; a second Wait has nothing to say
	return rest
}

// line returns the next line of output.
func (p *program) line() string {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.t.Fatalf("%s ended: %s", p.cmd, p.err)
		}
		return line
	case <-time.After(3 * time.Minute):
		p.t.Fatalf("%s says nothing: %s", p.cmd, p.err)
		return ""
	}
}

// expect reads lines and compares them.
func (p *program) expect(want ...string) {
	p.t.Helper()
	for _, w := range want {
		if got := p.line(); got != w {
			p.t.Fatalf("%q, want %q", got, w)
		}
	}
}

// succeed waits for the program's end and returns its output.
func (p *program) succeed() []string {
	p.t.Helper()
	out := p.drain()
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Fatalf("%s: exit %d\n%s\n%s", p.cmd, code, strings.Join(out, "\n"), p.err)
	}
	return out
}

// have reports whether a program is installed.
func have(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}
