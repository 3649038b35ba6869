package web

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// What a page may cost in a filled house.
const (
	// pageTime is the server's part. The median is held to it: one in twenty or so meets
	// the collection of other pages' garbage, which takes up to 11 ms on two processors.
	pageTime = 5 * time.Millisecond
	// judgeTime is the same for discovery, which judges all entities at each visit.
	judgeTime = 15 * time.Millisecond
	pageBytes = 100_000 // without payloads
)

// filled returns a site with 300 devices that announce 3,000 entities to Home
// Assistant, 1,000 clients and 500 users.
func filled(t *testing.T) *site {
	t.Helper()
	s := newSite(t, nil)
	s.createUser(access.NewUser{Name: adminName, Password: adminPass, Admin: true})
	s.createUser(access.NewUser{Name: "zigbee2mqtt", Password: "device password", Roles: []string{access.RoleEverything}})
	for i := range 498 {
		s.createUser(access.NewUser{Name: fmt.Sprintf("device-%03d", i), Password: "device password", Note: "In room " + fmt.Sprint(i%12),
			Rules: mustRules(t, fmt.Sprintf("allow both home/device-%03d/#", i), "allow subscribe homeassistant/status")})
	}
	now := time.Now()
	for i := range 3000 {
		s.keep(fmt.Sprintf("homeassistant/sensor/0x%04x/measurement_%d/config", i/10, i%10), fmt.Sprintf(
			`{"name":"Measurement %[2]d","unique_id":"0x%[1]d_%[2]d","object_id":"device_%[1]d_%[2]d","state_topic":"zigbee2mqtt/some room/device %[1]d","value_template":"{{ value_json.measurement_%[2]d }}","availability":[{"topic":"zigbee2mqtt/bridge/state","value_template":"{{ value_json.state }}"}],"device":{"identifiers":["zigbee2mqtt_0x%[1]d"],"name":"Device %[1]d of the house","manufacturer":"Aqara","model":"Sensor","sw_version":"3.0"},"origin":{"name":"Zigbee2MQTT","sw":"2.1.0"}}`,
			i/10, i%10), "bridge", "zigbee2mqtt", now)
	}
	s.keep("zigbee2mqtt/bridge/state", `{"state":"online"}`, "bridge", "zigbee2mqtt", now)
	for i := range 300 {
		s.keep(fmt.Sprintf("zigbee2mqtt/some room/device %d", i), `{"temperature":21.5,"humidity":40,"battery":100,"linkquality":120}`, "bridge", "zigbee2mqtt", now)
	}
	s.listen()
	for i := range 1000 {
		nc, err := net.Dial("tcp", s.mqtt)
		s.must(err)
		t.Cleanup(func() { nc.Close() })
		c := &packet.Connect{Version: packet.V311, ClientID: fmt.Sprintf("device-%04d", i), CleanStart: true, KeepAlive: 600,
			HasUserName: true, UserName: "zigbee2mqtt", HasPassword: true, Password: []byte("device password")}
		sub := &packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: fmt.Sprintf("home/device-%d/set", i)}}}
		_, err = nc.Write(sub.Append(c.Append(nil, packet.V311), packet.V311))
		s.must(err)
		s.must(nc.SetReadDeadline(time.Now().Add(time.Minute)))
		r := packet.NewReader(nc, 0)
		for range 2 { // CONNACK, SUBACK
			_, err := r.ReadFrame()
			s.must(err)
		}
	}
	if got := len(s.broker.Sessions()); got < 1000 {
		t.Fatalf("%d clients", got)
	}
	return s
}

// TestPagesOfAFilledHouse holds every page to pageTime and pageBytes. It follows
// the links, of each sort of page some.
func TestPagesOfAFilledHouse(t *testing.T) {
	s := filled(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h := ingressProxy(s.server.Ingress(), ingressBase)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, ingressBase+path, nil))
		return w
	}
	type figure struct {
		path          string
		p50, p95, ran time.Duration
		bytes         int
	}
	var figures []figure
	queue := []string{"/", "/topics", "/clients", "/users", "/access", "/bridges", "/retained", "/discovery"}
	seen, sorts := map[string]bool{}, map[string]int{}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		if path == "" || seen[path] || sorts[sortOf(path)] >= 2 {
			continue
		}
		seen[path] = true
		w := get(path)
		if w.Code != http.StatusOK {
			t.Errorf("%s: status %d", path, w.Code)
			continue
		}
		sorts[sortOf(path)]++
		if strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			continue // a file
		}
		links, _ := read(t, path, ingressBase, w.Body.String())
		queue = append(queue, links...)
		if w.Body.Len() >= pageBytes {
			t.Errorf("%s has %d bytes", path, w.Body.Len())
		}
		machine := brokertest.WatchMachine()
		took, running := make([]time.Duration, 20), brokertest.ThreadTime()
		for i := range took {
			start := time.Now()
			get(path)
			took[i] = time.Since(start)
		}
		slices.Sort(took)
		ran := (brokertest.ThreadTime() - running) / time.Duration(len(took))
		f := figure{path, took[len(took)/2], took[18], ran, w.Body.Len()}
		figures = append(figures, f)
		most := pageTime
		if strings.HasPrefix(path, "/discovery") {
			most = judgeTime
		}
		if f.p50 >= most && !raceEnabled {
			machine.Timing(t, "%s takes %v (median; p95 %v)", path, f.p50, f.p95)
		}
	}
	slices.SortFunc(figures, func(a, b figure) int { return cmp.Compare(b.p50, a.p50) })
	for _, f := range figures {
		t.Logf("%-45s p50 %8v p95 %8v, mean on a processor %8v; %7d bytes", f.path, f.p50.Round(time.Microsecond), f.p95.Round(time.Microsecond), f.ran.Round(time.Microsecond), f.bytes)
	}
	if len(figures) < 20 {
		t.Errorf("%d pages only", len(figures))
	}
}

// sortOf is what pages have in common that differ in their object only.
func sortOf(path string) string {
	u, err := url.Parse(path)
	if err != nil {
		return path
	}
	parts := strings.Split(u.Path, "/")
	for i, p := range parts {
		if i > 1 && strings.ContainsAny(p, "0123456789") {
			parts[i] = "?"
		}
	}
	keys := make([]string, 0, 2)
	for k := range u.Query() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return strings.Join(parts, "/") + "?" + strings.Join(keys, "&")
}

// TestAnnouncementsAreReadOnce: a page reads anew what changed, nothing else, and
// what was read of one page is not changed by the next.
func TestAnnouncementsAreReadOnce(t *testing.T) {
	var a announcements
	m := configOf("homeassistant/sensor/x/config", `{"state_topic":"a"}`)
	look := func(m *broker.Message) *entity {
		a.begin()
		defer a.end()
		_, list := a.of(m)
		return list[0]
	}
	first := look(m)
	first.add(reasonOrphan, "judged")
	parsed := a.known[m.Topic].list[0]
	same := configOf(m.Topic, string(m.Payload)) // announced again, as it was
	if e := look(same); len(e.reasons) != 1 || e.is(reasonOrphan) || e.msg != same || a.known[m.Topic].list[0] != parsed {
		t.Errorf("the second look sees %v", e.reasons)
	}
	if e := look(configOf(m.Topic, `{"state_topic":"b"}`)); e.states[0] != "b" {
		t.Error("a change is not seen")
	}
	a.begin()
	a.end()
	if len(a.known) != 0 {
		t.Error("what is gone is kept")
	}
}
