package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// case A22: a password of any length and any bytes, set at any door, is either the one that
// lets in, to the last byte, or it is refused where it is set.
func TestPasswordsToTheLastByte(t *testing.T) {
	s := start(t, nil)
	p := owner(t, s)
	token := strings.TrimSpace(command(t, s.dir, "", "token", "create", "--label", "t", "--scope", "admin").stdout)
	// Each returns the words of a refusal, "" when the user is there.
	doors := map[string]func(name, password string) string{
		"cli": func(name, password string) string {
			r := command(t, s.dir, password+"\n", "user", "add", name, "--password-stdin")
			if r.code == 0 {
				return ""
			}
			return r.stderr
		},
		"form": func(name, password string) string {
			status, text := p.send(http.MethodPost, "/users/new", "application/x-www-form-urlencoded", strings.NewReader(url.Values{
				"name": {name}, "password-kind": {"choose"}, "password": {password},
			}.Encode()))
			if status == http.StatusOK {
				return ""
			}
			return text
		},
		"api": func(name, password string) string {
			var text strings.Builder
			for _, b := range []byte(password) { // as it is, but for what JSON has no other way to say
				switch {
				case b == '"', b == '\\':
					text.WriteByte('\\')
					text.WriteByte(b)
				case b < ' ':
					fmt.Fprintf(&text, `\u%04x`, b)
				default:
					text.WriteByte(b)
				}
			}
			name = string(must(json.Marshal(name)))
			return callAPI(t, s.admin, token, "/api/v1/users", `{"name":`+name+`,"password":"`+text.String()+`"}`)
		},
	}
	long := strings.Repeat("0123456789abcdef", 4096)
	passwords := map[string]string{
		"1": "x", "72": long[:72], "73": long[:73], "1024": long[:1024], "nul": "a\x00b", "spaces": " a  b ", "latin": "caf\xe9", "no-text": "\xff\xfe\xfd",
	}
	there := make(map[string]string)
	for door, add := range doors {
		for what, password := range passwords {
			problem := add(door+"-"+what, password)
			if refused := door == "api" && (what == "latin" || what == "no-text"); refused != (problem != "") { // JSON is UTF-8
				t.Errorf("%s: %s: %.300s", door, what, problem)
			} else if !refused {
				there[door+"-"+what] = password
			}
		}
	}
	s.user("last")
	eventually(t, "the last one is known", func() bool { return strings.Contains(p.get("/users"), ">last<") })
	for name, password := range there {
		for _, version := range []byte{4, 5} {
			if code := loginCode(t, s.mqtt, version, name, password); code != 0 {
				t.Errorf("%s, version %d: %#x", name, version, code)
			}
		}
		var wrong []string // a hash each; what is stored is the same sort of hash, whatever the door
		switch name {
		case "cli-73", "cli-1024":
			wrong = []string{password[:len(password)-1], password + "x"}
		case "form-latin", "form-nul":
			wrong = []string{strings.ToValidUTF8(password, "\ufffd"), password[:1], password + "\x00"}
		}
		for i, other := range wrong {
			version := byte(4 + (i+len(name))%2)
			if code := loginCode(t, s.mqtt, version, name, other); other != password && code != map[byte]byte{4: 5, 5: 0x87}[version] {
				t.Errorf("%s, version %d, with %.20q: %#x", name, version, other, code)
			}
		}
	}
	for what, password := range map[string]string{"1025": long[:1025], "65535": long[:65535], "0": ""} {
		for door, add := range doors {
			name := door + "-" + what
			problem := add(name, password)
			if what == "0" && door == "api" { // no password is one to be made
				continue
			}
			if problem == "" || what != "0" && !strings.Contains(problem, "1024") {
				t.Errorf("%s: refused with %.300q, want a word of 1024", name, problem)
			}
			for _, version := range []byte{4, 5} {
				if code := loginCode(t, s.mqtt, version, name, password); code == 0 {
					t.Errorf("%s, version %d: let in", name, version)
				}
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// callAPI posts and returns the words of a refusal, "" when it is done.
func callAPI(t *testing.T, base, token, path, body string) string {
	t.Helper()
	req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, strings.NewReader(body)))
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp := must(http.DefaultClient.Do(req))
	defer resp.Body.Close()
	text := must(io.ReadAll(resp.Body))
	if resp.StatusCode/100 == 2 {
		return ""
	}
	return string(text)
}

var fromWhere byte // so that no address has too many wrong ones

const noAnswer = 0xFE

// loginCode is what a CONNECT with these bytes is answered.
func loginCode(t *testing.T, addr string, version byte, user, password string) byte {
	t.Helper()
	fromWhere++
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 9, fromWhere, 1)}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body := "\x00\x04MQTT" + string([]byte{version, 0xC2, 0, 60})
	if version == 5 {
		body += "\x00"
	}
	_, err = io.WriteString(c, frameOf(0x10, body+mqttString("c")+mqttString(user)+mqttString(password)))
	if err != nil {
		return noAnswer
	}
	answer := make([]byte, 4)
	if version == 5 {
		answer = make([]byte, 5)
	}
	if n, _ := io.ReadFull(c, answer); n < 4 || answer[0] != 0x20 { // a refusal may be all of it
		return noAnswer
	}
	return answer[3]
}
