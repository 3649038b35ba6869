package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"hearthmq/broker/access"
)

func TestBlockByClientIdentifierAndAddress(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	b.get("/clients/blocked").is(t, http.StatusOK).says(t, "Nobody is blocked", "old-tablet")
	z := url.Values{"client": {"zigbee2mqtt_bridge"}}
	b.post("/clients/show", z).says(t, "Block…", "Why is it silent?")
	// The machine's own address is not offered.
	ask := b.post("/clients/block/ask", z).is(t, http.StatusOK)
	ask.says(t, "Its user, zigbee2mqtt", "Its client identifier, zigbee2mqtt_bridge")
	if strings.Contains(ask.body, "Its address") {
		t.Error("this machine can be blocked")
	}
	z.Set("by", "address")
	b.post("/clients/block", z).is(t, http.StatusUnprocessableEntity).says(t, "would keep out this machine itself")
	z.Set("by", "whatever")
	b.post("/clients/block", z).is(t, http.StatusBadRequest)
	z.Set("by", "client")
	b.post("/clients/block", z).leads(t, b, "/clients/blocked?done=blocked")
	s.gone("zigbee2mqtt_bridge")
	if u := s.user("zigbee2mqtt"); u.Disabled {
		t.Error("the user is disabled as well")
	}
	if s.letsIn("zigbee2mqtt_bridge", "zigbee2mqtt") {
		t.Error("the blocked client got in")
	}
	if !s.letsIn("another", "zigbee2mqtt") {
		t.Error("another client of the same user is kept out")
	}
	b.get("/clients/blocked").says(t, "zigbee2mqtt_bridge", "client identifier", "Home Assistant user anna")
	b.get("/logs/audit").says(t, "blocked", "client zigbee2mqtt_bridge")
	b.post("/access/why", url.Values{"about": {"zigbee2mqtt_bridge"}}).says(t, "blocked by an administrator", "Let it in again on the page Clients, Blocked")

	// By hand, hostile and wrong.
	for _, f := range []url.Values{{"kind": {"address"}, "value": {"nonsense"}}, {"kind": {"client"}, "value": {""}}, {"kind": {"x"}, "value": {"y"}}} {
		b.post("/clients/blocked", f).is(t, http.StatusUnprocessableEntity)
	}
	b.post("/clients/blocked", url.Values{"kind": {"client"}, "value": {hostileName}, "note": {hostileName}}).leads(t, b, "/clients/blocked?done=blocked") // case W5
	b.post("/clients/blocked", url.Values{"kind": {"address"}, "value": {"192.168.7.3/24"}}).leads(t, b, "/clients/blocked?done=blocked")
	b.get("/clients/blocked").says(t, "192.168.7.0/24")
	if n := len(s.bans.List()); n != 3 {
		t.Errorf("%d blocks, want 3", n)
	}
	for _, ban := range s.bans.List() {
		b.post("/clients/blocked/lift", url.Values{"id": {strconv.FormatInt(ban.ID, 10)}}).leads(t, b, "/clients/blocked?done=unblocked")
	}
	b.post("/clients/blocked/lift", url.Values{"id": {"1"}}).is(t, http.StatusNotFound)
	if !s.letsIn("zigbee2mqtt_bridge", "zigbee2mqtt") {
		t.Error("it is kept out although the block was lifted")
	}
	// A client of Home Assistant itself can't be blocked.
	secret, _ := s.accounts.SystemPassword(access.HomeAssistantUser)
	s.connectAs("ha-core", access.HomeAssistantUser, secret)
	ask = b.post("/clients/block/ask", url.Values{"client": {"ha-core"}}).is(t, http.StatusOK)
	ask.says(t, "one that Home Assistant needs")
	if strings.Contains(ask.body, `value="client"`) {
		t.Error("Home Assistant's client can be blocked")
	}
	b.post("/clients/block", url.Values{"client": {"ha-core"}, "by": {"client"}}).is(t, http.StatusUnprocessableEntity)
}

// letsIn reports whether the broker lets a client in.
func (s *site) letsIn(clientID, user string) bool {
	s.t.Helper()
	return s.connect(clientID, user).c.IsConnectionOpen()
}
