package main

import (
	"crypto/pbkdf2"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mosquittoHash is a password as mosquitto_passwd writes it, with little work.
func mosquittoHash(password string) string {
	const salt = "saltsaltsalt"
	sum := must(pbkdf2.Key(sha512.New, password, []byte(salt), 101, sha512.Size))
	enc := base64.StdEncoding
	return fmt.Sprintf("$7$101$%s$%s", enc.EncodeToString([]byte(salt)), enc.EncodeToString(sum))
}

// case A22, at the doors beside those where a user is added: set-up, changing a password on the
// page, by the API and by the command, options.json in clear and hashed, and an import. What
// options.json can't say is refused there, and not taken for something else.
func TestPasswordsAtEveryDoor(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 4096)
	bytes := "caf\xe9\x00b"
	dir := t.TempDir()
	all := must(json.Marshal(options{
		"mqtt_address": "127.0.0.1:0", "ws_address": "", "mqtts_address": "", "wss_address": "", "web_address": "127.0.0.1:0",
		"logins": []options{
			{"username": "set-1", "password": "x"}, {"username": "set-73", "password": long[:73]}, {"username": "set-1024", "password": long[:1024]}, {"username": "set-nul", "password": "a\x00b"},
			{"username": "set-0", "password": ""}, {"username": "set-1025", "password": long[:1025]}, {"username": "set-65535", "password": long[:65535]},
			{"username": "set-latin", "password": "cafLATIN"}, {"username": "set-half", "password": "cafHALF"},
			{"username": "hashed-73", "password": mosquittoHash(long[:73]), "password_pre_hashed": true},
			{"username": "hashed-bytes", "password": mosquittoHash(bytes), "password_pre_hashed": true},
			{"username": "hashed-0", "password": mosquittoHash(""), "password_pre_hashed": true},
			{"username": "hashed-1025", "password": mosquittoHash(long[:1025]), "password_pre_hashed": true},
		},
	}))
	text := strings.NewReplacer("LATIN", "\xe9", "HALF", `\ud800`).Replace(string(all))
	if err := os.WriteFile(filepath.Join(dir, "options.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startAsIs(t, dir)
	in := map[string]string{"set-1": "x", "set-73": long[:73], "set-1024": long[:1024], "set-nul": "a\x00b", "hashed-73": long[:73], "hashed-bytes": bytes}
	out := map[string]string{ // and what is none of theirs
		"set-0": "", "set-1025": long[:1025], "set-65535": long[:65535], "set-latin": "caf\xe9", "set-half": "caf\ufffd", "hashed-0": "", "hashed-1025": long[:1025],
		"set-1 ": "x\x00", "set-73 ": long[:72], "set-1024 ": long[:1023], "set-nul ": "a", "hashed-73 ": long[:72], "hashed-bytes ": "caf\xe9", "set-latin ": "caf\ufffd",
	}

	// The set-up refuses what is none, and takes what is one to the last byte.
	p := newPerson(t, s.admin)
	token := must(url.Parse(s.setup)).Query().Get("token")
	setup := func(password string) (int, string) {
		return p.send(http.MethodPost, "/setup", "application/x-www-form-urlencoded", strings.NewReader(url.Values{
			"token": {token}, "name": {"anna"}, "password": {password}, "repeat": {password},
		}.Encode()))
	}
	for _, bad := range []string{"", long[:1025], long[:65535]} {
		if status, _ := setup(bad); status != http.StatusUnprocessableEntity && status != http.StatusRequestEntityTooLarge {
			t.Errorf("set up with %d bytes: %d", len(bad), status)
		}
	}
	if status, text := setup(long[:73] + bytes); status != http.StatusOK {
		t.Fatalf("set up: %d\n%.500s", status, text)
	}
	in["anna"], out["anna "] = long[:73]+bytes, long[:73]

	// Changed: by the command, on the page and by the API.
	api := strings.TrimSpace(command(t, s.dir, "", "token", "create", "--label", "t", "--scope", "admin").stdout)
	change := map[string]func(name, password string) (refused bool){
		"cli": func(name, password string) bool {
			return command(t, s.dir, password+"\n", "user", "passwd", name, "--password-stdin").code != 0
		},
		"page": func(name, password string) bool {
			status, _ := p.send(http.MethodPost, "/users/"+userID(t, s, api, name)+"/password", "application/x-www-form-urlencoded",
				strings.NewReader(url.Values{"password-kind": {"choose"}, "password": {password}}.Encode()))
			return status != http.StatusOK
		},
		"api": func(name, password string) bool {
			return callAPI(t, s.admin, api, "/api/v1/users/"+userID(t, s, api, name)+"/password", `{"password":`+string(must(json.Marshal(password)))+`}`) != ""
		},
	}
	for door, set := range change {
		name := "changed-" + door
		s.user(name)
		eventually(t, name+" is known", func() bool { return userID(t, s, api, name) != "" })
		for _, bad := range []string{"", long[:1025], long[:65535]} {
			if (bad != "" || door != "api") && !set(name, bad) { // by the API none is one to be made
				t.Errorf("%s took %d bytes", door, len(bad))
			}
		}
		password := long[:73] + bytes
		if door == "api" {
			password = long[:73] + "a\x00b"
		}
		if set(name, password) {
			t.Errorf("%s refused what can be one", door)
		}
		in[name], out[name+" "] = password, long[:73]
	}

	// Imported with their hashes.
	lines := "imported-73:" + mosquittoHash(long[:73]) + "\nimported-bytes:" + mosquittoHash(bytes) + "\nimported-65535:" + mosquittoHash(long[:65535]) + "\nimported-0:" + mosquittoHash("") + "\n"
	file := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := command(t, s.dir, "", "import", "mosquitto", "--passwords", file); r.code != 0 {
		t.Fatalf("import: %s%s", r.stdout, r.stderr)
	}
	in["imported-73"], in["imported-bytes"] = long[:73], bytes
	out["imported-65535"], out["imported-0"], out["imported-73 "] = long[:65535], "", long[:72]
	eventually(t, "those that were imported are known", func() bool { return userID(t, s, api, "imported-73") != "" })

	for name, password := range in {
		for _, version := range []byte{4, 5} {
			eventually(t, fmt.Sprintf("%s gets in by version %d", name, version), func() bool { return loginCode(t, s.mqtt, version, name, password) == 0 })
		}
	}
	for name, password := range out {
		if code := loginCode(t, s.mqtt, 4+byte(len(name)%2), strings.TrimSpace(name), password); code == 0 {
			t.Errorf("%s is let in with %.20q", name, password)
		}
	}
	if !strings.Contains(s.log.String(), "set-latin") || !strings.Contains(s.log.String(), "no text (UTF-8)") {
		t.Error("nobody hears of a password that options.json can't say")
	}
}

// userID is what the API calls a user, "" for nobody.
func userID(t *testing.T, s *testServer, token, name string) string {
	t.Helper()
	req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.admin+"/api/v1/users", nil))
	req.Header.Set("Authorization", "Bearer "+token)
	resp := must(http.DefaultClient.Do(req))
	defer resp.Body.Close()
	var list struct {
		Users []struct {
			ID   int64
			Name string
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, u := range list.Users {
		if u.Name == name {
			return fmt.Sprint(u.ID)
		}
	}
	return ""
}
