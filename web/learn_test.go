package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestLearnPage(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	path := s.userPath("washing-machine")
	b.get(path).is(t, http.StatusOK).says(t, "Learn what it needs", "Start watching")
	b.post(path+"/learn", url.Values{"for": {"soon"}}).is(t, http.StatusBadRequest)
	b.post(path+"/learn", url.Values{"for": {"1s"}}).is(t, http.StatusUnprocessableEntity).says(t, "Between a minute and seven days")
	b.post(path+"/learn", url.Values{"do": {"add"}}).is(t, http.StatusNotFound)
	b.post(path+"/learn", url.Values{"for": {"1h"}, "open": {"yes"}}).leads(t, b, path+"?done=learning#learn")
	b.post(path+"/learn", url.Values{"do": {"look"}}).leads(t, b, path+"#learn")
	if _, err := s.accounts.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	washer := s.connect("washer-2", "washing-machine")
	washer.subscribe("laundry/set")
	washer.publish("laundry/state", "on")
	washer.subscribe("laundry/other") // answered after the message was taken in
	b.get(path).is(t, http.StatusOK).says(t, "Watching until", "publish to laundry/state", "subscribe to laundry/set", "may do everything that no rule denies")
	s.learnLooks(t)
	b.post(path+"/learn", url.Values{"do": {"replace"}}).leads(t, b, path+"?done=learnt")
	u := s.user("washing-machine")
	if got := rulesText(u.Rules); got != "allow publish laundry/state\nallow subscribe laundry/other\nallow subscribe laundry/set\n" || len(u.Roles) != 0 {
		t.Errorf("rules %s, roles %q", got, u.Roles)
	}
	b.post(path+"/learn", url.Values{"for": {"1h"}}).leads(t, b, path+"?done=learning#learn")
	// All that it does is allowed: to add that again would change nothing.
	washer.publish("laundry/state", "off")
	washer.subscribe("laundry/set")
	page := b.get(path).is(t, http.StatusOK)
	page.says(t, "allow all of this already", "Use in place of its roles and rules")
	if strings.Contains(text(page.body), "Add these rules") {
		t.Error("it offers to add what is there")
	}
	washer.publish("laundry/door", "open")
	washer.subscribe("laundry/set")
	b.get(path).says(t, "Add these rules", "Use in place of its roles and rules")
	b.post(path+"/learn", url.Values{"do": {"drop"}}).leads(t, b, path+"?done=learning-dropped")
	b.post(path+"/learn", url.Values{"do": {"dance"}}).is(t, http.StatusBadRequest)
}

// learnLooks leaves pictures of a user who is watched.
func (s *site) learnLooks(t *testing.T) {
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	b := openTab(t, srv.URL+ingressBase+s.userPath("washing-machine"), 1280, 900)
	for _, width := range []int64{1280, 390} {
		for _, theme := range []string{"light", "dark"} {
			b.do(chromedp.EmulateViewport(width, 844), chromedp.Navigate(srv.URL+ingressBase+s.userPath("washing-machine")))
			b.theme(theme)
			b.until(loaded)
			b.do(chromedp.Click(chromedp.CSS("#learn .fold summary")))
			b.fits("learn")
			b.whole(fmt.Sprintf("learn-%d-%s", width, theme))
			b.harmless()
		}
	}
}
