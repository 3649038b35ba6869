package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearthmq/addon/addontest"
	"hearthmq/broker/brokertest"
)

// programMark makes the test binary the program: the arguments behind it are its.
const programMark = "TEST_HEARTHMQ_ARGUMENTS"

// TestAsProgram is no test: in a process of its own it is hearthmq itself.
func TestAsProgram(t *testing.T) {
	text := os.Getenv(programMark)
	if text == "" {
		t.Skip("a helper of other tests")
	}
	var args []string
	if err := json.Unmarshal([]byte(text), &args); err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, process{args: args, environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}))
}

// asProgram returns hearthmq as a process of its own, with an environment of its own.
func asProgram(t *testing.T, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAsProgram$")
	cmd.Env = append(environ, programMark+"="+string(text))
	return cmd
}

// case D12: no time zone, no HOME, a user without rights.
func TestBareEnvironment(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	mine := t.TempDir()
	for dir := mine; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	theirs := filepath.Join(mine, "of-root")
	if err := os.Mkdir(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	binary := filepath.Join(mine, "hearthmq") // the test binary lies where others may not go
	if text, err := os.ReadFile(os.Args[0]); err != nil {
		t.Fatal(err)
	} else if err := os.WriteFile(binary, text, 0o755); err != nil {
		t.Fatal(err)
	}

	t.Run("a data folder of root's", func(t *testing.T) { // it runs, and says that nothing is kept
		cmd := asProgram(t, []string{
			"HEARTHMQ_MQTT_ADDRESS=127.0.0.1:0", "HEARTHMQ_WS_ADDRESS=", "HEARTHMQ_MQTTS_ADDRESS=", "HEARTHMQ_WSS_ADDRESS=", "HEARTHMQ_WEB_ADDRESS=",
		}, "--data", theirs, "serve")
		cmd.Path, cmd.SysProcAttr, cmd.Dir = binary, nobody, "/"
		log := newSyncBuffer(t.Output())
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the welcome, and the warning", func() bool {
			return strings.Contains(log.String(), "MQTT  ") && strings.Contains(log.String(), "NOTHING IS KEPT")
		})
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, log)
		}
	})

	own := filepath.Join(mine, "own")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(own, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	writeOptions(t, own, options{"mqtt_address": "127.0.0.1:0", "ws_address": "", "mqtts_address": "", "wss_address": "", "web_address": ""})
	if err := os.Chmod(filepath.Join(own, "options.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, environ := range map[string][]string{
		"nothing set": nil, "time zone that does not exist": {"TZ=Mars/Olympus"}, "time zone": {"TZ=Europe/Vienna"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := asProgram(t, environ, "--data", own, "serve")
			cmd.Path, cmd.SysProcAttr, cmd.Dir = binary, nobody, "/"
			log := newSyncBuffer(t.Output())
			stdout := newSyncBuffer(nil)
			cmd.Stdout, cmd.Stderr = stdout, log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the welcome", func() bool { return strings.Contains(stdout.String(), "MQTT  ") })
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, log)
			}
		})
	}
}

// Addresses of a machine that runs Home Assistant.
const (
	supervisorIP = "172.30.32.2" // where ingress comes from
	hearthmqIP   = "172.30.33.5"
	mosquittoIP  = "172.30.33.6"
	lanIP        = "192.168.1.20" // as the fake Supervisor says
)

// inOwnNetwork runs the test in a process with a network of its own, where this machine
// has the addresses of one that runs Home Assistant, and apps have their names. It
// reports whether this is that process.
func inOwnNetwork(t *testing.T) bool {
	t.Helper()
	const mark = "TEST_HEARTHMQ_NETWORK"
	unshare := []string{"--map-root-user", "--net", "--mount"}
	if os.Getenv(mark) == t.Name() {
		hosts := filepath.Join(t.TempDir(), "hosts")
		text := "127.0.0.1 localhost\n" + hearthmqIP + " " + addontest.HearthMQ().Hostname + "\n" + mosquittoIP + " " + addontest.Mosquitto().Hostname + "\n"
		if err := os.WriteFile(hosts, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		commands := [][]string{{"ip", "link", "set", "lo", "up"}, {"mount", "--bind", hosts, "/etc/hosts"}}
		for _, address := range []string{supervisorIP, hearthmqIP, mosquittoIP, lanIP} {
			commands = append(commands, []string{"ip", "address", "add", address + "/32", "dev", "lo"})
		}
		for _, c := range commands {
			if out, err := exec.CommandContext(t.Context(), c[0], c[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", strings.Join(c, " "), err, out)
			}
		}
		return true
	}
	need(t, "unshare and ip", exec.CommandContext(t.Context(), "unshare", append(unshare, "ip", "link")...).Run() == nil)
	args := append(unshare, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=30m")
	for _, name := range []string{"test.artifacts", "test.outputdir"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != f.DefValue {
			args = append(args, "-"+name+"="+f.Value.String())
		}
	}
	cmd := exec.CommandContext(t.Context(), "unshare", args...)
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// The admin through Home Assistant's ingress, as it is wired: nobody but the Supervisor,
// of its people only administrators, and nobody while Core can't say who is one.
func TestIngress(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	fake := addontest.New(t, addontest.HearthMQ())
	fake.Core.SetUsers(
		addontest.User{ID: "1", Name: "Anna", Active: true, Owner: true},
		addontest.User{ID: "2", Name: "Bert", Active: true, Groups: []string{"system-users"}},
	)
	address := brokertest.FreeAddress(t)
	s := inApp(t, fake, options{"ingress_address": address})
	anna := &addontest.Person{ID: "1", Name: "anna", DisplayName: "Anna"}
	ingress := addontest.NewIngress(addontest.DialFrom(supervisorIP, address), anna)
	defer ingress.Close()
	core := httptest.NewServer(ingress)
	defer core.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: time.Minute}
	page := func(path string) (int, string) {
		t.Helper()
		resp, err := browser.Get(core.URL + addontest.IngressPath + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	for _, path := range []string{"/", "/topics", "/clients", "/users", "/access"} {
		if code, text := page(path); code != http.StatusOK || !strings.Contains(text, addontest.IngressPath+"/") {
			t.Errorf("%s: %d", path, code)
		}
	}
	if code, _ := page("/users?x=../etc"); code != http.StatusBadRequest {
		t.Errorf("an exploit gets %d", code)
	}
	ingress.SetPerson(&addontest.Person{ID: "2", Name: "bert"})
	if code, text := page("/"); code != http.StatusForbidden || !strings.Contains(text, "not an administrator") {
		t.Errorf("Bert gets %d", code)
	}
	ingress.SetPerson(&addontest.Person{})
	if code, _ := page("/"); code != http.StatusForbidden {
		t.Errorf("somebody unknown gets %d", code)
	}
	if got := get(t, http.DefaultClient, "http://"+address+"/"); got != http.StatusForbidden {
		t.Errorf("a neighbour gets %d", got)
	}
	if n := len(fake.Core.Commands()); n != 1 {
		t.Errorf("Core was asked %d times within a minute", n)
	}

	// Another start while Core is away: fail closed.
	s.stop()
	fake.Core.SetMode(addontest.NotReady)
	ingress.SetPerson(anna)
	s = inAppIn(t, s.dir, fake, options{"ingress_address": address})
	if code, text := page("/"); code != http.StatusForbidden || !strings.Contains(text, "could not be asked") {
		t.Errorf("while Core is away: %d", code)
	}
	s.stop()
	s = inAppIn(t, s.dir, fake, options{"ingress_address": address, "ui_admin_only": false})
	if code, _ := page("/"); code != http.StatusOK {
		t.Errorf("with ui_admin_only off: %d", code)
	}
	s.stop()
	if code, text := page("/"); code != http.StatusBadGateway || text != "502: Bad Gateway" {
		t.Errorf("after the end: %d %q", code, text)
	}
}

// case D6: what the image's HEALTHCHECK runs, with the ports of the app, tells a server
// that answers from one that does not.
func TestHealthcheckInApp(t *testing.T) {
	fake := addontest.New(t, addontest.HearthMQ())
	dir := t.TempDir()
	o := options{"mqtt_address": brokertest.FreeAddress(t), "ws_address": "", "mqtts_address": "", "wss_address": "", "web_address": "", "ingress_address": brokertest.FreeAddress(t)}
	check := func() result {
		t.Helper()
		cmd := asProgram(t, fake.Environ(addontest.HearthMQ()), "healthcheck", "--data", dir)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		_ = cmd.Run() // the code tells
		return result{code: cmd.ProcessState.ExitCode(), stderr: stderr.String()}
	}
	s := inAppIn(t, dir, fake, o)
	if got := check(); got.code != 0 {
		t.Errorf("a healthy server: %d %s", got.code, got.stderr)
	}
	s.stop()
	if got := check(); got.code != exitError {
		t.Errorf("no server: %d", got.code)
	}
	// Ports that take connections and say nothing: the process is wedged.
	for _, key := range []string{"mqtt_address", "ingress_address"} {
		ln, err := net.Listen("tcp", o[key].(string))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
	}
	if got := check(); got.code != exitError || !strings.Contains(got.stderr, "MQTT does not answer: no answer in time") {
		t.Errorf("a wedged server: %d %s", got.code, got.stderr)
	}
}
