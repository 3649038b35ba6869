package web

import (
	"fmt"
	"strings"
	"testing"

	"hearthmq/broker/access"
)

func TestAPIConnectsDevices(t *testing.T) {
	s := furnished(t, false)
	p := s.program(access.ScopeAdmin)
	var list struct{ Templates []apiTemplate }
	p.ask(200, "GET", "/templates", "", &list)
	if len(list.Templates) != len(access.Templates()) {
		t.Fatalf("%d templates", len(list.Templates))
	}
	var made struct {
		User     apiUser
		Password string
		Port     int
		Setup    []apiSetup
		QR       string
	}
	p.ask(201, "POST", "/templates/tasmota/devices", `{"name": "plug-7", "host": "192.168.1.2"}`, &made)
	if made.User.Name != "plug-7" || made.Port != 1883 || len(made.User.Rules) == 0 || len(made.Setup) == 0 || !strings.Contains(made.QR, made.Password) {
		t.Errorf("made %+v", made)
	}
	if text := fmt.Sprint(made.Setup); !strings.Contains(text, made.Password) || !strings.Contains(text, "192.168.1.2") {
		t.Errorf("lines to set: %s", text)
	}
	if _, err := s.dir.CheckPassword(t.Context(), "plug-7", made.Password); err != nil {
		t.Error(err)
	}
	p.ask(404, "POST", "/templates/toaster/devices", `{"host": "x"}`, nil)
	a := p.ask(422, "POST", "/templates/tasmota/devices", `{"name": "plug-7", "host": "192.168.1.2"}`, nil)
	if !strings.Contains(a.body, "body.name") {
		t.Errorf("taken: %s", a.body)
	}
	a = p.ask(422, "POST", "/templates/tasmota/devices", `{"name": "a+b", "host": "a b", "port": 7, "values": {"topic": "#", "surprise": "x"}}`, nil)
	for _, want := range []string{"body.name", "body.host", "body.port", "body.values."} {
		if !strings.Contains(a.body, want) {
			t.Errorf("does not name %s: %s", want, a.body)
		}
	}
}

// A denial proposes a rule, and the rule that is sent back allows it.
func TestAPIAllowsWhatWasDenied(t *testing.T) {
	s := furnished(t, true)
	p := s.program(access.ScopeAdmin)
	var list struct{ Denials []apiDenial }
	p.ask(200, "GET", "/denials", "", &list)
	var proposal *apiRule
	for _, d := range list.Denials {
		if d.User == "washing-machine" && d.Topic == "zigbee2mqtt/lamp/set" {
			proposal = d.Proposal
		}
	}
	if proposal == nil || proposal.User != "washing-machine" || proposal.Rule != "allow publish zigbee2mqtt/lamp/set" {
		t.Fatalf("proposes %+v of %+v", proposal, list.Denials)
	}
	var why access.Explanation
	p.ask(200, "POST", "/why", `{"about": "washer-0815"}`, &why)
	if len(why.Findings) == 0 || why.Findings[0].User != "washing-machine" {
		t.Errorf("why: %+v", why)
	}
	p.ask(204, "POST", "/rules", fmt.Sprintf(`{"user": %q, "rule": %q}`, proposal.User, proposal.Rule), nil)
	if d := s.dir.Check(access.Question{User: "washing-machine", Name: "zigbee2mqtt/lamp/set"}); !d.Allow {
		t.Errorf("still denied: %+v", d)
	}
	p.ask(422, "POST", "/rules", `{"user": "washing-machine", "rule": "allow everything"}`, nil)
	p.ask(404, "POST", "/rules", `{"user": "nobody", "rule": "allow publish a"}`, nil)
	p.ask(422, "POST", "/why", `{"about": ""}`, nil)
}

func TestAPILearning(t *testing.T) {
	s := furnished(t, true)
	p := s.program(access.ScopeAdmin)
	at := fmt.Sprintf("/users/%d/learning", s.user("washing-machine").ID)
	p.ask(404, "GET", at, "", nil)
	p.ask(422, "POST", at, `{"seconds": 59}`, nil)
	var l struct {
		Running bool
		Publish []string
		Rules   []string
	}
	p.ask(201, "POST", at, `{"seconds": 3600, "open": true}`, &l)
	if !l.Running || len(l.Publish) != 0 {
		t.Errorf("began %+v", l)
	}
	_, err := s.accounts.Refresh(t.Context()) // which the program does each second
	s.must(err)
	washer := s.connect("washer-0816", "washing-machine")
	washer.publish("laundry/done", "1")
	washer.subscribe("laundry/set") // answered: the broker has seen both
	p.ask(200, "GET", at, "", &l)
	if fmt.Sprint(l.Publish) != "[laundry/done]" || len(l.Rules) == 0 {
		t.Errorf("learnt %+v", l)
	}
	var u apiUser
	p.ask(200, "POST", at+"/accept", `{"replace": true}`, &u)
	if fmt.Sprint(u.Rules) != fmt.Sprint(l.Rules) || len(u.Roles) != 0 {
		t.Errorf("user %+v, learnt %v", u, l.Rules)
	}
	p.ask(201, "POST", at, `{"seconds": 60}`, nil)
	p.ask(204, "DELETE", at, "", nil)
	p.ask(404, "GET", at, "", nil)
	p.ask(404, "POST", at+"/accept", `{}`, nil)
	for _, name := range []string{access.HomeAssistantUser, "from-settings"} {
		p.ask(422, "POST", fmt.Sprintf("/users/%d/learning", s.user(name).ID), `{"seconds": 60}`, nil)
	}
}

func TestAPIGivesProducts(t *testing.T) {
	s := furnished(t, false)
	p := s.program(access.ScopeAdmin)
	at := fmt.Sprintf("/users/%d/templates/tasmota", s.user("old-tablet").ID)
	var given struct {
		Added []string
		User  apiUser
	}
	p.ask(200, "POST", at, `{"dry_run": true}`, &given)
	if len(given.Added) == 0 || len(given.User.Rules) != 0 {
		t.Errorf("would give %+v", given)
	}
	p.ask(200, "POST", at, `{}`, &given)
	if len(given.Added) == 0 || len(given.User.Rules) != len(given.Added) {
		t.Errorf("gave %+v", given)
	}
	p.ask(200, "POST", at, `{}`, &given)
	if len(given.Added) != 0 {
		t.Errorf("again %+v", given)
	}
	if a := p.ask(422, "POST", at, `{"values": {"topic": "#"}}`, nil); !strings.Contains(a.body, "body.values.") {
		t.Errorf("does not name the field: %s", a.body)
	}
	p.ask(404, "POST", at+"x", `{}`, nil)
	p.ask(422, "POST", fmt.Sprintf("/users/%d/templates/tasmota", s.user("from-settings").ID), `{}`, nil)
}
