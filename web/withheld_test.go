package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// case A8: the owner sees which retained messages are not handed out, and by which rule.
func TestRetainedPageNamesWhatIsWithheld(t *testing.T) {
	s := furnished(t, true)
	lamp := s.broker.Attach(&broker.Identity{ClientID: "lamp", User: "zigbee2mqtt"}, broker.LocalOptions{})
	s.must(lamp.Publish(t.Context(), broker.NewMessage("home/lamp", []byte("on"), 1, true)))
	b := s.ingress()
	if strings.Contains(b.get("/retained").is(t, http.StatusOK).body, "not handed out") {
		t.Error("withheld from the start")
	}
	rules := mustRules(t, "allow both zigbee2mqtt/#", "deny publish home/lamp")
	s.must(s.accounts.ChangeUser(t.Context(), "zigbee2mqtt", access.UserChange{Roles: new([]string{access.RoleReadOnly}), Rules: &rules}))
	b.get("/retained").is(t, http.StatusOK).says(t, "not handed out", "its sender may not publish there any more", "deny publish home/lamp (user zigbee2mqtt)")
	s.connect("washer-0816", "zigbee2mqtt").subscribe("home/#")
	b.post("/access/why", url.Values{"about": {"washer-0816"}}).is(t, http.StatusOK).says(t, "what it retained is not handed out", "check_retain_source")
	var list struct{ Topics []apiTopic }
	s.program(access.ScopeRead).ask(200, "POST", "/retained/query", `{"filter": "home/#"}`, &list)
	if len(list.Topics) != 1 || list.Topics[0].Withheld != "deny publish home/lamp (user zigbee2mqtt)" {
		t.Errorf("%+v", list.Topics)
	}
}
