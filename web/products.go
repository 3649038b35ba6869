package web

import (
	"iter"

	"hearthmq/broker"
)

// The products that have cards of their own on the Connect page, as productOf names them.
const (
	productHomeAssistant = "Home Assistant"
	productZigbee2MQTT   = "Zigbee2MQTT"
	productNodeRED       = "Node-RED"
)

// listed are the products that the Connect page lists: those that most homes have, each
// with its template in the wizard.
var listed = []struct{ name, icon, template string }{
	{"ESPHome", "chip", "esphome"},
	{"Tasmota", "plug", "tasmota"},
	{"Shelly", "plug", "shelly"},
	{"Frigate", "camera", "frigate"},
	{"WLED", "lamp", "wled"},
	{"Z-Wave JS UI", "zigbee", "zwave-js-ui"},
	{"rtl_433", "radio", "rtl-433"},
	{"OpenMQTTGateway", "radio", "openmqttgateway"},
	{"Valetudo", "plug", "valetudo"},
	{"OpenDTU", "sun", "opendtu"},
}

// connectedProducts counts the connected clients of each product.
func connectedProducts(sessions iter.Seq[broker.SessionInfo]) map[string]int {
	n := map[string]int{}
	for s := range sessions {
		if s.Connected {
			n[productOf(s)]++
		}
	}
	return n
}
