package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
)

// A client that has 10,000 names denied, some of them made to disturb, and a stranger who
// tries as many names: the page stays short, whose denials of others stand there, and
// each has its own proposal.
func TestDeniedInAFlood(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	d := s.server.cfg.Denials
	id := func(user string) *broker.Identity {
		return &broker.Identity{User: user, ClientID: user + "-1", Listener: "mqtt", Remote: netip.MustParseAddrPort("192.168.1.66:1")}
	}
	now := time.Now()
	deny := func(user, name string) {
		d.OnEvent(broker.Denied{At: now, Identity: id(user), Action: broker.Publish, Name: name, Rule: broker.RuleRef{Text: "no rule matches"}})
	}
	deny("washing-machine", "garden/pump")
	for i := range 10_000 {
		now = now.Add(time.Millisecond)
		deny("old-tablet", fmt.Sprint("x", i, []string{"", "/<script>alert(1)</script>", "/\u202etxt.exe", "/" + strings.Repeat("ä", 300), "/\"'&", "/ a\u00a0b"}[i%6]))
		d.OnEvent(broker.Refused{At: now, ClientID: fmt.Sprint("bot", i), User: fmt.Sprint("root", i), Remote: "10.9.8.7:1", Listener: "mqtt", Reason: broker.UnknownUser})
	}
	page := b.get("/access").is(t, http.StatusOK)
	page.says(t, "garden/pump", "zigbee2mqtt/lamp/set", "Allow it: add allow publish garden/pump", "more of old-tablet", "more of 10.9.8.7")
	if strings.Contains(page.body, "<bdi>x9998/\u202e") {
		t.Error("a topic can turn its own letters round")
	}
	if n := strings.Count(page.body, `class="row-icon row-icon-error"`); n > 30 || len(page.body) > 100_000 {
		t.Errorf("%d are shown, in %d bytes", n, len(page.body))
	}
	b.get("/").is(t, http.StatusOK).says(t, "garden/pump")

	// One click allows it, at once.
	if s.server.cfg.Directory.Authorize(id("washing-machine"), broker.Publish, "garden/pump").Allow {
		t.Fatal("allowed before")
	}
	b.post("/access/allow", url.Values{"user": {"washing-machine"}, "rule": {"allow publish garden/pump"}, "back": {"/access#denied"}}).is(t, http.StatusSeeOther)
	u, _ := s.server.cfg.Directory.User("washing-machine")
	who := id("washing-machine")
	who.Version = u.Version
	if got := s.server.cfg.Directory.Authorize(who, broker.Publish, "garden/pump"); !got.Allow {
		t.Errorf("not allowed afterwards: %+v", got)
	}

	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	tab := openTab(t, srv.URL+ingressBase+"/access", 390, 844)
	tab.until(loaded)
	tab.fits("denied")
	tab.harmless()
}
