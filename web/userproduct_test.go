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

// A user that is there gets the rights of a product: shown first, merged with what it
// has, with its password as it is unless a new one is asked for.
func TestProductForUser(t *testing.T) {
	s := furnished(t, false)
	b := s.direct().login()
	s.createUser(access.NewUser{Name: "plug", Password: "device password", Rules: mustRules(t, "allow publish own", "allow publish stat/plug/#")})
	path := s.userPath("plug") + "/product"
	b.get(s.userPath("plug")).says(t, "Rights for a product")
	list := b.get(path).is(t, http.StatusOK)
	for _, tpl := range access.Templates() {
		list.says(t, tpl.Name)
		b.get(path+"/"+tpl.ID).is(t, http.StatusOK).says(t, tpl.Name)
	}
	b.get(path+"/nothing").is(t, http.StatusNotFound)
	for _, fixed := range []string{access.HomeAssistantUser, "from-settings"} {
		b.get(s.userPath(fixed)+"/product").is(t, http.StatusNotFound)
		b.post(s.userPath(fixed)+"/product/tasmota", url.Values{"do": {"add"}}).is(t, http.StatusNotFound)
	}
	b.post(path+"/tasmota", url.Values{"key-topic": {"#"}, "do": {"look"}}).is(t, http.StatusUnprocessableEntity).says(t, "wildcards")
	b.post(path+"/tasmota", url.Values{"new-password": {"yes"}, "do": {"look"}}).is(t, http.StatusUnprocessableEntity).says(t, "The name or address of this machine")

	before := s.user("plug")
	a := b.post(path+"/tasmota", url.Values{"do": {"look"}}).is(t, http.StatusOK)
	a.says(t, "Adds 6 rules", "1 further rule of the product the user has already")
	_, rest, _ := strings.Cut(a.body, `name="shown" value="`)
	shown, _, _ := strings.Cut(rest, `"`)
	if strings.Count(shown, "\n") != 5 || strings.Contains(shown, "stat/plug") {
		t.Errorf("shown: %q", shown)
	}
	// Nothing is added that was not shown: not without looking, not after another topic
	// was typed in, not when the user was changed meanwhile.
	b.post(path+"/tasmota", url.Values{"do": {"add"}}).is(t, http.StatusOK).says(t, "Something changed since you looked")
	b.post(path+"/tasmota", url.Values{"do": {"add"}, "shown": {shown}, "key-topic": {"other"}}).is(t, http.StatusOK).says(t, "Something changed since you looked")
	if got := s.user("plug"); got.Revision != before.Revision {
		t.Fatalf("what was not shown was added: %s", rulesText(got.Rules))
	}
	b.post(path+"/tasmota", url.Values{"do": {"add"}, "shown": {strings.ReplaceAll(shown, "\n", "\r\n")}}).leads(t, b, s.userPath("plug")+"?done=rules-added")
	u := s.user("plug")
	if len(u.Rules) != 8 || u.Rules[0].Filter != "own" || u.Version != before.Version {
		t.Errorf("%+v", u)
	}
	if _, err := s.dir.CheckPassword(t.Context(), "plug", "device password"); err != nil {
		t.Errorf("the password: %v", err)
	}
	b.post(path+"/tasmota", url.Values{"do": {"look"}}).is(t, http.StatusOK).says(t, "has all of these rules already")

	a = b.post(path+"/tasmota", url.Values{"do": {"add"}, "shown": {""}, "new-password": {"yes"}, "host": {"ha.local"}}).is(t, http.StatusOK)
	a.says(t, "has the rights and a new password", "MqttHost ha.local", "MqttUser plug")
	_, rest, _ = strings.Cut(a.body, `id="all-password"`)
	_, rest, _ = strings.Cut(rest, ">")
	password, _, _ := strings.Cut(rest, "<")
	if _, err := s.dir.CheckPassword(t.Context(), "plug", password); err != nil {
		t.Errorf("the password shown, %q: %v", password, err)
	}
	if got := s.user("plug"); len(got.Rules) != 8 {
		t.Errorf("rules\n%s", rulesText(got.Rules))
	}
}

func TestProductForUserInBrowser(t *testing.T) {
	s := furnished(t, false)
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	user := srv.URL + ingressBase + s.userPath("zigbee2mqtt")
	b := openTab(t, user, 1280, 900)
	for _, width := range []int64{1280, 390, 320} {
		for _, theme := range []string{"light", "dark"} {
			b.do(chromedp.EmulateViewport(width, 844), chromedp.Navigate(user))
			b.theme(theme)
			b.until(loaded)
			b.submit("#product a")
			b.fits("products")
			b.submit("#products a[href$='/product/zigbee2mqtt']")
			if eval[bool](b, `document.querySelector('[name=host]').offsetParent !== null`) {
				t.Error("the address is asked for although no new password is")
			}
			b.submit("main button[value=look]")
			b.fits("product")
			b.whole(fmt.Sprintf("product-%d-%s", width, theme))
			b.harmless()
		}
	}
	b.submit("main button[value=add]")
	if got := rulesText(s.user("zigbee2mqtt").Rules); got != "allow both zigbee2mqtt/#\nallow both homeassistant/#\n" {
		t.Errorf("rules %s", got)
	}
}
