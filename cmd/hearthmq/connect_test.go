package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hearthmq/addon/addontest"
)

// household is a machine with Home Assistant on it, and somebody in front of it: all of
// it runs, but for the Supervisor and Core, which are imitated.
type household struct {
	*walker
	fake    *addontest.Supervisor
	server  *testServer
	at      string // URL of the admin, through ingress
	core    *homeAssistantClient
	entry   addontest.Entry // what core runs with
	options options
}

func newHousehold(t *testing.T, apps ...*addontest.App) *household {
	t.Helper()
	h := &household{fake: addontest.New(t, apps...), options: options{
		"mqtt_address": net.JoinHostPort(hearthmqIP, "1883"), "ws_address": "", "mqtts_address": "", "wss_address": "", "ingress_address": net.JoinHostPort(hearthmqIP, "8099"),
	}}
	h.fake.Core.SetUsers(addontest.User{ID: "1", Name: "Anna", Active: true, Owner: true})
	// As Core does before it takes a broker, and for real.
	h.fake.Core.SetConnect(func(e addontest.Entry) bool {
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + net.JoinHostPort(e.Broker, strconv.Itoa(e.Port))).SetClientID("try").
			SetUsername(e.User).SetPassword(e.Password).SetAutoReconnect(false))
		token := c.Connect()
		token.Wait()
		defer c.Disconnect(0)
		return token.Error() == nil
	})
	ingress := addontest.NewIngress(addontest.DialFrom(supervisorIP, net.JoinHostPort(hearthmqIP, "8099")), &addontest.Person{ID: "1", Name: "anna", DisplayName: "Anna"})
	t.Cleanup(ingress.Close)
	homeAssistant := httptest.NewServer(ingress)
	t.Cleanup(homeAssistant.Close)
	h.at = homeAssistant.URL + addontest.IngressPath
	h.walker = newWalker(t)
	return h
}

// start starts HearthMQ and waits until Home Assistant was told.
func (h *household) start(dir string) {
	h.t.Helper()
	h.server = inAppIn(h.t, dir, h.fake, h.options)
	h.server.mqtt = net.JoinHostPort(addontest.HearthMQ().Hostname, "1883")
}

// runCore has Home Assistant's MQTT client run with what its integration was set up
// with, as Core itself does when that changes.
func (h *household) runCore() {
	h.t.Helper()
	e := h.fake.Core.Entry()
	if e == nil {
		h.t.Fatal("the integration is not set up")
	}
	if h.core != nil {
		h.core.tell("stop")
		h.core.succeed()
	}
	h.entry = *e
	h.core = playHomeAssistantAt(h.t, net.JoinHostPort(e.Broker, strconv.Itoa(e.Port)), e.User, e.Password)
	h.core.until("its birth", event("birth"))
}

// look opens the page Connect, and picture keeps what it looks like.
func (h *household) look() {
	h.t.Helper()
	h.do(chromedp.Navigate(h.at + "/connect"))
	h.until(`document.documentElement.dataset.ready === 'true'`)
}

func (h *household) picture(name string) {
	h.t.Helper()
	for _, width := range []int64{1280, 390} {
		h.do(chromedp.EmulateViewport(width, 844))
		for _, theme := range []string{"light", "dark"} {
			h.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.documentElement.dataset.theme = %q`, theme)))
			png, err := chromedp.Run(h.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				h.t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(h.t.ArtifactDir(), fmt.Sprintf("%s-%d-%s.png", name, width, theme)), png, 0o600); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	h.do(chromedp.EmulateViewport(1280, 844))
}

// state waits until a card says so.
func (h *household) state(card, want string) {
	h.t.Helper()
	h.until(fmt.Sprintf(`document.querySelector('[data-card=%s] [data-state]')?.textContent === %q && document.documentElement.dataset.ready === 'true'`, card, want))
}

// press presses a button that leads to a page, and waits for that page.
func (h *household) press(selector, says string) {
	h.t.Helper()
	h.until(fmt.Sprintf(`document.querySelector(%q) !== null && document.documentElement.dataset.ready === 'true'`, selector))
	h.click(selector)
	h.shows(says)
	h.until(`document.documentElement.dataset.ready === 'true'`)
}

// startZigbee starts the real Zigbee2MQTT with the environment that its app derives from
// the service record: asked for as bashio does, with a body and as Bearer.
func (h *household) startZigbee(dir string) *zigbeeProgram {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.fake.URL+"/services/mqtt", strings.NewReader("{}"))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+addontest.Zigbee2MQTT().Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Host, Username, Password string
			Port                     int
			SSL                      bool
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Data.Host == "" || answer.Data.SSL {
		h.t.Fatalf("the record: %+v %v", answer, err)
	}
	d := answer.Data
	for key, value := range map[string]string{
		"SERVER": fmt.Sprintf("mqtt://%s:%d", d.Host, d.Port), "USER": d.Username, "PASSWORD": d.Password,
	} {
		h.t.Setenv("ZIGBEE2MQTT_CONFIG_MQTT_"+key, value)
	}
	// What stands in its own file leads nowhere: the environment counts.
	return startZigbee2MQTT(h.t, dir, "nowhere.invalid:1883", "nobody", "nothing", 4)
}

// at connects to any broker.
func at(t *testing.T, host, id, user, password string) mqtt.Client {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + net.JoinHostPort(host, "1883")).SetClientID(id).SetUsername(user).SetPassword(password).SetAutoReconnect(false))
	done(t, c.Connect())
	return c
}

// retainedAt returns what is retained at a broker: what comes until a second passes
// without any.
func retainedAt(t *testing.T, host, user, password string) map[string]string {
	t.Helper()
	c := at(t, host, "reader", user, password)
	defer c.Disconnect(0)
	got := make(chan mqtt.Message, 10_000)
	done(t, c.Subscribe("#", 1, func(_ mqtt.Client, m mqtt.Message) {
		if m.Retained() {
			got <- m
		}
	}))
	all := map[string]string{}
	for {
		select {
		case m := <-got:
			all[m.Topic()] = string(m.Payload())
		case <-time.After(time.Second):
			return all
		}
	}
}

// From nothing to a connected Home Assistant, Zigbee2MQTT and Node-RED, in a browser
// behind Home Assistant's ingress, by nothing but clicks.
func TestConnectHome(t *testing.T) {
	nodeRED := npmPackage(t, nodeRED)
	npmPackage(t, zigbee2MQTT)
	if !inOwnNetwork(t) {
		return
	}
	z2m := addontest.Zigbee2MQTT()
	z2m.State = "stopped"
	editor := &addontest.App{Slug: "a0d7b954_nodered", Name: "Node-RED", Hostname: "a0d7b954-nodered", Token: "nodered-token", State: "started"}
	h := newHousehold(t, addontest.HearthMQ(), z2m, editor)
	h.start(t.TempDir())
	announced(t, h.fake, h.server)

	h.look()
	h.state("home-assistant", "One click away")
	h.state("zigbee2mqtt", "Not running")
	h.state("node-red", "Not connected")
	h.picture("connect-empty")

	// Home Assistant.
	h.press("[data-card=home-assistant] form button", "has set up its MQTT integration")
	h.runCore()
	if h.entry.Broker != addontest.HearthMQ().Hostname || h.entry.Protocol != "5" {
		t.Errorf("Home Assistant was set up with %+v", h.entry)
	}
	h.state("home-assistant", "Connected")

	// Zigbee2MQTT: its app is started, and that is all.
	h.fake.SetState(z2m.Slug, "started")
	h.startZigbee(t.TempDir())
	h.state("zigbee2mqtt", "Connected")
	h.core.until("the lamp", func(e homeAssistantEvent) bool {
		return e.Event == "state" && e.Topic == "zigbee2mqtt/"+zigbeeLamp || e.Event == "device" && strings.Contains(e.Topic, zigbeeLampAddress) || strings.Contains(e.Payload, "zigbee")
	})

	// Node-RED: the flow is copied from the page and imported.
	admin := net.JoinHostPort(lanIP, "1880")
	startNodeREDAt(t, nodeRED, admin)
	h.press("[data-card=node-red] a.primary", "Import it")
	h.press("form[action$='/connect/node-red'] button", "The flow for Node-RED")
	h.picture("connect-flow")
	h.click("[data-copy=flow]")
	flow, err := chromedp.Run(h.ctx, chromedp.Evaluate[string](`document.getElementById('flow').textContent`))
	if err != nil {
		t.Fatal(err)
	}
	importFlow(t, admin, flow)
	h.look()
	h.state("node-red", "Connected")
	h.throughNodeRED("imported")

	// Or it is sent there, with a new password: the address is the one that the page guesses.
	h.do(chromedp.Navigate(h.at + "/connect/node-red"))
	h.until(`document.documentElement.dataset.ready === 'true'`)
	h.click("details summary.card-head")
	h.press("form[action$='/send'] button", "Node-RED has the broker now")
	h.state("node-red", "Connected")
	h.throughNodeRED("sent")
	h.picture("connect-all")
	h.core.tell("stop")
}

// importFlow does what Node-RED's editor does with a flow that is pasted and deployed.
// Beside it, what comes to nr/in is sent to nr/out.
func importFlow(t *testing.T, admin, flow string) {
	t.Helper()
	var nodes []map[string]any
	if err := json.Unmarshal([]byte(flow), &nodes); err != nil {
		t.Fatal(err)
	}
	broker := nodes[0]["id"]
	for _, n := range nodes[1:] {
		n["z"] = "tab"
	}
	nodes = append(nodes, map[string]any{"id": "tab", "type": "tab", "label": "test"},
		map[string]any{"id": "in", "type": "mqtt in", "z": "tab", "topic": "nr/in", "qos": "1", "datatype": "auto-detect", "broker": broker, "wires": [][]string{{"out"}}},
		map[string]any{"id": "out", "type": "mqtt out", "z": "tab", "topic": "nr/out", "qos": "1", "retain": "false", "broker": broker, "wires": [][]string{}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+admin+"/flows", bytes.NewReader(marshalAny(t, nodes)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Node-RED-Deployment-Type", "full")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("import: %s\n%s", resp.Status, text)
	}
}

func marshalAny(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// throughNodeRED sends a message through Node-RED and waits for it to come back. It is
// retained: Node-RED may not have subscribed yet.
func (h *household) throughNodeRED(text string) {
	h.t.Helper()
	service := h.fake.Service()
	c := client(h.t, h.server, "beside-node-red-"+text, service)
	got := make(chan mqtt.Message, 100)
	done(h.t, c.Subscribe("nr/out", 1, func(_ mqtt.Client, m mqtt.Message) { got <- m }))
	done(h.t, c.Publish("nr/in", 1, true, text))
	for string(received(h.t, got).Payload()) != text {
	}
}

// startMosquitto runs Mosquitto as Home Assistant's app has it: two system users, no
// strangers. The end of the test, or stop, ends it.
func startMosquitto(t *testing.T, logins map[string]string) (stop func()) {
	t.Helper()
	const program = "/usr/sbin/mosquitto"
	_, err := os.Stat(program)
	need(t, "mosquitto", err == nil && have("mosquitto_passwd"))
	dir := t.TempDir()
	passwords := filepath.Join(dir, "passwords")
	if err := os.WriteFile(passwords, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for user, password := range logins {
		if out, err := exec.CommandContext(t.Context(), "mosquitto_passwd", "-b", passwords, user, password).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
		}
	}
	conf := filepath.Join(dir, "mosquitto.conf")
	text := "listener 1883 " + mosquittoIP + "\nuser root\npassword_file " + passwords + "\npersistence false\nmax_queued_messages 8192\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, nil, dir, program, "-c", conf)
	eventually(t, "Mosquitto answers", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort(mosquittoIP, "1883"))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return func() {
		_ = p.cmd.Process.Kill() // its cleanup waits for it
		p.drain()
	}
}

// Mosquitto is in place, with Home Assistant and Zigbee2MQTT at it. At the end both are
// with HearthMQ, with all that was retained, and Mosquitto does not run.
func TestTakeOverHome(t *testing.T) {
	npmPackage(t, zigbee2MQTT)
	if !inOwnNetwork(t) {
		return
	}
	logins := map[string]string{"homeassistant": "their homeassistant", "addons": "their addons"}
	stopMosquitto := startMosquitto(t, logins)
	mosquittoApp, ours, z2m := addontest.Mosquitto(), addontest.HearthMQ(), addontest.Zigbee2MQTT()
	ours.Network = map[string]any{"1883/tcp": nil, "1884/tcp": nil, "8883/tcp": nil, "8884/tcp": nil} // Mosquitto has them
	h := newHousehold(t, mosquittoApp, ours, z2m)
	h.fake.SetService(map[string]any{
		"host": mosquittoApp.Hostname, "port": 1883.0, "username": "addons", "password": logins["addons"], "ssl": false, "protocol": "3.1.1", "addon": mosquittoApp.Slug,
	})
	h.fake.Core.SetEntry(&addontest.Entry{
		ID: "01abc", Title: mosquittoApp.Name, Broker: mosquittoApp.Hostname, Port: 1883, User: "homeassistant", Password: logins["homeassistant"], Protocol: "5", SetCACert: "off", Transport: "tcp",
	})
	h.runCore()
	zigbeeHome := t.TempDir()
	z := h.startZigbee(zigbeeHome)
	var house []string
	for i := range 300 {
		house = append(house, fmt.Sprintf("garden/sensor-%d/state", i))
	}
	theirs := at(t, mosquittoIP, "garden", "addons", logins["addons"])
	for i, name := range house {
		done(t, theirs.Publish(name, byte(i%3), true, fmt.Sprintf(`{"value":%d}`, i)))
	}
	theirs.Disconnect(100)
	eventually(t, "Zigbee2MQTT at Mosquitto", func() bool {
		return retainedAt(t, mosquittoIP, "addons", logins["addons"])["zigbee2mqtt/bridge/devices"] != ""
	})

	// HearthMQ is installed, and leaves everything as it is.
	dir := t.TempDir()
	h.start(dir)
	h.look()
	h.state("home-assistant", "Uses Mosquitto broker")
	h.picture("take-over-start")
	if got := h.fake.Service()["addon"]; got != mosquittoApp.Slug {
		t.Fatalf("the record was taken by %v without a word", got)
	}

	h.press("[data-card=home-assistant] a.primary", "From Mosquitto broker to HearthMQ")
	h.press("[data-step=copy] form button", "The retained messages were copied")
	h.picture("take-over-copied")
	h.press("[data-step=record] form button", "apps find HearthMQ when they start next")
	h.click("[data-step=integration] a.primary")
	h.shows("Change Home Assistant's MQTT integration?")
	h.press("dialog[open] button[type=submit]", "Home Assistant tried HearthMQ and took it")
	h.runCore()
	if h.entry.Broker != ours.Hostname {
		t.Errorf("Home Assistant is at %+v", h.entry)
	}
	h.shows("Home Assistant is connected here.")

	// There and back again.
	h.press("[data-step=integration] form button", "back with the other broker")
	h.press("[data-step=record] form button", "apps find the other broker again")
	if e, s := h.fake.Core.Entry(), h.fake.Service(); e.Broker != mosquittoApp.Hostname || s["host"] != mosquittoApp.Hostname || s["password"] != logins["addons"] {
		t.Errorf("undone: entry %+v, record %v", e, s)
	}
	h.runCore()
	h.press("[data-step=record] form button.primary", "apps find HearthMQ when they start next")
	h.click("[data-step=integration] a.primary")
	h.press("dialog[open] button[type=submit]", "Home Assistant tried HearthMQ and took it")
	h.runCore()

	// The app is restarted, as the page says.
	h.shows("Restart it")
	z.stop()
	h.startZigbee(zigbeeHome)
	h.until(`[...document.querySelectorAll('.takeover-apps .row')].some((r) => r.innerText.includes('Zigbee2MQTT') && r.innerText.includes('Connected here'))`)
	h.picture("take-over-apps")

	// What came to Mosquitto meanwhile comes along, and Mosquitto stops.
	late := at(t, mosquittoIP, "late", "addons", logins["addons"])
	done(t, late.Publish(house[0], 1, true, `{"value":"late"}`))
	late.Disconnect(100)
	h.press("[data-step=copy] form button", "The retained messages were copied")
	before := retainedAt(t, mosquittoIP, "addons", logins["addons"])
	stopMosquitto()
	h.fake.SetState(mosquittoApp.Slug, "stopped")

	restarted := make(chan struct{})
	h.fake.OnRestart(func(string) { close(restarted) })
	h.until(`document.querySelector('[data-step=ports] a.primary') !== null && document.documentElement.dataset.ready === 'true'`)
	h.click("[data-step=ports] a.primary")
	h.shows("Give HearthMQ the ports?")
	h.press("dialog[open] button[type=submit]", "takes the ports and restarts")
	<-restarted
	if code := h.server.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	h.start(dir)
	h.press("[data-step=ports] form button", "HearthMQ is your broker now")
	h.state("zigbee2mqtt", "Connected")

	// Home Assistant comes back after the restart by itself, as its client does.
	h.core.tell("restart")
	h.core.until("its birth", event("birth"))
	h.state("home-assistant", "Connected")
	h.picture("take-over-done")
	service := h.fake.Service()
	after := retainedAt(t, hearthmqIP, service["username"].(string), service["password"].(string))
	missing := 0
	for name, payload := range before {
		switch got, there := after[name]; {
		case !there:
			missing++
			t.Errorf("%s is not here", name)
		case got != payload && slices.Contains(house, name):
			t.Errorf("%s is %s here, and was %s", name, got, payload)
		}
	}
	if len(before) < 310 || missing > 0 {
		t.Errorf("%d messages were retained at Mosquitto, %d of them are not here", len(before), missing)
	}
	h.core.tell("stop")
}
