package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hearthmq/addon/addontest"
	"hearthmq/broker/brokertest"
)

// inApp runs a server as Home Assistant's app, with a Supervisor of the test's own.
func inApp(t *testing.T, fake *addontest.Supervisor, o options) *testServer {
	t.Helper()
	return inAppIn(t, t.TempDir(), fake, o)
}

func inAppIn(t *testing.T, dir string, fake *addontest.Supervisor, o options) *testServer {
	t.Helper()
	all := options{"web_address": "", "ingress_address": brokertest.FreeAddress(t)}
	maps.Copy(all, o)
	return startIn(t, dir, all, fake.Environ(addontest.HearthMQ())...)
}

// announced waits until both, Home Assistant and its apps, were told of the server.
func announced(t *testing.T, fake *addontest.Supervisor, s *testServer) (service, discovery map[string]any) {
	t.Helper()
	_, port, err := net.SplitHostPort(s.mqtt)
	if err != nil {
		t.Fatal(err)
	}
	is := func(config map[string]any) bool { return config != nil && fmt.Sprint(config["port"]) == port }
	eventually(t, "service and discovery", func() bool {
		all := fake.Discoveries()
		if service = fake.Service(); is(service) && len(all) == 1 && is(all[0].Config) {
			discovery = all[0].Config
			return true
		}
		return false
	})
	return service, discovery
}

// client connects with the credentials of a record of the Supervisor's.
func client(t *testing.T, s *testServer, id string, config map[string]any) mqtt.Client {
	t.Helper()
	c, err := dial(s, id, config["username"].(string), config["password"].(string))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

func dial(s *testServer, id, user, password string) (mqtt.Client, error) {
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.mqtt).SetClientID(id).SetUsername(user).SetPassword(password).
		SetAutoReconnect(false).SetConnectTimeout(time.Minute))
	token := c.Connect()
	token.Wait()
	return c, token.Error()
}

// case D1: the Supervisor hangs, fails or is not there. The broker serves at once, and
// is announced when the Supervisor is well again; an old record of ours gives way.
func TestSupervisorInTrouble(t *testing.T) {
	for name, mode := range map[string]addontest.Mode{"hangs": addontest.Hangs, "fails": addontest.Fails, "gone": addontest.Gone} {
		t.Run(name, func(t *testing.T) {
			fake := addontest.New(t, addontest.HearthMQ())
			fake.SetMode(mode)
			fake.SetService(map[string]any{"host": "014ce74a-hearthmq", "port": 1883.0, "username": "addons", "password": "old", "ssl": false, "protocol": "3.1.1", "addon": "014ce74a_hearthmq"})
			machine, began := brokertest.WatchMachine(), time.Now()
			s := inApp(t, fake, options{"logins": []map[string]any{{"username": e2eUser, "password": e2ePassword}}})
			c, err := dial(s, "lamp", e2eUser, e2ePassword)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Disconnect(0)
			if took := time.Since(began); took > 3*time.Second {
				machine.Timing(t, "MQTT answered after %v", took)
			}
			eventually(t, "the Supervisor is asked", func() bool { return len(fake.Calls()) > 0 })
			fake.SetMode(addontest.Works)
			service, _ := announced(t, fake, s)
			client(t, s, "app", service)
			fake.SetMode(mode)
			machine, began = brokertest.WatchMachine(), time.Now()
			if code := s.stop(); code != 0 {
				t.Errorf("exit %d", code)
			}
			if took := time.Since(began); took > 10*time.Second {
				machine.Timing(t, "stopping took %v", took)
			}
		})
	}
}

// case D3: a token of yesterday.
func TestExpiredToken(t *testing.T) {
	fake := addontest.New(t, addontest.HearthMQ())
	s := startIn(t, t.TempDir(), options{"web_address": "", "ingress_address": brokertest.FreeAddress(t)}, "SUPERVISOR_TOKEN=yesterday", "SUPERVISOR_API="+fake.URL)
	eventually(t, "the log says so", func() bool { return strings.Contains(s.log.String(), "does not accept this app") })
	if fake.Service() != nil {
		t.Error("a record appeared")
	}
	if _, err := dial(s, "x", "somebody", "else"); err == nil {
		t.Error("somebody whom nobody can vouch for is let in")
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// case D11: no DNS, or a network that swallows everything: only what is beyond it waits.
func TestNoNetwork(t *testing.T) {
	for name, api := range map[string]string{"no such name": "http://supervisor.invalid", "nobody answers": "http://192.0.2.1"} {
		t.Run(name, func(t *testing.T) {
			machine, began := brokertest.WatchMachine(), time.Now()
			s := start(t, options{
				"web_address": "", "ingress_address": brokertest.FreeAddress(t), "logins": []map[string]any{{"username": e2eUser, "password": e2ePassword}},
			}, "SUPERVISOR_TOKEN=t", "SUPERVISOR_API="+api)
			c, err := dial(s, "lamp", e2eUser, e2ePassword)
			if err != nil {
				t.Fatal(err)
			}
			c.Disconnect(0)
			if took := time.Since(began); took > 3*time.Second {
				machine.Timing(t, "MQTT answered after %v", took)
			}
			if code := s.stop(); code != 0 {
				t.Errorf("exit %d", code)
			}
		})
	}
	// IPv6 alone.
	if ln, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		ln.Close()
		s := start(t, options{"mqtt_address": "[::1]:0", "logins": []map[string]any{{"username": e2eUser, "password": e2ePassword}}})
		s.mqtt = strings.Replace(s.mqtt, "127.0.0.1", "[::1]", 1)
		if c, err := dial(s, "lamp", e2eUser, e2ePassword); err != nil {
			t.Error(err)
		} else {
			c.Disconnect(0)
		}
	}
}

// case A25, in the whole program: users of Home Assistant log in, with the rights of
// the role that the settings name, and nobody does while nobody can say who it is.
func TestHomeAssistantUsers(t *testing.T) {
	fake := addontest.New(t, addontest.HearthMQ())
	fake.SetUser("anna", "anna's password")
	s := inApp(t, fake, options{"home_assistant_role": "read-only"})
	c, err := dial(s, "phone", "anna", "anna's password")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan mqtt.Message, 10)
	done(t, c.Subscribe("#", 0, func(_ mqtt.Client, m mqtt.Message) { got <- m }))
	service, _ := announced(t, fake, s)
	app := client(t, s, "app", service)
	done(t, app.Publish("a/b", 1, false, "x"))
	eventually(t, "anna receives", func() bool { return received(t, got).Topic() == "a/b" })
	c.Disconnect(0)
	if _, err := dial(s, "phone", "anna", "wrong"); err == nil {
		t.Error("a wrong password is let in")
	}
	fake.SetMode(addontest.Gone)
	if c, err = dial(s, "phone", "anna", "anna's password"); err != nil {
		t.Errorf("known, while the Supervisor is away: %v", err)
	} else {
		c.Disconnect(0)
	}
	if _, err := dial(s, "phone", "bert", "x"); err == nil || !strings.Contains(err.Error(), "navailable") {
		t.Errorf("unknown, while the Supervisor is away: %v", err)
	}
	fake.SetMode(addontest.Works)
	for _, secret := range []string{"anna's password", service["password"].(string), addontest.HearthMQ().Token} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log tells a secret:\n%s", s.log)
		}
	}
	off := inApp(t, fake, options{"home_assistant_role": "off"})
	if _, err := dial(off, "phone", "anna", "anna's password"); err == nil {
		t.Error("let in although the setting says off")
	}
}

// homeAssistantClient is the script that plays Home Assistant.
type homeAssistantClient struct {
	*program
	stdin io.WriteCloser
}

type homeAssistantEvent struct {
	Event, Topic, Payload, Name string
	Entities                    []string
	Retain                      bool
	Discovered, Code            int
}

func playHomeAssistant(t *testing.T, s *testServer, config map[string]any) *homeAssistantClient {
	t.Helper()
	return playHomeAssistantAt(t, s.mqtt, config["username"].(string), config["password"].(string))
}

// playHomeAssistantAt is playHomeAssistant against any broker.
func playHomeAssistantAt(t *testing.T, address, user, password string) *homeAssistantClient {
	t.Helper()
	need(t, "python3-paho-mqtt", exec.CommandContext(t.Context(), systemPython, "-c", "import paho.mqtt.client").Run() == nil)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	p := launchWith(t, r, nil, "testdata", systemPython, "home_assistant.py", host, port, user, password)
	return &homeAssistantClient{p, w}
}

// until reads events up to one that is wanted and returns all of them.
func (h *homeAssistantClient) until(what string, wanted func(e homeAssistantEvent) bool) []homeAssistantEvent {
	h.t.Helper()
	var all []homeAssistantEvent
	for {
		var e homeAssistantEvent
		line := h.line()
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			h.t.Fatalf("waiting for %s: %q: %v", what, line, err)
		}
		all = append(all, e)
		if wanted(e) {
			return all
		}
	}
}

func (h *homeAssistantClient) tell(line string) {
	h.t.Helper()
	if _, err := io.WriteString(h.stdin, line+"\n"); err != nil {
		h.t.Fatal(err)
	}
}

func event(name string) func(homeAssistantEvent) bool {
	return func(e homeAssistantEvent) bool { return e.Event == name }
}

// case D8: Home Assistant restarts. Devices hear of its end and its return and announce
// themselves again; what did not change is not written again. On the way: HearthMQ is
// one of its devices, and its figures come when it is there.
func TestHomeAssistantRestarts(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	fake := addontest.New(t, addontest.HearthMQ())
	s := inApp(t, fake, nil)
	service, discovery := announced(t, fake, s)

	bridge := client(t, s, "zigbee2mqtt", service)
	status := make(chan mqtt.Message, 100)
	done(t, bridge.Subscribe("homeassistant/status", 0, func(_ mqtt.Client, m mqtt.Message) { status <- m }))
	const devices = 500
	announce := func() {
		var tokens []mqtt.Token
		for i := range devices {
			topic := fmt.Sprintf("homeassistant/sensor/0x%04d/temperature/config", i)
			tokens = append(tokens, bridge.Publish(topic, 1, true, fmt.Sprintf(`{"name":"Temperature","unique_id":"t%d","state_topic":"zigbee2mqtt/%d"}`, i, i)))
		}
		for _, token := range tokens {
			done(t, token)
		}
	}
	announce()

	core := playHomeAssistant(t, s, discovery)
	events := core.until("its birth", event("birth"))
	if e := events[len(events)-1]; e.Discovered < devices+1 {
		t.Errorf("%d discovered", e.Discovered)
	}
	i := slices.IndexFunc(events, event("device"))
	if i < 0 || events[i].Name != "HearthMQ" || !events[i].Retain || !slices.Contains(events[i].Entities, "clients") {
		t.Errorf("HearthMQ is no device: %+v", events)
	}
	core.until("figures", func(e homeAssistantEvent) bool {
		return e.Topic == "hearthmq/state" && strings.Contains(e.Payload, `"clients":`) && !e.Retain
	})
	expectStatus(t, status, "online")

	before := written(t, s.dir)
	core.tell("restart")
	expectStatus(t, status, "offline", "online")
	announce() // as Zigbee2MQTT does when Home Assistant is there again
	core.until("its second birth", event("birth"))
	if after := written(t, s.dir); after != before {
		t.Errorf("the database was written: %s before, %s after", before, after)
	}
	core.tell("stop")
	expectStatus(t, status, "offline")
}

func expectStatus(t *testing.T, from <-chan mqtt.Message, want ...string) {
	t.Helper()
	for _, w := range want {
		m := received(t, from)
		if string(m.Payload()) != w || m.Retained() {
			t.Errorf("status %q, retained %v, want %q", m.Payload(), m.Retained(), w)
		}
	}
}

// written tells apart states of the database's files on disk.
func written(t *testing.T, dir string) string {
	t.Helper()
	var text strings.Builder
	for _, name := range []string{databaseName, databaseName + "-wal"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s %d bytes %s; ", name, info.Size(), info.ModTime().Format(time.StampNano))
	}
	return text.String()
}

// case D10: the app was installed anew. Its passwords are others, both records follow,
// and Home Assistant, which would have to ask for credentials, gets in with the new ones.
func TestReinstalled(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	fake := addontest.New(t, addontest.HearthMQ())
	port := brokertest.FreeAddress(t)
	s := inApp(t, fake, options{"mqtt_address": port})
	oldService, oldDiscovery := announced(t, fake, s)
	fake.SetMode(addontest.Gone) // the machine's power went, say
	s.stop()
	fake.SetMode(addontest.Works)
	if fake.Service() == nil {
		t.Fatal("the record did not stay")
	}

	s = inApp(t, fake, options{"mqtt_address": port})
	eventually(t, "new records", func() bool {
		return fake.Service()["password"] != oldService["password"] && fake.Discoveries()[0].Config["password"] != oldDiscovery["password"]
	})
	old := playHomeAssistant(t, s, oldDiscovery)
	if e := old.until("refusal", func(homeAssistantEvent) bool { return true }); e[0].Event != "reauth" {
		t.Errorf("with the password of before: %+v", e)
	}
	pushed := fake.Core.Pushed()
	now := playHomeAssistant(t, s, pushed[len(pushed)-1].Config)
	now.until("its birth", event("birth"))

	// A restart in order keeps passwords, takes the record back and gives it again.
	dir, service := s.dir, fake.Service()
	if code := s.stop(); code != 0 || fake.Service() != nil {
		t.Errorf("exit %d, record %v", code, fake.Service())
	}
	s = inAppIn(t, dir, fake, options{"mqtt_address": port})
	if again, _ := announced(t, fake, s); again["password"] != service["password"] {
		t.Error("the password changed over a restart")
	}
}

// case D9: the data of one installation, in another place. Its format knows no
// architecture: it is SQLite's.
func TestDataMoves(t *testing.T) {
	fake := addontest.New(t, addontest.HearthMQ())
	s := inApp(t, fake, nil)
	service, _ := announced(t, fake, s)
	c := client(t, s, "app", service)
	done(t, c.Publish("house/state", 1, true, "kept"))
	c.Disconnect(100)

	// As the Supervisor does it: a snapshot of the running server, without the live database.
	if r := command(t, s.dir, "", "backup", "pre"); r.code != 0 {
		t.Fatalf("backup pre: exit %d\n%s", r.code, r.stderr)
	}
	moved := t.TempDir()
	if err := os.CopyFS(filepath.Join(moved, "backup"), os.DirFS(filepath.Join(s.dir, "backup"))); err != nil {
		t.Fatal(err)
	}
	if r := command(t, s.dir, "", "backup", "post"); r.code != 0 {
		t.Fatalf("backup post: exit %d\n%s", r.code, r.stderr)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	s = inAppIn(t, moved, fake, nil)
	again, _ := announced(t, fake, s)
	if again["password"] != service["password"] {
		t.Error("another password")
	}
	got := make(chan mqtt.Message, 10)
	done(t, client(t, s, "app", again).Subscribe("house/#", 0, func(_ mqtt.Client, m mqtt.Message) { got <- m }))
	if m := received(t, got); string(m.Payload()) != "kept" || !m.Retained() {
		t.Errorf("%s %s", m.Topic(), m.Payload())
	}
}
