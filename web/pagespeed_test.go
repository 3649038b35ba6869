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

	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// What a page may cost in a filled house.
const (
	// pageTime is the server's part, of nineteen visits in twenty: the time that the page
	// itself is on a processor, which is the same however busy the machine is. The clock on
	// the wall may show twice as much, where nobody else wants the processors: a visit
	// waits for the collection of others' garbage.
	pageTime  = 5 * time.Millisecond
	pageBytes = 100_000 // without payloads
	// raceCost is how much slower the race detector makes a page.
	raceCost = 15
)

// filled returns a site with 300 devices that announce 3,000 entities to Home
// Assistant, 1,000 clients and 500 users.
func filled(t testing.TB) *site {
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

// visitor asks for pages as Home Assistant does.
func (s *site) visitor() func(path string) *httptest.ResponseRecorder {
	h := ingressProxy(s.server.Ingress(), ingressBase)
	return func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		w.Body.Grow(pageBytes) // what a connection does without
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, ingressBase+path, nil))
		return w
	}
}

// figure is what visits to one page took.
type figure struct {
	path               string
	wall, wall95       time.Duration
	running, running95 time.Duration // on a processor
	bytes              int
}

// visits measures; before is called ahead of each visit, and not measured. The caller
// holds its thread.
func visits(path string, get func(string) *httptest.ResponseRecorder, before func(i int)) figure {
	const n = 40
	wall, running, f := make([]time.Duration, n), make([]time.Duration, n), figure{path: path}
	for i := range wall {
		before(i)
		start, ran := time.Now(), brokertest.ThreadTime()
		f.bytes = get(path).Body.Len()
		wall[i], running[i] = time.Since(start), brokertest.ThreadTime()-ran
	}
	slices.Sort(wall)
	slices.Sort(running)
	f.wall, f.wall95, f.running, f.running95 = wall[n/2], wall[n*95/100-1], running[n/2], running[n*95/100-1]
	return f
}

// judge holds a page to most, in nineteen visits of twenty.
func (f figure) judge(t *testing.T, machine *brokertest.Machine, most time.Duration) {
	t.Helper()
	if raceEnabled {
		most *= raceCost
	}
	if f.running95 >= most {
		t.Errorf("%s is on a processor for %v (p95; median %v)", f.path, f.running95, f.running)
	}
	if f.wall95 >= 2*most {
		machine.Timing(t, "%s takes %v (p95; median %v)", f.path, f.wall95, f.wall)
	}
}

// TestPagesOfAFilledHouse holds every page to pageTime and pageBytes. It follows
// the links, of each sort of page some.
func TestPagesOfAFilledHouse(t *testing.T) {
	s := filled(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	get := s.visitor()
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
		f := visits(path, get, func(int) {})
		f.judge(t, machine, pageTime)
		figures = append(figures, f)
	}
	// The judgement of discovery is kept. Here something that it rests on is different at
	// each visit: a device comes or goes, or announces itself otherwise. Half of these
	// visits are held to pageTime, and nearly all to twice as much.
	machine := brokertest.WatchMachine()
	f := visits("/discovery", get, func(i int) {
		s.keep("zigbee2mqtt/bridge/state", []string{`{"state":"online"}`, `{"state":"offline"}`}[i%2], "bridge", "zigbee2mqtt", time.Now())
		s.keep("homeassistant/sensor/0x0000/measurement_0/config", fmt.Sprintf(`{"unique_id":"0x0_0","state_topic":"a/%d"}`, i), "bridge", "zigbee2mqtt", time.Now())
	})
	f.judge(t, machine, 2*pageTime)
	if f.running >= pageTime && !raceEnabled {
		t.Errorf("%s, judged anew, is on a processor for %v (median)", f.path, f.running)
	}
	f.path += ", judged anew"
	figures = append(figures, f)

	slices.SortFunc(figures, func(a, b figure) int { return cmp.Compare(b.running, a.running) })
	for _, f := range figures {
		t.Logf("%-40s on a processor p50 %8v p95 %8v, wall p50 %8v p95 %8v; %6d bytes", f.path, f.running.Round(time.Microsecond), f.running95.Round(time.Microsecond),
			f.wall.Round(time.Microsecond), f.wall95.Round(time.Microsecond), f.bytes)
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
