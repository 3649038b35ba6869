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

func TestWhyPage(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	b.post("/access/why", url.Values{"about": {"washer-0815"}}).is(t, http.StatusOK).
		says(t, "may not publish to zigbee2mqtt/lamp/set: no rule matches", "Allow it: add allow publish zigbee2mqtt/lamp/set")
	b.post("/access/why", url.Values{"about": {"never heard of"}}).is(t, http.StatusOK).says(t, "has not heard of")
	b.post("/access/why", url.Values{"about": {hostileName}}).is(t, http.StatusOK)
	b.post("/access/why", nil).is(t, http.StatusBadRequest)

	// The proposal among what was denied takes one click, and it is gone from there.
	b.get("/access").says(t, "Allow it: add allow publish zigbee2mqtt/lamp/set")
	b.post("/access/allow", url.Values{"user": {"washing-machine"}, "rule": {"allow publish zigbee2mqtt/lamp/set"}, "back": {"/access#denied"}}).
		is(t, http.StatusSeeOther)
	if rules := rulesText(s.user("washing-machine").Rules); rules != "allow both home/laundry/# qos<=1 from=192.168.1.0/24\nallow publish zigbee2mqtt/lamp/set\n" {
		t.Errorf("rules:\n%s", rules)
	}
	if page := text(b.get("/access").body); strings.Contains(page, "add allow publish zigbee2mqtt/lamp/set") {
		t.Error("what is allowed by now is still proposed")
	}
	b.post("/access/allow", url.Values{"user": {"nobody"}, "rule": {"allow publish x"}}).is(t, http.StatusNotFound)
	b.post("/access/allow", url.Values{"user": {access.HomeAssistantUser}, "rule": {"allow publish x"}}).is(t, http.StatusBadRequest)
	b.post("/access/allow", url.Values{"user": {"washing-machine"}, "rule": {"nonsense"}}).is(t, http.StatusBadRequest)
}

func TestCheckFromNetworkAndListener(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	ask := func(listener, from string) answer {
		return b.post("/access/check", url.Values{"user": {"washing-machine"}, "action": {"publish"}, "topic": {"home/laundry/power"},
			"listener": {listener}, "from": {from}})
	}
	ask("mqtt", "192.168.1.30").is(t, http.StatusOK).says(t, "Yes.", "allow both home/laundry/# qos<=1 from=192.168.1.0/24 (user washing-machine)", "QoS 1 at most")
	ask("mqtt", "10.0.0.3").is(t, http.StatusOK).says(t, "No.", "no rule matches")
	ask("", "not an address").is(t, http.StatusUnprocessableEntity).says(t, "not one such as")
}

func TestWhyInBrowser(t *testing.T) {
	s := furnished(t, true)
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	b := openTab(t, srv.URL+ingressBase+"/access", 1280, 900)
	b.until(loaded)
	for _, width := range []int64{1280, 390} {
		for _, theme := range []string{"light", "dark"} {
			b.do(chromedp.EmulateViewport(width, 844), chromedp.Navigate(srv.URL+ingressBase+"/access"))
			b.theme(theme)
			b.until(loaded)
			b.do(chromedp.Click(chromedp.CSS(".check-more summary")))
			b.fits("access")
			b.whole(fmt.Sprintf("access-%d-%s", width, theme))
			b.do(chromedp.SendKeys(chromedp.CSS("[name=about]"), "washer-0815"))
			b.submit(".why-form button")
			b.fits("why")
			b.whole(fmt.Sprintf("why-%d-%s", width, theme))
			b.harmless()
		}
	}
	b.submit(".finding .answer-action:has([value='allow publish zigbee2mqtt/lamp/set']) button")
	b.harmless()
	if !strings.Contains(rulesText(s.user("washing-machine").Rules), "allow publish zigbee2mqtt/lamp/set") {
		t.Error("the rule was not added")
	}
}
