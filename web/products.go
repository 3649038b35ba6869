package web

import "hearthmq/broker"

// partner is a product that the Connect page speaks of, by the name that productOf
// gives to its clients.
type partner struct{ key, name, icon string }

// Keys of the partners that have cards of their own.
const (
	productHomeAssistant = "home-assistant"
	productZigbee2MQTT   = "zigbee2mqtt"
	productNodeRED       = "node-red"
)

var partners = []partner{
	{productHomeAssistant, "Home Assistant", "home"},
	{productZigbee2MQTT, "Zigbee2MQTT", "zigbee"},
	{productNodeRED, "Node-RED", "flow"},
	{"esphome", "ESPHome", "chip"},
	{"tasmota", "Tasmota", "plug"},
	{"shelly", "Shelly", "plug"},
	{"frigate", "Frigate", "camera"},
	{"wled", "WLED", "lamp"},
	{"zwave-js-ui", "Z-Wave JS UI", "zigbee"},
	{"rtl433", "rtl_433", "radio"},
	{"openmqttgateway", "OpenMQTTGateway", "radio"},
	{"valetudo", "Valetudo", "plug"},
	{"opendtu", "OpenDTU", "sun"},
}

// connectedProducts counts the connected clients of each partner, by key.
func connectedProducts(sessions []broker.SessionInfo) map[string]int {
	n := map[string]int{}
	for i := range sessions {
		if !sessions[i].Connected {
			continue
		}
		name := productOf(sessions[i])
		for _, p := range partners {
			if p.name == name {
				n[p.key]++
			}
		}
	}
	return n
}
