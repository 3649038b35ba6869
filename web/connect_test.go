package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/nodered"
	"hearthmq/outbound"
)

// fakeHome is a Home that notes what it is asked to do.
type fakeHome struct {
	mu    sync.Mutex
	state HomeState
	did   []HomeStep
	err   error
}

func (h *fakeHome) State(context.Context) HomeState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state
}

func (h *fakeHome) Do(_ context.Context, step HomeStep) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.did = append(h.did, step)
	return h.err
}

func (h *fakeHome) become(s HomeState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = s
}

// settled is a home where all is as it should be, and nobody is connected yet.
func settled() HomeState {
	return HomeState{
		Known: true, Host: "014ce74a-hearthmq", Port: 1883, Address: "192.168.1.20", HostPort: map[int]int{1883: 1883, 8883: 8884}, Ours: true, Provider: "014ce74a_hearthmq",
		Integration: HomeIntegration{Waiting: true},
		Apps: []HomeApp{
			{Slug: "45df7312_zigbee2mqtt", Name: "Zigbee2MQTT", Running: true, Service: true}, {Slug: "a0d7b954_nodered", Name: "Node-RED", Running: true},
		},
	}
}

// besideMosquitto is a home where another broker is in place.
func besideMosquitto() HomeState {
	s := settled()
	s.Ours, s.Provider, s.HostPort = false, "core_mosquitto", map[int]int{}
	s.Integration = HomeIntegration{SetUp: true, Title: "Mosquitto broker", Host: "core-mosquitto"}
	s.Other = &HomeBroker{Slug: "core_mosquitto", Name: "Mosquitto broker", Running: true}
	return s
}

func homeSite(t *testing.T, state HomeState) (*site, *fakeHome) {
	t.Helper()
	h := &fakeHome{state: state}
	s := newSite(t, func(c *Config) { c.Home = h })
	s.createUser(access.NewUser{Name: adminName, Password: adminPass, Admin: true})
	return s, h
}

func TestConnectPage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(s *HomeState)
		says   []string
	}{
		{"fresh", func(*HomeState) {}, []string{"One click away", "Connect Home Assistant", "Restart it", "192.168.1.20", "Port 8884"}},
		{"not discovered yet", func(s *HomeState) { s.Integration.Waiting = false }, []string{"Being found"}},
		{"Core is away", func(s *HomeState) { s.Integration = HomeIntegration{Problem: "it is not running"} }, []string{"No answer", "It is not running."}},
		{"the Supervisor is away", func(s *HomeState) { *s = HomeState{Problem: "ask the Supervisor: timeout"} }, []string{"No answer", "Ask the Supervisor: timeout."}},
		{"another broker by hand", func(s *HomeState) { s.Integration = HomeIntegration{SetUp: true, Title: "192.168.1.9"} }, []string{"Uses another broker", "“192.168.1.9”", "Connect it to HearthMQ"}},
		{"ours, away", func(s *HomeState) { s.Integration = HomeIntegration{SetUp: true, Host: s.Host} }, []string{"On its way"}},
		{"no Zigbee2MQTT", func(s *HomeState) { s.Apps = nil }, []string{"Nothing to type"}},
		{"Zigbee2MQTT stopped", func(s *HomeState) { s.Apps[0].Running = false }, []string{"Not running"}},
		{"no plain port", func(s *HomeState) { s.Port, s.Integration = 0, HomeIntegration{} }, []string{"Not possible", "mqtt_address"}},
		{"Mosquitto", func(s *HomeState) { *s = besideMosquitto() }, []string{"Uses Mosquitto broker", "Take over from Mosquitto broker"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state := settled()
			tt.change(&state)
			s, _ := homeSite(t, state)
			s.ingress().get("/connect").is(t, http.StatusOK).says(t, tt.says...)
		})
	}
	t.Run("outside the app", func(t *testing.T) {
		s := furnished(t, false)
		s.direct().login().get("/connect").is(t, http.StatusOK).says(t, "Add integration", "Make a user for it", "Port 1883")
	})
}

// Who is connected shows by the traces that products leave.
func TestConnectedProducts(t *testing.T) {
	for _, tt := range []struct {
		session broker.SessionInfo
		want    string
	}{
		{broker.SessionInfo{User: access.HomeAssistantUser, ClientID: "0123456789abcdefghijkl"}, productHomeAssistant},
		{broker.SessionInfo{ClientID: "mqttjs_1234", User: access.AddonsUser, WillTopic: "zigbee2mqtt/bridge/state"}, productZigbee2MQTT},
		{broker.SessionInfo{ClientID: "nodereda296669bfb28fef1"}, productNodeRED},
		{broker.SessionInfo{ClientID: "x", User: nodeREDUser}, productNodeRED},
		{broker.SessionInfo{ClientID: "desk-240ac4123456", WillTopic: "desk/status"}, "ESPHome"},
		{broker.SessionInfo{ClientID: "DVES_12AB34", WillTopic: "tele/tasmota_12AB34/LWT"}, "Tasmota"},
		{broker.SessionInfo{ClientID: "shellyplus1-a8032abe54dc", WillTopic: "shellyplus1-a8032abe54dc/online"}, "Shelly"},
		{broker.SessionInfo{ClientID: "frigate", WillTopic: "frigate/available"}, "Frigate"},
		{broker.SessionInfo{ClientID: "somebody"}, ""},
	} {
		tt.session.Connected = true
		got := connectedProducts(slices.Values([]broker.SessionInfo{tt.session}))
		delete(got, "") // who is not recognised
		if tt.want == "" && len(got) > 0 || tt.want != "" && got[tt.want] != 1 {
			t.Errorf("%s: %v, want %s", tt.session.ClientID, got, tt.want)
		}
		tt.session.Connected = false
		if got := connectedProducts(slices.Values([]broker.SessionInfo{tt.session})); len(got) > 0 {
			t.Errorf("%s, away: %v", tt.session.ClientID, got)
		}
	}
}

func TestConnectSteps(t *testing.T) {
	s, h := homeSite(t, settled())
	b := s.ingress()
	b.post("/connect", url.Values{"step": {"connect"}}).leads(t, b, "/connect?done=home-connected")
	b.post("/connect", url.Values{"step": {"format-disk"}}).is(t, http.StatusBadRequest)
	h.err = errors.New("Home Assistant does not take the new broker: it could not connect") //nolint:staticcheck // a name
	b.post("/connect", url.Values{"step": {"connect"}}).is(t, http.StatusUnprocessableEntity).says(t, "it could not connect.", "One click away")
	b.get("/connect/take-over").leads(t, b, "/connect")

	h.become(besideMosquitto())
	b.post("/connect", url.Values{"step": {"copy"}}).is(t, http.StatusUnprocessableEntity).says(t, "it could not connect.", "Copy what is retained")
	h.err = nil
	for step, said := range stepDone {
		done, newest := said.done, s.newestChange()
		want := "/connect/take-over?done=" + done
		if step == StepConnect || step == StepFinish {
			want = "/connect?done=" + done
		}
		b.post("/connect", url.Values{"step": {string(step)}}).leads(t, b, want)
		if text, ok := doneText(done); !ok || text == "" {
			t.Errorf("%s says nothing", step)
		}
		entries, _, err := s.accounts.Audit(t.Context(), access.AuditQuery{Limit: 1})
		s.must(err)
		if len(entries) != 1 || entries[0].ID <= newest || entries[0].Action != said.audit || entries[0].Via != access.ViaHomeAssistant || entries[0].Actor != "anna" {
			t.Errorf("%s: the audit says %+v", step, entries)
		}
	}
	if len(h.did) != 3+len(stepDone) {
		t.Errorf("did %v", h.did)
	}
	for _, step := range []HomeStep{StepPoint, StepPorts} {
		_, forms := read(t, string(step), ingressBase, b.get("/connect/confirm?step="+string(step)).is(t, http.StatusOK).body)
		if len(forms) != 1 || forms[0].action != "/connect" || forms[0].values.Get("step") != string(step) {
			t.Errorf("%s: forms %v", step, forms)
		}
	}
	b.get("/connect/confirm?step=connect").is(t, http.StatusNotFound)
	// Outside the app there is nobody to ask.
	out := furnished(t, false)
	ob := out.direct().login()
	ob.post("/connect", url.Values{"step": {"connect"}}).is(t, http.StatusBadRequest)
	ob.get("/connect/confirm?step=ports").is(t, http.StatusNotFound)
	ob.get("/connect/take-over").leads(t, ob, "/connect")
}

// The steps of a take-over: what can be done, and when there is no way back.
func TestTakeOverSteps(t *testing.T) {
	copied := besideMosquitto()
	copied.Begun, copied.Copied = true, &HomeCopied{Found: 12, Added: 10, Changed: 1, Kept: 1}
	record := copied
	record.Ours = true
	pointed := record
	pointed.Integration.Host = pointed.Host
	stopped := pointed
	stopped.Other = &HomeBroker{Slug: "core_mosquitto", Name: "Mosquitto broker"}
	last := stopped
	last.HostPort = map[int]int{1883: 1883, 1884: 1884}
	for _, tt := range []struct {
		name  string
		state HomeState
		steps []HomeStep // for which there is a button
		says  string
	}{
		{"nothing done", besideMosquitto(), []HomeStep{StepCopy}, "Nothing changes there"},
		{"copied", copied, []HomeStep{StepCopy, StepCopyBack, StepRecord}, "12 messages found, 10 new here, 1 renewed, 1 left"},
		{"record moved", record, []HomeStep{StepCopy, StepRecordBack, StepPoint}, "Restart it"},
		{"integration moved", pointed, []HomeStep{StepCopy, StepRecordBack, StepPointBack}, "The integration is set up with HearthMQ."},
		{"stopped", stopped, []HomeStep{StepRecordBack, StepPorts}, "does not run"},
		{"ports taken", last, []HomeStep{StepRecordBack, StepFinish}, "HearthMQ has them."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := homeSite(t, tt.state)
			page := s.ingress().get("/connect/take-over").is(t, http.StatusOK)
			page.says(t, tt.says)
			got := map[HomeStep]bool{}
			_, forms := read(t, tt.name, ingressBase, page.body)
			for _, f := range forms {
				if f.action == "/connect" {
					got[HomeStep(f.values.Get("step"))] = true
				}
			}
			want := map[HomeStep]bool{}
			for _, step := range tt.steps {
				want[step] = true
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("buttons %v, want %v", got, want)
			}
		})
	}
}

func TestNodeREDPage(t *testing.T) {
	s, _ := homeSite(t, settled())
	b := s.ingress()
	b.get("/connect/node-red").is(t, http.StatusOK).says(t, "Make user and flow")
	password := func() string {
		t.Helper()
		page := b.post("/connect/node-red", nil).is(t, http.StatusOK)
		m := regexp.MustCompile(`(?s)<pre[^>]*id="flow"[^>]*>(.*?)</pre>`).FindStringSubmatch(page.body)
		if m == nil {
			t.Fatalf("no flow in %s", text(page.body))
		}
		var nodes []struct {
			Type, Broker, Port string
			Credentials        struct{ User, Password string }
		}
		if err := json.Unmarshal([]byte(html.UnescapeString(m[1])), &nodes); err != nil {
			t.Fatal(err)
		}
		n := nodes[0]
		if n.Type != "mqtt-broker" || n.Broker != "014ce74a-hearthmq" || n.Port != "1883" || n.Credentials.User != nodeREDUser {
			t.Errorf("%+v", n)
		}
		return n.Credentials.Password
	}
	first := password()
	if _, err := s.dir.CheckPassword(t.Context(), nodeREDUser, first); err != nil {
		t.Errorf("the password of the flow: %v", err)
	}
	if u := s.user(nodeREDUser); len(u.Roles) != 1 || u.Roles[0] != access.RoleEverything || u.Admin {
		t.Errorf("%+v", u)
	}
	b.get("/connect/node-red").says(t, "There is a user node-red already")
	second := password()
	if _, err := s.dir.CheckPassword(t.Context(), nodeREDUser, first); err == nil || first == second {
		t.Error("the old password still counts")
	}
}

// case W20: what HearthMQ may not connect to is refused by the page as well.
func TestNodeREDSend(t *testing.T) {
	asked := false
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer inner.Close()
	s, _ := homeSite(t, settled())
	b := s.ingress()
	for _, address := range []string{inner.URL, "http://supervisor", "http://172.30.32.2", "http://localhost:1880", "http://169.254.169.254/latest"} {
		b.post("/connect/node-red/send", url.Values{"address": {address}, "login": {"anna"}, "password": {"a secret"}}).
			is(t, http.StatusUnprocessableEntity).says(t, "This address is not allowed")
	}
	if asked {
		t.Error("it was asked all the same")
	}
	page := b.post("/connect/node-red/send", url.Values{"address": {"node red"}, "login": {"anna"}, "password": {"a secret"}, "any": {"yes"}}).is(t, http.StatusUnprocessableEntity)
	page.says(t, "The address has to look like")
	if strings.Contains(page.body, "a secret") || !strings.Contains(page.body, `value="anna"`) {
		t.Error("the password is shown again, or the name is lost")
	}

	var at nodered.Admin
	var got nodered.Broker
	answer := error(nil)
	s.server.cfg.NodeRED = func(_ context.Context, a nodered.Admin, b nodered.Broker) error { at, got = a, b; return answer }
	form := url.Values{"address": {"http://192.168.1.20:1880"}, "login": {"anna"}, "password": {"a secret"}}
	b.post("/connect/node-red/send", form).leads(t, b, "/connect?done=node-red-sent")
	if at.URL != form.Get("address") || at.User != "anna" || at.Password != "a secret" || at.AnyCertificate || got.Host != "014ce74a-hearthmq" || got.Password == "" {
		t.Errorf("%+v %+v", at, got)
	}
	for _, err := range []error{nodered.ErrLogin, nodered.ErrNoAnswer, nodered.ErrNotEditor, nodered.ErrRefused, outbound.ErrNotAllowed} {
		answer = err
		b.post("/connect/node-red/send", form).is(t, http.StatusUnprocessableEntity).says(t, strings.TrimSuffix(err.Error(), ".")[1:])
	}
}

// comes is until over pages that load themselves again meanwhile.
func (b *tab) comes(expression string) {
	b.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); <-tick.C {
		if there, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression)); err == nil && there {
			return
		}
	}
	b.t.Fatalf("never came: %s\n%s", expression, b.text())
}

// TestConnectLooks leaves pictures of the page in its states, at the widths of a desktop
// and of a phone, light and dark.
func TestConnectLooks(t *testing.T) {
	s, h := homeSite(t, settled())
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	at := srv.URL + ingressBase
	b := openTab(t, at+"/connect", 1280, 900)
	b.until(loaded)
	moving := besideMosquitto()
	moving.Begun, moving.Ours, moving.Copied = true, true, &HomeCopied{Found: 312, Added: 310, Kept: 2}
	for _, p := range []struct {
		name, path string
		state      HomeState
	}{
		{"connect", "/connect", settled()}, {"connect-mosquitto", "/connect", besideMosquitto()}, {"take-over", "/connect/take-over", moving},
		{"node-red", "/connect/node-red", settled()},
	} {
		h.become(p.state)
		for _, width := range []int64{1280, 390, 320} {
			for _, theme := range []string{"light", "dark"} {
				if width == 320 && theme == "dark" {
					continue
				}
				b.do(chromedp.EmulateViewport(width, 844), chromedp.Navigate(at+p.path))
				b.theme(theme)
				b.until(loaded)
				where := fmt.Sprintf("%s-%d-%s", p.name, width, theme)
				b.fits(where)
				b.whole(where)
				b.harmless()
			}
		}
	}
	b.theme("light")
	b.do(chromedp.EmulateViewport(390, 844), chromedp.Navigate(at+"/connect/node-red"))
	b.until(loaded)
	b.submit("form[action$='/connect/node-red'] button")
	b.fits("flow")
	b.whole("flow-390")
	b.do(chromedp.Click(chromedp.CSS("[data-copy=flow]")))
	b.until(`document.querySelector('[data-copy=flow] [data-label]').textContent !== 'Copy the flow'`)

	// What happens elsewhere shows by itself, and a button does what it says.
	h.become(settled())
	b.open(at + "/connect")
	done := settled()
	done.Integration = HomeIntegration{SetUp: true, Host: done.Host}
	h.become(done)
	b.comes(`document.querySelector('[data-card=home-assistant] [data-state]')?.textContent === 'On its way'`)
	h.become(settled())
	b.comes(`document.querySelector('[data-card=home-assistant] form button') !== null && document.documentElement.dataset.ready === 'true'`)
	b.submit("[data-card=home-assistant] form button")
	if len(h.did) != 1 || h.did[0] != StepConnect {
		t.Errorf("did %v", h.did)
	}
	b.harmless()
}
