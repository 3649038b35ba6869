package access_test

import (
	"fmt"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// A name or a topic that is misspelt is told from one that nobody knows.
func TestWhyKnowsSlips(t *testing.T) {
	inHouse(t, access.Policy{}, nil, knowsSlips)
}

func knowsSlips(h *home) {
	h.user("zigbee2mqtt", "allow both zigbee2mqtt/#", "allow both homeassistant/#", "allow publish %u-log/#", "allow publish tele/plug-1/#", "allow publish home/+/zigbee/lamps")
	explain := func(d *access.Denials, about string) access.Finding {
		return (&access.Explainer{Directory: h.dir, Denials: d, Sessions: h.b}).Why(about).Findings[0]
	}
	for user, want := range map[string]string{
		"zigbee2mqt": "zigbee2mqtt", "Zigbee2MQTT": "zigbee2mqtt", "zigbeee2mqtt": "zigbee2mqtt", "zigebe2mqtt": "zigbee2mqtt",
		"zwave2mqtt": "", "z": "", strings.Repeat("zigbee2mqtt", 20): "", "plug": "",
	} {
		d := access.NewDenials()
		d.OnEvent(broker.Refused{User: user, ClientID: "c", Reason: broker.UnknownUser})
		got := explain(d, user)
		if got.Near != want || want != "" && !strings.Contains(got.Advice, fmt.Sprintf("There is a user %q", want)) {
			h.Errorf("%q: near %q, want %q; %s", user, got.Near, want, got.Advice)
		}
	}
	for topic, want := range map[string]string{
		"zigbee2mqt/lamp/set": "zigbee2mqtt/#", "homeassisant/x": "homeassistant/#", "zigbee2mqtt-log": "", "zigbee2mqt-log/x": "zigbee2mqtt-log/#",
		"sensors/x": "", "tele/plug1/x": "tele/plug-1/#", "tele/plug-2/x": "tele/plug-1/#", "tele/blind/x": "", "hom/x/zigbee/lamps": "home/+/zigbee/lamps", "": "", "+/lamp": "",
	} {
		d := access.NewDenials()
		d.OnEvent(broker.Denied{Identity: &broker.Identity{User: "zigbee2mqtt", ClientID: "c"}, Action: broker.Publish, Name: topic, Rule: broker.RuleRef{Text: "no rule matches"}})
		if got := explain(d, "zigbee2mqtt"); got.Near != want {
			h.Errorf("%q: near %q, want %q", topic, got.Near, want)
		}
	}
}

// A client without an identifier that tries again and again is one line, and pushes
// nobody out.
func TestDenialsOfAssignedIdentifiersAreOne(t *testing.T) {
	d := access.NewDenials()
	for i := range 600 {
		d.OnEvent(broker.Refused{User: "plug", ClientID: fmt.Sprintf("auto-00000000-0000-4000-8000-%012d", i), Reason: broker.WrongPassword})
	}
	d.OnEvent(broker.Refused{User: "plug", ClientID: "auto-mower", Reason: broker.WrongPassword})
	list := d.Recent()
	if len(list) != 2 {
		t.Fatalf("%d lines, want 2", len(list))
	}
	for _, n := range list {
		if access.Assigned(n.ClientID) != (n.Count == 600) {
			t.Errorf("%+v", n)
		}
	}
}
