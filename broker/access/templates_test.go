package access

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// does is what a product publishes and subscribes to with the template's defaults,
// from its documentation and source. A publish with a wildcard stands for all that it
// matches. refused is what a look at the product might suggest and must not be.
type does struct {
	values             map[string]string
	clientID           string
	publish, subscribe []string
	refused            []string // "publish t" or "subscribe f"
}

var products = map[string]does{
	"home-assistant": {publish: []string{"#"}, subscribe: []string{"homeassistant/+/+/config", "homeassistant/+/+/+/config", "tasmota/discovery/#", "#"}},
	"zigbee2mqtt": {
		publish: []string{"zigbee2mqtt/lamp", "zigbee2mqtt/lamp/availability", "zigbee2mqtt/bridge/state", "zigbee2mqtt/bridge/response/#",
			"homeassistant/light/0x00158d/light/config", "homeassistant/device_automation/0x00158d/action/config", "zigbee2mqtt/#", "homeassistant/#"},
		subscribe: []string{"zigbee2mqtt/#", "homeassistant/status", "homeassistant/#"},
	},
	"tasmota": {
		clientID: "DVES_A1B2C3",
		publish: []string{"stat/tasmota/RESULT", "stat/tasmota/POWER1", "stat/tasmota/STATUS5", "tele/tasmota/LWT", "tele/tasmota/SENSOR", "stat/tasmota/#", "tele/tasmota/#",
			"cmnd/tasmota/POWER", "tasmota/discovery/A1B2C3D4E5F6/config", "tasmota/discovery/A1B2C3D4E5F6/sensors", "tasmota/discovery/#"},
		subscribe: []string{"cmnd/tasmota/#", "cmnd/tasmotas/#", "cmnd/DVES_A1B2C3_fb/#"},
		refused:   []string{"publish cmnd/other/POWER", "subscribe cmnd/#", "subscribe cmnd/DVES_FFFFFF_fb/#", "subscribe stat/tasmota/RESULT"},
	},
	"esphome": {
		publish: []string{"esphome-node/status", "esphome-node/debug", "esphome-node/sensor/t/state", "esphome-node/#",
			"homeassistant/sensor/esphome-node/t/config", "homeassistant/+/esphome-node/#", "esphome/discover/esphome-node"},
		subscribe: []string{"esphome-node/#", "esphome-node/switch/relay/command", "esphome/discover", "esphome/ping/esphome-node"},
		refused:   []string{"publish homeassistant/sensor/other/t/config", "publish esphome/discover/other"},
	},
	"shelly-gen1": {
		values: map[string]string{"id": "shelly1-B929CC"},
		publish: []string{"shellies/shelly1-B929CC/online", "shellies/shelly1-B929CC/relay/0", "shellies/shelly1-B929CC/relay/0/power",
			"shellies/shelly1-B929CC/#", "shellies/announce"},
		subscribe: []string{"shellies/command", "shellies/shelly1-B929CC/command", "shellies/shelly1-B929CC/relay/0/command", "shellies/shelly1-B929CC/#"},
		refused:   []string{"subscribe shellies/#", "publish shellies/command"},
	},
	"shelly": {
		values: map[string]string{"id": "shellyplus1-a8032abe54dc"},
		publish: []string{"shellyplus1-a8032abe54dc/online", "shellyplus1-a8032abe54dc/events/rpc", "shellyplus1-a8032abe54dc/status/switch:0",
			"shellyplus1-a8032abe54dc/#", "homeassistant/rpc"},
		subscribe: []string{"shellyplus1-a8032abe54dc/rpc", "shellyplus1-a8032abe54dc/command", "shellyplus1-a8032abe54dc/command/switch:0",
			"shellyplus1-a8032abe54dc/command/#", "shellies/command"},
		refused: []string{"publish other/rpc", "subscribe shellyplus1-a8032abe54dc/status/switch:0"},
	},
	"frigate": {
		publish:   []string{"frigate/available", "frigate/events", "frigate/garden/person/snapshot", "frigate/garden/detect/state", "frigate/#"},
		subscribe: []string{"frigate/#"},
	},
	"teslamate": {
		publish: []string{"teslamate/cars/1/battery_level", "teslamate/home/cars/1/state", "teslamate/#",
			"homeassistant/device/teslamate_1/config", "homeassistant/sensor/teslamate_1/battery/config", "homeassistant/device/+/config", "homeassistant/+/+/+/config"},
	},
	"owntracks": {
		publish:   []string{"owntracks/owntracks/phone", "owntracks/owntracks/phone/event", "owntracks/owntracks/phone/waypoints", "owntracks/owntracks/#"},
		subscribe: []string{"owntracks/+/+", "owntracks/+/+/event", "owntracks/+/+/info", "owntracks/owntracks/phone/cmd", "owntracks/owntracks/+/cmd"},
		refused:   []string{"publish owntracks/other/phone", "subscribe owntracks/other/phone/cmd", "publish owntracks/other/phone/cmd"},
	},
	"valetudo": {
		publish: []string{"valetudo/robot/BatteryStateAttribute/level", "valetudo/robot/MapData/map-data", "valetudo/robot/$state", "valetudo/robot/hass/x", "valetudo/robot/#",
			"homeassistant/vacuum/robot/valetudo/config", "homeassistant/+/robot/#"},
		subscribe: []string{"valetudo/robot/BasicControlCapability/operation/set", "valetudo/robot/+/+/set", "valetudo/robot/+/+/+/set"},
		refused:   []string{"publish valetudo/other/x", "subscribe valetudo/robot/MapData/map-data"},
	},
	"zwave-js-ui": {
		publish: []string{"zwave/kitchen/5/37/0/currentValue", "zwave/5/status", "zwave/_CLIENTS/ZWAVE_GATEWAY-x/status", "zwave/_EVENTS/ZWAVE_GATEWAY-x/node/y", "zwave/#",
			"homeassistant/switch/node_5/switch/config", "homeassistant/#"},
		subscribe: []string{"homeassistant/status", "zwave/_CLIENTS/ZWAVE_GATEWAY-x/api/#", "zwave/kitchen/5/37/0/targetValue/set", "zwave/#"},
	},
	"node-red": {publish: []string{"nodered/x", "nodered", "nodered/#"}, subscribe: []string{"#", "zigbee2mqtt/#"}},
	"rtl-433": {
		publish: []string{"rtl_433/pi/events", "rtl_433/pi/states", "rtl_433/pi/devices/Acurite/5/temperature_C", "rtl_433/pi/availability", "rtl_433/#"},
		refused: []string{"subscribe rtl_433/pi/events"},
	},
	"openmqttgateway": {
		publish:   []string{"home/OpenMQTTGateway/BTtoMQTT/A4C138000000", "home/OpenMQTTGateway/LWT", "home/OpenMQTTGateway/#", "homeassistant/sensor/x/config", "homeassistant/#"},
		subscribe: []string{"home/OpenMQTTGateway/commands/#", "home/OpenMQTTGateway/#"},
	},
	"theengs": {
		publish:   []string{"home/TheengsGateway/BTtoMQTT/A4C138000000", "home/TheengsGateway/LWT", "home/TheengsGateway/#", "homeassistant/sensor/x/config", "homeassistant/#"},
		subscribe: []string{"home/+/BTtoMQTT/undecoded"},
		refused:   []string{"subscribe home/TheengsGateway/LWT"},
	},
	"ring-mqtt": {
		publish:   []string{"ring/l1/camera/d1/motion/state", "ring/l1/status", "ring/#", "homeassistant/binary_sensor/l1/d1_motion/config", "homeassistant/#"},
		subscribe: []string{"ring/l1/alarm/d1/alarm/command", "ring/#", "homeassistant/status", "hass/status", "hassio/status"},
	},
	"espresense": {
		publish:   []string{"espresense/rooms/kitchen/status", "espresense/devices/phone/kitchen", "espresense/settings/phone/config", "espresense/#", "homeassistant/switch/espresense_a1b2c3/x/config", "homeassistant/+/+/+/config"},
		subscribe: []string{"espresense/rooms/*/+/set", "espresense/rooms/kitchen/+/set", "espresense/settings/+/config", "espresense/#"},
	},
	"govee2mqtt": {
		publish:   []string{"gv2mqtt/light/x/state", "gv2mqtt/availability", "gv2mqtt/#", "homeassistant/light/x/config", "homeassistant/#"},
		subscribe: []string{"homeassistant/status", "gv2mqtt/light/+/command", "gv2mqtt/light/+/command/+", "gv2mqtt/switch/+/command/+", "gv2mqtt/purge-caches", "gv2mqtt/#"},
		clientID:  "govee2mqtt/3f1c",
	},
	"wled": {
		values:    map[string]string{"device": "wled/a1b2c3"},
		publish:   []string{"wled/a1b2c3/status", "wled/a1b2c3/g", "wled/a1b2c3/c", "wled/a1b2c3/v", "wled/a1b2c3/#"},
		subscribe: []string{"wled/a1b2c3", "wled/a1b2c3/col", "wled/a1b2c3/api", "wled/a1b2c3/#", "wled/all", "wled/all/col", "wled/all/api", "wled/all/#"},
		refused:   []string{"publish wled/all", "subscribe wled/#"},
	},
	"evcc": {publish: []string{"evcc/site/pvPower", "evcc/loadpoints/1/mode", "evcc/status", "evcc/#"}, subscribe: []string{"evcc/site/bufferSoc/set", "evcc/loadpoints/1/mode/set", "evcc/#"}},
	"opendtu": {
		publish:   []string{"solar/114180000000/0/power", "solar/dtu/status", "solar/ac/power", "solar/#", "homeassistant/sensor/114180000000/x/config", "homeassistant/#"},
		subscribe: []string{"solar/+/cmd/limit_persistent_relative", "solar/+/cmd/power", "solar/#"},
	},
	"ahoydtu": {
		publish:   []string{"inverter/roof/ch0/P_AC", "inverter/uptime", "inverter/#", "homeassistant/sensor/roof/ch0_P_AC/config", "homeassistant/sensor/#"},
		subscribe: []string{"inverter/ctrl/restart_ahoy", "inverter/ctrl/limit/0", "inverter/setup/set_time", "inverter/#"},
		refused:   []string{"publish homeassistant/switch/x/config"},
	},
	"moonraker": {
		publish:   []string{"printer/moonraker/status", "printer/klipper/status", "printer/klipper/state/extruder/temperature", "printer/moonraker/api/response", "printer/#"},
		subscribe: []string{"printer/moonraker/api/request"},
		refused:   []string{"subscribe printer/klipper/status"},
	},
	"octoprint": {
		publish: []string{"octoPrint/event/PrintDone", "octoPrint/progress/printing", "octoPrint/temperature/tool0", "octoPrint/mqtt", "octoPrint/#"},
		refused: []string{"subscribe octoPrint/mqtt"},
	},
	"meshtastic": {publish: []string{"msh/EU_868/2/e/LongFast/!a1b2c3d4", "msh/2/map/", "msh/#"}, subscribe: []string{"msh/EU_868/2/e/LongFast/+", "msh/2/e/PKI/+", "msh/#"}},
	"ebusd": {
		publish:   []string{"ebusd/bai/FlowTemp", "ebusd/global/version", "ebusd/#", "homeassistant/sensor/ebusd/x/config", "homeassistant/#"},
		subscribe: []string{"ebusd/bai/FlowTemp/get", "ebusd/bai/FlowTemp/set", "ebusd/list", "ebusd/#", "homeassistant/status"},
	},
	"ai-on-the-edge": {
		publish:   []string{"watermeter/main/value", "watermeter/connection", "watermeter/uptime", "watermeter/#", "homeassistant/sensor/watermeter/x/config", "homeassistant/#"},
		subscribe: []string{"watermeter/ctrl/flow_start", "watermeter/#"},
	},
	"amcrest2mqtt": {
		publish: []string{"amcrest2mqtt/ABC/doorbell", "amcrest2mqtt/ABC/storage/used", "amcrest2mqtt/#", "homeassistant/binary_sensor/ABC/x/config", "homeassistant/#"},
		refused: []string{"subscribe amcrest2mqtt/ABC/status"},
	},
	"other": {publish: []string{"my-device", "my-device/temperature", "my-device/#"}, subscribe: []string{"my-device/#"}, refused: []string{"publish other-device"}},
}

// Each template's user may do what the product does, and nothing else: of all topics
// of all products, those that the product's own list does not match are refused.
func TestTemplates(t *testing.T) {
	var probes []string
	for _, p := range products {
		for _, name := range append(append([]string(nil), p.publish...), p.subscribe...) {
			probes = append(probes, strings.NewReplacer("#", "deep/er", "+", "any").Replace(name))
		}
	}
	probes = append(probes, "x", "home/lock/set", "homeassistant", "homeassistant/x/config", "$SYS/broker/uptime", "$CONTROL/x")
	for _, tpl := range Templates() {
		t.Run(tpl.ID, func(t *testing.T) {
			p, ok := products[tpl.ID]
			if !ok {
				t.Fatal("nothing is known of what it does")
			}
			a, d := open(t, Policy{})
			name, _ := tpl.Defaults("")
			if p.values != nil {
				for _, v := range p.values {
					name = strings.ReplaceAll(v, "/", "-")
				}
			}
			rules, values, err := tpl.Fill(name, p.values)
			check(t, err)
			u, generated, err := a.CreateUser(t.Context(), NewUser{Name: name, Generate: true, Rules: rules})
			check(t, err)
			may := func(act broker.Action, what string) broker.Decision {
				return d.Check(Question{User: u.Name, ClientID: p.clientID, Action: act, Name: what})
			}
			for _, what := range p.publish {
				if got := may(broker.Publish, strings.NewReplacer("#", "x/y", "+", "z").Replace(what)); !got.Allow || got.NoRetain || got.MaxQoS < 2 {
					t.Errorf("may not publish %s: %s", what, got.Rule.Text)
				}
			}
			for _, what := range p.subscribe {
				if got := may(broker.Subscribe, what); !got.Allow || got.Narrowed {
					t.Errorf("may not subscribe to all of %s: %s", what, got.Rule.Text)
				}
			}
			for _, what := range p.refused {
				word, name, _ := strings.Cut(what, " ")
				act := broker.Publish
				if word == "subscribe" {
					act = broker.Subscribe
				}
				if got := may(act, name); got.Allow && !got.Narrowed {
					t.Errorf("may %s: %s", what, got.Rule.Text)
				}
			}
			for _, probe := range probes {
				for act, own := range map[broker.Action][]string{broker.Publish: p.publish, broker.Receive: p.subscribe} {
					want := matchesAny(own, probe)
					if act == broker.Receive && strings.HasPrefix(probe, "$SYS/") {
						want = true // every user may read that
					}
					got := d.Authorize(&broker.Identity{User: u.Name, ClientID: p.clientID, Version: u.Version}, act, probe)
					if got.Allow != want {
						t.Errorf("%s %s: allowed %v (%s), but the product does it: %v", act, probe, got.Allow, got.Rule.Text, want)
					}
				}
			}
			in := tpl.Instructions(u.Name, generated, values, Place{Host: "broker.local", Port: 1883})
			text := fmt.Sprint(in)
			if tpl.ID != "espresense" && !strings.Contains(text, u.Name) || !strings.Contains(text, generated) || strings.ContainsAny(strings.Join(in.Notes, ""), "{}") {
				t.Errorf("instructions %+v", in)
			}
			if len(in.QR) > 1000 {
				t.Errorf("the code holds %d bytes, too many to scan", len(in.QR))
			}
		})
	}
	if len(products) != len(Templates()) {
		t.Errorf("%d products are known, there are %d templates", len(products), len(Templates()))
	}
}

func matchesAny(filters []string, name string) bool {
	for _, f := range filters {
		if topic.Match(f, name) {
			return true
		}
	}
	return false
}

// What a person types can't widen the rights (case A1).
func TestTemplateValues(t *testing.T) {
	tpl, err := FindTemplate("tasmota")
	check(t, err)
	for _, value := range []string{"#", "+", "a/b", "a+", "%u", "$SYS", "a\x00", "a\nb", "/", strings.Repeat("x", 200)} {
		if _, _, err := tpl.Fill("u", map[string]string{"topic": value}); err == nil {
			t.Errorf("%q was taken", value)
		} else {
			wantProblem(t, err, "topic")
		}
	}
	_, _, err = tpl.Fill("u", map[string]string{"colour": "red"})
	wantProblem(t, err, "template")
	// The proposed user name is no topic here: it must not get in by the default.
	_, _, err = tpl.Fill("a/b", nil)
	wantProblem(t, err, "topic")
	rules, _, err := tpl.Fill("u", map[string]string{"topic": `living room "1"`})
	check(t, err)
	if rules[0].Filter != `stat/living room "1"/#` {
		t.Errorf("filter %q", rules[0].Filter)
	}
	// What is proposed as a beginning is no value: the device's topics would be others.
	for id, key := range map[string]string{"shelly": "id", "shelly-gen1": "id", "wled": "device"} {
		tpl, err := FindTemplate(id)
		check(t, err)
		_, _, err = tpl.Fill("u", nil)
		wantProblem(t, err, key)
	}
	if _, err := FindTemplate("../tasmota"); err == nil {
		t.Error("found what is not there")
	}
}

// A name with odd characters does not get out of its place in a file of the product.
func TestInstructionsQuote(t *testing.T) {
	const odd = `o'dd: "x", {user} #1`
	at := Place{Host: "::1", Port: 8883, TLS: true}
	of := func(id string, values map[string]string) Instructions {
		t.Helper()
		tpl, err := FindTemplate(id)
		check(t, err)
		_, values, err = tpl.Fill("u", values)
		check(t, err)
		return tpl.Instructions(odd, "p@ss/1", values, at)
	}
	if text := of("zigbee2mqtt", nil).Blocks[0].Text; !strings.Contains(text, "\n  server: mqtts://[::1]:8883\n") ||
		!strings.Contains(text, "\n  user: \"o'dd: \\\"x\\\", {user} #1\"\n") || !strings.Contains(text, "\n  password: \"p@ss/1\"\n") {
		t.Errorf("YAML:\n%s", text)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(of("theengs", nil).Blocks[0].Text), &got); err != nil || got["user"] != odd || got["port"] != 8883.0 {
		t.Errorf("JSON: %v, %v", got, err)
	}
	clear(got)
	if err := json.Unmarshal([]byte(of("ring-mqtt", nil).Blocks[0].Text), &got); err != nil {
		t.Errorf("JSON: %v", err)
	} else if u, err := url.Parse(fmt.Sprint(got["mqtt_url"])); err != nil || u.Scheme != "mqtts" || u.User.Username() != odd || u.Host != "[::1]:8883" {
		t.Errorf("URL: %s", got)
	}
	for id, note := range map[string]bool{"tasmota": true, "frigate": true, "zigbee2mqtt": false, "ring-mqtt": false, "ai-on-the-edge": false} {
		if got := strings.Contains(fmt.Sprint(of(id, nil).Notes), "Port 8883 is encrypted"); got != note {
			t.Errorf("%s: says that TLS is to be turned on: %v", id, got)
		}
	}
	if text := of("ebusd", nil).Blocks[0].Text; !strings.Contains(text, `'o'\''dd: "x", {user} #1'`) {
		t.Errorf("shell: %s", text)
	}
	u, err := url.Parse(of("frigate", nil).QR)
	check(t, err)
	if password, _ := u.User.Password(); u.Scheme != "mqtts" || u.User.Username() != odd || password != "p@ss/1" || u.Host != "[::1]:8883" {
		t.Errorf("code %s", u)
	}
	inline, ok := strings.CutPrefix(of("owntracks", nil).QR, "owntracks:///config?inline=")
	text, err := base64.StdEncoding.DecodeString(inline)
	clear(got)
	if !ok || err != nil || json.Unmarshal(text, &got) != nil || got["username"] != odd || got["_type"] != "configuration" || got["tls"] != true {
		t.Errorf("OwnTracks: %s, %v", text, err)
	}
}
