package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"hearthmq/broker/access"
)

// parsers read a file of some format as the products do that have it, and print what they
// find in it as JSON, by path.
const parsers = `
import json, sys, configparser, subprocess, yaml

def leaves(value, path=""):
    if isinstance(value, dict):
        for k, v in value.items():
            yield from leaves(v, path + "/" + str(k))
    else:
        yield path[1:], value

def read(kind, text):
    if kind == "yaml":
        return dict(leaves(yaml.safe_load(text)))
    if kind == "json":
        return dict(leaves(json.loads(text)))
    if kind == "conf":
        c = configparser.RawConfigParser()
        c.read_string(text)
        return {s + "/" + k: v for s in c for k, v in c[s].items()}
    if kind == "env":
        return dict(line.split("=", 1) for line in text.splitlines())
    if kind == "shell":
        words = subprocess.run(["sh", "-c", "printf '%s\\0' " + " ".join(text.split("\n"))], capture_output=True, check=True, text=True)
        return dict(w[2:].split("=", 1) for w in words.stdout.split("\0") if w)

json.dump([read(k, t) for k, t in json.load(sys.stdin)], sys.stdout)
`

// What is shown to be pasted is what the product's own kind of parser makes of it, with
// names that mean something to such a parser, too.
func TestPastedLines(t *testing.T) {
	need(t, "python3-yaml", exec.Command("/usr/bin/python3", "-c", "import yaml").Run() == nil)
	const plain, odd = "lamp-1", `Anna's "lamp": no #1, on`
	at := access.Place{Host: "192.168.1.2", Port: 1883}
	want := []struct {
		template, kind string
		user           string
		values         map[string]any // by path; P stands for the password
	}{
		{"zigbee2mqtt", "yaml", odd, map[string]any{"mqtt/server": "mqtt://192.168.1.2:1883", "mqtt/user": odd, "mqtt/password": "P", "mqtt/base_topic": "zigbee2mqtt", "homeassistant/discovery_topic": "homeassistant", "homeassistant/enabled": true}},
		{"esphome", "yaml", odd, map[string]any{"mqtt/broker": "192.168.1.2", "mqtt/port": 1883.0, "mqtt/username": odd, "mqtt/password": "P", "mqtt/topic_prefix": "esphome-node", "mqtt/discovery_prefix": "homeassistant"}},
		{"frigate", "yaml", odd, map[string]any{"mqtt/enabled": true, "mqtt/host": "192.168.1.2", "mqtt/port": 1883.0, "mqtt/user": odd, "mqtt/password": "P", "mqtt/topic_prefix": "frigate", "mqtt/client_id": odd}},
		{"frigate", "yaml", "on", map[string]any{"mqtt/user": "on"}},
		{"frigate", "yaml", "0123", map[string]any{"mqtt/user": "0123"}},
		{"evcc", "yaml", odd, map[string]any{"mqtt/broker": "192.168.1.2:1883", "mqtt/topic": "evcc", "mqtt/user": odd, "mqtt/password": "P"}},
		{"theengs", "json", odd, map[string]any{"host": "192.168.1.2", "port": 1883.0, "user": odd, "pass": "P", "discovery_topic": "homeassistant"}},
		{"ring-mqtt", "json", plain, map[string]any{"mqtt_url": "mqtt://lamp-1:P@192.168.1.2:1883", "ring_topic": "ring", "hass_topic": "homeassistant/status"}},
		{"moonraker", "conf", plain, map[string]any{"mqtt/address": "192.168.1.2", "mqtt/port": "1883", "mqtt/username": plain, "mqtt/password": "P", "mqtt/instance_name": "printer"}},
		{"teslamate", "env", plain, map[string]any{"MQTT_HOST": "192.168.1.2", "MQTT_PORT": "1883", "MQTT_USERNAME": plain, "MQTT_PASSWORD": "P"}},
		{"amcrest2mqtt", "env", plain, map[string]any{"MQTT_HOST": "192.168.1.2", "MQTT_PORT": "1883", "MQTT_USERNAME": plain, "MQTT_PASSWORD": "P"}},
		{"govee2mqtt", "env", plain, map[string]any{"GOVEE_MQTT_HOST": "192.168.1.2", "GOVEE_MQTT_PORT": "1883", "GOVEE_MQTT_USER": plain, "GOVEE_MQTT_PASSWORD": "P"}},
		{"ebusd", "shell", odd, map[string]any{"mqtthost": "192.168.1.2", "mqttport": "1883", "mqttuser": odd, "mqttpass": "P", "mqtttopic": "ebusd"}},
	}
	password := "x7-" + strings.Repeat("Yq3", 8)
	var texts [][2]string
	covered := map[string]bool{}
	for _, tt := range want {
		tpl, err := access.FindTemplate(tt.template)
		if err != nil {
			t.Fatal(err)
		}
		_, values, err := tpl.Fill("u", nil)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, [2]string{tt.kind, tpl.Instructions(tt.user, password, values, at).Blocks[0].Text})
		covered[tt.template] = true
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", parsers)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for i, tt := range want {
		for path, v := range tt.values {
			if s, ok := v.(string); ok && strings.Contains(s, "P") && !strings.Contains(s, "/P") {
				v = strings.Replace(s, "P", password, 1)
			}
			if got[i][path] != v {
				t.Errorf("%s: %s is %#v, want %#v, in\n%s", tt.template, path, got[i][path], v, texts[i][1])
			}
		}
	}
	for _, tpl := range access.Templates() {
		for _, s := range tpl.Setup {
			switch {
			case covered[tpl.ID], s.Format == "fields": // typed in
			case tpl.ID == "tasmota", tpl.ID == "rtl-433": // a console and a file of its own kind
			default:
				t.Errorf("nobody reads what is to be pasted for %s", tpl.ID)
			}
		}
	}
}
