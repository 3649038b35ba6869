package access_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// said is one message of a product.
type said struct {
	topic  string
	qos    byte
	retain bool
}

// play is what a product does in its first minute, in the order and the way its source
// does it, see shared/facts/devices.md.
type play struct {
	template string
	values   map[string]string
	clientID string
	version  packet.Version
	will     said
	listens  []said // topic filters
	says     []said
	hears    []string // what Home Assistant or its owner sends and the product acts upon
	never    []string // "publish t", "subscribe f"
}

var plays = []play{
	{
		template: "zigbee2mqtt", clientID: "mqttjs_4f1c2a90", version: packet.V311, will: said{"zigbee2mqtt/bridge/state", 1, true},
		listens: []said{{topic: "zigbee2mqtt/#"}, {topic: "homeassistant/status"}, {topic: "homeassistant/#"}},
		says: []said{
			{"zigbee2mqtt/bridge/state", 1, true}, {"zigbee2mqtt/bridge/info", 0, true}, {"zigbee2mqtt/bridge/devices", 0, true}, {"zigbee2mqtt/bridge/groups", 0, true},
			{"zigbee2mqtt/bridge/definitions", 0, true}, {"zigbee2mqtt/bridge/logging", 0, false}, {"zigbee2mqtt/bridge/response/device/rename", 0, false},
			{"zigbee2mqtt/Kitchen/Ceiling light", 0, false}, {"zigbee2mqtt/Kitchen/Ceiling light/availability", 1, true}, {"zigbee2mqtt/Remote/action", 0, false},
			{"homeassistant/light/0x00158d0001/light/config", 1, true}, {"homeassistant/device_automation/0x00158d0002/action_single/config", 1, true},
		},
		hears: []string{"zigbee2mqtt/Kitchen/Ceiling light/set", "zigbee2mqtt/Kitchen/Ceiling light/get", "zigbee2mqtt/Kitchen/Ceiling light/set/brightness", "zigbee2mqtt/bridge/request/permit_join", "homeassistant/status"},
		never: []string{"publish tele/plug/STATE", "subscribe tele/#", "publish zigbee2mqtt2/x"},
	},
	{
		template: "tasmota", values: map[string]string{"topic": "tasmota_A1B2C3"}, clientID: "DVES_A1B2C3", version: packet.V311, will: said{"tele/tasmota_A1B2C3/LWT", 1, true},
		listens: []said{{topic: "cmnd/tasmota_A1B2C3/#"}, {topic: "cmnd/tasmotas/#"}, {topic: "cmnd/DVES_A1B2C3_fb/#"}},
		says: []said{
			{"tele/tasmota_A1B2C3/LWT", 0, true}, {"cmnd/tasmota_A1B2C3/POWER", 0, false}, {"tele/tasmota_A1B2C3/INFO1", 0, false}, {"tele/tasmota_A1B2C3/INFO3", 0, false},
			{"stat/tasmota_A1B2C3/RESULT", 0, false}, {"stat/tasmota_A1B2C3/POWER", 0, true}, {"stat/tasmota_A1B2C3/STATUS5", 0, false}, {"tele/tasmota_A1B2C3/STATE", 0, false},
			{"tele/tasmota_A1B2C3/SENSOR", 0, false}, {"tele/tasmota_A1B2C3/UPTIME", 0, false}, {"tasmota/discovery/A0B1C2D3E4F5/config", 0, true}, {"tasmota/discovery/A0B1C2D3E4F5/sensors", 0, true},
		},
		hears: []string{"cmnd/tasmota_A1B2C3/POWER", "cmnd/tasmota_A1B2C3/Status", "cmnd/tasmotas/POWER", "cmnd/DVES_A1B2C3_fb/Backlog"},
		never: []string{"publish cmnd/tasmota_FFFFFF/POWER", "publish cmnd/tasmota_A1B2C3/Backlog", "subscribe cmnd/tasmota_FFFFFF/#", "subscribe cmnd/DVES_FFFFFF_fb/#", "publish homeassistant/light/x/config", "subscribe tele/#"},
	},
	{
		template: "shelly", values: map[string]string{"id": "shellyplus1-a8032abe54dc"}, clientID: "shellyplus1-a8032abe54dc", version: packet.V311, will: said{"shellyplus1-a8032abe54dc/online", 0, true},
		listens: []said{{"shellyplus1-a8032abe54dc/rpc", 1, false}, {"shellyplus1-a8032abe54dc/command", 1, false}, {"shellyplus1-a8032abe54dc/command/switch:0", 1, false}},
		says: []said{
			{"shellyplus1-a8032abe54dc/online", 0, true}, {"shellyplus1-a8032abe54dc/events/rpc", 0, false}, {"shellyplus1-a8032abe54dc/status/switch:0", 0, true},
			{"shellyplus1-a8032abe54dc/status/sys", 0, false}, {"shellyplus1-a8032abe54dc/debug/log", 0, false}, {"shellyplus1-a8032abe54dc/events/ble", 0, false}, {"homeassistant/rpc", 0, false},
		},
		hears: []string{"shellyplus1-a8032abe54dc/rpc", "shellyplus1-a8032abe54dc/command", "shellyplus1-a8032abe54dc/command/switch:0"},
		never: []string{"publish homeassistant/switch/x/config", "publish shellyplus1-ffffffffffff/rpc", "subscribe shellyplus1-ffffffffffff/rpc", "publish shellies/command", "subscribe +/rpc-of-others"},
	},
	{
		template: "esphome", values: map[string]string{"name": "garage"}, clientID: "garage-a8032abe54dc", version: packet.V311, will: said{"garage/status", 0, true},
		listens: []said{{topic: "esphome/discover"}, {"esphome/ping/garage", 2, false}, {topic: "garage/cover/door/command"}, {topic: "garage/light/lamp/command"}, {topic: "garage/cover/door/position/command"}},
		says: []said{
			{"garage/status", 0, true}, {"garage/debug", 0, true}, {"garage/sensor/temperature/state", 0, true}, {"garage/cover/door/state", 0, true},
			{"homeassistant/sensor/garage/temperature/config", 0, true}, {"homeassistant/cover/garage/door/config", 0, true}, {"esphome/discover/garage", 0, true},
		},
		hears: []string{"garage/cover/door/command", "garage/light/lamp/command", "esphome/ping/garage", "esphome/discover"},
		never: []string{"publish homeassistant/sensor/kitchen/temperature/config", "publish esphome/discover/kitchen", "publish kitchen/light/lamp/command", "subscribe kitchen/#", "subscribe homeassistant/#"},
	},
	{
		template: "frigate", clientID: "frigate", version: packet.V311, will: said{"frigate/available", 1, true},
		listens: []said{{topic: "frigate/#"}},
		says: []said{
			{"frigate/available", 1, true}, {"frigate/stats", 0, false}, {"frigate/events", 0, false}, {"frigate/reviews", 0, false}, {"frigate/garden/person", 0, false}, {"frigate/garden/person/snapshot", 0, true},
			{"frigate/garden/motion", 0, false}, {"frigate/garden/detect/state", 0, true}, {"frigate/garden/status/record", 0, true}, {"frigate/notifications/state", 0, true},
		},
		hears: []string{"frigate/garden/detect/set", "frigate/restart", "frigate/onConnect", "frigate/garden/ptz", "frigate/notifications/set"},
		never: []string{"publish homeassistant/camera/garden/config", "subscribe homeassistant/status", "publish zigbee2mqtt/lamp/set"},
	},
}

// The five products that houses have most, on a running broker, as the user of their
// template: all that they do gets through, up to the will, and nothing else does.
func TestTemplatesAtWork(t *testing.T) {
	for _, p := range plays {
		t.Run(p.template, func(t *testing.T) {
			inHouse(t, access.Policy{}, nil, func(h *home) {
				tpl, err := access.FindTemplate(p.template)
				h.must(err)
				name, _ := tpl.Defaults("")
				if id := p.values["id"]; id != "" {
					name = id
				}
				rules, _, err := tpl.Fill(name, p.values)
				h.must(err)
				_, _, err = h.accounts.CreateUser(h.Context(), access.NewUser{Name: name, Password: password, Rules: rules})
				h.must(err)
				h.user("owner", "allow both #")
				watcher := h.clean(packet.V311, "watcher", "owner")
				watcher.Subscribe("#", 2)

				will := &packet.Will{Topic: p.will.topic, Payload: []byte("offline"), QoS: p.will.qos, Retain: p.will.retain}
				d := h.connect(p.version, p.clientID, name, packet.Connect{CleanStart: true, KeepAlive: 60, Will: will})
				for _, l := range p.listens {
					d.Subscribe(l.topic, l.qos)
				}
				got(watcher)
				for i, s := range p.says {
					d.Publish(s.topic, "x", s.qos, s.retain, uint16(i+1))
					if topics := got(watcher); !slices.Equal(topics, []string{s.topic}) {
						t.Errorf("%s came as %q", s.topic, topics)
					}
				}
				for m := range h.b.Retained("#") {
					if i := slices.IndexFunc(p.says, func(s said) bool { return s.topic == m.Topic }); !strings.HasPrefix(m.Topic, "$") && (i < 0 || !p.says[i].retain) {
						t.Errorf("%s is retained", m.Topic)
					}
				}
				got(d) // what it hears of itself
				for _, topic := range p.hears {
					watcher.Publish(topic, "x", 0, false, 0)
					if topics := got(d); len(topics) == 0 || topics[0] != topic {
						t.Errorf("of %s it hears %q", topic, topics)
					}
				}
				d.Close() // without a word: its will
				synctest.Wait()
				if topics := got(watcher); !slices.Contains(topics, p.will.topic) {
					t.Errorf("of its will come %q", topics)
				}
				if list := h.denials.Recent(); len(list) > 0 {
					t.Errorf("denied: %+v", list)
				}
				curious := h.clean(packet.V50, p.clientID+"-2", name)
				if strings.Contains(p.template, "tasmota") {
					curious = h.clean(packet.V50, p.clientID, name) // the right goes by it
				}
				for _, what := range p.never {
					verb, topic, _ := strings.Cut(what, " ")
					before := len(h.denials.Recent())
					if verb == "publish" {
						curious.Publish(topic, "x", 0, false, 0)
					} else {
						curious.Subscribe(topic, 0)
					}
					brokertest.Pass(0)
					if topics := got(watcher); len(topics) > 0 || len(h.denials.Recent()) != before+1 {
						t.Errorf("it may %s: %q", what, topics)
					}
				}
			})
		})
	}
}
