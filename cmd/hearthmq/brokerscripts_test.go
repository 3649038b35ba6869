package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Mosquitto's own broker tests start `-c FILE -p PORT -v`, speak bytes and compare
// bytes. Here is, in our own notation, what they expect of a broker, against the program
// as it is started.

// brokerScripts share one start of the program. In conf, files and scripts @1 to @3 are
// free ports and @DIR the folder, which is also the current one.
type brokerScripts struct {
	conf  string // "": -p PORT alone
	files map[string]string
	rows  []brokerScript
}

// brokerScript is a sequence over connections; a name's last digit is the port's:
//
//	A1 > BYTES     sends
//	A1 < BYTES     has to come next
//	A1 has BYTES   something that begins so has to come; the rest of the packet may be anything
//	A1 ends        the broker closes, without a byte more
//	A1 close       the client does
//	restart        the program ends and starts again
//
// BYTES are hex, 'text', "text" behind its length in two bytes, and {BYTES} behind theirs
// as a variable byte integer. ACK3 and ACK5 are CONNACKs of success.
type brokerScript struct{ name, script string }

const (
	ack5 = "20{0000{22000a 27001e8480 210014}}"
	sub1 = "82{0001 {} "
)

// say assembles BYTES.
func say(tb testing.TB, text string) []byte {
	tb.Helper()
	text = strings.NewReplacer("ACK5", ack5, "ACK3", "20{0000}", "C5(", `10{"MQTT" 05 02 003c `, "C4(", `10{"MQTT" 04 02 003c `, "C4k(", `10{"MQTT" 04 00 003c `).Replace(text)
	b, rest := assemble(tb, text)
	if rest != "" {
		tb.Fatalf("%q is left of %q", rest, text)
	}
	return b
}

func assemble(tb testing.TB, text string) (b []byte, rest string) {
	tb.Helper()
	for text != "" {
		switch c := text[0]; c {
		case ' ', '\t':
			text = text[1:]
		case '}', ')':
			return b, text[1:]
		case '{':
			var inner []byte
			inner, text = assemble(tb, text[1:])
			for n := len(inner); ; {
				digit := byte(n % 128)
				if n /= 128; n > 0 {
					b = append(b, digit|128)
					continue
				}
				b = append(b, digit)
				break
			}
			b = append(b, inner...)
		case '\'', '"':
			word, after, ok := strings.Cut(text[1:], string(c))
			if !ok {
				tb.Fatalf("no end of %q", text)
			}
			if c == '"' {
				b = append(b, byte(len(word)>>8), byte(len(word)))
			}
			b, text = append(b, word...), after
		default:
			d, err := hex.DecodeString(text[:min(2, len(text))])
			if err != nil {
				tb.Fatalf("%q: %v", text, err)
			}
			b, text = append(b, d...), text[2:]
		}
	}
	return b, ""
}

// startedBroker is the program in a process of its own.
type startedBroker struct {
	t     *testing.T
	dir   string
	ports []string
	args  []string
	cmd   *exec.Cmd
	log   *syncBuffer
	conns map[string]net.Conn
}

func (s *startedBroker) fill(text string) string {
	text = strings.ReplaceAll(text, "@DIR", s.dir)
	for i, p := range s.ports {
		text = strings.ReplaceAll(text, fmt.Sprintf("@%d", i+1), p)
	}
	return text
}

func (s *startedBroker) start() {
	s.t.Helper()
	s.log = newSyncBuffer(nil)
	s.cmd = asProgram(s.t, []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + s.t.TempDir()}, s.args...)
	s.cmd.Dir, s.cmd.Stderr = s.dir, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "it listens", func() bool { return strings.Contains(s.log.String(), ": ready") })
}

func (s *startedBroker) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("SIGTERM: %v\n%s", err, s.log)
	}
}

func (s *startedBroker) dial(name string) net.Conn {
	s.t.Helper()
	if c := s.conns[name]; c != nil {
		return c
	}
	network, at := "tcp", ""
	if d := name[len(name)-1]; d == '9' {
		network, at = "unix", filepath.Join(s.dir, "s.sock")
	} else {
		at = net.JoinHostPort("127.0.0.1", s.ports[d-'1'])
	}
	c, err := net.DialTimeout(network, at, patience)
	if err != nil {
		s.t.Fatal(err)
	}
	s.conns[name] = c
	return c
}

func (s *startedBroker) run(x brokerScript) {
	s.conns = map[string]net.Conn{}
	defer func() {
		for _, c := range s.conns {
			c.Close()
		}
	}()
	for line := range strings.Lines(x.script) {
		line = s.fill(strings.TrimSpace(line))
		if line == "" {
			continue
		}
		if line == "restart" {
			s.stop()
			s.start()
			continue
		}
		name, step, _ := strings.Cut(line, " ")
		verb, text, _ := strings.Cut(step, " ")
		if err := s.step(name, verb, say(s.t, text)); err != nil {
			s.t.Errorf("%s\n%s: %v", x.name, line, err)
			return
		}
	}
}

func (s *startedBroker) step(name, verb string, b []byte) error {
	c := s.dial(name)
	_ = c.SetDeadline(time.Now().Add(patience)) // it is a socket
	switch verb {
	case ">":
		_, err := c.Write(b)
		return err
	case "<", "has":
		got := make([]byte, len(b))
		n, err := io.ReadFull(c, got)
		if !bytes.Equal(got[:n], b) {
			return fmt.Errorf("got %x (%v), want %x", got[:n], err, b)
		}
		if verb == "has" {
			_, err = io.CopyN(io.Discard, c, int64(b[1])+2-int64(n)) // a short packet
		}
		return err
	case "ends":
		n, err := c.Read(make([]byte, 1))
		if n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("read %d bytes, %v", n, err)
		}
		return nil
	case "close":
		delete(s.conns, name)
		return c.Close()
	}
	return fmt.Errorf("no such verb: %s", verb)
}

func TestBrokerScripts(t *testing.T) {
	for i, g := range brokerScriptGroups {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			s := &startedBroker{t: t, dir: t.TempDir(), ports: freePorts(t, 3)}
			for name, text := range g.files {
				writeFile(t, filepath.Join(s.dir, name), s.fill(text))
			}
			s.args = []string{"serve", "-v", "-p", s.ports[0]}
			allowed := map[string]bool{"mosquitto.db": true, "mosquitto.db.hearthmq": true, "s.sock": true}
			if g.conf != "" {
				writeFile(t, filepath.Join(s.dir, "broker.conf"), s.fill("user root\n"+g.conf))
				s.args = []string{"serve", "-v", "-c", "broker.conf", "-p", s.ports[0]}
				allowed["broker.conf"] = true
			}
			s.start()
			for _, x := range g.rows {
				s.run(x)
			}
			if strings.Contains(g.conf, "pid_file") {
				if pid, err := os.ReadFile(filepath.Join(s.dir, "broker.pid")); err != nil || string(pid) != fmt.Sprint(s.cmd.Process.Pid) {
					t.Errorf("pid_file: %q %v", pid, err)
				}
			}
			s.stop()
			files, err := os.ReadDir(s.dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if _, own := g.files[f.Name()]; !own && !allowed[f.Name()] {
					t.Errorf("%s is left in the current folder", f.Name())
				}
			}
		})
	}
}
