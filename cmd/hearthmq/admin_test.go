package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"hearthmq/broker/brokertest"
)

// person is a browser in front of a running server's admin.
type person struct {
	t    *testing.T
	base string
	http *http.Client
}

func newPerson(t *testing.T, base string) *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t, base, &http.Client{Jar: jar, Timeout: 3 * time.Minute}}
}

// owner makes the first administrator by the set-up link.
func owner(t *testing.T, s *testServer) *person {
	t.Helper()
	p := newPerson(t, s.admin)
	u, err := url.Parse(s.setup)
	if err != nil || s.setup == "" {
		t.Fatal(s.setup, err)
	}
	p.post("/setup", url.Values{"token": {u.Query().Get("token")}, "name": {"anna"}, "password": {ownerPassword}, "repeat": {ownerPassword}})
	return p
}

const ownerPassword = "canary-owner-password"

func (p *person) send(method, path, kind string, body io.Reader) (status int, text string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	req.Header.Set("Origin", p.base)
	req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
	resp, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (p *person) get(path string) string {
	p.t.Helper()
	status, text := p.send(http.MethodGet, path, "", nil)
	if status != http.StatusOK {
		p.t.Fatalf("GET %s: %d\n%.500s", path, status, text)
	}
	return text
}

func (p *person) post(path string, form url.Values) string {
	p.t.Helper()
	status, text := p.send(http.MethodPost, path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	if status != http.StatusOK {
		p.t.Fatalf("POST %s: %d\n%.500s", path, status, text)
	}
	return text
}

func (p *person) upload(path string, name string, content []byte) (int, string) {
	p.t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile("file", name)
	if err == nil {
		_, err = part.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return p.send(http.MethodPost, path, w.FormDataContentType(), &b)
}

// until tries again until done says yes.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}

func TestBackupAndRestoreByTheAdmin(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a whole server twice")
	}
	s := start(t, options{"web_address": brokertest.FreeAddress(t)})
	p := owner(t, s)
	p.post("/users/new", url.Values{"name": {"keeper"}, "password-kind": {"generate"}})
	backup := []byte(p.post("/settings/backup", nil))
	if !bytes.HasPrefix(backup, []byte("SQLite format 3\x00")) {
		t.Fatalf("the backup begins with %.40q", backup)
	}
	p.post("/users/new", url.Values{"name": {"late"}, "password-kind": {"generate"}})

	// What is no backup changes nothing (case W19): names, links and other files.
	for name, content := range map[string][]byte{
		"../../etc/passwd": []byte("root:x:0:0"), "a.tar.gz": {0x1f, 0x8b, 8, 0}, "empty.db": {}, `C:\x.db`: backup[:len(backup)/2],
		"other.db": append([]byte("SQLite format 3\x00"), make([]byte, 8192)...),
	} {
		if status, text := p.upload("/settings/restore", name, content); status != http.StatusUnprocessableEntity || !strings.Contains(text, "no backup of HearthMQ") {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, _ := p.send(http.MethodPost, "/settings/restore", "multipart/form-data; boundary=x", strings.NewReader("--x\r\nbroken")); status != http.StatusBadRequest {
		t.Errorf("broken form: %d", status)
	}
	if status, _ := p.send(http.MethodPost, "/settings/restore/confirm", "application/x-www-form-urlencoded", strings.NewReader("key=wrong")); status != http.StatusNotFound {
		t.Errorf("wrong key: %d", status)
	}
	names, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if base := filepath.Base(n); strings.Contains(base, "passwd") || base == uploadName || base == downloadName {
			t.Errorf("left behind: %s", base)
		}
	}

	status, question := p.upload("/settings/restore", "hearthmq.db", backup)
	if status != http.StatusOK || !strings.Contains(question, "users") {
		t.Fatalf("upload: %d %s", status, question)
	}
	key := regexp.MustCompile(`name="key" value="([A-Z2-7]+)"`).FindStringSubmatch(question)
	if key == nil {
		t.Fatal("the question has no key")
	}
	if text := p.post("/settings/restore/confirm", url.Values{"key": {key[1]}}); !strings.Contains(text, "HearthMQ starts again") {
		t.Errorf("restore says %.300s", text)
	}
	until(t, "it starts again with the backup", func() bool { return strings.Contains(s.log.String(), "restored a backup") })
	var page string
	until(t, "the admin answers", func() bool {
		resp, err := p.http.Get(p.base + "/users")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		page = string(b)
		return resp.StatusCode == http.StatusOK && resp.Request.URL.Path == "/users"
	})
	if !strings.Contains(page, "keeper") || strings.Contains(page, ">late<") {
		t.Error("the users are not those of the backup")
	}
	if audit := p.get("/logs/audit"); !regexp.MustCompile(`(?s)anna.{0,400}backup restored|backup restored.{0,400}anna`).MatchString(audit) {
		t.Errorf("the audit does not say who restored what: %s", audit)
	}
	if kept, _ := filepath.Glob(filepath.Join(s.dir, "hearthmq.db.replaced-*")); len(kept) == 0 {
		list, _ := os.ReadDir(s.dir)
		t.Errorf("the former database is not kept: %v", list)
	}
	if _, err := os.Stat(filepath.Join(s.dir, uploadName)); !os.IsNotExist(err) {
		t.Errorf("the upload is left: %v", err)
	}
	if code := s.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestAPIOfARunningServer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a whole server")
	}
	s := start(t, options{"log_level": "debug", "max_inflight": 7}, "HEARTHMQ_MAX_KEEPALIVE=3600")
	p := owner(t, s)
	var out, errs strings.Builder
	if code := run(t.Context(), process{args: []string{"--data", s.dir, "token", "create", "--label", "script", "--scope", "admin"}, stdout: &out, stderr: &errs}); code != exitOK {
		t.Fatal(code, errs.String())
	}
	token := strings.TrimSpace(out.String())
	ask := func(method, path, body string, want int) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.admin+"/api/v1"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != want {
			t.Fatalf("%s %s: %d, want %d\n%s", method, path, resp.StatusCode, want, b)
		}
		return string(b)
	}
	ask("POST", "/users", `{"name": "lamp", "rules": ["allow both lamp/#"]}`, 201)
	ask("POST", "/publish", `{"topic": "lamp/state", "payload": "on", "retain": true}`, 204)
	if got := ask("POST", "/retained/query", `{"filter": "lamp/#"}`, 200); !strings.Contains(got, `"payload":"on"`) {
		t.Errorf("retained %s", got)
	}
	settings := ask("GET", "/settings", "", 200)
	for _, want := range []string{`"key":"max_inflight","value":"7","default":"20","origin":"options.json"`, `"origin":"HEARTHMQ_MAX_KEEPALIVE"`} {
		if !strings.Contains(settings, want) {
			t.Errorf("settings lack %s: %s", want, settings)
		}
	}
	if got := ask("GET", "/log?level=debug&limit=2000", "", 200); !strings.Contains(got, "user created") || strings.Contains(got, token) {
		t.Errorf("log %.500s", got)
	}
	if backup := ask("GET", "/backup", "", 200); !strings.HasPrefix(backup, "SQLite format 3\x00") {
		t.Error("no backup")
	}
	if code := run(t.Context(), process{args: []string{"--data", s.dir, "token", "revoke", "script"}, stdout: &out, stderr: &errs}); code != exitOK {
		t.Fatal(code, errs.String())
	}
	ask("GET", "/stats", "", 401)
	if page := p.get("/logs/audit"); !strings.Contains(page, "token script") || !strings.Contains(page, "token revoked") {
		t.Error("the audit lacks what the token did")
	}
}

// A login that is ended elsewhere is worthless at once, and so is its live feed (cases W11, W13).
func TestLoginsAreEnded(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a whole server")
	}
	s := start(t, nil)
	p := owner(t, s)
	thief := newPerson(t, s.admin)
	thief.post("/login", url.Values{"username": {"anna"}, "password": {ownerPassword}})
	thief.get("/users")
	u, _ := url.Parse(s.admin)
	dialer := websocket.Dialer{Jar: thief.http.Jar}
	ws, resp, err := dialer.DialContext(t.Context(), "ws://"+u.Host+"/ws", http.Header{"Origin": {s.admin}})
	if err != nil {
		t.Fatal(err, resp)
	}
	defer ws.Close()

	page := p.get("/settings/logins")
	if strings.Count(page, "anna") < 2 || !strings.Contains(page, "Firefox on Linux") || !strings.Contains(page, "this browser") || !strings.Contains(page, "127.0.0.1") {
		t.Errorf("the list of logins: %.1500s", page)
	}
	other := regexp.MustCompile(`/settings/logins/(\d+)/end`).FindAllStringSubmatch(page, -1)
	if len(other) != 1 {
		t.Fatalf("%d logins can be ended, want 1: not one's own", len(other))
	}
	p.post("/settings/logins/"+other[0][1]+"/end", nil)
	if text := thief.get("/users"); !strings.Contains(text, "Log in") {
		t.Error("the ended login still opens pages")
	}
	if err := ws.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for {
		_, text, err := ws.ReadMessage()
		if err != nil {
			t.Fatalf("the feed ended without a word: %v", err)
		}
		var said struct{ Bye string }
		if json.Unmarshal(text, &said) == nil && said.Bye == "login" {
			break
		}
	}
	thief.post("/login", url.Values{"username": {"anna"}, "password": {ownerPassword}})
	p.post("/settings/logins/others", nil)
	if text := thief.get("/users"); !strings.Contains(text, "Log in") {
		t.Error("log out all others left one")
	}
	p.get("/users")
}

func TestCertificatePage(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a whole server")
	}
	dir := t.TempDir()
	writeCertificate(t, dir)
	s := startIn(t, dir, nil)
	p := owner(t, s)
	page := p.get("/settings/certificates")
	_, port, _ := net.SplitHostPort(s.mqtts)
	for _, want := range []string{fmt.Sprintf("MQTT, encrypted (%s)", port), "fullchain.pem", "127.0.0.1"} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %q", want)
		}
	}
	if strings.Contains(page, "PRIVATE KEY") {
		t.Error("shows the key")
	}
}

// Nothing that opens something is ever told (case W17): not by pages, the API, the
// figures or the log at its most talkative.
func TestSecretsStayInside(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a whole server")
	}
	dir := t.TempDir()
	writeCertificate(t, dir)
	nobody := httptest.NewServer(http.NotFoundHandler()) // for the Supervisor
	t.Cleanup(nobody.Close)
	s := startIn(t, dir, options{"log_level": "trace", "logins": []map[string]string{{"username": "bus", "password": "canary-of-the-settings"}}},
		"SUPERVISOR_TOKEN=canary-of-the-supervisor", "SUPERVISOR_API="+nobody.URL)
	p := owner(t, s)
	p.post("/bridges/new", url.Values{"name": {"away"}, "addresses": {"127.0.0.1"}, "topics": {"sensors/# out 1"}, "version": {"5"}, "client_id": {"home-1"}, "username": {"u"}, "local_user": {""},
		"password": {"canary-of-a-bridge"}, "start": {"automatic"}})
	p.post("/users/new", url.Values{"name": {"lamp"}, "password-kind": {"choose"}, "password": {"canary-of-a-device"}})
	var out, errs strings.Builder
	if code := run(t.Context(), process{args: []string{"--data", s.dir, "token", "create", "--label", "script", "--scope", "admin"}, stdout: &out, stderr: &errs}); code != exitOK {
		t.Fatal(code, errs.String())
	}
	token := strings.TrimSpace(out.String())
	status, _ := p.send(http.MethodPost, "/login", "application/x-www-form-urlencoded", strings.NewReader("username=anna&password=canary-typed-wrong"))
	if status != http.StatusUnprocessableEntity {
		t.Errorf("wrong password: %d", status)
	}
	u, _ := url.Parse(s.admin)
	secrets := []string{ownerPassword, "canary-of-the-settings", "canary-of-a-device", "canary-typed-wrong", token, "$argon2id$", "$sha256$", s.setup[strings.Index(s.setup, "token=")+6:]}
	for _, c := range p.http.Jar.Cookies(u) {
		secrets = append(secrets, c.Value)
	}
	secrets = append(secrets, "canary-of-the-supervisor", "canary-of-a-bridge", "PRIVATE KEY")
	key, err := os.ReadFile(filepath.Join(dir, "privkey.pem"))
	if err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, strings.Split(string(key), "\n")[1]) // the key's first line
	told := map[string]string{}
	for _, path := range []string{"/", "/bridges", "/bridges/edit/away", "/live/bridges", "/connect", "/clients", "/users", "/access", "/retained", "/logs", "/live/logs?after=0", "/logs/audit", "/logs/download", "/settings",
		"/settings/certificates", "/settings/tokens", "/settings/logins", "/settings/backup", "/metrics", "/healthz"} {
		told[path] = p.get(path)
	}
	var doc struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal([]byte(p.get("/api/v1/openapi.json")), &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		if methods["get"] == nil || strings.Contains(path, "{") || path == "/backup" { // a backup is what it says
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.admin+"/api/v1"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
		told["/api/v1"+path] = string(b)
	}
	if len(told) < 24 {
		t.Errorf("only %d answers", len(told))
	}
	told["the log"] = s.log.String()
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap?debug=1", "/debug/pprof/goroutine?debug=2", "/debug/vars"} { // there is none
		status, text := p.send(http.MethodGet, path, "", nil)
		if status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
		told[path] = text
	}
	for where, text := range told {
		for _, secret := range secrets {
			if secret != "" && strings.Contains(text, secret) {
				t.Errorf("%s tells %.12s…", where, secret)
			}
		}
	}
}
