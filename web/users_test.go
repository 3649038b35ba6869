package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

func TestUsersList(t *testing.T) {
	s := furnished(t, true)
	a := s.ingress().get("/users").is(t, http.StatusOK)
	a.says(t, "washing-machine Cellar, behind the door", "administrator", "system", "from settings", "disabled", "1 client", "sensors", "1 own rule")
	if strings.Contains(a.body, "/users/washing-machine") {
		t.Error("a user's name stands in a URL")
	}
}

func TestAddUser(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	b.get("/users/new").is(t, http.StatusOK).says(t, "Generate one", "Choose one", "sensors Report measurements", "Administrator")

	a := b.post("/users/new", url.Values{"name": {"lamp"}, "password-kind": {"generate"}, "roles": {"sensors", access.RoleReadOnly}, "note": {"Hall"}}).is(t, http.StatusOK)
	a.says(t, "not shown again", "lamp", "Port 1883")
	u := s.user("lamp")
	if u.Kind != access.Generated || u.Note != "Hall" || u.Admin || strings.Join(u.Roles, " ") != "read-only sensors" {
		t.Errorf("%+v", u)
	}
	_, rest, _ := strings.Cut(a.body, `id="secret-password"`)
	_, rest, _ = strings.Cut(rest, ">")
	password, _, _ := strings.Cut(rest, "<")
	if _, err := s.dir.CheckPassword(t.Context(), "lamp", password); err != nil {
		t.Errorf("the password shown, %q: %v", password, err)
	}
	if got := b.get(userPath(u.ID)).body + b.get("/users").body; strings.Contains(got, password) {
		t.Error("the password is shown a second time")
	}

	b.post("/users/new", url.Values{"name": {"bob"}, "password-kind": {"choose"}, "password": {"a good one"}, "admin": {"yes"}}).leads(t, b, "/users?done=user-added")
	b.get("/users?done=user-added").says(t, "The user was added.")
	if u := s.user("bob"); u.Kind != access.Chosen || !u.Admin {
		t.Errorf("%+v", u)
	}
}

func TestAddUserProblems(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	for name, c := range map[string]struct {
		form url.Values
		says string
	}{
		"taken":          {url.Values{"name": {"zigbee2mqtt"}, "password-kind": {"generate"}}, "Exists already."},
		"in settings":    {url.Values{"name": {"from-settings"}, "password-kind": {"generate"}}, "among the logins of the settings"},
		"wildcard":       {url.Values{"name": {"a/#"}, "password-kind": {"generate"}}, "wildcards in topics"},
		"no name":        {url.Values{"password-kind": {"generate"}}, "A name is needed."},
		"no password":    {url.Values{"name": {"x"}, "password-kind": {"choose"}}, "assword"},
		"unknown role":   {url.Values{"name": {"x"}, "password-kind": {"generate"}, "roles": {"king"}}, "king"},
		"invisible name": {url.Values{"name": {"a\u202eb"}, "password-kind": {"generate"}}, "invisible"},
	} {
		t.Run(name, func(t *testing.T) {
			c.form.Set("note", "kept note")
			c.form.Add("roles", "sensors")
			a := b.post("/users/new", c.form).is(t, http.StatusUnprocessableEntity)
			a.says(t, c.says)
			for _, want := range []string{`value="kept note"`, `name="roles" value="sensors" checked`, `class="problem"`} {
				if !strings.Contains(a.body, want) {
					t.Errorf("the form lost %s", want)
				}
			}
		})
	}
	a := b.post("/users/new", url.Values{"name": {"a+b"}})
	for _, want := range []string{`aria-describedby="problem-name hint-name"`, `aria-invalid="true"`, `id="problem-name"`, "autofocus"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the bad field lacks %s", want)
		}
	}
}

func TestChangeUser(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	path := s.userPath("washing-machine")
	b.get(path).is(t, http.StatusOK).says(t, "washing-machine", "Own rules", "washer-0815", "192.168.1.0/24")

	rev := func() string { return revisionOf(s.user("washing-machine").Revision) }
	b.post(path, url.Values{"revision": {rev()}, "roles": {access.RoleReadOnly}, "note": {"Kitchen"}}).leads(t, b, path+"?done=user-changed")
	if u := s.user("washing-machine"); u.Note != "Kitchen" || strings.Join(u.Roles, " ") != access.RoleReadOnly || len(u.Rules) != 1 {
		t.Errorf("%+v", u)
	}
	// Two administrators edit the same user: the second learns of it (case W26).
	old := rev()
	b.post(path, url.Values{"revision": {old}, "note": {"first"}}).is(t, http.StatusSeeOther)
	b.post(path, url.Values{"revision": {old}, "note": {"second"}}).is(t, http.StatusConflict).says(t, "Somebody was faster")
	if u := s.user("washing-machine"); u.Note != "first" {
		t.Errorf("the note is %q", u.Note)
	}

	b.post(path+"/state", url.Values{"revision": {rev()}, "disabled": {"yes"}}).leads(t, b, path+"?done=user-disabled")
	if !s.user("washing-machine").Disabled {
		t.Error("not disabled")
	}
	for _, session := range s.broker.Sessions() {
		if session.ClientID == "washer-0815" && session.Connected {
			t.Error("a client of the disabled user is connected")
		}
	}
	b.get(path).says(t, "Disabled: this user can't log in.", "Enable")
	b.post(path+"/state", url.Values{"revision": {rev()}, "disabled": {"no"}}).leads(t, b, path+"?done=user-enabled")

	b.get(path+"/delete").is(t, http.StatusOK).says(t, "Delete washing-machine?")
	b.post(path+"/delete", nil).leads(t, b, "/users?done=user-deleted")
	b.get(path).is(t, http.StatusNotFound)
	b.post(path+"/delete", nil).is(t, http.StatusNotFound)
}

func TestLastAdministratorStays(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	path := s.userPath(adminName)
	rev := revisionOf(s.user(adminName).Revision)
	b.post(path+"/delete", nil).is(t, http.StatusUnprocessableEntity).says(t, "This is the last user who can use the admin.")
	b.post(path+"/state", url.Values{"revision": {rev}, "disabled": {"yes"}}).is(t, http.StatusUnprocessableEntity).says(t, "This is the last user")
	b.post(path, url.Values{"revision": {rev}}).is(t, http.StatusUnprocessableEntity).says(t, "This is the last user")
}

func TestUsersThatStayAsTheyAre(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	for name, says := range map[string]string{
		access.HomeAssistantUser: "This user belongs to Home Assistant.",
		"from-settings":          "in the settings under logins",
	} {
		path := s.userPath(name)
		a := b.get(path).is(t, http.StatusOK)
		a.says(t, says)
		if strings.Contains(a.body, "<form method=\"post\" action=\""+ingressBase+path) {
			t.Errorf("%s has a form", name)
		}
		for _, sub := range []string{"/delete", "/password", "/state", "/rules", "/limits", ""} {
			if got := b.post(path+sub, url.Values{"revision": {"1"}, "disabled": {"yes"}, "password-kind": {"generate"}}).StatusCode; got < 400 || got >= 500 {
				t.Errorf("%s%s: %d", name, sub, got)
			}
		}
	}
}

func TestOwnRules(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	path := s.userPath("zigbee2mqtt")
	rev := func() string { return revisionOf(s.user("zigbee2mqtt").Revision) }
	stored := func() string { return strings.TrimSpace(rulesText(s.user("zigbee2mqtt").Rules)) }

	rows := url.Values{
		"form": {"rows"}, "revision": {rev()},
		"effect": {"allow", "deny", "allow", "allow"}, "scope": {"both", "publish", "subscribe", "both"},
		"filter": {"home/%u/#", "home/living room/+/set", "", "x/y"},
		"qos":    {"1", "", "", ""}, "retain": {"no-retain", "retain", "", ""},
		"listener": {"mqtts", "", "", ""}, "from": {"192.168.1.7", "", "", "10.0.0.0/8"},
	}
	b.post(path+"/rules", rows).leads(t, b, path+"?done=user-changed")
	want := "allow both home/%u/# qos<=1 no-retain listener=mqtts from=192.168.1.7/32\n" +
		"deny publish \"home/living room/+/set\" retain\nallow both x/y from=10.0.0.0/8"
	if stored() != want {
		t.Errorf("stored:\n%s\nwant:\n%s", stored(), want)
	}
	// The page shows the same rules as rows and as text; posted back, nothing changes.
	page := b.get(path).body
	_, forms := read(t, path, ingressBase, page)
	if !strings.Contains(page, "home/living room/+/set") || len(forms) < 4 {
		t.Errorf("%d forms", len(forms))
	}
	b.post(path+"/rules", url.Values{"form": {"text"}, "revision": {rev()}, "rules": {want + "\n\n"}}).is(t, http.StatusSeeOther)
	if stored() != want {
		t.Errorf("stored as text:\n%s", stored())
	}

	// Every listener that a rule may name can be chosen, in the rules and in the question.
	for _, where := range []string{page, b.get("/access").body} {
		_, choice, _ := strings.Cut(where, `name="listener"`)
		choice, _, _ = strings.Cut(choice, "</select>")
		if strings.Count(choice, "<option") != 1+len(access.ListenerNames) || strings.Index(choice, `value=""`) != strings.Index(choice, "value=") {
			t.Errorf("the choice of listeners is%s", choice)
		}
		for _, name := range access.ListenerNames {
			if !strings.Contains(choice, `<option value="`+name+`"`) {
				t.Errorf("%s is no choice among%s", name, choice)
			}
		}
	}

	for name, c := range map[string]struct {
		form url.Values
		says string
		kept string
	}{
		"a listener that is gone": {url.Values{"form": {"rows"}, "effect": {"allow"}, "scope": {"both"}, "filter": {"a"}, "listener": {`<front">`}},
			`there is no listener`, `<option value="&lt;front&#34;&gt;" selected>&lt;front&#34;&gt; (there is none)`},
		"bad row": {url.Values{"form": {"rows"}, "effect": {"allow"}, "scope": {"both"}, "filter": {"a/#/b"}}, "Rule 1:", `value="a/#/b"`},
		"bad network": {url.Values{"form": {"rows"}, "effect": {"allow"}, "scope": {"both"}, "filter": {"a"}, "qos": {""}, "from": {"home"}},
			"home is not a network", `value="home"`},
		"bad line": {url.Values{"form": {"text"}, "rules": {"allow both a\nallow it"}}, "Line 2:", "allow both a\nallow it"},
	} {
		t.Run(name, func(t *testing.T) {
			c.form.Set("revision", rev())
			a := b.post(path+"/rules", c.form).is(t, http.StatusUnprocessableEntity)
			a.says(t, c.says)
			if !strings.Contains(a.body, c.kept) {
				t.Error("what was typed is gone")
			}
			if stored() != want {
				t.Errorf("stored:\n%s", stored())
			}
		})
	}
}

func TestNewPassword(t *testing.T) {
	s := furnished(t, true)
	b := s.ingress()
	path := s.userPath("zigbee2mqtt")
	b.post(path+"/password", url.Values{"password-kind": {"choose"}, "password": {""}}).is(t, http.StatusUnprocessableEntity)
	b.post(path+"/password", url.Values{"password-kind": {"choose"}, "password": {"another one"}}).leads(t, b, path+"?done=password-changed")
	if _, err := s.dir.CheckPassword(t.Context(), "zigbee2mqtt", "another one"); err != nil {
		t.Error(err)
	}
	eventually(t, "the client with the old password is gone", func() bool {
		info, _, err := s.broker.Session("zigbee2mqtt_bridge")
		return err != nil || !info.Connected
	})
	b.post(path+"/password", url.Values{"password-kind": {"generate"}}).is(t, http.StatusOK).says(t, "The password was changed. Copy it now")
}

func TestAllowFromTheCheck(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	a := b.post("/access/check", url.Values{"user": {"washing-machine"}, "action": {"publish"}, "topic": {"zigbee2mqtt/lamp/set"}}).is(t, http.StatusOK)
	a.says(t, "No. washing-machine may not publish to zigbee2mqtt/lamp/set.", "no rule matches", "allow publish zigbee2mqtt/lamp/set")
	for range 2 { // the second time it is there already
		b.post("/access/allow", url.Values{"user": {"washing-machine"}, "rule": {"allow publish zigbee2mqtt/lamp/set"}}).leads(t, b, "/access?done=rule-added")
	}
	if n := len(s.user("washing-machine").Rules); n != 2 {
		t.Errorf("%d own rules", n)
	}
	if !s.dir.Check(access.Question{User: "washing-machine", Action: broker.Publish, Name: "zigbee2mqtt/lamp/set"}).Allow {
		t.Error("still denied")
	}
}
