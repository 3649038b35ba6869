package crashtest

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// tracedCalls are all calls that can change a file, move bytes over a socket, or
// say what a descriptor stands for. That calls which the broker does not make are
// among them is the point: record fails when one of them touches its files.
const tracedCalls = "open,openat,openat2,creat,close,close_range,dup,dup2,dup3," +
	"lseek,pwrite64,pwritev,pwritev2,write,writev,ftruncate,truncate,fallocate,copy_file_range,sendfile,splice," +
	"fsync,fdatasync,sync_file_range,sync,syncfs,msync,mmap," +
	"unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat," +
	"accept,accept4,socket,read,readv,recvfrom,recvmsg,sendto,sendmsg,eventfd2,pipe2,epoll_create1,io_uring_setup"

// longestString is how many bytes of a buffer strace prints at most. A longer one
// is an error, not a gap.
const longestString = 1 << 20

// tracer starts a broker's process under strace. inject are injections as strace
// wants them, such as "fsync:delay_exit=10000".
func tracer(output string, inject ...string) []string {
	line := []string{"strace", "-f", "-qq", "-xx", "-s", strconv.Itoa(longestString), "-e", "signal=none",
		"--seccomp-bpf", "-e", "trace=" + tracedCalls, "-o", output}
	for _, i := range inject {
		line = append(line, "-e", "inject="+i)
	}
	return line
}

// slowDisk starts a broker's process with an injection only: nothing is recorded.
func slowDisk(t testing.TB, inject string) []string {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	return []string{"strace", "-f", "-qq", "-e", "signal=none", "--seccomp-bpf", "-e", "trace=fsync",
		"-o", filepath.Join(t.TempDir(), "strace"), "-e", "inject=" + inject}
}

// call is one system call.
type call struct {
	pid      int
	name     string
	args     []string // complete when the call ends
	entered  int      // number of arguments known when it began
	ret      int64
	failed   bool
	cut      bool // the process was killed in it
	injected bool // strace answered in the kernel's place
	note     any  // the recorder's own
}

// recorder is told of the calls' beginnings and ends in the order in which they happened.
type recorder interface {
	enter(c *call) error
	leave(c *call) error
}

// readTrace reads what strace has written. Every line must make sense.
func readTrace(in io.Reader, r recorder) error {
	open := map[int]*call{}
	lines := bufio.NewReaderSize(in, 1<<20)
	for n := 1; ; n++ {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := readLine(strings.TrimSuffix(line, "\n"), open, r); err != nil {
			return fmt.Errorf("line %d of the trace: %w: %.300s", n, err, line)
		}
	}
	for _, c := range open { // killed in the midst of it
		c.cut, c.failed = true, true
		if err := r.leave(c); err != nil {
			return err
		}
	}
	return nil
}

func readLine(line string, open map[int]*call, r recorder) error {
	first, rest, ok := strings.Cut(line, " ")
	pid, err := strconv.Atoi(first)
	if err != nil || !ok {
		return errors.New("does not begin with a process")
	}
	rest = strings.TrimLeft(rest, " ")
	switch {
	case strings.HasPrefix(rest, "+++ "):
		if c := open[pid]; c != nil {
			delete(open, pid)
			c.cut, c.failed = true, true
			return r.leave(c)
		}
		return nil
	case strings.HasPrefix(rest, "--- "):
		return nil
	case strings.HasPrefix(rest, "<... "):
		c := open[pid]
		if c == nil {
			return errors.New("resumes what did not begin")
		}
		delete(open, pid)
		name, tail, ok := strings.Cut(rest[len("<... "):], " resumed>")
		if !ok || name != c.name {
			return errors.New("resumes another call")
		}
		return finish(c, tail, r)
	}
	name, args, ok := strings.Cut(rest, "(")
	if !ok {
		return errors.New("is no call")
	}
	c := &call{pid: pid, name: name}
	if open[pid] != nil {
		return errors.New("begins within another call")
	}
	if head, unfinished := strings.CutSuffix(args, " <unfinished ...>"); unfinished {
		c.args = splitArgs(head)
		c.entered = len(c.args)
		open[pid] = c
		return r.enter(c)
	}
	at := endOfArgs(args)
	if at < 0 {
		return errors.New("has no end")
	}
	c.args = splitArgs(args[:at])
	c.entered = len(c.args)
	if err := r.enter(c); err != nil {
		return err
	}
	c.args = nil
	return finish(c, args, r)
}

// endOfArgs finds the parenthesis that ends the arguments: the first one before an
// equals sign. Strings, being in hexadecimal, have none.
func endOfArgs(s string) int {
	for at := 0; ; at++ {
		i := strings.IndexByte(s[at:], ')')
		if i < 0 {
			return -1
		}
		if at += i; strings.HasPrefix(strings.TrimLeft(s[at+1:], " "), "= ") {
			return at
		}
	}
}

// finish takes the end of a call: the rest of its arguments and what it returned.
func finish(c *call, tail string, r recorder) error {
	at := endOfArgs(tail)
	if at < 0 {
		if strings.HasSuffix(tail, "<unfinished ...>") { // killed in it
			c.cut, c.failed = true, true
			return r.leave(c)
		}
		return errors.New("has no end")
	}
	c.args = append(c.args, splitArgs(tail[:at])...)
	result, ok := strings.CutPrefix(strings.TrimLeft(tail[at+1:], " "), "= ")
	if !ok {
		return errors.New("returns nothing")
	}
	c.injected = strings.Contains(result, "(INJECTED)")
	value, _, _ := strings.Cut(result, " ")
	if value == "?" {
		c.cut, c.failed = true, true
		return r.leave(c)
	}
	ret, err := strconv.ParseInt(value, 0, 64)
	if err != nil {
		if u, e := strconv.ParseUint(value, 0, 64); e == nil { // an address
			ret, err = int64(u>>1), nil
		}
	}
	if err != nil {
		return fmt.Errorf("returns %q", value)
	}
	c.ret, c.failed = ret, ret < 0
	return r.leave(c)
}

// splitArgs splits the arguments. Strings are in hexadecimal, so a comma within
// braces or brackets is the only one that does not separate.
func splitArgs(s string) []string {
	s = strings.TrimSuffix(strings.TrimSpace(s), ",")
	if s == "" {
		return nil
	}
	if !strings.ContainsAny(s, "{[") {
		return strings.Split(s, ", ")
	}
	var out []string
	depth, from := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, strings.TrimSpace(s[from:i]))
				from = i + 1
			}
		}
	}
	return append(out, strings.TrimSpace(s[from:]))
}

// number returns argument i as a number.
func (c *call) number(i int) (int64, error) {
	if i >= len(c.args) {
		return 0, fmt.Errorf("%s has no argument %d", c.name, i)
	}
	return strconv.ParseInt(c.args[i], 0, 64)
}

// bytes returns argument i, a buffer, in full.
func (c *call) bytes(i int) ([]byte, error) {
	if i >= len(c.args) {
		return nil, fmt.Errorf("%s has no argument %d", c.name, i)
	}
	text, ok := strings.CutPrefix(c.args[i], `"`)
	if !ok {
		return nil, fmt.Errorf("argument %d of %s is no buffer", i, c.name)
	}
	text, rest, ok := strings.Cut(text, `"`)
	if !ok || rest != "" {
		return nil, fmt.Errorf("argument %d of %s was cut short", i, c.name)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(text, `\x`, ""))
	if err != nil {
		return nil, fmt.Errorf("argument %d of %s: %w", i, c.name, err)
	}
	return b, nil
}

// flag reports whether argument i, a set of flags, has one of that name.
func (c *call) flag(i int, name string) bool {
	if i >= len(c.args) {
		return false
	}
	for f := range strings.SplitSeq(c.args[i], "|") {
		if f == name {
			return true
		}
	}
	return false
}

// readTraceFile is readTrace of a file.
func readTraceFile(path string, r recorder) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return readTrace(f, r)
}
