package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// entrance is a kind of door of serve -c.
type entrance struct {
	name, at string // at: what follows "listener"
	lines    string // of the listener
	tls, web bool
}

// knock sends one message after the other in one connection, as long as there is an answer to
// the one before, and returns those.
func (e entrance) knock(tb testing.TB, dir string, messages ...[]byte) (answers []string) {
	tb.Helper()
	network, at := "tcp", "127.0.0.1:"+strings.Fields(e.at)[0]
	if strings.HasPrefix(e.at, "0 ") {
		network, at = "unix", filepath.Join(dir, "s")
	}
	nc, err := net.DialTimeout(network, at, patience)
	if err != nil {
		tb.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience)) // it is a socket
	if e.tls {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test's own certificate
	}
	var ws *websocket.Conn
	if e.web {
		d := websocket.Dialer{Subprotocols: []string{"mqtt"}, NetDial: func(string, string) (net.Conn, error) { return nc, nil }}
		if ws, _, err = d.Dial("ws://localhost/mqtt", nil); err != nil {
			tb.Fatal(err)
		}
	}
	b := make([]byte, 4096)
	for _, m := range messages {
		n := 0
		if ws != nil {
			if err = ws.WriteMessage(websocket.BinaryMessage, m); err == nil {
				var got []byte
				_, got, err = ws.ReadMessage()
				n = copy(b, got)
			}
		} else if _, err = nc.Write(m); err == nil {
			n, err = nc.Read(b)
		}
		if err != nil { // closed
			break
		}
		answers = append(answers, fmt.Sprintf("%x", b[:n]))
	}
	return answers
}

// case A21, case A15: of all kinds of doors each is the only one for clients without a user
// name once. With TLS and without, in each version of the protocol, the others stay shut, and
// who comes in has the rights of nobody else.
func TestAnonymousByOneDoor(t *testing.T) {
	h := newHouse(t)
	h.issue("server")
	dir, err := os.MkdirTemp("", "hm") //nolint:usetesting // t.TempDir may be too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ports := freePorts(t, 4)
	certified := fmt.Sprintf("certfile %s\nkeyfile %s\n", h.path("server.pem"), h.path("server.key"))
	entrances := []entrance{
		{name: "TCP", at: ports[0] + " 127.0.0.1"}, {name: "TLS", at: ports[1] + " 127.0.0.1", lines: certified, tls: true},
		{name: "WebSocket", at: ports[2] + " 127.0.0.1", lines: "protocol websockets\n", web: true},
		{name: "secure WebSocket", at: ports[3] + " 127.0.0.1", lines: "protocol websockets\n" + certified, tls: true, web: true},
		{name: "Unix socket", at: "0 " + filepath.Join(dir, "s")},
	}
	s := &stand{ownStandIn: new(ownStandIn), tb: t, dir: dir, ports: ports}
	s.write("acl", "topic readwrite open/#\nuser roger\ntopic readwrite #\npattern readwrite of/%u/#\npattern readwrite by/%c/#\n")
	s.write("passwords", brokerScriptGroups[4].files["passwords"])
	conf := func(open int) string {
		text := "per_listener_settings true\n"
		for i, e := range entrances {
			text += fmt.Sprintf("listener %s\n%sallow_anonymous %v\nacl_file %s\npassword_file %s\n", e.at, e.lines, i == open, filepath.Join(dir, "acl"), filepath.Join(dir, "passwords"))
		}
		return text
	}
	s.up(conf(-1))
	const publish = `32{"%s" 0001 {} 'x'}`
	for open := -1; open < len(entrances); open++ {
		s.write("mosquitto.conf", conf(open))
		s.reload(t)
		for i, e := range entrances {
			oldest, old, named := say(t, `10{"MQIsdp" 03 02 003c "anna"}`), say(t, `C4("anna")`), say(t, `10{"MQTT" 04 82 003c "anna" "roger"}`)
			want := "20020005"
			if i == open {
				want = "20020000"
			}
			for version, connect := range map[string][]byte{"3.1": oldest, "3.1.1": old} {
				if got := e.knock(t, dir, connect); !slices.Equal(got, []string{want}) {
					t.Errorf("open: %d, %s, %s: %s, want %s", open, e.name, version, got, want)
				}
			}
			if got := e.knock(t, dir, named); !slices.Equal(got, []string{"20020005"}) {
				t.Errorf("open: %d, %s, a name without a password: %s", open, e.name, got)
			}
			messages := [][]byte{say(t, `C5({} "anna")`)}
			for _, name := range []string{"open/x", "of/roger/x", "of//x", "of/anna/x", "by/anna/x", "else", "$SYS/broker/uptime"} {
				messages = append(messages, say(t, fmt.Sprintf(publish, name)))
			}
			wants := []string{"2003008700"}
			if i == open {
				wants = []string{fmt.Sprintf("%x", say(t, "ACK5")), "4003000110", "4003000187", "4003000187", "4003000187", "4003000110", "4003000187", "4003000187"}
			}
			if got := e.knock(t, dir, messages...); !slices.Equal(got, wants) {
				t.Errorf("open: %d, %s, 5: %s, want %s", open, e.name, got, wants)
			}
		}
	}
	s.stop(t)
}

// case A13: whatever becomes of a file that is named in the configuration, who rereads it keeps
// what was good: no right, no password and no port is lost or won, the log says which file and
// tells nothing of what stands in it.
func TestStandInRereadsBrokenFiles(t *testing.T) {
	const secret = "6hunter2"
	s := newStand(t)
	h := newHouse(t)
	h.issue("server")
	good := map[string]string{
		"acl": "user roger\ntopic readwrite may/#\n", "passwords": brokerScriptGroups[4].files["passwords"],
		"mosquitto.conf": "listener @1 127.0.0.1\nallow_anonymous false\npassword_file @DIR/passwords\nacl_file @DIR/acl\n" +
			"listener @2 127.0.0.1\ncertfile " + h.path("server.pem") + "\nkeyfile " + h.path("server.key") + "\n",
	}
	for name, text := range good {
		s.write(name, text)
	}
	s.up(good["mosquitto.conf"])
	e := entrance{at: s.ports[0]}
	check := func(what string) {
		t.Helper()
		got := e.knock(t, s.dir, say(t, `10{"MQTT" 05 c2 003c {} "r" "roger" "password"}`), say(t, `32{"may/x" 0001 {} 'x'}`), say(t, `32{"not/x" 0002 {} 'x'}`))
		if want := []string{fmt.Sprintf("%x", say(t, "ACK5")), "4003000110", "4003000287"}; !slices.Equal(got, want) {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
		if got := e.knock(t, s.dir, say(t, `C4("a")`)); !slices.Equal(got, []string{"20020005"}) {
			t.Errorf("%s: without a name: %s", what, got)
		}
	}
	check("at first")
	write := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	for _, x := range []struct {
		what string
		make func(path string) error
	}{
		{"a pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o700) }},
		{"nothing", func(string) error { return nil }},
		{"a link to a device", func(path string) error { return os.Symlink("/dev/zero", path) }},
		{"100 MB", func(path string) error { return errors.Join(write("")(path), os.Truncate(path, 100<<20)) }},
		{"a key", write("-----BEGIN PRIVATE KEY-----\n" + secret + "\n")},
		{"shadow", write("root:$y$" + secret + "$x:1:0:::::\n")},
		{"NUL", write("allow_anonymous true\x00\n")},
	} {
		for name, text := range good {
			if name == "passwords" && (x.what == "a key" || x.what == "shadow" || x.what == "NUL") {
				continue // each line of these is left out for itself: nobody can log in
			}
			path := filepath.Join(s.dir, name)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := x.make(path); err != nil {
				t.Fatal(err)
			}
			before := len(s.log.String())
			s.reload(t)
			said := s.log.String()[before:]
			if !strings.Contains(said, "the configuration stays as it was") || !strings.Contains(said, name) || strings.Contains(said, secret) || len(said) > 20_000 {
				t.Errorf("%s for %s: %d bytes, %.1000s", x.what, name, len(said), said)
			}
			check(x.what + " for " + name)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			s.write(name, text)
		}
	}
	before := len(s.log.String())
	s.reload(t)
	if said := s.log.String()[before:]; !strings.Contains(said, "configuration reread") {
		t.Error("good again:", said)
	}
	check("at last")
	s.stop(t)
}
