package web

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hearthmq/broker"
)

func configOf(topicName, payload string) *broker.Message {
	m := broker.NewMessage(topicName, []byte(payload), 0, true)
	m.PublisherID, m.Received = "here", time.Now()
	return m
}

func TestReadDiscovery(t *testing.T) {
	for _, c := range []struct {
		name, topic, payload string
		device               string
		problems             []string // words of the reasons, in order
	}{
		{"Zigbee2MQTT", "homeassistant/sensor/0x00158d/temperature/config",
			`{"name":"Temperature","state_topic":"zigbee2mqtt/kitchen","unique_id":"0x00158d_temperature_zigbee2mqtt","availability":[{"topic":"zigbee2mqtt/bridge/state"}],"device":{"identifiers":["zigbee2mqtt_0x00158d"],"name":"Kitchen","manufacturer":"Aqara","model":"WSDCGQ11LM"}}`,
			"Kitchen (Aqara WSDCGQ11LM)", nil},
		{"Tasmota's abbreviations", "homeassistant/switch/ABC_RL_1/config",
			`{"~":"tasmota_ABC/","stat_t":"~stat/POWER","cmd_t":"~cmnd/POWER","uniq_id":"ABC_RL_1","dev":{"cns":[["mac","00:11:22"]],"name":"Plug"}}`, "Plug ()", nil},
		{"by device", "homeassistant/device/heater/config",
			`{"dev":{"ids":"heater","name":"Heater"},"o":{"name":"x"},"cmps":{"a":{"p":"sensor","state_topic":"h/a","unique_id":"a"},"b":{"p":"sensor","unique_id":"b"}}}`, "Heater ()", []string{"no state topic"}},
		{"trigger", "homeassistant/device_automation/x/action/config", `{"automation_type":"trigger","topic":"z/x/action","device":{"identifiers":["x"]}}`, "x ()", nil},
		{"no JSON", "homeassistant/sensor/x/config", `{"name":`, "x ()", []string{"no valid JSON"}},
		{"a list", "homeassistant/sensor/x/config", `[]`, "x ()", []string{"no valid JSON"}},
		{"no topic", "homeassistant/sensor/x/config", `{"unique_id":"x"}`, "x ()", []string{"no state topic"}},
		{"a filter for a topic", "homeassistant/sensor/x/config", `{"unique_id":"x","state_topic":"a/#"}`, "x ()", []string{"state topic"}},
		{"unknown component", "homeassistant/sensr/x/config", `{"unique_id":"x","state_topic":"a"}`, "x ()", []string{`no "sensr"`}},
		{"no unique ID", "homeassistant/sensor/x/config", `{"state_topic":"a"}`, "x ()", []string{"No unique ID"}},
		{"nothing in it", "homeassistant/device/x/config", `{"dev":{"ids":["x"]}}`, "x ()", []string{"no components"}},
		{"wrong types", "homeassistant/climate/x/config", `{"unique_id":5,"device":[],"mode_state_topic":7,"availability":{"topic":1},"temperature_command_topic":"a","~":[]}`, "x ()", []string{"No unique ID"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, list := readDiscovery(configOf(c.topic, c.payload))
			if got := fmt.Sprintf("%s (%s)", d.name, d.model); got != c.device {
				t.Errorf("device %s, want %s", got, c.device)
			}
			var reasons []reason
			for _, e := range list {
				reasons = append(reasons, e.reasons...)
			}
			if len(reasons) != len(c.problems) {
				t.Fatalf("reasons %v, want %q", reasons, c.problems)
			}
			for i, want := range c.problems {
				if !strings.Contains(reasons[i].text, want) {
					t.Errorf("%q does not say %q", reasons[i].text, want)
				}
			}
		})
	}
	_, list := readDiscovery(configOf("homeassistant/switch/x/config", `{"~":"base","stat_t":"~/s","avty_t":"~/a","cmd_t":"x/~","uniq_id":"1"}`))
	if e := list[0]; !slices.Equal(e.states, []string{"base/s"}) || !slices.Equal(e.available, []string{"base/a"}) {
		t.Errorf("topics %q, %q", e.states, e.available)
	}
}

func FuzzReadDiscovery(f *testing.F) {
	f.Add(`{"dev":{"ids":[["a",1]]},"cmps":{"x":{"p":"sensor"}}}`)
	f.Add(`{"~":"a","stat_t":"~"}`)
	f.Fuzz(func(t *testing.T, payload string) {
		for _, name := range []string{"homeassistant/sensor/x/config", "homeassistant/device/x/y/config"} {
			if _, list := readDiscovery(configOf(name, payload)); len(list) == 0 {
				t.Error("an announcement without an entity")
			}
		}
	})
}

// announce furnishes a site with devices, of which some are good for nothing.
func announce(s *site, now time.Time) {
	config := func(component, node, object, extra, device string, client string, at time.Time) {
		s.keep(fmt.Sprintf("homeassistant/%s/%s/%s/config", component, node, object),
			fmt.Sprintf(`{"name":%q,"unique_id":"%s_%s",%s"device":{"identifiers":[%q],"name":%q,"model":"T1"}}`, object, node, object, extra, node, device), client, "zigbee2mqtt", at)
	}
	for _, o := range []string{"temperature", "humidity", "battery"} {
		config("sensor", "0x1", o, `"state_topic":"zigbee2mqtt/kitchen",`, "Kitchen", "zigbee2mqtt_bridge", now)
		config("sensor", "0x2", o, `"state_topic":"zigbee2mqtt/attic",`, "Attic", "old-bridge", now.AddDate(0, 0, -20))
	}
	config("switch", "0x3", "plug", "", "Plug without a topic", "zigbee2mqtt_bridge", now)
	s.keep("homeassistant/sensor/half/config", `{"name":`, "zigbee2mqtt_bridge", "zigbee2mqtt", now)
	config("sensor", "hostile", "x", `"state_topic":"a/<b>",`, hostileName, "zigbee2mqtt_bridge", now)
	s.keep("zigbee2mqtt/kitchen", `{"temperature":21}`, "zigbee2mqtt_bridge", "zigbee2mqtt", now)
}

func TestDiscoveryPage(t *testing.T) {
	s := furnished(t, true)
	announce(s, time.Now())
	b := s.ingress()
	page := b.get("/discovery").is(t, http.StatusOK)
	page.says(t, "Kitchen", "Attic", "3 orphaned", `Its sender "old-bridge" is gone for 20 days`, "no valid JSON", "It has no command topic")
	if strings.Contains(page.body, "<script>pwned") || len(page.body) > 100_000 {
		t.Error("a device became markup, or the page is too long")
	}
	if got := text(b.get("/discovery?show=orphaned").is(t, http.StatusOK).body); strings.Contains(got, "Kitchen") || !strings.Contains(got, "Remove all 3 orphaned") {
		t.Errorf("orphaned: %s", got)
	}
	b.get("/discovery?show=<script>&page=-1").is(t, http.StatusOK)

	// Home Assistant is told, so that it removes the entities, and told again by undo.
	ha := s.connect("ha", "zigbee2mqtt")
	told := make(chan string, 100)
	ha.wait(ha.c.Subscribe("homeassistant/#", 0, func(_ mqtt.Client, m mqtt.Message) {
		told <- fmt.Sprintf("%s %d", m.Topic(), len(m.Payload()))
	}))
	drain(told)
	before := s.kept()
	preview := b.post("/retained/preview", url.Values{"which": {"orphaned"}, "from": {"discovery"}}).is(t, http.StatusOK)
	preview.says(t, "Delete 3 retained messages?")
	if !strings.Contains(preview.body, `name="tell" value="1" checked`) {
		t.Error("Home Assistant would not be told")
	}
	confirm(b, preview, url.Values{"tell": {"1"}}).leads(t, b, "/discovery?done=retained-deleted")
	for range 3 {
		if got := <-told; !strings.HasSuffix(got, " 0") || !strings.Contains(got, "/0x2/") {
			t.Errorf("told %s", got)
		}
	}
	page = b.get("/discovery")
	if strings.Contains(text(page.body), "Attic") {
		t.Error("the device is still there")
	}
	id := regexp.MustCompile(`name="id" value="(\d+)"`).FindStringSubmatch(page.body)
	b.post("/retained/undo", url.Values{"id": {id[1]}, "from": {"discovery"}}).leads(t, b, "/discovery?done=retained-restored")
	for range 3 {
		if got := <-told; strings.HasSuffix(got, " 0") {
			t.Errorf("told by undo: %s", got)
		}
	}
	if !slices.Equal(s.kept(), before) {
		t.Error("undo did not bring everything back")
	}
	// A whole device.
	preview = b.post("/retained/preview", url.Values{"which": {"device"}, "device": {topicKey("device:0x1")}, "from": {"discovery"}}).is(t, http.StatusOK)
	preview.says(t, "Delete 3 retained messages?", "homeassistant/sensor/0x1/battery/config")
	b.post("/retained/preview", url.Values{"which": {"device"}, "device": {"none"}, "from": {"discovery"}}).leads(t, b, "/discovery?done=retained-none")
}

// TestDiscoverySilence: what is silent is only said once the broker has run for a while.
func TestDiscoverySilence(t *testing.T) {
	none := func(string, int) ([]byte, bool) { return nil, false }
	for up, want := range map[time.Duration]bool{time.Minute: false, 3 * time.Hour: true} {
		_, list := readDiscovery(configOf("homeassistant/sensor/x/config", `{"state_topic":"a","unique_id":"x"}`))
		g := groundsOf(none, up)
		list[0].judge(0, &g)
		if got := list[0].is(reasonSilent); got != want {
			t.Errorf("after %v: silent %v", up, got)
		}
	}
	offlineNow := func(string, int) ([]byte, bool) { return []byte(`{"state": "offline"}`), true }
	_, list := readDiscovery(configOf("homeassistant/sensor/x/config", `{"state_topic":"a","unique_id":"x","avty_t":"b"}`))
	g := groundsOf(offlineNow, time.Hour*9)
	list[0].judge(0, &g)
	if r := list[0].reasons; len(r) != 1 || r[0].kind != reasonNote {
		t.Errorf("offline: %v", r)
	}
}

// TestDiscoveryLargeHouse bounds the page.
func TestDiscoveryLargeHouse(t *testing.T) {
	s := newSite(t, nil)
	now := time.Now()
	for i := range 3000 {
		s.keep(fmt.Sprintf("homeassistant/sensor/0x%04x/measurement_%d/config", i/15, i%15),
			fmt.Sprintf(`{"name":"Measurement %d","unique_id":"%d","state_topic":"zigbee2mqtt/some room/device %d","device":{"identifiers":["%d"],"name":"Device %d of the house"}}`, i%15, i, i/15, i/15, i/15),
			"gone", "zigbee2mqtt", now.AddDate(0, 0, -30))
	}
	b := s.ingress()
	start := time.Now()
	page := b.get("/discovery").is(t, http.StatusOK)
	t.Logf("%d bytes in %v", len(page.body), time.Since(start))
	if len(page.body) > 100_000 {
		t.Errorf("the page has %d bytes", len(page.body))
	}
	page.says(t, "Orphaned 3 000", "Next")
	preview := b.post("/retained/preview", url.Values{"which": {"orphaned"}, "from": {"discovery"}}).is(t, http.StatusOK)
	preview.says(t, "Delete 3 000 retained messages?")
	confirm(b, preview, url.Values{"tell": {"1"}}).leads(t, b, "/discovery?done=retained-deleted")
	if len(s.kept()) != 0 {
		t.Errorf("%d are left", len(s.kept()))
	}
}

func drain(c chan string) {
	for {
		select {
		case <-c:
		case <-time.After(300 * time.Millisecond):
			return
		}
	}
}
