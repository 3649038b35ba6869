// Package nodered knows Node-RED's flows and its admin API: what to import there so that
// it talks to HearthMQ, and how to put it there. web calls it; it must import nothing of
// ours but outbound.
package nodered

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
)

// Broker is what Node-RED has to know to connect.
type Broker struct {
	Host           string
	Port           int
	User, Password string
}

// brokerName is the name of our broker node, by which it is found again.
const brokerName = "HearthMQ"

// node is one of Node-RED's, which have fields of many kinds.
type node = map[string]any

// newID makes an identifier as Node-RED's editor does.
func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// brokerNode is the configuration node of the broker. Its credentials are taken over on
// import and by the admin API alike, and kept encrypted from then on. It speaks 3.1.1:
// with MQTT 5, Node-RED ignores a message that carries the Subscription Identifiers of
// two of its nodes, and both of them lose it.
func brokerNode(id string, b Broker) node {
	n := node{
		"id": id, "type": "mqtt-broker", "name": brokerName, "broker": b.Host, "port": strconv.Itoa(b.Port), "clientid": "", "autoConnect": true,
		"usetls": false, "protocolVersion": "4", "keepalive": "60", "cleansession": true, "autoUnsubscribe": true, "userProps": "", "sessionExpiry": "",
		"credentials": node{"user": b.User, "password": b.Password},
	}
	for _, kind := range []string{"birth", "close", "will"} {
		n[kind+"Topic"], n[kind+"Qos"], n[kind+"Retain"], n[kind+"Payload"], n[kind+"Msg"] = "", "0", "false", "", node{}
	}
	return n
}

// example is a flow that uses the broker, so that its node is not deleted as unused. It
// publishes nothing by itself. z is the tab that it is on, "" for the one that is open.
func example(broker, z string) []node {
	in, debug, inject, out := newID(), newID(), newID(), newID()
	list := []node{
		{
			"id": in, "type": "mqtt in", "name": "Every topic", "topic": "#", "qos": "0", "datatype": "auto-detect", "broker": broker, "nl": false, "rap": true, "rh": 0,
			"inputs": 0, "x": 130, "y": 80, "wires": [][]string{{debug}},
		},
		{
			"id": debug, "type": "debug", "name": "What arrives", "active": false, "tosidebar": true, "console": false, "tostatus": true, "complete": "payload",
			"targetType": "msg", "statusVal": "topic", "statusType": "msg", "x": 350, "y": 80, "wires": []string{},
		},
		{
			"id": inject, "type": "inject", "name": "Say hello", "props": []node{{"p": "payload"}}, "repeat": "", "crontab": "", "once": false, "onceDelay": 0.1, "topic": "",
			"payload": "Hello from Node-RED", "payloadType": "str", "x": 130, "y": 160, "wires": [][]string{{out}},
		},
		{
			"id": out, "type": "mqtt out", "name": "", "topic": "nodered/hello", "qos": "0", "retain": "false", "respTopic": "", "contentType": "", "userProps": "", "correl": "", "expiry": "",
			"broker": broker, "x": 360, "y": 160, "wires": []string{},
		},
	}
	if z != "" {
		for _, n := range list {
			n["z"] = z
		}
	}
	return list
}

// Flow is what an owner imports by hand: the broker with its credentials, and an
// example that uses it.
func Flow(b Broker) (string, error) {
	id := newID()
	text, err := json.MarshalIndent(append([]node{brokerNode(id, b)}, example(id, "")...), "", " ")
	if err != nil {
		return "", fmt.Errorf("make the flow: %w", err)
	}
	return string(text), nil
}
