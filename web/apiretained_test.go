package web

import (
	"fmt"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

func TestAPIRetainedByFieldsAndUndo(t *testing.T) {
	s := furnished(t, true)
	p := s.program(access.ScopeAdmin)
	washer := s.connect("washer-0816", "zigbee2mqtt")
	for i := range 3 {
		washer.wait(washer.c.Publish(fmt.Sprint("room/", i), 1, true, fmt.Sprintf(`{"on": %d}`, i)))
	}
	p.ask(204, "POST", "/publish", `{"topic": "hall/lamp", "payload": "on", "retain": true}`, nil)
	var list struct{ Topics []apiTopic }
	p.ask(200, "POST", "/retained/query", `{"publisher": "WASHER"}`, &list)
	if len(list.Topics) != 3 {
		t.Errorf("of the washer: %+v", list)
	}
	p.ask(200, "POST", "/retained/query", `{"text": "room/[01]$", "regexp": true, "filter": "+/+"}`, &list)
	if len(list.Topics) != 2 {
		t.Errorf("by expression: %+v", list)
	}
	p.ask(422, "POST", "/retained/query", `{"text": "(", "regexp": true}`, nil)
	p.ask(422, "POST", "/retained/query", `{"older_days": -1}`, nil)
	p.ask(200, "POST", "/retained/query", `{"gone_days": 1}`, &list)
	if len(list.Topics) != 0 {
		t.Errorf("senders that are here, or no clients: %+v", list)
	}
	p.ask(200, "POST", "/retained/query", `{"publisher": "HearthMQ API"}`, &list)
	if len(list.Topics) != 1 || list.Topics[0].Topic != "hall/lamp" {
		t.Errorf("of programs: %+v", list)
	}

	var dropped struct {
		Count   int
		Topics  []string
		Removal int64
	}
	p.ask(200, "POST", "/retained/delete", `{"text": "\"on\": 2", "filter": "room/#", "dry_run": true}`, &dropped)
	if dropped.Count != 1 || dropped.Removal != 0 {
		t.Errorf("would remove %+v", dropped)
	}
	p.ask(200, "POST", "/retained/delete", `{"publisher": "washer-0816"}`, &dropped)
	if dropped.Count != 3 || dropped.Removal == 0 || fmt.Sprint(dropped.Topics) != "[room/0 room/1 room/2]" {
		t.Errorf("removed %+v", dropped)
	}
	p.notes("retained messages deleted", `sent by "washer-0816"`)
	var removals struct{ Removals []apiRemoval }
	p.ask(200, "GET", "/retained/removals", "", &removals)
	if len(removals.Removals) != 1 || removals.Removals[0].Topics != 3 || removals.Removals[0].Actor != "test-admin" {
		t.Errorf("removals %+v", removals)
	}
	at := fmt.Sprintf("/retained/removals/%d/undo", dropped.Removal)
	p.ask(204, "POST", "/publish", `{"topic": "room/1", "payload": "newer", "retain": true}`, nil)
	var undone struct{ Count int }
	p.ask(200, "POST", at, "", &undone)
	if undone.Count != 2 {
		t.Errorf("put back %+v", undone)
	}
	p.notes("retained messages put back", `sent by "washer-0816"`)
	p.ask(404, "POST", at, "", nil)
	var got apiTopic
	p.ask(200, "GET", "/topics/"+keyOf("room/1"), "", &got)
	if got.Payload != "newer" {
		t.Errorf("what came meanwhile: %+v", got)
	}
	// The broker's own figures stay, whoever asks.
	s.must(s.broker.Publish(t.Context(), broker.NewMessage("$SYS/broker/x", []byte("1"), 0, true)))
	p.ask(200, "POST", "/retained/delete", `{"filter": "$SYS/#"}`, &dropped)
	if dropped.Count != 0 {
		t.Errorf("removed %+v", dropped)
	}
	p.ask(422, "POST", "/retained/delete", `{"topics": ["a/#"]}`, nil)
	p.ask(422, "POST", "/retained/delete", `{"dry_run": true}`, nil)
}

func TestAPIDiscovery(t *testing.T) {
	s := furnished(t, true)
	p := s.program(access.ScopeAdmin)
	lamp := s.connect("lamp", "zigbee2mqtt")
	config := func(id, payload string) {
		lamp.wait(lamp.c.Publish("homeassistant/sensor/"+id+"/config", 1, true, payload))
	}
	config("lamp_power", `{"name": "Power", "state_topic": "lamp/power", "unique_id": "lamp_p", "device": {"name": "Lamp", "identifiers": ["lamp"], "model": "L1"}}`)
	config("lamp_energy", `{"name": "Energy", "state_topic": "lamp/energy", "unique_id": "lamp_e", "device": {"name": "Lamp", "identifiers": ["lamp"]}}`)
	config("broken", `{"name": `)
	var list struct {
		Devices []apiDevice
		Total   int
		More    bool
	}
	p.ask(200, "GET", "/discovery", "", &list)
	if list.Total != 2 || len(list.Devices) != 2 || list.Devices[0].Entities[0].Reasons[0].Kind != "broken" {
		t.Fatalf("announced %+v", list)
	}
	device := list.Devices[1]
	if device.Name != "Lamp" || len(device.Entities) != 2 || device.Entities[1].UniqueID != "lamp_p" || fmt.Sprint(device.Entities[1].States) != "[lamp/power]" {
		t.Errorf("device %+v", device)
	}
	p.ask(200, "GET", "/discovery?show=broken", "", &list)
	if len(list.Devices) != 1 || list.Devices[0].Name == "Lamp" {
		t.Errorf("broken %+v", list)
	}
	p.ask(200, "GET", "/discovery?limit=1&offset=0", "", &list)
	if len(list.Devices) != 1 || !list.More {
		t.Errorf("first page %+v", list)
	}
	p.ask(422, "GET", "/discovery?show=ugly", "", nil)

	var dropped struct {
		Count   int
		Removal int64
	}
	body := fmt.Sprintf(`{"device": %q, "dry_run": true}`, device.Key)
	p.ask(200, "POST", "/discovery/delete", body, &dropped)
	if dropped.Count != 2 {
		t.Errorf("would remove %+v", dropped)
	}
	p.ask(200, "POST", "/discovery/delete", strings.Replace(body, "true", "false", 1), &dropped)
	if dropped.Count != 2 || dropped.Removal == 0 {
		t.Errorf("removed %+v", dropped)
	}
	p.ask(404, "POST", "/discovery/delete", body, nil)
	p.ask(200, "POST", fmt.Sprintf("/retained/removals/%d/undo", dropped.Removal), "", nil)
	p.ask(200, "GET", "/discovery", "", &list)
	if list.Total != 2 {
		t.Errorf("after the undo: %+v", list)
	}
	p.ask(200, "POST", "/discovery/delete", `{"orphaned": true}`, &dropped)
	if dropped.Count != 0 {
		t.Errorf("orphaned %+v", dropped)
	}
	p.ask(422, "POST", "/discovery/delete", `{}`, nil)
	p.ask(422, "POST", "/discovery/delete", `{"orphaned": true, "device": "x"}`, nil)
}
