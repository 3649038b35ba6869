package web

import (
	"fmt"
	"strings"
	"testing"

	"hearthmq/broker/access"
)

func TestAPIBridges(t *testing.T) {
	s := furnished(t, false)
	book := s.withBridges()
	p := s.program(access.ScopeAdmin)
	var b apiBridge
	p.ask(201, "POST", "/bridges", `{"name": "holiday-home", "addresses": ["127.0.0.1"], "topics": ["sensors/# out 1", "homeassistant/status in 0 \"\" away/"],
		"username": "u", "password": "s3cret-canary", "client_id": "home-1", "disabled": true}`, &b)
	if b.Name != "holiday-home" || fmt.Sprint(b.Addresses) != "[127.0.0.1:1883]" || len(b.Topics) != 2 || b.Version != "5" || !b.HasPassword || b.State.State != "off" {
		t.Errorf("made %+v", b)
	}
	var list struct{ Bridges []apiBridge }
	a := p.ask(200, "GET", "/bridges", "", &list)
	if len(list.Bridges) != 1 || strings.Contains(a.body, "s3cret-canary") { // case W17
		t.Errorf("list %s", a.body)
	}
	// What is not given stays, the password too (case W18).
	at := "/bridges/holiday-home"
	p.ask(200, "PATCH", at, fmt.Sprintf(`{"revision": %d, "tls": true, "addresses": ["127.0.0.1", "127.0.0.1:9"], "version": "3.1.1"}`, b.Revision), &b)
	if !b.TLS || fmt.Sprint(b.Addresses) != "[127.0.0.1:8883 127.0.0.1:9]" || b.Version != "3.1.1" || !b.HasPassword || b.Username != "u" || !b.Disabled {
		t.Errorf("changed %+v", b)
	}
	stored, err := book.Repository.Bridges(t.Context())
	if err != nil || stored[0].Password != "s3cret-canary" {
		t.Errorf("stored %+v, %v", stored, err)
	}
	p.ask(409, "PATCH", at, `{"revision": 1, "tls": false}`, nil) // case W26
	p.ask(200, "PATCH", at, `{"tls": false, "password": ""}`, &b)
	if b.HasPassword || b.TLS {
		t.Errorf("changed %+v", b)
	}
	// The test is made with what is given, stored or not, and changes nothing.
	var tested struct {
		OK      bool
		Problem string
	}
	p.ask(200, "POST", at+"/test", `{}`, &tested)
	if tested.OK || tested.Problem == "" {
		t.Errorf("test %+v", tested)
	}
	p.ask(200, "POST", "/bridges/unheard/test", `{"addresses": ["127.0.0.1:9"], "topics": ["a/#"]}`, &tested)
	p.ask(422, "POST", "/bridges/unheard/test", `{}`, nil)
	p.ask(404, "GET", "/bridges/unheard", "", nil)
	a = p.ask(422, "POST", "/bridges", `{"name": "holiday-home", "addresses": ["x"], "topics": ["a/#"]}`, nil)
	if !strings.Contains(a.body, "body.name") {
		t.Errorf("does not name the field: %s", a.body)
	}
	a = p.ask(422, "PATCH", at, `{"topics": ["a/# sideways"], "local_user": "nobody"}`, nil)
	for _, want := range []string{"body.topics", "sideways", "body.local_user"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("does not say %q: %s", want, a.body)
		}
	}
	p.ask(422, "POST", "/bridges", `{"name": "../x", "addresses": ["x"], "topics": ["a/#"]}`, nil)
	p.ask(204, "DELETE", at, "", nil)
	p.ask(404, "DELETE", at, "", nil)
	p.ask(404, "PATCH", at, `{}`, nil)

	// Those that a file prescribes can only be looked at.
	book.Repository = nil
	p.ask(200, "GET", "/bridges", "", &list)
	p.ask(422, "POST", "/bridges", `{"name": "more", "addresses": ["x"], "topics": ["a/#"]}`, nil)
	p.ask(404, "DELETE", at, "", nil)
}
