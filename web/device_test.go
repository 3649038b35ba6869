package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"hearthmq/broker/access"
)

func TestConnectDevice(t *testing.T) {
	s := furnished(t, false)
	b := s.direct().login()
	page := b.get("/users/connect").is(t, http.StatusOK)
	for _, tpl := range access.Templates() {
		page.says(t, tpl.Name)
		b.get("/users/connect/"+tpl.ID).is(t, http.StatusOK).says(t, tpl.Name, "Address of HearthMQ")
	}
	b.get("/users/connect/nothing").is(t, http.StatusNotFound)

	form := url.Values{"name": {"plug-7"}, "key-topic": {""}, "host": {"ha.local"}}
	before := len(s.dir.Users())
	for field, value := range map[string]string{
		"key-topic": "#", "name": "a+b", "host": "ha local",
	} {
		bad := url.Values{}
		for k, v := range form {
			bad[k] = v
		}
		bad.Set(field, value)
		a := b.post("/users/connect/tasmota", bad).is(t, http.StatusUnprocessableEntity)
		if !strings.Contains(a.body, `id="problem-`+field+`"`) {
			t.Errorf("%s=%q: the field does not say what is wrong", field, value)
		}
	}
	if len(s.dir.Users()) != before {
		t.Error("a refused form added a user")
	}
	b.post("/users/connect/tasmota", url.Values{"name": {"x"}, "key-topic": {"x"}, "host": {"h"}, "port": {"99"}}).is(t, http.StatusBadRequest)

	a := b.post("/users/connect/tasmota", form).is(t, http.StatusOK)
	u := s.user("plug-7")
	if u.Kind != access.Generated || u.Note != "Tasmota" || len(u.Rules) != 7 || u.Rules[0].Filter != "stat/plug-7/#" {
		t.Errorf("added %+v", u)
	}
	_, rest, _ := strings.Cut(a.body, `id="all-password"`)
	_, rest, _ = strings.Cut(rest, ">")
	password, _, _ := strings.Cut(rest, "<")
	if _, err := s.dir.CheckPassword(t.Context(), "plug-7", password); err != nil {
		t.Errorf("the password shown, %q: %v", password, err)
	}
	a.says(t, "Backlog MqttHost ha.local;", "MqttUser plug-7;")
	if !strings.Contains(a.body, `src="data:image/png;base64,`) {
		t.Error("no QR code")
	}
	b.post("/users/connect/tasmota", form).is(t, http.StatusUnprocessableEntity).says(t, "Exists already")
	if got := b.get("/users/connect").Header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
		t.Errorf("Cache-Control %q: pages with passwords would be kept", got)
	}
}

// The walk of somebody who has never seen it: a Zigbee2MQTT user in four clicks.
func TestConnectDeviceInBrowser(t *testing.T) {
	s := furnished(t, false)
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	b := openTab(t, srv.URL+ingressBase+"/users", 1280, 900)
	b.until(loaded)
	b.submit("a[href$='/users/connect']")
	b.do(chromedp.SendKeys(chromedp.CSS("[data-filter] input"), "zigb"))
	b.until(`[...document.querySelectorAll('#products > li')].filter((e) => !e.hidden).length === 1`)
	b.submit("#products > li:not([hidden]) a")
	b.do(chromedp.SetValue(chromedp.CSS("[name=name]"), "z2m"), chromedp.SetValue(chromedp.CSS("[name=host]"), "homeassistant.local"))
	b.submit("main button[type=submit]")
	if got := b.text(); !strings.Contains(got, "server: mqtt://homeassistant.local:") || !strings.Contains(got, "user: z2m") {
		t.Errorf("the page says\n%s", got)
	}
	if eval[int](b, `document.querySelector('.qr img').naturalWidth`) < 100 {
		t.Error("the QR code does not show")
	}
	if rulesText(s.user("z2m").Rules) != "allow both zigbee2mqtt/#\nallow both homeassistant/#\n" {
		t.Errorf("rules %s", rulesText(s.user("z2m").Rules))
	}
	for _, width := range []int64{1280, 390} {
		for _, theme := range []string{"light", "dark"} {
			b.do(chromedp.EmulateViewport(width, 844), chromedp.Navigate(srv.URL+ingressBase+"/users/connect"))
			b.theme(theme)
			b.until(loaded)
			b.fits("connect")
			b.whole(fmt.Sprintf("connect-%d-%s", width, theme))
			b.submit("a[href$='/connect/tasmota']")
			b.do(chromedp.Click(chromedp.CSS("form .fold summary")))
			b.fits("device")
			b.whole(fmt.Sprintf("device-%d-%s", width, theme))
			b.do(chromedp.SetValue(chromedp.CSS("[name=name]"), fmt.Sprintf("plug-%d-%s", width, theme)),
				chromedp.SetValue(chromedp.CSS("[name=host]"), "homeassistant.local"))
			b.submit("main button[type=submit]")
			b.fits("connected")
			b.whole(fmt.Sprintf("connected-%d-%s", width, theme))
			b.harmless()
		}
	}
}

// A device whose name is half of what stands on its label is not called by that half:
// the next one would find the name taken.
func TestDeviceIsCalledWhatItsLabelSays(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	b.get("/users/connect/shelly").is(t, http.StatusOK).hasValue(t, "name", "")
	form := url.Values{"host": {"hearth.local"}, "key-id": {"shellyplus1-"}, "key-controller": {"homeassistant"}}
	a := b.post("/users/connect/shelly", form).is(t, http.StatusUnprocessableEntity)
	if n := strings.Count(text(a.body), "The device ID unless you changed it"); n != 1 {
		t.Errorf("what belongs there is said %d times", n)
	}
	for _, id := range []string{"shellyplus1-a8032abe54dc", "shellyplus1-a8032abe54dd"} {
		form.Set("key-id", id)
		b.post("/users/connect/shelly", form).is(t, http.StatusOK).says(t, "The user "+id+" was added", "restart the Shelly", "names that end in .local")
		if rules := rulesText(s.user(id).Rules); !strings.Contains(rules, "allow publish "+id+"/#") {
			t.Errorf("%s may\n%s", id, rules)
		}
	}
	form.Set("name", "lamp in the hall")
	b.post("/users/connect/shelly", form).is(t, http.StatusOK).says(t, "The user lamp in the hall was added")
	b.post("/users/connect/other", url.Values{"host": {"192.168.1.2"}, "name": {"kettle"}}).is(t, http.StatusOK)
	if rules := rulesText(s.user("kettle").Rules); rules != "allow both kettle/#\n" {
		t.Errorf("the kettle may\n%s", rules)
	}
}

func (a answer) hasValue(t *testing.T, name, want string) {
	t.Helper()
	if !strings.Contains(a.body, `name="`+name+`" type="text" value="`+want+`"`) {
		t.Errorf("%s is not %q", name, want)
	}
}
