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

// One click leads back to what was asked, where the next thing is that is wrong.
func TestAllowShowsWhatWasAskedOnceMore(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	rule := func(more url.Values) url.Values {
		more.Set("user", "washing-machine")
		more.Set("rule", "allow publish zigbee2mqtt/lamp/set")
		return more
	}
	a := b.post("/access/allow", rule(url.Values{"about": {"washer-0815"}})).is(t, http.StatusOK)
	a.says(t, "The rule was added. It counts at once.", "What was found about washer-0815")
	if strings.Contains(text(a.body), "may not publish to zigbee2mqtt/lamp/set") {
		t.Error("what is allowed by now is still said to be denied")
	}
	b.post("/access/allow", rule(url.Values{"check-user": {"washing-machine"}, "check-action": {"publish"}, "check-topic": {"zigbee2mqtt/lamp/set"}})).
		is(t, http.StatusOK).says(t, "The rule was added.", "Yes. washing-machine may publish to zigbee2mqtt/lamp/set.")
	b.post("/access/allow", url.Values{"user": {"washing-machine"}, "rule": {"allow subscribe x"}}).leads(t, b, "/access?done=rule-added-subscribe")
	if n := strings.Count(rulesText(s.user("washing-machine").Rules), "lamp/set"); n != 1 {
		t.Errorf("the rule stands there %d times", n)
	}
	b.get("/access").says(t, "washing-machine may not publish to zigbee2mqtt/lamp/set", "allowed now")
}

// A user that may do nothing is said to be so where it is made and where it is asked
// about, with the ways out of it.
func TestNoRightsHaveAWayOut(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	made := b.post("/users/new", url.Values{"name": {"bare"}, "password-kind": {"generate"}}).is(t, http.StatusOK)
	made.says(t, "It may connect, and nothing else yet", "Learn what it needs")
	path := s.userPath("bare")
	found := b.post("/access/why", url.Values{"about": {"bare"}}).is(t, http.StatusOK)
	for _, page := range []answer{made, found} {
		for _, link := range []string{path + "#rules", path + "#learn"} {
			if !strings.Contains(page.body, ingressBase+link+`"`) {
				t.Errorf("no link to %s", link)
			}
		}
	}
	made = b.post("/users/new", url.Values{"name": {"reader"}, "password-kind": {"generate"}, "roles": {access.RoleReadOnly}}).is(t, http.StatusOK)
	if strings.Contains(made.body, "nothing else yet") {
		t.Error("a user with a role is said to have none")
	}
}

// The address of an answer, opened once more, leads to where the question is asked.
func TestAnswersAreNoDeadEnds(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	get := func(path, accept string) answer {
		r := b.request(http.MethodGet, path, nil)
		r.Header.Set("Accept", accept)
		return b.do(r)
	}
	for path, above := range map[string]string{
		"/access/why": "/access", "/access/allow": "/access", "/access/check": "/access", "/clients/show": "/clients",
		"/clients/blocked/lift": "/clients/blocked", s.userPath("washing-machine") + "/learn": s.userPath("washing-machine"),
	} {
		get(path, "text/html").leads(t, b, above)
		get(path, "application/json").is(t, http.StatusMethodNotAllowed)
	}
	b.post("/access/check", url.Values{"user": {"washing-machine"}, "action": {"publish"}, "topic": {"a/+"}}).
		is(t, http.StatusUnprocessableEntity).says(t, "A message goes to one topic")
}
