package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// full has every limit there is.
var full = broker.Limits{
	Connections: 2, ConnectRate: 0.5, MessageRate: 10, ByteRate: 4096, PacketSize: 65536, Inflight: 5, QueuedMessages: 50, QueuedBytes: 100_000,
	Subscriptions: 7, RetainedMessages: 20, RetainedBytes: 1_000_000, TopicLevels: 9,
}

func TestUserLimitsForm(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	path := s.userPath("washing-machine")
	form := func() url.Values {
		f := url.Values{"revision": {revisionOf(s.user("washing-machine").Revision)}}
		for _, word := range strings.Fields(access.FormatLimits(full)) {
			name, value, _ := strings.Cut(word, "=")
			f.Set("limit-"+name, value)
		}
		return f
	}
	f := form()
	if len(f) != len(limitFields)+1 {
		t.Fatalf("the form has %d fields, there are limits %s", len(limitFields), access.FormatLimits(full))
	}
	b.get(path).is(t, http.StatusOK).says(t, "May connect from", "Connections at a time")
	b.post(path+"/limits", f).leads(t, b, path+"?done=limits-changed")
	if got := s.user("washing-machine").Limits; got != full {
		t.Errorf("limits %+v", got)
	}
	page := b.get(path).body
	for name := range f {
		if name != "revision" && !strings.Contains(page, `name="`+name+`" type="text" value="`+f.Get(name)+`"`) {
			t.Errorf("the form does not show %s=%s again", name, f.Get(name))
		}
	}
	// The other form of the page leaves them alone.
	b.post(path, url.Values{"revision": {revisionOf(s.user("washing-machine").Revision)}, "note": {"Kitchen"}}).is(t, http.StatusSeeOther)
	if got := s.user("washing-machine").Limits; got != full {
		t.Errorf("after another change: limits %+v", got)
	}

	for name, value := range map[string]string{
		"limit-connections": "0", "limit-connects": "-1", "limit-inflight": "70000", "limit-queued": "many", "limit-retained": "1 connections=9", "limit-packet": "1.5",
		"networks": "at home",
	} {
		bad := form()
		bad.Set(name, value)
		a := b.post(path+"/limits", bad).is(t, http.StatusUnprocessableEntity)
		if !strings.Contains(a.body, `id="problem-`+name+`"`) || !strings.Contains(a.body, `value="`+value+`"`) {
			t.Errorf("%s=%s: the field does not say what is wrong, or lost what was typed", name, value)
		}
	}
	if got := s.user("washing-machine"); got.Limits != full || len(got.Networks) > 0 {
		t.Errorf("a refused form changed %+v", got)
	}
	stale := form()
	stale.Set("revision", "1")
	b.post(path+"/limits", stale).is(t, http.StatusConflict) // case W26

	// Clients from elsewhere are disconnected at once.
	if in, _, err := s.broker.Session("washer-0815"); err != nil || !in.Connected {
		t.Fatal("the washer is not connected")
	}
	near := url.Values{"revision": {revisionOf(s.user("washing-machine").Revision)}, "networks": {" 192.168.1.9/24, fd00::/8"}}
	b.post(path+"/limits", near).leads(t, b, path+"?done=limits-changed")
	u := s.user("washing-machine")
	if got := access.FormatNetworks(u.Networks); got != "192.168.1.0/24 fd00::/8" || u.Limits != (broker.Limits{}) {
		t.Errorf("networks %q, limits %+v", got, u.Limits)
	}
	eventually(t, "the washer, which comes from 127.0.0.1, is disconnected", func() bool {
		in, _, err := s.broker.Session("washer-0815")
		return err != nil || !in.Connected
	})
}

func TestUserLimitsInBrowser(t *testing.T) {
	s := furnished(t, false)
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	page := srv.URL + ingressBase + s.userPath("washing-machine")
	b := openTab(t, page, 1280, 900)
	b.until(loaded)
	b.do(chromedp.SendKeys(chromedp.CSS("#limits [name=networks]"), "192.168.1.0/24"), chromedp.Click(chromedp.CSS("#limits summary")),
		chromedp.SendKeys(chromedp.CSS("[name=limit-connections]"), "2"), chromedp.SendKeys(chromedp.CSS("[name=limit-messages]"), "0.5"))
	b.submit("#limits button[type=submit]")
	u := s.user("washing-machine")
	if access.FormatLimits(u.Limits) != "connections=2 messages=0.5" || access.FormatNetworks(u.Networks) != "192.168.1.0/24" {
		t.Errorf("limits %q, networks %q", access.FormatLimits(u.Limits), access.FormatNetworks(u.Networks))
	}
	for _, width := range []int64{1280, 390, 320} {
		for _, theme := range []string{"light", "dark"} {
			b.do(chromedp.EmulateViewport(width, 844), chromedp.Navigate(page))
			b.theme(theme)
			b.until(loaded)
			b.fits("user")
			b.whole(fmt.Sprintf("limits-%d-%s", width, theme))
			b.harmless()
		}
	}
}

// Limits and networks can be given while the user is added, by the form and by the API; what
// is wrong with them stands at the field, and nothing that was typed is lost.
func TestNewUserWithLimits(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	b.get("/users/new").is(t, http.StatusOK).says(t, "May connect from", "Connections at a time")
	form := url.Values{"name": {"camera"}, "password-kind": {"choose"}, "password": {"a long password"}, "networks": {"192.168.1.0/24"}}
	for _, word := range strings.Fields(access.FormatLimits(full)) {
		name, value, _ := strings.Cut(word, "=")
		form.Set("limit-"+name, value)
	}
	bad := url.Values{}
	for k, v := range form {
		bad[k] = v
	}
	bad.Set("limit-queued", "many")
	a := b.post("/users/new", bad).is(t, http.StatusUnprocessableEntity)
	for _, want := range []string{`id="problem-limit-queued"`, `value="many"`, `value="192.168.1.0/24"`, `value="camera"`, `name="limit-retained" type="text" value="20"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the refused form lacks %s", want)
		}
	}
	// All that is wrong is said at once: what the limits are to blame for hides nothing else.
	bad.Set("networks", "at home")
	bad.Set("name", "washing-machine")
	bad.Set("password", "")
	bad.Set("roles", "no-such-role")
	a = b.post("/users/new", bad).is(t, http.StatusUnprocessableEntity)
	for _, field := range []string{"limit-queued", "networks", "name", "password", "roles"} {
		if !strings.Contains(a.body, `id="problem-`+field+`"`) {
			t.Errorf("nothing is said of %s", field)
		}
	}
	a.says(t, "Exists already", "Clients from elsewhere are refused.")
	b.get(s.userPath("washing-machine")).says(t, "Clients from elsewhere are disconnected.")
	b.post("/users/new/named", url.Values{"name": {"doorbell"}}).says(t, "Connections at a time", "Topic levels")
	if _, made := s.dir.User("camera"); made {
		t.Error("the user was added without its limits")
	}
	b.post("/users/new", form).leads(t, b, "/users?done=user-added")
	s.program(access.ScopeAdmin).ask(201, "POST", "/users", `{"name": "doorbell", "limits": {"connections": 2, "messages": 0.5}, "networks": ["10.0.0.7"]}`, nil)
	for name, want := range map[string][2]string{"camera": {access.FormatLimits(full), "192.168.1.0/24"}, "doorbell": {"connections=2 messages=0.5", "10.0.0.7"}} {
		if u := s.user(name); access.FormatLimits(u.Limits) != want[0] || access.FormatNetworks(u.Networks) != want[1] {
			t.Errorf("%s: limits %q, networks %q", name, access.FormatLimits(u.Limits), access.FormatNetworks(u.Networks))
		}
	}
}

// A limit that is set on the page holds at once for who is connected.
func TestLimitsHoldAtOnce(t *testing.T) {
	s := furnished(t, true)
	s.createUser(access.NewUser{Name: "chatter", Password: "a long password", Roles: []string{access.RoleEverything}})
	d := s.connectAs("chatter-1", "chatter", "a long password")
	subscribe := func(filter string) byte {
		token := d.c.Subscribe(filter, 0, nil).(*mqtt.SubscribeToken)
		token.WaitTimeout(time.Minute) // a refusal is an error
		return token.Result()[filter]
	}
	if got := subscribe("one"); got != 0 {
		t.Fatalf("one: %#x", got)
	}
	b := s.ingress()
	path := s.userPath("chatter")
	b.post(path+"/limits", url.Values{"revision": {revisionOf(s.user("chatter").Revision)}, "limit-subscriptions": {"1"}}).leads(t, b, path+"?done=limits-changed")
	if got := subscribe("two"); got != 0x80 {
		t.Errorf("two, of one: %#x", got)
	}
	b.post(path+"/limits", url.Values{"revision": {revisionOf(s.user("chatter").Revision)}}).leads(t, b, path+"?done=limits-changed")
	if got := subscribe("two"); got != 0 {
		t.Errorf("two, without a limit: %#x", got)
	}
}
