package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"hearthmq/broker/brokertest"
)

// Zigbee2MQTT starts with its radio and speaks MQTT only then. It has no simulated
// radio, so testdata/zigbee_coordinator.cjs takes the adapter's place in the real program.

const zigbee2MQTT = "zigbee2mqtt@2.14.1"

// The devices of the house, which the coordinator knows from earlier.
const (
	zigbeeLamp    = "lamp"           // IKEA LED1545G12: state, brightness, color_temp
	zigbeeOutlet  = "kitchen/outlet" // IKEA E1603: state
	zigbeeWeather = "weather"        // Aqara WSDCGQ11LM: temperature, humidity, pressure

	zigbeeLampAddress    = "0x000b57fffe000001"
	zigbeeOutletAddress  = "0x000b57fffe000002"
	zigbeeWeatherAddress = "0x00158d0000000003"
)

// zigbeeProgram is a running Zigbee2MQTT.
type zigbeeProgram struct {
	t      *testing.T
	cmd    *exec.Cmd
	radio  io.Writer     // tells the coordinator what devices say
	log    *syncBuffer   // its log
	exited chan struct{} // closed when it has ended
}

// startZigbee2MQTT runs the real Zigbee2MQTT in dir, where it keeps its configuration
// and state, against the broker at address (host:port). version is 4 or 5, the
// Protocol Level. It returns at once; the retained zigbee2mqtt/bridge/state tells when it
// is online. The end of the test ends it.
func startZigbee2MQTT(t *testing.T, dir, address, user, password string, version int) *zigbeeProgram {
	t.Helper()
	installed := npmPackage(t, zigbee2MQTT)
	coordinator, err := filepath.Abs(filepath.Join("testdata", "zigbee_coordinator.cjs"))
	if err != nil {
		t.Fatal(err)
	}
	writeZigbeeHome(t, dir, address, user, password, version)

	modules := filepath.Join(installed, "node_modules")
	p := &zigbeeProgram{t: t, log: newSyncBuffer(t.Output()), exited: make(chan struct{})}
	p.cmd = exec.CommandContext(t.Context(), "node", filepath.Join(modules, "zigbee2mqtt", "index.js"))
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p.log, p.log
	p.cmd.Env = append(os.Environ(), "HOME="+dir, "ZIGBEE2MQTT_DATA="+dir, "Z2M_ONBOARD_NO_SERVER=1",
		"HEARTHMQ_NODE_MODULES="+modules, "NODE_OPTIONS=--require="+coordinator)
	if p.radio, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the program
		_ = p.cmd.Wait() // killed is one of the ways it may end
		close(p.exited)
	}()
	t.Cleanup(p.kill)
	return p
}

// say makes a device report attributes of a cluster.
func (p *zigbeeProgram) say(from, cluster string, attributes map[string]any) {
	p.t.Helper()
	line, err := json.Marshal(map[string]any{"from": from, "cluster": cluster, "attributes": attributes})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(p.radio, "%s\n", line); err != nil {
		p.t.Fatal(err)
	}
}

// stop ends it as its owner does, with its last words said.
func (p *zigbeeProgram) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	<-p.exited
}

// kill ends it without a word, so that its will speaks.
func (p *zigbeeProgram) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.exited
}

// writeZigbeeHome writes the configuration, which is JSON and thereby YAML, and the
// devices that joined earlier. What is there already stays.
func writeZigbeeHome(t *testing.T, dir, address, user, password string, version int) {
	t.Helper()
	type object = map[string]any
	configuration := object{
		"version":       5,
		"mqtt":          object{"server": "mqtt://" + address, "user": user, "password": password, "version": version, "base_topic": "zigbee2mqtt"},
		"serial":        object{"port": "/dev/null", "adapter": "ember"},
		"homeassistant": object{"enabled": true},
		"frontend":      object{"enabled": false},
		"advanced": object{
			"network_key": slices.Repeat([]int{1}, 16), "pan_id": 6754, "ext_pan_id": slices.Repeat([]int{2}, 8), "channel": 11,
			"log_output": []string{"console"}, "log_level": "info", "log_namespaced_levels": object{"z2m:mqtt": "warning"},
		},
		"devices": object{
			zigbeeLampAddress:    object{"friendly_name": zigbeeLamp},
			zigbeeOutletAddress:  object{"friendly_name": zigbeeOutlet},
			zigbeeWeatherAddress: object{"friendly_name": zigbeeWeather},
		},
	}
	device := func(id, network int, ieee, kind, maker, model, power string, clusters ...int) object {
		return object{
			"id": id, "type": kind, "ieeeAddr": ieee, "nwkAddr": network, "manufName": maker, "modelId": model, "powerSource": power,
			"epList": []int{1}, "interviewCompleted": true, "interviewState": "SUCCESSFUL", "meta": object{}, "lastSeen": 1,
			"endpoints": object{"1": object{
				"profId": 0x0104, "epId": 1, "devId": 1, "inClusterList": clusters, "outClusterList": []int{},
				"clusters": object{}, "binds": []int{}, "configuredReportings": []int{}, "meta": object{},
			}},
		}
	}
	const basic, identify, groups, scenes, onOff, level, color = 0, 3, 4, 5, 6, 8, 0x0300
	const temperature, pressure, humidity = 0x0402, 0x0403, 0x0405
	devices := []object{
		device(2, 0x1001, zigbeeLampAddress, "Router", "IKEA of Sweden", "TRADFRI bulb E27 WS opal 980lm", "Mains (single phase)",
			basic, identify, groups, scenes, onOff, level, color),
		device(3, 0x1002, zigbeeOutletAddress, "Router", "IKEA of Sweden", "TRADFRI control outlet", "Mains (single phase)",
			basic, identify, groups, scenes, onOff),
		device(4, 0x1003, zigbeeWeatherAddress, "EndDevice", "LUMI", "lumi.weather", "Battery", basic, identify, temperature, pressure, humidity),
	}
	var database []byte
	for _, d := range devices {
		database = append(append(database, marshal(t, d)...), '\n')
	}
	for name, text := range map[string][]byte{"configuration.yaml": marshal(t, configuration), "database.db": database[:len(database)-1]} {
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err == nil {
			continue
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The real Zigbee2MQTT: it connects with a will, subscribes, publishes what is retained,
// obeys, comes back after a restart of the broker, and its will tells when it dies.
func TestZigbee2MQTT(t *testing.T) {
	for _, version := range []int{4, 5} {
		t.Run(fmt.Sprintf("level %d", version), func(t *testing.T) { zigbeeHouse(t, version) })
	}
}

func zigbeeHouse(t *testing.T, version int) {
	dir, o := t.TempDir(), options{"mqtt_address": brokertest.FreeAddress(t)} // the same one after the restart
	s := startE2EIn(t, dir, o)
	z := startZigbee2MQTT(t, t.TempDir(), s.mqtt, e2eUser, e2ePassword, version)
	house := watch(t, s, "watcher", "zigbee2mqtt/#", "homeassistant/#")

	house.until("zigbee2mqtt/bridge/state", `"online"`)
	house.until("zigbee2mqtt/bridge/devices", zigbeeOutletAddress)
	house.until("homeassistant/light/"+zigbeeLampAddress+"/light/config", `"command_topic":"zigbee2mqtt/lamp/set"`)

	// Said again until it is obeyed: Zigbee2MQTT may not have subscribed yet.
	command := func(name, payload, want string) {
		t.Helper()
		again := time.NewTicker(5 * time.Second)
		defer again.Stop()
		for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
			publish5(t, house.client, &paho.Publish{Topic: "zigbee2mqtt/" + name + "/set", QoS: 1, Payload: []byte(payload)})
			if house.sees("zigbee2mqtt/"+name, want, again.C) != nil {
				return
			}
		}
		t.Fatalf("%s does not obey %s", name, payload)
	}
	command(zigbeeLamp, `{"state":"ON","brightness":100}`, `"brightness":100`)
	command(zigbeeOutlet, `{"state":"ON"}`, `"state":"ON"`)
	z.say(zigbeeWeatherAddress, "msTemperatureMeasurement", map[string]any{"measuredValue": 2150})
	house.until("zigbee2mqtt/weather", `"temperature":21.5`)

	// What newcomers get: the state, and the largest message a house has.
	// Zigbee2MQTT may be about to send it anew, while it configures a device: then the next
	// newcomer finds it.
	for n := range 5 {
		m := watch(t, s, fmt.Sprint("newcomer ", n), "zigbee2mqtt/bridge/#").until("zigbee2mqtt/bridge/definitions", "genOnOff")
		if m.Retain && len(m.Payload) >= 200_000 {
			break
		}
		if m.Retain || n == 4 {
			t.Errorf("definitions: retain %v, %d bytes", m.Retain, len(m.Payload))
		}
	}

	if code := s.stop(); code != 0 {
		t.Fatalf("exit %d", code)
	}
	s = startE2EIn(t, dir, o)
	house = watch(t, s, "watcher again", "zigbee2mqtt/#")
	house.until("zigbee2mqtt/bridge/state", `"online"`)
	command(zigbeeLamp, `{"state":"OFF"}`, `"state":"OFF"`)
	z.say(zigbeeWeatherAddress, "msRelativeHumidity", map[string]any{"measuredValue": 4500})
	house.until("zigbee2mqtt/weather", `"humidity":45`)

	z.kill()
	house.until("zigbee2mqtt/bridge/state", `"offline"`)
	newcomer := watch(t, s, "after", "zigbee2mqtt/bridge/state")
	if m := newcomer.until("zigbee2mqtt/bridge/state", `"offline"`); !m.Retain {
		t.Error("the will was not retained")
	}
}

// watcher sees the messages of some topics.
type watcher struct {
	t      *testing.T
	client *autopaho.ConnectionManager
	got    chan *paho.Publish
}

func watch(t *testing.T, s *testServer, clientID string, filters ...string) *watcher {
	t.Helper()
	c, got := v5(t, s, clientID, nil)
	for _, f := range filters {
		subscribe5(t, c, subscription(f))
	}
	return &watcher{t, c, got}
}

// until waits for a message of a topic whose payload contains text.
func (w *watcher) until(name, text string) *paho.Publish {
	w.t.Helper()
	m := w.sees(name, text, time.After(3*time.Minute))
	if m == nil {
		w.t.Fatalf("%s never was %s", name, text)
	}
	return m
}

// sees is until with an end of the waiting, at which it returns nil.
func (w *watcher) sees(name, text string, end <-chan time.Time) *paho.Publish {
	for {
		select {
		case m := <-w.got:
			if m.Topic == name && strings.Contains(string(m.Payload), text) {
				return m
			}
		case <-end:
			return nil
		}
	}
}
