package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"hearthmq/broker/brokertest"
)

// Clients that live on Node.js. Their packages are installed once into the user's
// cache folder.
const (
	mqttJS  = "mqtt@5.16.0"
	nodeRED = "node-red@4.1.15"
)

// npmPackage returns the folder where an npm package is installed. Without npm, or
// without a way to its registry, the test is skipped loudly; what a network does is not
// a failure of HearthMQ, in CI neither.
func npmPackage(t *testing.T, name string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("not with -short")
	}
	if !have("npm") || !have("node") {
		t.Skipf("SKIPPED, NOT TESTED: %s needs npm and node", name)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("SKIPPED, NOT TESTED: %s needs a cache folder: %v", name, err)
	}
	dir := filepath.Join(cache, "hearthmq-tests", strings.ReplaceAll(name, "@", "-"))
	complete := filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return dir
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", name)
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: npm could not install %s: %v\n%s", name, err, out)
	}
	if err := os.WriteFile(complete, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMQTTJS(t *testing.T) {
	dir := npmPackage(t, mqttJS)
	s := startE2E(t, nil)
	env := append(os.Environ(), "NODE_PATH="+filepath.Join(dir, "node_modules"))
	for _, level := range []string{"3", "4", "5"} {
		for _, url := range []string{"mqtt://" + s.mqtt, "ws://" + s.ws + "/mqtt"} {
			t.Run("level "+level+" "+url[:2], func(t *testing.T) {
				out := launch(t, env, "testdata", "node", "mqttjs_e2e.cjs", url, e2eUser, e2ePassword, level).drain()
				if len(out) != 1 || out[0] != "ok" {
					t.Error(strings.Join(out, "\n"))
				}
			})
		}
	}
}

// Node-RED forwards from one topic to another, in each version of the protocol.
func TestNodeRED(t *testing.T) {
	dir := npmPackage(t, nodeRED)
	s := startE2E(t, nil)
	admin := startNodeRED(t, dir)
	for _, level := range []string{"3", "4", "5"} {
		t.Run("level "+level, func(t *testing.T) {
			c, got := v5(t, s, "beside-node-red-"+level, nil)
			line := newCable(t, s.mqtt)
			deployFlow(t, admin, line.address, level, e2ePassword)
			// The answer comes back once Node-RED has subscribed; the question is retained.
			subscribe5(t, c, subscription("nr/out/"+level))
			publish5(t, c, retained("nr/in/"+level, "hello from level "+level))
			if m := received(t, got); string(m.Payload) != "hello from level "+level {
				t.Errorf("received %q", m.Payload)
			}
			// The connection breaks: the will comes, Node-RED comes back, and forwards again.
			house := watch(t, s, "house-node-red-"+level, "nr/state/"+level)
			if m := house.until("nr/state/"+level, "online"); !m.Retain {
				t.Error("the birth message was not retained")
			}
			line.cut()
			house.until("nr/state/"+level, "offline")
			house.until("nr/state/"+level, "online")
			eventually(t, "Node-RED has subscribed again", func() bool {
				r, err := c.Publish(within(t), &paho.Publish{Topic: "nr/in/" + level, QoS: 1, Payload: []byte("again")})
				return err == nil && r.ReasonCode == 0 // and not 0x10, no matching subscribers
			})
			for string(received(t, got).Payload) != "again" { // the retained one may come before
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		deployFlow(t, admin, s.mqtt, "4", "wrong")
		eventually(t, "the refusal is in the log", func() bool {
			return strings.Contains(s.log.String(), "client refused") && strings.Contains(s.log.String(), "wrong password")
		})
	})
}

// startNodeRED runs Node-RED with a folder of its own and returns its address.
func startNodeRED(t *testing.T, installed string) (address string) {
	t.Helper()
	address = brokertest.FreeAddress(t)
	startNodeREDAt(t, installed, address)
	return address
}

func startNodeREDAt(t *testing.T, installed, address string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	settings := `module.exports = { uiHost: ` + strconv.Quote(host) + `, uiPort: ` + port + `, flowFile: "flows.json", credentialSecret: "test", mqttReconnectTime: 200,
		telemetry: { enabled: false, updateNotification: false }, editorTheme: { tours: false }, logging: { console: { level: "info" } } }`
	if err := os.WriteFile(filepath.Join(dir, "settings.js"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, append(os.Environ(), "HOME="+dir), dir, "node",
		filepath.Join(installed, "node_modules", "node-red", "red.js"), "--userDir", dir, "--settings", filepath.Join(dir, "settings.js"))
	eventually(t, "Node-RED answers", func() bool {
		resp, err := http.Get("http://" + address + "/flows")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// deployFlow makes Node-RED forward nr/in/LEVEL to nr/out/LEVEL at the broker at
// address, and say in nr/state/LEVEL whether it is there.
func deployFlow(t *testing.T, admin, address, level, password string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	type node map[string]any
	flow := []node{
		{"id": "tab", "type": "tab", "label": "test"},
		{
			"id": "broker", "type": "mqtt-broker", "broker": host, "port": port, "clientid": "node-red-" + level, "autoConnect": true,
			"usetls": false, "protocolVersion": level, "keepalive": "60", "cleansession": true,
			"credentials": node{"user": e2eUser, "password": password},
			"birthTopic":  "nr/state/" + level, "birthQos": "1", "birthRetain": "true", "birthPayload": "online",
			"willTopic": "nr/state/" + level, "willQos": "1", "willRetain": "true", "willPayload": "offline",
		},
		{"id": "in", "type": "mqtt in", "z": "tab", "topic": "nr/in/" + level, "qos": "1", "datatype": "auto-detect", "broker": "broker", "wires": [][]string{{"out"}}},
		{"id": "out", "type": "mqtt out", "z": "tab", "topic": "nr/out/" + level, "qos": "1", "retain": "false", "broker": "broker", "wires": [][]string{}},
	}
	body, err := json.Marshal(flow)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+admin+"/flows", bytes.NewReader(body))
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
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("deploying the flow: %s", resp.Status)
	}
}
