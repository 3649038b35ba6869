package web

import (
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// traces are tried one after the other: what many homes have, known by the Client
// Identifier or the Will Topic that it chooses unless told otherwise.
var traces = []struct {
	name string
	id   []string // beginnings of the Client Identifier, in lower case
	will []string // Will Topics: a beginning, an end with * in front
}{
	{"Tasmota", []string{"dves_", "tasmota"}, []string{"tele/", "tasmota/"}},
	{"Zigbee2MQTT", []string{"zigbee2mqtt"}, []string{"zigbee2mqtt/", "*/bridge/state"}},
	{"Z-Wave JS UI", []string{"zwave_gateway"}, []string{"zwave/_clients/"}},
	{"Frigate", []string{"frigate"}, []string{"frigate/available"}},
	{"Shelly", []string{"shelly"}, []string{"shellies/", "shelly"}},
	{"WLED", []string{"wled"}, []string{"wled/"}},
	{"ESPresense", []string{"espresense"}, []string{"espresense/"}},
	{"ring-mqtt", nil, []string{"ring/"}},
	{"Valetudo", []string{"valetudo"}, []string{"valetudo/"}},
	{"TeslaMate", []string{"teslamate"}, nil},
	{"Node-RED", []string{"nodered", "node-red"}, nil},
	{"rtl_433", []string{"rtl_433"}, []string{"rtl_433/"}},
	{"OpenMQTTGateway", []string{"openmqttgateway", "omg_"}, []string{"home/openmqttgateway"}},
	{"Theengs Gateway", []string{"theengs"}, []string{"home/theengsgateway"}},
	{"govee2mqtt", []string{"govee2mqtt"}, []string{"gv2mqtt/"}},
	{"OpenDTU", []string{"opendtu"}, []string{"solar/dtu"}},
	{"AhoyDTU", []string{"ahoy"}, []string{"inverter/mqtt"}},
	{"evcc", []string{"evcc"}, []string{"evcc/"}},
	{"OctoPrint", []string{"octoprint"}, []string{"octoprint/mqtt"}},
	{"Moonraker", []string{"moonraker"}, []string{"*/moonraker/status"}},
	{"ebusd", []string{"ebusd"}, []string{"ebusd/"}},
	{"AI-on-the-edge", []string{"watermeter"}, []string{"watermeter/"}},
	{"Meshtastic", []string{"meshtastic"}, []string{"msh/"}},
	{"OwnTracks", []string{"owntracks"}, []string{"owntracks/"}},
	{"Home Assistant", []string{"homeassistant", "home-assistant"}, []string{"homeassistant/status"}},
	{"MQTT Explorer", []string{"mqtt-explorer"}, nil},
	{"MQTTX", []string{"mqttx"}, nil},
	{"Mosquitto's tools", []string{"mosq-", "mosq/", "mosqpub|", "mosqsub|"}, nil},
	{"ESPHome", []string{"esphome"}, nil},
}

// nodeREDUser is the user that the Connect page makes for Node-RED.
const nodeREDUser = "node-red"

// productOf guesses what a client is, "" when nothing speaks for anything. It is a
// guess: names can be chosen.
func productOf(s broker.SessionInfo) string {
	switch s.User {
	case access.HomeAssistantUser:
		return "Home Assistant"
	case nodeREDUser:
		return "Node-RED"
	}
	id, will := strings.ToLower(s.ClientID), strings.ToLower(s.WillTopic)
	for _, p := range traces {
		for _, start := range p.id {
			if strings.HasPrefix(id, start) {
				return p.name
			}
		}
		for _, topic := range p.will {
			if end, ok := strings.CutPrefix(topic, "*"); will != "" && (ok && strings.HasSuffix(will, end) || !ok && strings.HasPrefix(will, topic)) {
				return p.name
			}
		}
	}
	// ESPHome's node kitchen is the client kitchen-a4cf12… with the will kitchen/status.
	if node, ok := strings.CutSuffix(will, "/status"); ok && strings.HasPrefix(id, node+"-") {
		return "ESPHome"
	}
	return ""
}
