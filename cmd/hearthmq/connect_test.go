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
	"path/filepath"
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
