package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// badPasswordLines are a password_file's lines that give no account with a password, and one
// that is good. What stands behind a name twice may let in with the first of the two only.
func badPasswordLines() (text string, names []string) {
	good := mosquittoHash("password")
	lines := []string{
		"", "   ", ":", "::", ":" + good, "nocolon", "nohash:", "space: ", "clear:secret", "cut:" + good[:30], "nosum:$7$101$c2FsdHNhbHRzYWx0$",
		"nosalt:$7$101$$" + strings.Repeat("A", 88), "norounds:$7$0$c2FsdHNhbHRzYWx0$" + strings.Repeat("A", 88), "crypt:$1$abc$def", "bcrypt:$2b$10$abcdefghijklmnopqrstuv",
		"dollars:$$$$", "wild+card:" + good, "more:" + good + ":x", "caf\xe9:" + good, "good:" + good, "good:" + mosquittoHash("second"), "twice:", "twice:" + good, "# comment:" + good,
	}
	for _, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		names = append(names, strings.TrimSpace(name))
	}
	return strings.Join(lines, "\n") + "\n", append(names, "")
}

// case A14: whatever line of a password_file is malformed, empty, a duplicate or without a
// hash makes no account that lets anybody in: not with an empty password, nor without one, nor
// with what stands on the line; imported, run with `serve -c`, and given as logins in the
// settings; by every version, on TCP and WebSocket. The good one gets in.
func TestNobodyWithoutAPassword(t *testing.T) {
	text, names := badPasswordLines()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	var logins []options
	for _, line := range lines {
		name, hash, _ := strings.Cut(line, ":")
		logins = append(logins, options{"username": strings.TrimSpace(name), "password": hash, "password_pre_hashed": true})
	}
	s := start(t, options{"logins": logins})
	file := t.TempDir() + "/pw"
	writeFile(t, file, text)
	other := start(t, nil)
	if r := command(t, other.dir, "", "import", "mosquitto", "--passwords", file); r.code != 0 || !strings.Contains(r.stdout, "is left out") {
		t.Fatalf("import: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	own := newStand(t)
	own.up("listener @1 127.0.0.1\nlistener @2 127.0.0.1\nprotocol websockets\nallow_anonymous false\npassword_file " + own.write("pw", text) + "\n")
	doors := map[string][2]string{
		"settings": {s.mqtt, s.ws}, "imported": {other.mqtt, other.ws}, "serve -c": {net.JoinHostPort("127.0.0.1", own.ports[0]), net.JoinHostPort("127.0.0.1", own.ports[1])},
	}
	for door, at := range doors {
		for _, port := range at {
			eventually(t, door+" opens "+port, func() bool {
				c, err := net.Dial("tcp", port)
				if err != nil {
					return false
				}
				return c.Close() == nil
			})
		}
		eventually(t, door+": the good one gets in", func() bool { return knock(t, at[0], false, 4, "good", []byte("password")) == 0 })
		try := 0
		for i, name := range names {
			if strings.HasPrefix(name, "twice") && door != "settings" {
				continue // the second line may be the good one
			}
			// Those with something cost a hash each: what stands there, or what the good one has.
			tries := [][]byte{nil, {}}
			var hash string
			if i < len(lines) {
				_, hash, _ = strings.Cut(lines[i], ":")
			}
			switch {
			case hash != "" && !strings.HasSuffix(hash, mosquittoHash("password")):
				tries = append(tries, []byte(strings.TrimSpace(hash)))
			case name != "good" && name != "twice":
				tries = append(tries, []byte("password"))
			}
			for _, password := range tries {
				version, web := byte(3+try%3), try%2 == 1
				try++
				if version == 3 && password == nil && name == "" {
					continue
				}
				if code := knock(t, at[btoi(web)], web, version, name, password); code == 0 {
					t.Errorf("%s: %q is let in with %q by version %d, WebSocket %v", door, name, password, version, web)
				}
			}
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// knock is what a CONNECT is answered; without a password where that is nil.
func knock(t *testing.T, addr string, web bool, version byte, user string, password []byte) byte {
	t.Helper()
	fromWhere++
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 8, fromWhere, byte(1+version))}}
	flags := byte(0x82)
	if password != nil {
		flags |= 0x40
	}
	body := "\x00\x04MQTT"
	if version == 3 {
		body = "\x00\x06MQIsdp"
	}
	body += string([]byte{version, flags, 0, 60})
	if version == 5 {
		body += "\x00"
	}
	body += mqttString(fmt.Sprintf("k%d", fromWhere)) + mqttString(user)
	if password != nil {
		body += mqttString(string(password))
	}
	connect := frameOf(0x10, body)
	answer := make([]byte, 4)
	if web {
		dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, HandshakeTimeout: time.Minute, NetDialContext: d.DialContext}
		ws, resp, err := dialer.DialContext(t.Context(), "ws://"+addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		defer ws.Close()
		_ = ws.SetReadDeadline(time.Now().Add(time.Minute))
		if ws.WriteMessage(websocket.BinaryMessage, []byte(connect)) != nil {
			return noAnswer
		}
		_, b, _ := ws.ReadMessage()
		copy(answer, b)
	} else {
		c, err := d.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(c, bytes.NewReader([]byte(connect))); err != nil {
			return noAnswer
		}
		_, _ = io.ReadFull(c, answer)
	}
	if answer[0] != 0x20 {
		return noAnswer
	}
	return answer[3]
}
