package mosquitto_test

import (
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/mosquitto"
)

// The acl_file of a typical guide has the same effect as rules.
func TestACLOfAGuide(t *testing.T) {
	const file = "user zigbee2mqtt\ntopic readwrite zigbee2mqtt/#\ntopic read homeassistant/status\n"
	acl, notices := mosquitto.ReadACL("acl", strings.NewReader(file))
	if len(notices) != 0 {
		t.Fatalf("notices %v", notices)
	}
	d, _, users := aclDirectory(t, acl, "zigbee2mqtt", "other")
	var texts []string
	for _, r := range users["zigbee2mqtt"].Rules {
		texts = append(texts, r.String())
	}
	if got := strings.Join(texts, "\n"); got != "allow both zigbee2mqtt/#\nallow subscribe homeassistant/status" {
		t.Errorf("rules:\n%s", got)
	}
	for _, tt := range []struct {
		user string
		act  broker.Action
		name string
		want bool
	}{
		{"zigbee2mqtt", broker.Publish, "zigbee2mqtt", true},
		{"zigbee2mqtt", broker.Publish, "zigbee2mqtt/bridge/state", true},
		{"zigbee2mqtt", broker.Subscribe, "zigbee2mqtt/#", true},
		{"zigbee2mqtt", broker.Subscribe, "homeassistant/status", true},
		{"zigbee2mqtt", broker.Publish, "homeassistant/status", false},
		{"zigbee2mqtt", broker.Publish, "homeassistant/light/x/config", false},
		{"zigbee2mqtt", broker.Subscribe, "homeassistant/light/x/config", false},
		{"zigbee2mqtt", broker.Publish, "zigbee2mqtt2/x", false},
		{"other", broker.Publish, "zigbee2mqtt/x", false},
		{"other", broker.Subscribe, "homeassistant/status", false},
	} {
		if got := d.Check(access.Question{User: tt.user, Action: tt.act, Name: tt.name}); got.Allow != tt.want {
			t.Errorf("%s %s %s: %v (%s), want %v", tt.user, tt.act, tt.name, got.Allow, got.Rule.Text, tt.want)
		}
	}
	// The homeassistant/# of a guide that lets Zigbee2MQTT announce itself narrows to what the file says.
	if got := d.Check(access.Question{User: "zigbee2mqtt", Action: broker.Subscribe, Name: "homeassistant/#"}); !got.Allow || !got.Narrowed {
		t.Errorf("homeassistant/#: %+v", got)
	}
}
