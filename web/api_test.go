package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker/access"
)

// program is a client of the API, as a script is one.
type program struct {
	t     testing.TB
	url   string
	token string
	kind  string // of what is sent; "": JSON
	doc   *huma.OpenAPI
}

// program returns a program with a new token of scope, on the direct port.
func (s *site) program(scope access.TokenScope) program {
	s.t.Helper()
	srv := httptest.NewServer(s.server.Direct())
	s.t.Cleanup(srv.Close)
	_, secret, err := s.tokens.Create(access.WithActor(s.t.Context(), access.ViaAdmin, adminName), "test-"+string(scope), scope)
	s.must(err)
	return program{t: s.t, url: srv.URL + apiPath, token: secret, doc: s.server.apiDoc}
}

// ask sends a request with a JSON body, or none, and decodes the answer into out.
func (p program) ask(want int, method, path, body string, out any) answer {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", firstOf(p.kind, "application/json"))
	}
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if resp.StatusCode != want {
		p.t.Fatalf("%s %s: status %d, want %d\n%s", method, path, resp.StatusCode, want, b)
	}
	p.asDescribed(method, path, resp, b)
	if want >= 400 {
		var problem huma.ErrorModel
		if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" || json.Unmarshal(b, &problem) != nil || problem.Status != want {
			p.t.Errorf("%s %s: no problem: %s %s", method, path, ct, b)
		}
	} else if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			p.t.Fatalf("%s %s: %v\n%s", method, path, err, b)
		}
	}
	return answer{resp, string(b)}
}

// asDescribed checks an answer against the description.
func (p program) asDescribed(method, path string, resp *http.Response, body []byte) {
	p.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	var op *huma.Operation
	best := -1
	for template, item := range p.doc.Paths {
		o := operationsOf(item)[method]
		shape := regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(template), `[^/]+`)
		if fixed := -strings.Count(template, "{") + 10; o != nil && fixed > best && regexp.MustCompile("^"+shape+"$").MatchString(path) {
			op, best = o, fixed
		}
	}
	if op == nil {
		return // there is no such thing, which is what is tested
	}
	described := op.Responses[fmt.Sprint(resp.StatusCode)]
	if described == nil {
		if resp.StatusCode != 400 && resp.StatusCode != 413 { // of any body
			p.t.Errorf("%s %s: status %d is not described", method, path, resp.StatusCode)
		}
		return
	}
	media := described.Content[resp.Header.Get("Content-Type")]
	if media == nil {
		if len(body) > 0 || len(described.Content) > 0 {
			p.t.Errorf("%s %s: %d %s is not described", method, path, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
		return
	}
	if media.Schema == nil {
		return // a file
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		p.t.Errorf("%s %s: %v", method, path, err)
	}
	result := &huma.ValidateResult{}
	huma.Validate(p.doc.Components.Schemas, media.Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, value, result)
	for _, err := range result.Errors {
		p.t.Errorf("%s %s: %d is not as described: %v", method, path, resp.StatusCode, err)
	}
}

func operationsOf(item *huma.PathItem) map[string]*huma.Operation {
	return map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete}
}

func TestAPIUsersAndRoles(t *testing.T) {
	s := furnished(t, false)
	p := s.program(access.ScopeAdmin)
	var made struct {
		User     apiUser
		Password string `json:"generated_password"`
	}
	p.ask(201, "POST", "/users", `{"name": "lamp", "roles": ["sensors"], "rules": ["allow publish lamp/#"], "note": "Hall"}`, &made)
	if made.User.Limits != (apiLimits{}) || len(made.User.Networks) > 0 {
		t.Errorf("limits %+v, networks %v of a user without", made.User.Limits, made.User.Networks)
	}
	if made.User.Name != "lamp" || made.User.Password != "generated" || fmt.Sprint(made.User.Roles, made.User.Rules) != "[sensors] [allow publish lamp/#]" {
		t.Errorf("made %+v", made.User)
	}
	if _, err := s.dir.CheckPassword(t.Context(), "lamp", made.Password); err != nil {
		t.Errorf("the password told: %v", err)
	}
	at := fmt.Sprint("/users/", made.User.ID)
	p.ask(422, "POST", "/users", `{"name": "lamp"}`, nil)
	a := p.ask(422, "POST", "/users", `{"name": "a+b", "rules": ["allow nothing"]}`, nil)
	if !strings.Contains(a.body, "body.rules") {
		t.Errorf("does not name the field: %s", a.body)
	}
	p.ask(422, "POST", "/users", `{"name": "x", "surprise": 1}`, nil)
	p.ask(400, "POST", "/users", `{`, nil)

	var u apiUser
	p.ask(200, "PATCH", at, fmt.Sprintf(`{"revision": %d, "disabled": true, "rules": []}`, made.User.Revision), &u)
	if !u.Disabled || len(u.Rules) != 0 || u.Note != "Hall" || u.Revision == made.User.Revision {
		t.Errorf("changed to %+v", u)
	}
	p.ask(409, "PATCH", at, fmt.Sprintf(`{"revision": %d, "note": "x"}`, made.User.Revision), nil) // case W26
	var told struct {
		Password string `json:"generated_password"`
	}
	p.ask(200, "POST", at+"/password", `{}`, &told)
	if told.Password == "" || told.Password == made.Password {
		t.Errorf("password %q", told.Password)
	}
	p.ask(200, "POST", at+"/password", `{"password": "chosen by a person"}`, &told)
	p.ask(200, "GET", at, "", &u)
	if u.Password != "chosen" {
		t.Errorf("password is %s", u.Password)
	}
	p.ask(422, "DELETE", fmt.Sprint("/users/", s.user(access.HomeAssistantUser).ID), "", nil)
	p.ask(204, "DELETE", at, "", nil)
	p.ask(404, "GET", at, "", nil)
	p.ask(404, "DELETE", at, "", nil)
	p.ask(422, "GET", "/users/lamp", "", nil)

	var role apiRole
	p.ask(201, "POST", "/roles", `{"name": "garden", "description": "Outside", "rules": ["allow both garden/#"]}`, &role)
	at = fmt.Sprint("/roles/", role.ID)
	p.ask(200, "PUT", at, fmt.Sprintf(`{"revision": %d, "rules": ["allow subscribe garden/#"]}`, role.Revision), &role)
	if fmt.Sprint(role.Rules) != "[allow subscribe garden/#]" {
		t.Errorf("role %+v", role)
	}
	p.ask(409, "PUT", at, `{"revision": 77, "rules": []}`, nil)
	p.ask(200, "GET", at, "", &role)
	p.ask(204, "DELETE", at, "", nil)
	p.ask(404, "GET", at, "", nil)

	var check struct {
		Allow bool
		Rule  string
	}
	p.ask(200, "POST", "/check", `{"user": "washing-machine", "action": "publish", "topic": "sensors/washing-machine/power"}`, &check)
	if !check.Allow || check.Rule == "" {
		t.Errorf("check: %+v", check)
	}
	p.ask(200, "POST", "/check", `{"user": "washing-machine", "action": "publish", "topic": "home/laundry/x", "address": "10.0.0.1"}`, &check)
	if check.Allow {
		t.Error("allowed from another network")
	}
	p.ask(422, "POST", "/check", `{"user": "washing-machine", "action": "publish", "topic": "a/#"}`, nil)
	p.ask(422, "POST", "/check", `{"user": "x", "action": "dance", "topic": "a"}`, nil)

	var audit struct{ Changes []apiChange }
	p.ask(200, "GET", "/audit?via=token&limit=5", "", &audit)
	if len(audit.Changes) != 5 || audit.Changes[0].Actor != "test-admin" || audit.Changes[0].Action != "role deleted" {
		t.Errorf("audit %+v", audit.Changes)
	}
}

func TestAPIClients(t *testing.T) {
	s := furnished(t, true)
	p := s.program(access.ScopeAdmin)
	var list struct {
		Clients []APIClient
		More    bool
	}
	p.ask(200, "GET", "/clients?limit=1", "", &list)
	if len(list.Clients) != 1 || !list.More {
		t.Fatalf("first page: %+v", list)
	}
	p.ask(200, "GET", "/clients?after="+list.Clients[0].Key, "", &list)
	if len(list.Clients) != 2 || list.More {
		t.Fatalf("second page: %+v", list)
	}
	p.ask(422, "GET", "/clients?after=*", "", nil)
	p.ask(422, "GET", "/clients?limit=0", "", nil)
	at := "/clients/" + keyOf("washer-0815")
	var c struct {
		APIClient
		Subscriptions []apiSubscription `json:"subscription_list"`
	}
	p.ask(200, "GET", at, "", &c)
	if c.User != "washing-machine" || !c.Connected || c.Received != 3 || len(c.Subscriptions) != 1 || !c.Subscriptions[0].Narrowed {
		t.Errorf("client %+v", c)
	}
	p.ask(200, "GET", "/clients/"+keyOf(hostileName), "", &c)
	if c.ClientID != hostileName {
		t.Errorf("client %q", c.ClientID)
	}
	var denials struct{ Denials []apiDenial }
	p.ask(200, "GET", "/denials", "", &denials)
	if len(denials.Denials) == 0 || denials.Denials[0].Action == "" {
		t.Errorf("denials %+v", denials)
	}
	p.ask(204, "POST", at+"/disconnect", "", nil)
	p.ask(204, "DELETE", "/clients/"+keyOf("zigbee2mqtt_bridge"), "", nil)
	p.ask(404, "DELETE", "/clients/"+keyOf("zigbee2mqtt_bridge"), "", nil)
	p.ask(404, "POST", "/clients/"+keyOf("nobody")+"/disconnect", "", nil)
	p.ask(422, "POST", "/clients/%25/disconnect", "", nil)
}

func TestAPIMessages(t *testing.T) {
	s := furnished(t, false)
	p := s.program(access.ScopeAdmin)
	for _, topic := range hostileTopics() {
		b, _ := json.Marshal(map[string]any{"topic": topic, "payload": "of " + topic[:min(9, len(topic))], "retain": true, "qos": 1,
			"content_type": "text/plain", "message_expiry": 3600, "user_properties": []any{map[string]string{"name": "a", "value": "b"}}})
		p.ask(204, "POST", "/publish", string(b), nil)
		var got apiTopic
		p.ask(200, "GET", "/topics/"+keyOf(topic), "", &got)
		if got.Topic != topic || got.Payload != "of "+topic[:min(9, len(topic))] || !got.Retained || got.QoS != 1 {
			t.Errorf("%.40q: %+v", topic, got)
		}
	}
	p.ask(204, "POST", "/publish", `{"topic": "bin", "payload_base64": "/wD+", "retain": true}`, nil)
	var got apiTopic
	p.ask(200, "GET", "/topics/"+keyOf("bin"), "", &got)
	if got.Base64 != "/wD+" || got.Payload != "" || got.Size != 3 {
		t.Errorf("binary: %+v", got)
	}
	p.ask(404, "GET", "/topics/"+keyOf("nowhere"), "", nil)
	for _, bad := range []string{
		`{"topic": "a/+"}`, `{"topic": ""}`, `{"topic": "$SYS/broker/x"}`, `{"topic": "a", "qos": 3}`, `{"topic": "a", "payload_base64": "?"}`,
		`{"topic": "a", "payload": "x", "payload_base64": "eA=="}`, `{"topic": "a", "response_topic": "b/#"}`,
		fmt.Sprintf(`{"topic": "a", "payload": %q}`, strings.Repeat("x", maxAPIPayload+1)),
	} {
		p.ask(422, "POST", "/publish", bad, nil)
	}
	var list struct {
		Topics []apiTopic
		More   bool
	}
	for i := range 7 {
		p.ask(204, "POST", "/publish", fmt.Sprintf(`{"topic": "room/%d/temperature", "payload": "21.%d", "retain": %v}`, i, i, i < 5), nil)
	}
	p.ask(200, "POST", "/topics/query", `{"filter": "room/+/temperature", "limit": 4}`, &list)
	if len(list.Topics) != 4 || !list.More || list.Topics[3].Topic != "room/3/temperature" || list.Topics[3].Payload != "21.3" {
		t.Errorf("first page %+v", list)
	}
	p.ask(200, "POST", "/topics/query", `{"filter": "room/+/temperature", "after": "room/3/temperature", "max_payload": 2}`, &list)
	if len(list.Topics) != 3 || list.More || list.Topics[0].Payload != "21" || list.Topics[0].Size != 4 {
		t.Errorf("second page %+v", list)
	}
	p.ask(422, "POST", "/topics/query", `{"filter": "a/#/b"}`, nil)
	p.ask(422, "POST", "/retained/query", `{"filter": "$share/g/a"}`, nil)
	p.ask(200, "POST", "/retained/query", `{"filter": "room/#", "limit": 3}`, &list)
	if len(list.Topics) != 3 || !list.More {
		t.Errorf("retained %+v", list)
	}
	var dropped struct {
		Count  int
		Topics []string
	}
	p.ask(200, "POST", "/retained/delete", `{"filter": "room/+/temperature", "dry_run": true}`, &dropped)
	if dropped.Count != 5 {
		t.Errorf("would remove %+v", dropped)
	}
	p.ask(200, "POST", "/retained/delete", `{"filter": "room/+/temperature"}`, &dropped)
	if dropped.Count != 5 || len(dropped.Topics) != 5 {
		t.Errorf("removed %+v", dropped)
	}
	p.ask(200, "POST", "/retained/delete", `{"topics": ["bin", "room/0/temperature"], "tell": true}`, &dropped)
	if dropped.Count != 1 {
		t.Errorf("removed %+v", dropped)
	}
	p.ask(422, "POST", "/retained/delete", `{}`, nil)
	p.ask(422, "POST", "/retained/delete", `{"filter": "#", "topics": ["a"]}`, nil)
	p.ask(200, "POST", "/retained/query", `{"filter": "room/#"}`, &list)
	if len(list.Topics) != 0 {
		t.Errorf("still retained: %+v", list)
	}
}

// hostileTopics are topics that URLs, HTML and logs stumble over.
func hostileTopics() []string {
	return []string{"/", "//", "a/", "%2F", "..", "../../etc/passwd", "a b?c=d&e", `<img src=x onerror=pwned=1>`, "😀/🏠", "\u202eabc", `{{7*7}}`,
		`a\b`, strings.Repeat("x", 60_000)}
}

func TestAPIScopes(t *testing.T) {
	s := furnished(t, false)
	p := s.program(access.ScopeRead)
	s.program(access.ScopeAdmin)
	doc := s.server.apiDoc
	if len(doc.Paths) < 18 {
		t.Fatalf("only %d paths", len(doc.Paths))
	}
	reads := 0
	for path, item := range doc.Paths {
		real := regexp.MustCompile(`\{id\}`).ReplaceAllString(path, "1")
		real = regexp.MustCompile(`\{\w+\}`).ReplaceAllString(real, keyOf("x"))
		for method, op := range operationsOf(item) {
			if op == nil {
				continue
			}
			if len(op.Security) != 1 || len(op.Security[0]["token"]) != 1 || op.Summary == "" || op.OperationID == "" {
				t.Errorf("%s %s: security %v", method, path, op.Security)
				continue
			}
			nobody := p
			nobody.token = ""
			a := nobody.ask(401, method, real, "", nil)
			if !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s %s: WWW-Authenticate %q", method, path, a.Header.Get("WWW-Authenticate"))
			}
			stranger := p
			stranger.token = "hmq_" + strings.Repeat("A", 26)
			stranger.ask(401, method, real, "", nil)
			if scope := op.Security[0]["token"][0]; scope == string(access.ScopeAdmin) {
				before := s.state()
				p.ask(403, method, real, "{}", nil)
				if s.state() != before {
					t.Errorf("%s %s changed something", method, path)
				}
			} else {
				reads++
				if method != "GET" && !strings.HasSuffix(path, "/query") && path != "/check" && path != "/why" {
					t.Errorf("%s %s changes something with scope read", method, path)
				}
			}
		}
	}
	if reads < 10 {
		t.Errorf("only %d operations for scope read", reads)
	}
	p.ask(404, "GET", "/nothing", "", nil)
	p.ask(405, "DELETE", "/stats", "", nil)
}

func TestAPIIsDescribed(t *testing.T) {
	s := furnished(t, false)
	for _, b := range []*browser{s.direct(), s.ingress()} {
		a := b.get("/api/v1/openapi.json").is(t, http.StatusOK)
		var doc struct {
			OpenAPI    string
			Servers    []struct{ URL string }
			Paths      map[string]any
			Components struct {
				Schemas         map[string]any
				SecuritySchemes map[string]any
			}
		}
		if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(doc.OpenAPI, "3.") || doc.Servers[0].URL != apiPath || len(doc.Paths) < 18 || doc.Components.SecuritySchemes["token"] == nil {
			t.Errorf("%.300s", a.body)
		}
		for _, want := range []string{"/users", "/users/{id}", "/roles", "/check", "/denials", "/clients", "/clients/{client}/disconnect", "/topics/query",
			"/topics/{topic}", "/retained/query", "/retained/delete", "/publish", "/stats", "/backup", "/tokens", "/audit", "/log", "/settings"} {
			if doc.Paths[want] == nil {
				t.Errorf("%s is not described", want)
			}
		}
	}
}

// Cookies open no API: another site could have the browser send them. Home Assistant's
// ingress does, but changes still have to come from our own pages (case W9).
func TestAPIAndBrowsers(t *testing.T) {
	s := furnished(t, false)
	s.direct().login().get("/api/v1/users").is(t, http.StatusUnauthorized)
	b := s.ingress()
	b.get("/api/v1/users").is(t, http.StatusOK)
	send := func(origin string) answer {
		req := b.request(http.MethodPost, "/api/v1/publish", strings.NewReader(`{"topic": "a", "payload": "b"}`))
		req.Header.Set("Content-Type", "application/json")
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		return b.do(req)
	}
	send("").is(t, http.StatusForbidden)
	send("http://evil.example").is(t, http.StatusForbidden)
	u := b.request(http.MethodGet, "/", nil).URL
	send("http://"+u.Host).is(t, http.StatusNoContent)
	s.haAdmin = func(_ context.Context, _ string) (bool, error) { return false, nil } // case W3
	b.get("/api/v1/users").is(t, http.StatusUnauthorized)
}

func TestAPITokensAndSystem(t *testing.T) {
	s := furnished(t, false)
	p := s.program(access.ScopeAdmin)
	var made struct {
		Token  apiToken
		Secret string
	}
	p.ask(201, "POST", "/tokens", `{"label": "grafana"}`, &made)
	grafana := p
	grafana.token = made.Secret
	var stats struct {
		Sessions int
		Started  string
	}
	grafana.ask(200, "GET", "/stats", "", &stats)
	if stats.Started == "" {
		t.Errorf("stats %+v", stats)
	}
	a := p.ask(200, "GET", "/tokens", "", nil)
	if !strings.Contains(a.body, `"grafana"`) || !strings.Contains(a.body, `"used"`) || strings.Contains(a.body, made.Secret) {
		t.Errorf("tokens %s", a.body)
	}
	p.ask(422, "POST", "/tokens", `{"label": "grafana"}`, nil)
	p.ask(204, "DELETE", fmt.Sprint("/tokens/", made.Token.ID), "", nil)
	p.ask(404, "DELETE", fmt.Sprint("/tokens/", made.Token.ID), "", nil)
	grafana.ask(401, "GET", "/stats", "", nil)
	p.ask(200, "GET", "/log?level=debug", "", nil)
	p.ask(200, "GET", "/settings", "", nil)
	p.ask(404, "GET", "/backup", "", nil) // there is no database
	p.ask(422, "GET", "/log?surprise=1", "", nil)
}

func TestPayloadOfCutText(t *testing.T) {
	for _, tt := range []struct {
		value  string
		cut    int
		text   string
		binary bool
	}{
		{"21.5", 4, "21.5", false}, {"grüße", 3, "gr", false}, {"a😀", 4, "a", false}, {"\xff\xfe", 2, "", true}, {"ok\xff", 2, "ok", false}, {"", 0, "", false},
	} {
		p := payloadOf([]byte(tt.value)[:tt.cut], len(tt.value))
		want := ""
		if tt.binary {
			want = base64.StdEncoding.EncodeToString([]byte(tt.value)[:tt.cut])
		}
		if p.Payload != tt.text || p.Base64 != want || p.Size != len(tt.value) {
			t.Errorf("%q cut at %d: %+v", tt.value, tt.cut, p)
		}
	}
}

func TestMetrics(t *testing.T) { // case W25
	s := furnished(t, true)
	b := s.direct()
	a := b.get("/metrics").is(t, http.StatusOK) // this machine
	for _, want := range []string{
		`hearthmq_info{version="HearthMQ test"} 1`, "hearthmq_clients 3\n", "hearthmq_denied_total ", "hearthmq_messages_received_total ", "process_resident_memory_bytes",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("lacks %q:\n%.2000s", want, a.body)
		}
	}
	line := regexp.MustCompile(`^(#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})? [-+0-9.eE]+(Inf|NaN)?)$`)
	for l := range strings.Lines(a.body) {
		if l = strings.TrimSuffix(l, "\n"); !line.MatchString(l) {
			t.Errorf("no line of Prometheus' format: %q", l)
		}
	}
	get := func(h http.Handler, remote string, header ...string) int {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.RemoteAddr = remote
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	direct := s.server.Direct()
	_, secret, err := s.tokens.Create(t.Context(), "prometheus", access.ScopeRead)
	s.must(err)
	for name, got := range map[string][2]int{
		"another machine":              {get(direct, "192.168.1.9:4000"), 401},
		"with a token":                 {get(direct, "192.168.1.9:4000", "Authorization", "Bearer "+secret), 200},
		"with a wrong token":           {get(direct, "192.168.1.9:4000", "Authorization", "Bearer hmq_x"), 401},
		"here, with a wrong token":     {get(direct, "127.0.0.1:4000", "Authorization", "Bearer hmq_x"), 401},
		"a proxy on this machine":      {get(direct, "127.0.0.1:4000", "X-Forwarded-For", "192.168.1.9"), 401},
		"claims to be on this machine": {get(direct, "192.168.1.9:4000", "X-Forwarded-For", "127.0.0.1"), 401},
		"ingress, not the Supervisor":  {get(s.server.Ingress(), "127.0.0.1:4000"), 403},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %d, want %d", name, got[0], got[1])
		}
	}
	s.ingress().get("/metrics").is(t, http.StatusOK)
	s.haAdmin = func(_ context.Context, _ string) (bool, error) { return false, nil }
	s.ingress().get("/metrics").is(t, http.StatusUnauthorized)
}
