package main

import (
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

func TestServeStartsAndStops(t *testing.T) {
	began := time.Now()
	s := start(t, nil)
	t.Logf("ready after %v", time.Since(began))
	if s.mqtt == "" || s.ws == "" || s.admin == "" || s.setup == "" {
		t.Fatalf("the welcome lacks something:\n%s", s.welcome)
	}
	if s.mqtts != "" {
		t.Error("MQTT over TLS is open without a certificate")
	}
	if got := s.log.String(); !strings.Contains(got, "(setting mqtts_address) stays closed: no certificate") || strings.Contains(got, "error") {
		t.Errorf("log:\n%s", got)
	}
	if strings.Contains(s.log.String(), "token") {
		t.Errorf("the log tells the set-up token:\n%s", s.log)
	}
	if got := command(t, s.dir, "", "healthcheck"); got.code != 1 {
		// The settings say port 0, which nobody can ask.
		t.Errorf("healthcheck of port 0: exit %d", got.code)
	}
	machine := brokertest.WatchMachine()
	began = time.Now()
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d after SIGTERM, want 0", code)
	}
	if took := time.Since(began); took > 10*time.Second {
		machine.Timing(t, "stopping took %v", took)
	}
	info, err := os.Stat(filepath.Join(s.dir, databaseName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("database: %v, %v", info, err)
	}
}

func TestHealthcheck(t *testing.T) {
	dir := t.TempDir()
	writeOptions(t, dir, options{"mqtt_address": brokertest.FreeAddress(t), "web_address": brokertest.FreeAddress(t), "ws_address": "", "mqtts_address": "", "wss_address": ""})
	if got := command(t, dir, "", "healthcheck"); got.code != 1 || !strings.Contains(got.stderr, "MQTT does not answer") {
		t.Errorf("nothing runs: exit %d, %s", got.code, got.stderr)
	}
	mqtt, admin := brokertest.FreeAddress(t), brokertest.FreeAddress(t)
	s := startIn(t, dir, options{"mqtt_address": mqtt, "web_address": admin, "ws_address": "", "mqtts_address": ""})
	if got := command(t, dir, "", "healthcheck"); got.code != 0 {
		t.Errorf("exit %d, %s", got.code, got.stderr)
	}
	for _, word := range []string{"refused", "warning", "error"} {
		if strings.Contains(s.log.String(), word) {
			t.Errorf("a healthcheck leaves %q in the log:\n%s", word, s.log)
		}
	}
}

func TestWrongSettings(t *testing.T) {
	dir := t.TempDir()
	writeOptions(t, dir, options{"max_connections": "many", "log_level": "loud", "colour": "red"})
	for _, args := range [][]string{nil, {"serve"}, {"user", "list"}, {"healthcheck"}} {
		got := command(t, dir, "", args...)
		want := "hearthmq: log_level: must be one of trace, debug, info, warning, error, not \"loud\"\n" +
			"hearthmq: max_connections: must be a whole number, not \"many\"\n"
		if got.code != exitSetting || got.stderr != want || got.stdout != "" {
			t.Errorf("%v: exit %d\n%s\nwant 78\n%s", args, got.code, got.stderr, want)
		}
	}
	got := command(t, t.TempDir(), "", "--options", "/nowhere/options.json")
	if got.code != exitSetting || got.stderr != "hearthmq: the settings /nowhere/options.json do not exist\n" {
		t.Errorf("exit %d, %s", got.code, got.stderr)
	}
}

func TestUnknownSettingIsAWarning(t *testing.T) {
	s := start(t, options{"colour": "red"})
	if !strings.Contains(s.log.String(), "setting colour is not known and ignored") {
		t.Errorf("log:\n%s", s.log)
	}
}

// case D4
func TestPortsInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	_, port, _ := net.SplitHostPort(address)

	s := start(t, options{"mqtt_address": address})
	if s.mqtt != "" || s.ws == "" {
		t.Errorf("welcome:\n%s", s.welcome)
	}
	if want := "port " + port + " (setting mqtt_address) is already in use"; !strings.Contains(s.log.String(), want) {
		t.Errorf("log lacks %q:\n%s", want, s.log)
	}

	dir := t.TempDir()
	writeOptions(t, dir, options{"mqtt_address": address, "ws_address": "", "mqtts_address": "", "wss_address": "", "web_address": ""})
	if got := command(t, dir, ""); got.code != exitError || !strings.Contains(got.stderr, "no port for MQTT could be opened") {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
}

func TestAdminPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := start(t, options{"web_address": taken.Addr().String()})
	if s.mqtt == "" || s.admin != "" || s.setup != "" {
		t.Errorf("welcome:\n%s", s.welcome)
	}
	if !strings.Contains(s.log.String(), "(setting web_address)") {
		t.Errorf("log:\n%s", s.log)
	}
}

func TestOneServerPerFolder(t *testing.T) {
	s := start(t, nil)
	if got := command(t, s.dir, ""); got.code != exitError || !strings.Contains(got.stderr, "another HearthMQ runs with the data in") {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
}

// case W16: the link from the terminal makes the first administrator, once.
func TestSetUp(t *testing.T) {
	s := start(t, nil)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	if got := get(t, browser, s.setup); got != http.StatusOK {
		t.Fatalf("the link answers %d", got)
	}
	u, err := url.Parse(s.setup)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"token": {u.Query().Get("token")}, "name": {"owner"}, "password": {"a long enough password"}, "repeat": {"a long enough password"}}
	resp := post(t, browser, s.admin, "/setup", form)
	if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/" {
		t.Fatalf("set-up ended at %s with %d", resp.Request.URL, resp.StatusCode)
	}
	for _, page := range []string{"/", "/topics", "/clients", "/users", "/access", "/healthz"} {
		if got := get(t, browser, s.admin+page); got != http.StatusOK {
			t.Errorf("%s answers %d", page, got)
		}
	}
	if got := get(t, http.DefaultClient, s.setup); got == http.StatusOK {
		t.Error("the link works twice")
	}
	if s.stop() != 0 {
		t.Error("exit code")
	}
	again := startIn(t, s.dir, nil)
	if again.setup != "" {
		t.Errorf("a link although there is an administrator:\n%s", again.welcome)
	}
}

func get(tb testing.TB, c *http.Client, address string) int {
	tb.Helper()
	resp, err := c.Get(address)
	if err != nil {
		tb.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// post sends a form as a browser does that shows a page of the admin.
func post(tb testing.TB, c *http.Client, admin, path string, form url.Values) *http.Response {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, admin+path, strings.NewReader(form.Encode()))
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", admin)
	resp, err := c.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

func TestInApp(t *testing.T) {
	ingress := brokertest.FreeAddress(t)
	s := start(t, options{"web_address": "", "ingress_address": ingress}, "SUPERVISOR_TOKEN=secret")
	if !strings.Contains(s.welcome, "HearthMQ in Home Assistant's sidebar") || s.setup != "" {
		t.Errorf("welcome:\n%s", s.welcome)
	}
	if got := get(t, http.DefaultClient, "http://"+ingress+"/"); got != http.StatusForbidden {
		t.Errorf("a stranger on the ingress port gets %d", got)
	}
	if got := get(t, http.DefaultClient, "http://"+ingress+"/healthz"); got != http.StatusOK {
		t.Errorf("the health check gets %d", got)
	}
}

func TestVersionAndHelp(t *testing.T) {
	dir := t.TempDir()
	got := command(t, dir, "", "version")
	if got.code != 0 || !regexp.MustCompile(`^HearthMQ `+regexp.QuoteMeta(version)+` \(.*commit.*, go1\.\S+, \w+/\w+\)\n$`).MatchString(got.stdout) {
		t.Errorf("exit %d, %q", got.code, got.stdout)
	}
	got = command(t, dir, "", "--help")
	for _, word := range []string{"serve", "user add", "acl check", "healthcheck", "version", "--data", "--options", "78"} {
		if got.code != 0 || !strings.Contains(got.stdout, word) {
			t.Errorf("exit %d, help lacks %q:\n%s", got.code, word, got.stdout)
		}
	}
	if got = command(t, dir, "", "frobnicate"); got.code != exitError || !strings.Contains(got.stderr, "frobnicate") {
		t.Errorf("exit %d, %s", got.code, got.stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, databaseName)); err == nil {
		t.Error("asking for help made a database")
	}
}
