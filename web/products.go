package web

import (
	"regexp"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// product is something that homes connect, known by the traces it leaves.
type product struct {
	key, name, icon string
	is              func(s *broker.SessionInfo) bool
}

// Keys of the products that have cards of their own.
const (
	productHomeAssistant = "home-assistant"
	productZigbee2MQTT   = "zigbee2mqtt"
	productNodeRED       = "node-red"
)

// nodeREDUser is the user that the Connect page makes for Node-RED.
const nodeREDUser = "node-red"

// products are recognised in this order; the first one counts.
var products = []product{
	{productHomeAssistant, "Home Assistant", "home", func(s *broker.SessionInfo) bool {
		return s.User == access.HomeAssistantUser || s.WillTopic == "homeassistant/status"
	}},
	{productZigbee2MQTT, "Zigbee2MQTT", "zigbee", will(`/bridge/state$`)},
	{productNodeRED, "Node-RED", "flow", func(s *broker.SessionInfo) bool {
		return s.User == nodeREDUser || nodeREDClient.MatchString(s.ClientID)
	}},
	{"esphome", "ESPHome", "chip", func(s *broker.SessionInfo) bool {
		return strings.HasSuffix(s.WillTopic, "/status") && macAtEnd.MatchString(s.ClientID)
	}},
	{"tasmota", "Tasmota", "plug", either(`^DVES_[0-9A-F]{6}`, `^tele/.+/LWT$`)},
	{"shelly", "Shelly", "plug", either(`(?i)^shelly`, `^shellies/.+/online$`)},
	{"frigate", "Frigate", "camera", will(`^frigate/available$`)},
	{"wled", "WLED", "lamp", either(`^WLED-`, `^wled/.+/status$`)},
	{"zwave-js-ui", "Z-Wave JS UI", "zigbee", client(`^ZWAVE_GATEWAY`)},
	{"rtl433", "rtl_433", "radio", client(`^rtl_433-`)},
	{"openmqttgateway", "OpenMQTTGateway", "radio", will(`^home/.+/LWT$`)},
	{"valetudo", "Valetudo", "plug", will(`^valetudo/.+/\$state$`)},
	{"opendtu", "OpenDTU", "sun", either(`^OpenDTU`, `^solar/dtu/status$`)},
}

var (
	macAtEnd      = regexp.MustCompile(`-[0-9a-f]{12}$`)
	nodeREDClient = regexp.MustCompile(`^nodered_?[0-9a-f]{8,}`)
)

func client(pattern string) func(*broker.SessionInfo) bool {
	re := regexp.MustCompile(pattern)
	return func(s *broker.SessionInfo) bool { return re.MatchString(s.ClientID) }
}

func will(pattern string) func(*broker.SessionInfo) bool {
	re := regexp.MustCompile(pattern)
	return func(s *broker.SessionInfo) bool { return re.MatchString(s.WillTopic) }
}

func either(id, topic string) func(*broker.SessionInfo) bool {
	byID, byWill := client(id), will(topic)
	return func(s *broker.SessionInfo) bool { return byID(s) || byWill(s) }
}

// connectedProducts counts the connected clients of each product.
func connectedProducts(sessions []broker.SessionInfo) map[string]int {
	n := map[string]int{}
	for i := range sessions {
		s := &sessions[i]
		if !s.Connected {
			continue
		}
		for _, p := range products {
			if p.is(s) {
				n[p.key]++
				break
			}
		}
	}
	return n
}
