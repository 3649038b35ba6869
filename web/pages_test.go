package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"hearthmq/broker/access"
)

func TestOverview(t *testing.T) {
	s := newSite(t, nil)
	b := s.ingress()
	a := b.get("/").is(t, http.StatusOK)
	a.says(t, "All is well", "No client is connected", "First steps", "Create a user for the device", "Port 1883", "Nothing was denied",
		"mosquitto_pub -h 127.0.0.1 -p 1883")
	if !strings.Contains(a.body, "<details class=\"card fold\" open>") {
		t.Error("the first steps are folded while there are some")
	}

	s = furnished(t, true)
	b = s.ingress()
	a = b.get("/").is(t, http.StatusOK)
	a.says(t, "3 clients are connected", "Connect another device", "(done)", "washing-machine may not publish to zigbee2mqtt/lamp/set", "2 times")
	var live liveOverview
	l := b.get("/live/overview").is(t, http.StatusOK)
	if err := json.Unmarshal([]byte(l.body), &live); err != nil {
		t.Fatal(err)
	}
	if live.Kind != "warning" || live.Figures["clients"].Value != "3" || len(live.Figures) != 8 {
		t.Errorf("%s", l.body)
	}
}

func TestClients(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	b.get("/clients").is(t, http.StatusOK).says(t, "3 clients are connected", "zigbee2mqtt_bridge", "127.0.0.1", "MQTT 3.1.1 via mqtt", "Disconnect")
	var live struct {
		Summary string
		Clients []struct{ Client, Address string }
	}
	if err := json.Unmarshal([]byte(b.post("/live/clients", nil).body), &live); err != nil || len(live.Clients) != 3 {
		t.Errorf("%v, %+v", err, live)
	}
	b.post("/clients/show", url.Values{"client": {"washer-0815"}}).is(t, http.StatusOK).says(t, "washer-0815", "sensors/#", "narrowed", "Keep alive")
	b.post("/clients/show", url.Values{"client": {"nobody"}}).is(t, http.StatusNotFound)
	b.post("/clients/disconnect", url.Values{"client": {"washer-0815"}}).leads(t, b, "/clients?done=disconnected")
	for s.broker.Stats().Clients > 2 { // the connection ends by itself
		runtime.Gosched()
	}
	b.get("/clients?done=disconnected").says(t, "The client was disconnected.", "2 clients are connected")
	b.post("/clients/disconnect", url.Values{"client": {"nobody"}}).leads(t, b, "/clients?done=client-gone")
}

func TestRoles(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	b.get("/access").is(t, http.StatusOK).says(t, "everything", "read-only", "anonymous", "sensors Report measurements", "3 rules", "1 user")
	b.post("/access/roles/new", url.Values{"name": {"lights"}, "description": {"All lamps"}, "rules": {"allow both +/lamp/#\r\nallow publish x"}}).
		leads(t, b, "/access?done=role-added")
	path := s.rolePath("lights")
	role := func() access.Role { r, _ := s.dir.Role("lights"); return r }
	b.get(path).is(t, http.StatusOK).says(t, "lights", "No user has this role.")
	b.post(path, url.Values{"form": {"description"}, "revision": {revisionOf(role().Revision)}, "description": {"Lamps"}}).leads(t, b, path+"?done=role-changed")
	b.post(path, url.Values{"form": {"text"}, "revision": {revisionOf(role().Revision)}, "rules": {"allow both lamps/#"}}).leads(t, b, path+"?done=role-changed")
	if r := role(); r.Description != "Lamps" || rulesText(r.Rules) != "allow both lamps/#\n" {
		t.Errorf("%+v", r)
	}
	b.post(path, url.Values{"form": {"text"}, "revision": {"1"}, "rules": {"allow both x"}}).is(t, http.StatusConflict) // case W26
	b.post(path, url.Values{"form": {"text"}, "revision": {revisionOf(role().Revision)}, "rules": {"allow"}}).is(t, http.StatusUnprocessableEntity).says(t, "Line 1:")
	b.post("/access/roles/new", url.Values{"name": {"lights"}}).is(t, http.StatusUnprocessableEntity).says(t, "Exists already.")

	everything := s.rolePath(access.RoleEverything)
	a := b.get(everything).is(t, http.StatusOK)
	a.says(t, "This role stays as it is.", "publish and subscribe to #")
	if strings.Contains(a.body, `action="`+ingressBase+everything) {
		t.Error("a built-in role has a form")
	}
	b.post(everything+"/delete", nil).is(t, http.StatusUnprocessableEntity)
	b.get(s.rolePath("sensors")).says(t, "Users with this role", "washing-machine")
	b.get(path+"/delete").is(t, http.StatusOK).says(t, "Delete the role lights?")
	b.post(path+"/delete", nil).leads(t, b, "/access?done=role-deleted")
	b.get(path).is(t, http.StatusNotFound)
}

func TestCheck(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	ask := func(user, action, topic string) answer {
		return b.post("/access/check", url.Values{"user": {user}, "action": {action}, "topic": {topic}})
	}
	for _, c := range []struct {
		user, action, topic string
		status              int
		says                []string
	}{
		{"zigbee2mqtt", "publish", "a/b", http.StatusOK, []string{"Yes. zigbee2mqtt may publish to a/b.", "allow both #"}},
		{"washing-machine", "publish", "sensors/washing-machine/x", http.StatusOK, []string{"Yes.", "The message is not retained."}},
		{"washing-machine", "publish", "sensors/washing-machine/admin/x", http.StatusOK, []string{"No.", "deny publish sensors/%u/admin/#"}},
		{"washing-machine", "subscribe", "sensors/#", http.StatusOK, []string{"Yes.", "Narrowed:"}},
		{"old-tablet", "publish", "a", http.StatusOK, []string{"No.", "disabled"}},
		{anonymousChoice, "publish", "a", http.StatusOK, []string{"No. An anonymous client may not publish to a."}},
		{"washing-machine", "publish", "a/#", http.StatusUnprocessableEntity, nil},
		{"washing-machine", "subscribe", "a/#/b", http.StatusUnprocessableEntity, nil},
		{"nobody", "publish", "a", http.StatusOK, []string{"No.", "no such user"}},
	} {
		ask(c.user, c.action, c.topic).is(t, c.status).says(t, c.says...)
	}
	// A rule that denies can't be overruled by another that allows: no such offer.
	if a := ask("washing-machine", "publish", "sensors/washing-machine/admin/x"); strings.Contains(a.body, "Allow it") {
		t.Error("offers a rule that would not help")
	}
}

// TestHostileTextIsInert looks at every page that shows what strangers choose (case W5).
func TestHostileTextIsInert(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	hostile := url.Values{"client": {hostileName}, "user": {hostileName}, "topic": {hostileName}, "action": {"publish"}, "name": {hostileName + "+"},
		"note": {hostileName}, "description": {hostileName}, "rules": {hostileName}, "username": {hostileName}, "password": {hostileName}}
	pages := map[string]string{
		"users": b.get("/users").body, "user": b.get(s.userPath(hostileName)).body, "clients": b.get("/clients").body,
		"access": b.get("/access").body, "overview": b.get("/").body,
		"client": b.post("/clients/show", hostile).body, "check": b.post("/access/check", hostile).body,
		"new user": b.post("/users/new", hostile).body, "new role": b.post("/access/roles/new", hostile).body,
		"delete": b.get(s.userPath(hostileName) + "/delete").body, "login": s.direct().post("/login", hostile).body,
		"done": b.get("/users?done=" + url.QueryEscape(hostileName)).body,
		"404":  b.get("/" + url.PathEscape(hostileName)).body,
	}
	for name, page := range pages {
		read(t, name, map[bool]string{true: "", false: ingressBase}[name == "login"], page)
		if strings.Contains(page, "<img") || strings.Contains(page, "<script>pwned") {
			t.Errorf("%s: markup of a stranger", name)
		}
	}
	for _, name := range []string{"users", "user", "clients", "client", "check"} {
		if !strings.Contains(pages[name], "&lt;img src=x onerror=pwned=1&gt;") {
			t.Errorf("%s does not show the name at all", name)
		}
	}
	if a := b.post("/live/clients", nil); !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") || strings.Contains(a.body, "<script") {
		t.Errorf("JSON with markup as %s", a.Header.Get("Content-Type"))
	}
}

func TestSecretsAreNotShown(t *testing.T) { // case W17, our part
	s := furnished(t, false)
	b := s.ingress()
	system, _ := s.accounts.SystemPassword(access.HomeAssistantUser)
	secrets := []string{adminPass, "device password", "from the settings", setupToken, system, "$argon2id"}
	for _, path := range []string{"/", "/users", s.userPath(adminName), s.userPath(access.HomeAssistantUser), s.userPath("from-settings"), "/access", "/live/overview", "/healthz"} {
		body := b.get(path).body
		for _, secret := range secrets {
			if strings.Contains(body, secret) {
				t.Errorf("%s shows %q", path, secret)
			}
		}
	}
	if a := b.post("/users/new", url.Values{"name": {"a+b"}, "password-kind": {"choose"}, "password": {"typed password"}}); strings.Contains(a.body, "typed password") {
		t.Error("a refused form shows the password again")
	}
}
