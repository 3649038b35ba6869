package web

import (
	"fmt"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

func TestAPIUserLimits(t *testing.T) {
	s := furnished(t, false)
	p := s.program(access.ScopeAdmin)
	var made struct{ User apiUser }
	p.ask(201, "POST", "/users", `{"name": "lamp", "limits": {"connections": 2, "messages": 0.5}, "networks": ["192.168.1.9/24", "10.0.0.7"]}`, &made)
	if made.User.Limits != (apiLimits{Connections: 2, MessageRate: 0.5}) || fmt.Sprint(made.User.Networks) != "[10.0.0.7 192.168.1.0/24]" {
		t.Errorf("made %+v", made.User)
	}
	path := fmt.Sprintf("/users/%d", made.User.ID)
	var u apiUser
	p.ask(200, "PATCH", path, `{"note": "Hall"}`, &u)
	if u.Limits.Connections != 2 || len(u.Networks) != 2 {
		t.Errorf("another change left %+v", u)
	}
	p.ask(200, "PATCH", path, `{"limits": {"connections": 2, "connects": 0.5, "messages": 10, "bytes": 4096, "packet": 65536, "inflight": 5, "queued": 50,
		"queued_bytes": 100000, "subscriptions": 7, "retained": 20, "retained_bytes": 1000000, "levels": 9}}`, &u)
	if got := s.user("lamp").Limits; got != full || u.Limits != apiLimits(full) {
		t.Errorf("limits %+v", got)
	}
	for _, body := range []string{
		`{"limits": {"connections": -1}}`, `{"limits": {"connections": 1.5}}`, `{"limits": {"inflight": 70000}}`, `{"limits": {"retained_bytes": 9000000000000000000}}`,
		`{"limits": {"colour": 1}}`, `{"limits": {"messages": -0.5}}`, `{"networks": ["home"]}`, `{"networks": ["10.0.0.0/33"]}`, `{"networks": "10.0.0.0/8"}`,
	} {
		p.ask(422, "PATCH", path, body, nil)
	}
	if got := s.user("lamp"); got.Limits != full || len(got.Networks) != 2 {
		t.Errorf("a refused change left %+v", got)
	}
	u = apiUser{}
	p.ask(200, "PATCH", path, `{"limits": {}, "networks": []}`, &u)
	if got := s.user("lamp"); got.Limits != (broker.Limits{}) || len(got.Networks) > 0 || u.Limits != (apiLimits{}) {
		t.Errorf("taken away: limits %+v, networks %v", got.Limits, got.Networks)
	}
}
