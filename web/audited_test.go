package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// unaudited are operations with the scope of administrators that change nothing.
var unaudited = map[string]string{
	"test-bridge":       "asks the other broker whether it answers",
	"look-at-mosquitto": "shows what import-mosquitto would do",
	"check-backup":      "shows what restore-backup would do",
	"import-mosquitto":  "TestAPIComesFromMosquitto looks at its entries",
	"restore-backup":    "TestAPIRestores looks at its entry",
	"create-bridge":     "the database tells it, and TestBridges of broker/sqlite looks",
	"change-bridge":     "the database tells it, and TestBridges of broker/sqlite looks",
	"delete-bridge":     "the database tells it, and TestBridges of broker/sqlite looks",
}

// TestEveryChangeIsAudited goes through all operations of the API that change something,
// which are all that the pages do (TestAPIDoesWhatThePagesDo): each says who did it and,
// where something was there before, what it was and what it is. Nothing secret is told.
func TestEveryChangeIsAudited(t *testing.T) {
	const secret = "canary-"
	logins := &fakeLogins{}
	s := furnishedWith(t, true, func(c *Config) { c.Backups, c.Logins = &fakeBackups{}, logins })
	for i := range int64(2) {
		logins.list = append(logins.list, access.BrowserLogin{ID: i + 1, User: "anna", Created: time.Now(), Seen: time.Now()})
	}
	plug := s.connect("plug", "zigbee2mqtt")
	plug.wait(plug.c.Publish("homeassistant/sensor/plug/config", 1, true, `{"name": "Plug", "unique_id": "plug", "state_topic": "plug/power", "device": {"identifiers": ["plug"], "name": "Plug"}}`))
	p := s.program(access.ScopeAdmin)
	learner := func() string { return fmt.Sprintf("/users/%d/learning", s.user("zigbee2mqtt").ID) }
	user := func(name, rest string) string { return fmt.Sprintf("/users/%d%s", s.user(name).ID, rest) }
	var last struct { // what the operation before answered, as far as the next needs it
		ID      any
		Removal int64
		Token   struct{ ID int64 }
	}
	id := func(format string) func() string { return func() string { return fmt.Sprintf(format, last.ID) } }
	at := func(path string) func() string { return func() string { return path } }
	var announced struct{ Devices []apiDevice }
	p.ask(http.StatusOK, "GET", "/discovery", "", &announced)
	washer := "/clients/" + keyOf("washer-0815")
	done := map[string]bool{}
	for _, step := range []struct {
		operation, method string
		path              func() string
		body              string
		before, after     string // what the entry contains
	}{
		{"create-user", "POST", at("/users"), `{"name": "lamp", "password": "canary-1", "rules": ["allow publish lamp/#"]}`, "", "lamp/#"},
		{"change-user", "PATCH", func() string { return user("lamp", "") }, `{"rules": ["allow publish hall/#"]}`, "lamp/#", "hall/#"},
		{"set-password", "POST", func() string { return user("lamp", "/password") }, `{"password": "canary-2"}`, "", ""},
		{"add-rule", "POST", at("/rules"), `{"user": "lamp", "rule": "allow subscribe set/#"}`, "hall/#", "set/#"},
		{"give-product", "POST", func() string { return user("lamp", "/templates/tasmota") }, `{}`, "hall/#", "tele/"},
		{"connect-device", "POST", at("/templates/tasmota/devices"), `{"name": "plug-7", "host": "192.168.1.2"}`, "", "plug-7"},
		{"start-learning", "POST", learner, `{"seconds": 60}`, "", ""},
		{"accept-learning", "POST", func() string {
			_, err := s.accounts.Refresh(t.Context())
			s.must(err)
			z := s.connect("z", "zigbee2mqtt")
			z.publish("zigbee2mqtt/lamp/set", "on")
			z.subscribe("zigbee2mqtt/other") // answered after the message was taken in
			return learner() + "/accept"
		}, `{"replace": true}`, "everything", "zigbee2mqtt/"},
		{"start-learning", "POST", learner, `{"seconds": 60}`, "", ""},
		{"stop-learning", "DELETE", learner, "", "", ""},
		{"create-role", "POST", at("/roles"), `{"name": "garden", "rules": ["allow both garden/#"]}`, "", "garden/#"},
		{"change-role", "PUT", id("/roles/%v"), `{"rules": ["allow both shed/#"]}`, "garden/#", "shed/#"},
		{"delete-role", "DELETE", id("/roles/%v"), "", "shed/#", ""},
		{"trace-client", "POST", at(washer + "/trace"), "", "", ""},
		{"stop-trace", "POST", id("/traces/%v/stop"), "", "", ""},
		{"disconnect-client", "POST", at(washer + "/disconnect"), "", "", ""},
		{"delete-session", "DELETE", at("/clients/" + keyOf("zigbee2mqtt_bridge")), "", "", ""},
		{"create-block", "POST", at("/blocks"), `{"kind": "client", "value": "x", "note": "chatters"}`, "", "chatters"},
		{"delete-block", "DELETE", id("/blocks/%v"), "", "chatters", ""},
		{"publish", "POST", at("/publish"), `{"topic": "hall/lamp", "payload": "canary-5", "retain": true}`, "", ""},
		{"delete-retained", "POST", at("/retained/delete"), `{"filter": "hall/lamp"}`, "1 message", ""},
		{"undo-removal", "POST", func() string { return fmt.Sprintf("/retained/removals/%d/undo", last.Removal) }, "", "", "1 message"},
		{"pin-topic", "PUT", at("/topics/" + keyOf("hall/lamp") + "/pin"), `{"on": true}`, "", ""},
		{"set-debug", "POST", at("/log/debug"), `{"on": true}`, "", ""},
		{"create-token", "POST", at("/tokens"), `{"label": "grafana"}`, "", "read"},
		{"revoke-token", "DELETE", func() string { return fmt.Sprintf("/tokens/%d", last.Token.ID) }, "", "", ""},
		{"get-backup", "GET", at("/backup"), "", "", ""},
		{"delete-discovery", "POST", at("/discovery/delete"), fmt.Sprintf(`{"device": %q}`, announced.Devices[0].Key), "message", ""},
		{"end-login", "DELETE", at("/logins/1"), "", "anna", ""},
		{"end-logins", "DELETE", at("/logins"), "", "anna", ""},
		{"block-client", "POST", at("/clients/" + keyOf("plug") + "/block"), "", "zigbee2mqtt/", "disabled"},
		{"delete-user", "DELETE", func() string { return user("lamp", "") }, "", "hall/#", ""},
	} {
		done[step.operation] = true
		newest := s.newestChange()
		req, err := http.NewRequestWithContext(t.Context(), step.method, p.url+step.path(), strings.NewReader(step.body))
		s.must(err)
		req.Header.Set("Authorization", "Bearer "+p.token)
		if step.body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := http.DefaultClient.Do(req)
		s.must(err)
		var answer json.RawMessage
		_ = json.NewDecoder(resp.Body).Decode(&answer)
		resp.Body.Close()
		_ = json.Unmarshal(answer, &last)
		if resp.StatusCode >= 300 {
			t.Errorf("%s: status %d: %s", step.operation, resp.StatusCode, answer)
			continue
		}
		found := false
		entries, _, err := s.accounts.Audit(t.Context(), access.AuditQuery{})
		s.must(err)
		for _, e := range entries {
			if e.ID <= newest {
				break
			}
			if e.Via != access.ViaToken || e.Actor != "test-admin" || e.Action == "" {
				t.Errorf("%s: by %v: %+v", step.operation, e.Who(), e)
			}
			found = found || strings.Contains(e.Object+" "+e.Before, step.before) && strings.Contains(e.Object+" "+e.After, step.after)
			if text := fmt.Sprint(e); strings.Contains(text, secret) {
				t.Errorf("%s tells a secret: %s", step.operation, text)
			}
		}
		if !found {
			t.Errorf("%s: no entry says what was (%q) and what is (%q): %+v", step.operation, step.before, step.after, entries[:min(2, len(entries))])
		}
	}
	for path, item := range s.server.apiDoc.Paths {
		for method, op := range operationsOf(item) {
			if op != nil && op.Security[0]["token"][0] == string(access.ScopeAdmin) && !done[op.OperationID] && unaudited[op.OperationID] == "" {
				t.Errorf("%s %s: is %s told in the audit?", method, path, op.OperationID)
			}
		}
	}
}

func (s *site) newestChange() int64 {
	entries, _, err := s.accounts.Audit(s.t.Context(), access.AuditQuery{Limit: 1})
	s.must(err)
	if len(entries) == 0 {
		return 0
	}
	return entries[0].ID
}

// What is deleted on the page of the topics is told in the audit and can be put back, as
// what is deleted on the page of retained messages; the broker's own stays.
func TestClearedTopicsAreAudited(t *testing.T) {
	s := furnished(t, true)
	s.must(s.broker.Publish(t.Context(), broker.NewMessage("hall/lamp", []byte("canary-5"), 1, true)))
	s.must(s.broker.Publish(t.Context(), broker.NewMessage("$SYS/broker/version", []byte("x"), 1, true)))
	b := s.ingress()
	send := func(topic string) answer {
		req := b.request(http.MethodPost, "/topics/clear", strings.NewReader(fmt.Sprintf(`{"topic": %q}`, topic)))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Origin", "http://"+req.URL.Host)
		return b.do(req)
	}
	newest := s.newestChange()
	send("$SYS/broker/version").is(t, http.StatusNotFound)
	send("nowhere").is(t, http.StatusNotFound)
	if s.newestChange() != newest {
		t.Error("the audit tells of what did not happen")
	}
	send("hall/lamp").is(t, http.StatusNoContent)
	if s.server.retainedOn("hall/lamp") != nil || s.server.retainedOn("$SYS/broker/version") == nil {
		t.Error("cleared the wrong one")
	}
	entries, _, err := s.accounts.Audit(t.Context(), access.AuditQuery{Limit: 1})
	s.must(err)
	if e := entries[0]; e.ID <= newest || e.Object != "hall/lamp" || e.Via != access.ViaHomeAssistant || strings.Contains(fmt.Sprint(e), "canary") {
		t.Errorf("the audit says %+v", e)
	}
	list, err := s.server.cfg.Trash.Removals(t.Context())
	s.must(err)
	if len(list) != 1 {
		t.Fatalf("removals %+v", list)
	}
	b.post("/retained/undo", url.Values{"id": {fmt.Sprint(list[0].ID)}})
	if m := s.server.retainedOn("hall/lamp"); m == nil || string(m.Payload) != "canary-5" {
		t.Errorf("put back %v", m)
	}
}
