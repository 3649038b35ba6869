package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/ui"
)

// withWill connects a client that leaves a will, as Tasmota does.
func (s *site) withWill(clientID, user, topic, payload string) device {
	s.t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://"+s.mqtt).SetClientID(clientID).SetUsername(user).
		SetPassword("device password").SetProtocolVersion(4).SetAutoReconnect(false).SetWill(topic, payload, 1, true).SetCleanSession(false))
	d := device{s.t, c}
	d.wait(c.Connect())
	s.t.Cleanup(func() { c.Disconnect(0) })
	return d
}

func TestClientList(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	a := b.get("/clients").is(t, http.StatusOK)
	a.says(t, "washer-0815", "Zigbee2MQTT", "127.0.0.1", "this machine", "MQTT 3.1.1 via mqtt", "3 in, 0 out · 1 subscription", "3 clients are connected")
	for look, want := range map[string]string{"WASH": "washer-0815", "zigbee2mqtt": "zigbee2mqtt_bridge", "hostile' OR 1": ""} {
		var found struct {
			Clients []ui.ClientRow
			Summary string
		}
		if err := json.Unmarshal([]byte(b.post("/live/clients", url.Values{"text": {look}}).is(t, http.StatusOK).body), &found); err != nil {
			t.Fatal(err)
		}
		if want == "" && len(found.Clients) != 0 || want != "" && (len(found.Clients) != 1 || found.Clients[0].ClientID != want) {
			t.Errorf("%q finds %+v", look, found.Clients)
		}
	}
	b.post("/clients", url.Values{"text": {"nobody is called this"}}).is(t, http.StatusOK).says(t, "Nobody is like that")
	for _, sort := range clientSorts {
		a := b.post("/clients", url.Values{"sort": {sort.key}}).is(t, http.StatusOK)
		if !strings.Contains(a.body, `value="`+sort.key+`" selected`) || strings.Count(a.body, `data-client="`) != 4 { // and the empty one of the template
			t.Errorf("sorted by %s: %d clients", sort.key, strings.Count(a.body, `data-client="`))
		}
	}
}

func TestClientSorts(t *testing.T) {
	at := func(address string) *broker.Identity {
		return &broker.Identity{Remote: netip.AddrPortFrom(netip.MustParseAddr(address), 1)}
	}
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	list := []*clientInfo{
		{SessionInfo: broker.SessionInfo{ClientID: "a", User: "z", Connected: true, Identity: at("10.0.0.9"), Since: day, Queued: 1, Dropped: 3}, clientRates: clientRates{in: 1}},
		{SessionInfo: broker.SessionInfo{ClientID: "b", User: "y", Connected: true, Identity: at("10.0.0.10"), Since: day.Add(time.Hour), Queued: 5}, clientRates: clientRates{in: 9}},
		{SessionInfo: broker.SessionInfo{ClientID: "c", User: "x", Since: day.Add(2 * time.Hour), Inflight: 3, Dropped: 9}, clientRates: clientRates{out: 2}},
	}
	for key, want := range map[string]string{
		"name": "abc", "user": "cba", "address": "cab", "rate": "bca", "waiting": "bca", "dropped": "cab", "since": "cba", "away": "cab",
	} {
		sorted := append([]*clientInfo{}, list...)
		for _, o := range clientSorts {
			if o.key == key {
				sortClients(sorted, o.less)
			}
		}
		got := ""
		for _, c := range sorted {
			got += c.ClientID
		}
		if got != want {
			t.Errorf("by %s: %s, want %s", key, got, want)
		}
	}
}

func TestClientPageShowsAll(t *testing.T) {
	s := furnished(t, true)
	s.withWill("DVES_1", "zigbee2mqtt", "tele/plug/LWT", "Offline").subscribe("cmnd/plug/#")
	b := s.ingress()
	show := func(id string) answer {
		return b.post("/clients/show", url.Values{"client": {id}}).is(t, http.StatusOK)
	}
	show("DVES_1").says(t, "probably Tasmota", "tele/plug/LWT", "Offline", "QoS 1, retained", "kept until it is deleted", "cmnd/plug/#")
	show("washer-0815").says(t, "narrowed", "Denied lately", "zigbee2mqtt/lamp/set", "may not publish")

	away := s.withWill("away", "zigbee2mqtt", "x/y", "z")
	away.wait(away.c.Subscribe("queue/#", 1, nil))
	away.c.Disconnect(0)
	s.gone("away")
	sender := s.connect("sender", "zigbee2mqtt")
	for i := range waitingRows + 3 {
		sender.wait(sender.c.Publish(fmt.Sprint("queue/", i), 1, false, "hello"))
	}
	show("away").says(t, "23 messages", "Waiting for it", "queue/0", "5 B, QoS 1", "And 3 more messages")
	b.post("/clients/show", url.Values{"client": {"nobody"}}).is(t, http.StatusNotFound)
}

// gone waits until a client is disconnected.
func (s *site) gone(clientID string) {
	s.t.Helper()
	eventually(s.t, clientID+" is disconnected", func() bool {
		x, _, err := s.broker.Session(clientID)
		return err != nil || !x.Connected
	})
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func TestForgetAndBlock(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	washer := url.Values{"client": {"washer-0815"}}
	b.post("/clients/forget/ask", washer).is(t, http.StatusOK).says(t, "Forget the session of washer-0815?", "can't be undone")
	b.post("/clients/forget", washer).leads(t, b, "/clients?done=forgotten")
	b.post("/clients/forget", washer).is(t, http.StatusNotFound)
	b.get("/logs/audit").says(t, "session deleted", "washer-0815")

	second := s.connect("second", "zigbee2mqtt")
	z := url.Values{"client": {"zigbee2mqtt_bridge"}}
	b.post("/clients/block/ask", z).is(t, http.StatusOK).says(t, "Block zigbee2mqtt_bridge ?", "all 2 clients that use it are disconnected")
	b.post("/clients/block", z).leads(t, b, s.userPath("zigbee2mqtt")+"?done=user-disabled")
	if u := s.user("zigbee2mqtt"); !u.Disabled {
		t.Error("the user is not disabled")
	}
	s.gone("zigbee2mqtt_bridge")
	eventually(t, "the second one is cut off", func() bool { return !second.c.IsConnectionOpen() })
	for user, want := range map[string]string{"": "has no user", access.HomeAssistantUser: "Home Assistant needs", "from-settings": "logins of the settings", "stranger": "one of Home Assistant"} {
		if _, cant := (clients{s.server}).blockUser(broker.SessionInfo{User: user}); !strings.Contains(cant, want) {
			t.Errorf("%q: %q", user, cant)
		}
	}
}

func TestTracePages(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	washer := url.Values{"client": {"washer-0815"}}
	a := b.post("/clients/trace", washer).is(t, http.StatusSeeOther)
	at := strings.TrimPrefix(a.Header.Get("Location"), ingressBase)
	if b.post("/clients/trace", washer).Header.Get("Location") != a.Header.Get("Location") {
		t.Error("a second trace of the same client")
	}
	b.get("/clients").says(t, "The packets of washer-0815 are recorded.")
	b.post("/clients/show", washer).says(t, "Show the trace")
	b.get(at).is(t, http.StatusOK).says(t, "No packet yet")
	hostile := s.connect("hostile-sender", "zigbee2mqtt")
	hostile.publish("sensors/washing-machine/x", hostileName) // case W5
	hostile.publish("sensors/washing-machine/set", "\x00\xff\u202e")
	eventually(t, "two packets came", func() bool { return strings.Count(b.get(at).body, "sensors/washing-machine/") >= 1 })

	var live struct {
		Packets []ui.TraceRow
		Stopped bool
	}
	ask := func(after int) {
		t.Helper()
		body := b.get(fmt.Sprintf("/live%s?after=%d", strings.TrimPrefix(at, "/clients"), after)).is(t, http.StatusOK).body
		if err := json.Unmarshal([]byte(body), &live); err != nil {
			t.Fatal(err)
		}
	}
	ask(0)
	if len(live.Packets) == 0 || live.Packets[0].Type != "PUBLISH" || live.Packets[0].In || live.Stopped {
		t.Errorf("live: %+v", live)
	}
	ask(len(live.Packets))
	if len(live.Packets) != 0 {
		t.Errorf("nothing is new, but: %+v", live)
	}
	page := b.get(at)
	if strings.Contains(page.body, "<img src=x") || strings.Contains(page.body, "\u202e") {
		t.Error("a payload is markup, or turns text around")
	}
	d := b.get(at+"/download").is(t, http.StatusOK)
	if !strings.Contains(d.body, "<- PUBLISH sensors/washing-machine/") || !strings.HasPrefix(d.Header.Get("Content-Disposition"), "attachment") || strings.Contains(d.body, "\u202e") {
		t.Errorf("download %s\n%s", d.Header.Get("Content-Disposition"), d.body)
	}
	b.post(at+"/stop", nil).leads(t, b, at)
	b.get(at).says(t, "Recording has ended.")
	ask(0)
	if !live.Stopped || len(live.Packets) == 0 {
		t.Errorf("after the end: %+v", live)
	}
	b.get("/clients/trace/99").is(t, http.StatusNotFound)
	b.get("/live/trace/99?after=0").is(t, http.StatusNotFound)
	b.get("/logs/audit").says(t, "client traced")
}

func TestTracesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		trace, err := s.broker.Trace("lamp")
		s.must(err)
		tr := &s.server.tracing
		id := tr.begin(trace).id
		time.Sleep(traceUnseen - time.Minute) // of the bubble
		if _, stopped, err := tr.get(id); err != nil || stopped {
			t.Errorf("ended although somebody looks: %v", err)
		}
		time.Sleep(traceUnseen - time.Minute)
		if len(tr.list()) != 1 {
			t.Error("ended too soon")
		}
		time.Sleep(2 * time.Minute)
		if len(tr.list()) != 0 {
			t.Error("goes on although nobody looks")
		}
		time.Sleep(traceKept - 3*time.Minute)
		if _, stopped, err := tr.get(id); err != nil || !stopped {
			t.Errorf("forgotten too soon: %v", err)
		}
		time.Sleep(4 * time.Minute)
		if _, _, err := tr.get(id); !errors.Is(err, access.ErrNotFound) {
			t.Errorf("kept for ever: %v", err)
		}
		s.must(s.broker.Shutdown(t.Context()))
	})
}

func TestClientRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m clientMeter
		start := time.Now()
		look := func(received, sent uint64, since time.Time) clientRates {
			return m.observe([]broker.SessionInfo{{ClientID: "a", Connected: true, Since: since, Received: received, Sent: sent}, {ClientID: "away"}})[0]
		}
		time.Sleep(10 * time.Second) // of the bubble
		if r := look(100, 10, start); r.in != 10 || r.out != 1 {
			t.Errorf("mean of the connection: %+v", r)
		}
		time.Sleep(time.Second)
		if r := look(500, 10, start); r.in != 10 {
			t.Errorf("too soon for another figure: %+v", r)
		}
		time.Sleep(3 * time.Second)
		if r := look(500, 18, start); r.in != 100 || r.out != 2 {
			t.Errorf("since the last look: %+v", r)
		}
		time.Sleep(5 * time.Second)
		if r := look(0, 0, time.Now()); r.in != 0 { // connected again just now
			t.Errorf("a new connection: %+v", r)
		}
		if len(m.seen) != 1 {
			t.Errorf("remembers %d clients", len(m.seen))
		}
	})
}

func TestProducts(t *testing.T) {
	for _, tt := range []struct{ id, user, will, want string }{
		{"DVES_3F00A1", "", "tele/plug/LWT", "Tasmota"},
		{"mqttjs_1a2b", "", "zigbee2mqtt/bridge/state", "Zigbee2MQTT"},
		{"mqttjs_1a2b", "", "attic/bridge/state", "Zigbee2MQTT"},
		{"kitchen-a4cf12", "", "kitchen/status", "ESPHome"},
		{"shellyplus1-a8032abe54dc", "", "shellyplus1-a8032abe54dc/online", "Shelly"},
		{"x", "", "shellies/shelly1-1/online", "Shelly"},
		{"nodered_12", "", "", "Node-RED"},
		{"ZWAVE_GATEWAY-zwavejs", "", "zwave/_CLIENTS/ZWAVE_GATEWAY-zwavejs/status", "Z-Wave JS UI"},
		{"anything", access.HomeAssistantUser, "", "Home Assistant"},
		{"mosq-1234", "", "", "Mosquitto's tools"},
		{"voron", "", "voron/moonraker/status", "Moonraker"},
		{"lamp", "bob", "lamp/gone", ""},
		{"", "", "", ""},
	} {
		got := productOf(broker.SessionInfo{ClientID: tt.id, User: tt.user, WillTopic: tt.will, HasWill: tt.will != ""})
		if got != tt.want {
			t.Errorf("%q with the will %q: %q, want %q", tt.id, tt.will, got, tt.want)
		}
	}
}

func TestAddressNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := newAddressNames()
		var mu sync.Mutex
		asked := map[string]int{}
		names.lookup = func(_ context.Context, addr string) ([]string, error) {
			mu.Lock()
			defer mu.Unlock()
			asked[addr]++
			if addr == "192.168.1.5" {
				return []string{"shelly-kitchen.fritz.box."}, nil
			}
			if addr == "172.30.33.4" {
				return []string{"a0d7b954-zigbee2mqtt.local.hass.io."}, nil
			}
			return nil, errors.New("no such host")
		}
		of := func(address string) string { return names.of(netip.MustParseAddr(address)) }
		if of("127.0.0.1") != "this machine" || of("::ffff:172.30.32.1") == "" {
			t.Error("what is known without asking is not")
		}
		for range 3 {
			for address, want := range map[string]string{"192.168.1.5": "shelly-kitchen", "172.30.33.4": "zigbee2mqtt", "192.168.1.9": "", "8.8.8.8": ""} {
				of(address)
				synctest.Wait()
				if got := of(address); got != want {
					t.Errorf("%s is %q, want %q", address, got, want)
				}
			}
		}
		if asked["192.168.1.5"] != 1 || asked["8.8.8.8"] != 0 || asked["192.168.1.9"] != 1 {
			t.Errorf("asked %v", asked)
		}
		time.Sleep(nameAge) // of the bubble
		of("192.168.1.5")
		synctest.Wait()
		if asked["192.168.1.5"] != 2 {
			t.Errorf("asked %v", asked)
		}
	})
}
