package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"hearthmq/broker/mosquitto"
)

// The users of Mosquitto's files stand on the page with where they come from and what
// they may, can be looked for, and offer nothing to change.
func TestUsersOfMosquittosFiles(t *testing.T) {
	list := []mosquitto.FileUser{
		{Name: "zigbee2mqtt", Place: "/etc/mosquitto/passwd:3", Listeners: []string{"1883", "8883"}, Rules: []string{"/etc/mosquitto/acl:7: topic readwrite zigbee2mqtt/#", "/etc/mosquitto/acl:20: pattern read $SYS/broker/load/#"}},
		{Name: "\u202e<b>" + strings.Repeat("x", 200), Place: "/etc/mosquitto/passwd:4", Listeners: []string{"1883"}, NoRules: true},
		{Name: "nobody", Place: "/etc/mosquitto/passwd:5", Listeners: []string{"1883"}},
	}
	s := newSite(t, func(c *Config) { c.FileUsers = func() []mosquitto.FileUser { return list } })
	b := s.ingress()
	a := b.get("/users").is(t, http.StatusOK)
	a.says(t, "From Mosquitto's files", "zigbee2mqtt", "/etc/mosquitto/passwd:3", "by 1883, 8883", "2 lines", "/etc/mosquitto/acl:7: topic readwrite zigbee2mqtt/#",
		"everything: there is no acl_file", "nothing: no line of the acl_file")
	if strings.Contains(a.body, "<b>") {
		t.Error("a name is markup")
	}
	found := b.post("/users/find", url.Values{"text": {"NOBODY"}}).is(t, http.StatusOK)
	found.says(t, "nobody")
	if strings.Contains(found.body, "passwd:3") {
		t.Error("others are found as well")
	}
	if none := newSite(t, nil).ingress().get("/users"); strings.Contains(none.body, "Mosquitto's files") {
		t.Error("shown where there are none")
	}
	many := make([]mosquitto.FileUser, usersRows+5)
	for i := range many {
		many[i] = list[0]
	}
	list = many
	b.get("/users").says(t, "5 more")
}
