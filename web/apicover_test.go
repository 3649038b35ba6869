package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// apiOf says which operations of the API do what the admin's pages send. What has none
// is deliberately for people only, and says why.
var apiOf = map[string]string{
	"POST /login":  "web: a program shows its token with each request",
	"POST /logout": "web: a token is revoked instead, revoke-token",
	"POST /setup":  "web: the first administrator is made with the link that only the owner of the machine sees",

	"POST /connect":               "web: connects Home Assistant once, in steps each of which a person looks at in Home Assistant before the next; the last one restarts HearthMQ",
	"POST /connect/node-red":      "web: makes a flow for a person to paste; connect-device makes a program's user",
	"POST /connect/node-red/send": "web: takes the password of somebody's Node-RED, which is to pass no program on its way",

	"POST /topics/clear":        "delete-retained",
	"POST /topics/publish":      "publish",
	"POST /topics/sample":       "get-topic get-history",
	"POST /topics/who":          "who",
	"POST /topics/pin":          "pin-topic",
	"POST /topics/download":     "get-topic",
	"POST /live/topics/history": "get-history",
	"POST /live/topics/series":  "get-series",

	"POST /retained":         "query-retained list-removals",
	"POST /retained/preview": "delete-retained delete-discovery", // with dry_run
	"POST /retained/delete":  "delete-retained delete-discovery",
	"POST /retained/undo":    "undo-removal",

	"POST /clients":                 "list-clients",
	"POST /topics":                  "query-topics get-topic",
	"POST /live/clients":            "list-clients",
	"POST /clients/show":            "get-client",
	"POST /clients/disconnect":      "disconnect-client",
	"POST /clients/forget/ask":      "get-client",
	"POST /clients/forget":          "delete-session",
	"POST /clients/block/ask":       "get-client",
	"POST /clients/block":           "block-client create-block",
	"POST /clients/blocked":         "create-block list-blocks",
	"POST /clients/blocked/lift":    "delete-block",
	"POST /clients/trace":           "trace-client list-traces get-packets download-trace",
	"POST /clients/trace/{id}/stop": "stop-trace",

	"POST /bridges/new":                "create-bridge test-bridge",
	"POST /bridges/edit/{name}":        "change-bridge test-bridge",
	"POST /bridges/edit/{name}/state":  "change-bridge",
	"POST /bridges/edit/{name}/delete": "delete-bridge",

	"POST /logs":       "get-log",
	"POST /logs/debug": "set-debug",
	"POST /logs/audit": "list-changes",

	"POST /settings/tokens":             "create-token",
	"POST /settings/tokens/{id}/revoke": "revoke-token",
	"POST /settings/logins/others":      "end-logins",
	"POST /settings/logins/{id}/end":    "end-login",
	"POST /settings/backup":             "get-backup",
	"POST /settings/restore":            "check-backup",
	"POST /settings/restore/confirm":    "restore-backup",

	"POST /import":       "look-at-mosquitto",
	"POST /import/apply": "import-mosquitto",

	"POST /users/new":                     "create-user",
	"POST /users/new/named":               "create-user",
	"POST /users/connect/{template}":      "connect-device list-templates",
	"POST /users/{id}":                    "change-user",
	"POST /users/find":                    "list-users",
	"POST /users/{id}/rules":              "change-user",
	"POST /users/{id}/limits":             "change-user",
	"POST /users/{id}/product/{template}": "give-product set-password",
	"POST /users/{id}/learn":              "start-learning accept-learning stop-learning get-learning",
	"POST /users/{id}/password":           "set-password",
	"POST /users/{id}/state":              "change-user",
	"POST /users/{id}/delete":             "delete-user",

	"POST /access/check":             "check",
	"POST /access/why":               "why",
	"POST /access/allow":             "add-rule list-denials",
	"POST /access/roles/new":         "create-role",
	"POST /access/roles/{id}":        "change-role",
	"POST /access/roles/{id}/delete": "delete-role",
}

// TestAPIDoesWhatThePagesDo fails when a page gets something to send that no operation
// does, and nobody has said why.
func TestAPIDoesWhatThePagesDo(t *testing.T) {
	s := furnishedWith(t, false, func(c *Config) { c.Backups = &fakeBackups{} })
	operations := map[string]*huma.Operation{}
	routes, ok := s.server.Direct().(chi.Routes)
	if !ok {
		t.Fatal("the admin is no router")
	}
	for _, item := range s.server.apiDoc.Paths {
		for _, op := range operationsOf(item) {
			if op != nil {
				operations[op.OperationID] = op
			}
		}
	}
	reads := map[string]bool{} // pages that only look something up
	for _, route := range []string{
		"POST /topics", "POST /topics/sample", "POST /topics/who", "POST /topics/download", "POST /live/topics/history", "POST /live/topics/series", "POST /retained",
		"POST /clients", "POST /live/clients", "POST /clients/show", "POST /clients/forget/ask", "POST /clients/block/ask", "POST /logs", "POST /logs/audit",
		"POST /access/check", "POST /access/why", "POST /users/find", "POST /users/new/named",
	} {
		reads[route] = true
	}
	found := map[string]bool{}
	err := chi.Walk(routes, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method == http.MethodGet || method == http.MethodHead || strings.HasPrefix(path, apiPath) || path == "/healthz" || strings.HasPrefix(path, "/static/") {
			return nil
		}
		route := method + " " + path
		does, known := apiOf[route]
		found[route] = true
		if reason, web := strings.CutPrefix(does, "web: "); web && len(reason) > 20 {
			return nil
		}
		if !known {
			t.Errorf("%s: which operation of the API does that?", route)
			return nil
		}
		changes := reads[route]
		for id := range strings.FieldsSeq(does) {
			op := operations[id]
			if op == nil {
				t.Errorf("%s: there is no operation %q", route, id)
				continue
			}
			changes = changes || op.Security[0]["token"][0] == string(access.ScopeAdmin)
		}
		if !changes {
			t.Errorf("%s changes something, and none of %q does", route, does)
		}
		return nil
	})
	s.must(err)
	for route := range apiOf {
		if !found[route] {
			t.Errorf("%s: there is no such page any more", route)
		}
	}
}

// TestAPIDescriptionIsSound checks what programs that read the description rely on.
func TestAPIDescriptionIsSound(t *testing.T) {
	s := furnishedWith(t, false, func(c *Config) { c.Backups = &fakeBackups{} })
	s.server.Direct() // which describes it
	text, err := s.server.apiDoc.MarshalJSON()
	s.must(err)
	var whole map[string]any
	s.must(json.Unmarshal(text, &whole))
	for _, ref := range regexp.MustCompile(`"\$ref":"([^"]*)"`).FindAllSubmatch(text, -1) {
		var at any = whole
		for _, part := range strings.Split(strings.TrimPrefix(string(ref[1]), "#/"), "/") {
			m, _ := at.(map[string]any)
			at = m[part]
		}
		if at == nil {
			t.Errorf("%s leads nowhere", ref[1])
		}
	}
	ids := map[string]string{}
	for path, item := range s.server.apiDoc.Paths {
		for method, op := range operationsOf(item) {
			if op == nil {
				continue
			}
			where := method + " " + path
			if other := ids[op.OperationID]; other != "" || op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s: name %q (also %q), summary %q, tags %q", where, op.OperationID, other, op.Summary, op.Tags)
			}
			ids[op.OperationID] = where
			var declared []string
			for _, p := range op.Parameters {
				if p.In == "path" {
					declared = append(declared, p.Name)
				}
				if p.Schema == nil || p.In == "path" != p.Required {
					t.Errorf("%s: parameter %+v", where, p)
				}
			}
			var named []string
			for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
				named = append(named, m[1])
			}
			if slices.Sort(declared); !slices.Equal(declared, named) {
				t.Errorf("%s: parameters %q", where, declared)
			}
			good := 0
			for status, r := range op.Responses {
				if status[0] == '2' {
					good++
				}
				if r.Description == "" || status[0] >= '4' && r.Content["application/problem+json"] == nil {
					t.Errorf("%s: %s is %+v", where, status, r)
				}
			}
			if good != 1 || op.Responses["401"] == nil {
				t.Errorf("%s: answers %d, %v", where, good, op.Responses["401"])
			}
			if method == http.MethodGet && op.RequestBody != nil {
				t.Errorf("%s has a body", where)
			}
			if op.RequestBody != nil && len(op.RequestBody.Content) != 1 {
				t.Errorf("%s: body %+v", where, op.RequestBody)
			}
		}
	}
	if len(ids) < 65 {
		t.Errorf("only %d operations", len(ids))
	}
}

// sendFiles sends a form of files, as curl -F does.
func (p program) sendFiles(want int, path string, files map[string]string, out any) answer {
	p.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, data := range files {
		f, err := w.CreateFormFile("file", name)
		if err == nil {
			_, err = f.Write([]byte(data))
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	w.Close()
	p.kind = w.FormDataContentType()
	return p.ask(want, "POST", path, body.String(), out)
}

func TestAPIComesFromMosquitto(t *testing.T) {
	s := furnished(t, false)
	p := s.program(access.ScopeAdmin)
	var dry struct {
		Report apiReport
		Token  string
	}
	files := map[string]string{
		"aclfile": "user plug\ntopic readwrite plug/#\n", "passwords": "plug:$7$101$c2FsdHNhbHRzYWx0$" + strings.Repeat("A", 86) + "==\n",
	}
	a := p.sendFiles(200, apiImportPath, files, &dry)
	if dry.Token == "" || len(dry.Report.Over) == 0 {
		t.Fatalf("dry run: %s", a.body)
	}
	if _, ok := s.dir.User("plug"); ok {
		t.Error("the dry run made a user")
	}
	body := fmt.Sprintf(`{"token": %q}`, dry.Token)
	var done struct{ Users int }
	p.ask(200, "POST", apiImportPath+"/apply", body, &done)
	if u, ok := s.dir.User("plug"); !ok || done.Users != 1 || len(u.Rules) == 0 {
		t.Errorf("imported %+v: %+v", done, u)
	}
	p.ask(422, "POST", apiImportPath+"/apply", body, nil)
	p.sendFiles(422, apiImportPath, nil, nil)
	p.ask(400, "POST", apiImportPath, `{}`, nil)
	if changes := p.ask(200, "GET", "/audit?via=token&text=plug", "", nil); !strings.Contains(changes.body, `"actor":"test-admin"`) {
		t.Errorf("audit %s", changes.body)
	}
}

func TestAPIRestores(t *testing.T) {
	backups := &fakeBackups{}
	s := furnishedWith(t, false, func(c *Config) { c.Backups = backups })
	p := s.program(access.ScopeAdmin)
	if a := p.ask(200, "GET", "/backup", "", nil); a.body != "a backup" {
		t.Errorf("backup %q", a.body)
	}
	p.notes("backup downloaded", "")
	p.kind = "application/octet-stream"
	var checked struct{ Key, Contents string }
	p.ask(200, "POST", apiRestorePath, "good backup", &checked)
	p.kind = ""
	if checked.Key == "" || backups.uploaded != "good backup" {
		t.Fatalf("checked %+v", checked)
	}
	p.ask(404, "POST", apiRestorePath+"/apply", `{"key": "another"}`, nil)
	p.ask(202, "POST", apiRestorePath+"/apply", fmt.Sprintf(`{"key": %q}`, checked.Key), nil)
	p.notes("backup chosen to be restored", "")
	p.kind = "application/octet-stream"
	p.ask(422, "POST", apiRestorePath, "this is no backup", nil)
}

func TestAPILogAndCertificates(t *testing.T) {
	s := furnishedWith(t, false, func(c *Config) {
		c.Certificates = func() []Certificate { return []Certificate{{Ports: "MQTT, encrypted (8883)", File: "fullchain.pem"}} }
		c.Settings = []Setting{{Key: "log_level", Group: "Log", Value: "info", Default: "info", Origin: SettingDefault}}
	})
	p := s.program(access.ScopeAdmin)
	p.ask(204, "POST", "/log/debug", `{"on": true}`, nil)
	if s.server.cfg.LogBook.DebugUntil().IsZero() {
		t.Error("level debug is not kept")
	}
	p.notes("debug log begun", "")
	p.ask(204, "POST", "/log/debug", `{"on": false}`, nil)
	p.ask(200, "GET", "/log?text=x&client=y&level=error", "", nil)
	for path, want := range map[string]string{"/certificates": "fullchain.pem", "/settings": `"origin":"default"`, "/attention": `"attention":[`, "/logins": `"logins":[`} {
		if a := p.ask(200, "GET", path, "", nil); !strings.Contains(a.body, want) {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	p.ask(204, "DELETE", "/logins", "", nil)
}

// Where nobody has made an administrator, programs work all the same, and strangers not.
func TestAPIWithoutAdministrator(t *testing.T) {
	s := newSite(t, nil)
	p := s.program(access.ScopeAdmin)
	p.ask(200, "GET", "/stats", "", nil)
	p.ask(201, "POST", "/users", `{"name": "lamp"}`, nil)
	stranger := p
	stranger.token = ""
	stranger.ask(401, "POST", "/users", `{"name": "mallory", "admin": true}`, nil)
	s.direct().get("/metrics").is(t, http.StatusOK) // this machine
}

// A topic below $SYS with odd characters must not spoil the figures of all others.
func TestMetricsOfOddTopics(t *testing.T) { // case W25
	s := furnished(t, false)
	for _, name := range []string{"home 1ä\\\n{x=\"y\"}", "home 1ö\\\n{x=\"y\"}"} {
		s.must(s.broker.Publish(t.Context(), broker.NewMessage("$SYS/broker/connection/"+name+"/state", []byte("1"), 0, true)))
	}
	a := s.direct().get("/metrics").is(t, http.StatusOK)
	const want = "broker_connection_home_1____x__y___state"
	if n := strings.Count(a.body, "\n"+want+" 1\n"); n != 1 {
		t.Errorf("%d times %s:\n%s", n, want, a.body)
	}
	line := regexp.MustCompile(`^(# HELP [a-zA-Z0-9_:]+ .*|# TYPE [a-zA-Z0-9_:]+ (gauge|counter)|[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})? [-+0-9.eE]+(Inf|NaN)?)$`)
	for l := range strings.Lines(a.body) {
		if l = strings.TrimSuffix(l, "\n"); !line.MatchString(l) {
			t.Errorf("no line of Prometheus' format: %q", l)
		}
	}
}

func TestMetricsOfCertificates(t *testing.T) {
	now := time.Now()
	s := furnishedWith(t, false, func(cfg *Config) {
		cfg.Certificates = func() []Certificate {
			return []Certificate{
				{File: "/ssl/good.pem", Ends: now.Add(100 * 24 * time.Hour)},
				{File: "/ssl/soon.pem", Ends: now.Add(20 * 24 * time.Hour), Soon: true},
				{File: "/ssl/urgent.pem", Ends: now.Add(2 * 24 * time.Hour), Urgent: true},
				{File: "/ssl/ended.pem", Ends: now.Add(-time.Hour)},
				{File: "/ssl/odd\"\\\nname.pem", Ends: now.Add(100 * 24 * time.Hour), Problem: "the key does not fit"},
			}
		}
	})
	body := s.direct().get("/metrics").is(t, http.StatusOK).body
	for file, warning := range map[string]int{"/ssl/good.pem": 0, "/ssl/soon.pem": 1, "/ssl/urgent.pem": 2, "/ssl/ended.pem": 3, `/ssl/odd\"\\\nname.pem`: 3} {
		if want := fmt.Sprintf("hearthmq_certificate_warning{file=\"%s\"} %d\n", file, warning); !strings.Contains(body, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if want := fmt.Sprintf("hearthmq_certificate_end_time_seconds{file=\"/ssl/ended.pem\"} %d\n", now.Add(-time.Hour).Unix()); !strings.Contains(body, want) {
		t.Errorf("lacks %s", want)
	}
}
