package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker/access"
)

func TestIngressTakesNobodyButTheSupervisor(t *testing.T) { // case W1
	s := furnished(t, false)
	h := s.server.Ingress()
	for peer, want := range map[string]int{
		"172.30.32.2:1234":          http.StatusOK,
		"[::ffff:172.30.32.2]:1234": http.StatusOK,
		"172.30.32.1:1234":          http.StatusForbidden,
		"172.30.33.5:1234":          http.StatusForbidden,
		"127.0.0.1:1234":            http.StatusForbidden,
		"[fd0c:ac1e:2100::1]:1234":  http.StatusForbidden,
		"@":                         http.StatusForbidden,
	} {
		for _, path := range []string{"/users", "/healthz", "/static/x"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.RemoteAddr = peer
			r.Header.Set("X-Remote-User-Id", "1")
			r.Header.Set("X-Forwarded-For", "172.30.32.2")
			r.Header.Set("X-Real-Ip", "172.30.32.2")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if refused := w.Code == http.StatusForbidden; refused != (want == http.StatusForbidden) {
				t.Errorf("%s from %s: %d", path, peer, w.Code)
			}
			if w.Header().Get("Content-Security-Policy") == "" { // case W8
				t.Errorf("%s from %s: no Content-Security-Policy", path, peer)
			}
		}
	}
}

func TestDirectBelievesNoProxyHeader(t *testing.T) { // case W2
	s := furnished(t, false)
	b := s.direct()
	req := b.request(http.MethodGet, "/users", nil)
	for name, value := range map[string]string{
		"X-Remote-User-Id": "1", "X-Remote-User-Name": adminName, "X-Remote-User-Display-Name": adminName,
		"X-Ingress-Path": ingressBase, "X-Hass-Source": "core.ingress", "X-Forwarded-For": "172.30.32.2",
		"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https",
	} {
		req.Header.Set(name, value)
	}
	b.do(req).leads(t, b, "/login?next=%2Fusers")
}

func TestIngressAdmins(t *testing.T) { // case W3
	for _, c := range []struct {
		name      string
		adminOnly bool
		ask       func(context.Context, string) (bool, error)
		haUser    string
		status    int
		says      string
	}{
		{"administrator", true, func(context.Context, string) (bool, error) { return true, nil }, "1", http.StatusOK, "Users"},
		{"not an administrator", true, func(context.Context, string) (bool, error) { return false, nil }, "1", http.StatusForbidden, "not an administrator"},
		{"no answer", true, func(context.Context, string) (bool, error) { return false, errors.New("starting") }, "1", http.StatusForbidden, "could not be asked"},
		{"nobody to ask", true, nil, "1", http.StatusForbidden, "ui_admin_only"},
		{"no user", true, func(context.Context, string) (bool, error) { return true, nil }, "", http.StatusForbidden, "did not say who you are"},
		{"everybody", false, nil, "", http.StatusOK, "Users"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, func(cfg *Config) { cfg.AdminOnly, cfg.IngressAdmin = c.adminOnly, c.ask })
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				r := httptest.NewRequest(method, "/users", nil)
				if method == http.MethodPost {
					r = httptest.NewRequest(method, "/users/new", strings.NewReader("name=mallory"))
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					r.Header.Set("Sec-Fetch-Site", "same-origin")
				}
				r.RemoteAddr = "172.30.32.2:1"
				r.Header.Set("X-Remote-User-Id", c.haUser)
				r.Header.Set("X-Ingress-Path", ingressBase)
				w := httptest.NewRecorder()
				s.server.Ingress().ServeHTTP(w, r)
				if w.Code != c.status {
					t.Errorf("%s: %d, want %d", method, w.Code, c.status)
				}
				if method == http.MethodGet && !strings.Contains(w.Body.String(), c.says) {
					t.Errorf("does not say %q:\n%s", c.says, text(w.Body.String()))
				}
			}
			if _, made := s.dir.User("mallory"); made != (c.status == http.StatusOK) {
				t.Errorf("mallory was made: %v", made)
			}
		})
	}
}

func TestIngressPathIsCheckedBeforeItIsUsed(t *testing.T) { // case W4
	s := furnished(t, false)
	for _, path := range []string{
		"//evil", "/x\"><script>", "/api/hassio_ingress/" + strings.Repeat("a", 10_000), "/api/hassio_ingress/../x",
		"https://evil.example", "/api/hassio_ingress/tok/", "/api/hassio_ingress/tok\n", "/api/hassio_ingress/",
	} {
		r := httptest.NewRequest(http.MethodGet, "/users", nil)
		r.RemoteAddr = "172.30.32.2:1"
		r.Header["X-Ingress-Path"] = []string{path}
		r.Header.Set("X-Remote-User-Id", "1")
		w := httptest.NewRecorder()
		s.server.Ingress().ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("%.40q: %d", path, w.Code)
		}
		read(t, path, "", w.Body.String())
		if !strings.Contains(w.Body.String(), `href="/users/new"`) || !strings.Contains(w.Body.String(), `data-base=""`) {
			t.Errorf("%.40q found its way into links", path)
		}
	}
}

func TestIngressHasNoLoginOfItsOwn(t *testing.T) { // case W13
	s := furnished(t, false)
	b := s.ingress()
	b.get("/login").is(t, http.StatusNotFound)
	b.get("/setup?token="+setupToken).is(t, http.StatusNotFound)
	b.post("/login", url.Values{"username": {adminName}, "password": {adminPass}}).is(t, http.StatusNotFound)
	// A cookie of the direct port says nothing here.
	d := s.direct().login()
	u, _ := url.Parse(d.base)
	s.haAdmin = func(context.Context, string) (bool, error) { return false, nil }
	req := b.request(http.MethodGet, "/users", nil)
	for _, c := range d.http.Jar.Cookies(u) {
		req.AddCookie(c)
	}
	b.do(req).is(t, http.StatusForbidden)
}

func TestActorOfChanges(t *testing.T) {
	s := furnished(t, false)
	s.ingress().post("/users/new", url.Values{"name": {"by-ingress"}, "password-kind": {"generate"}}).is(t, http.StatusOK)
	s.direct().login().post("/users/new", url.Values{"name": {"by-login"}, "password-kind": {"generate"}}).is(t, http.StatusOK)
	entries, _, err := s.accounts.Audit(t.Context(), access.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		got[e.Object] = e.Who().String()
	}
	if got["by-ingress"] != "Home Assistant user anna" || got["by-login"] != adminName {
		t.Errorf("the audit says %q and %q", got["by-ingress"], got["by-login"])
	}
}

func TestChangesFromElsewhere(t *testing.T) { // case W9
	s := furnished(t, false)
	for name, h := range map[string]http.Handler{"direct": s.server.Direct(), "ingress": s.server.Ingress()} {
		b := s.ingress()
		if name == "direct" {
			b = s.direct().login()
		}
		// Every route there is that is no GET; what stands in their paths is there.
		var posts []string
		s.must(chi.Walk(h.(chi.Routes), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
			switch method {
			case http.MethodGet, http.MethodHead, http.MethodOptions:
				return nil
			}
			if strings.HasPrefix(route, apiPath) && name == "direct" {
				return nil // no cookie opens it: TestAPIAndBrowsers
			}
			id := fmt.Sprint(s.user("old-tablet").ID)
			if strings.HasPrefix(route, "/access/roles/") {
				id = strings.TrimPrefix(s.rolePath("sensors"), "/access/roles/")
			}
			path := strings.NewReplacer("{id}", id, "{template}", "tasmota", "{name}", "away").Replace(route)
			posts = append(posts, method+" "+path)
			return nil
		}))
		if len(posts) < 55 {
			t.Errorf("%s: only %d routes: %q", name, len(posts), posts)
		}
		before := s.state()
		host := strings.TrimPrefix(b.base, "http://")
		host, _, _ = strings.Cut(host, "/")
		for _, route := range posts {
			method, path, _ := strings.Cut(route, " ")
			for _, from := range []map[string]string{
				{}, // curl
				{"Origin": "null"},
				{"Origin": "http://evil.example"},
				{"Origin": "http://" + host + ".evil.example"},
				{"Sec-Fetch-Site": "cross-site", "Origin": "http://" + host},
				{"Sec-Fetch-Site": "same-site"},
				{"X-Forwarded-Host": "evil.example", "Origin": "http://evil2.example"},
			} {
				req := b.request(method, path, strings.NewReader("name=mallory&revision=1"))
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				for k, v := range from {
					req.Header.Set(k, v)
				}
				if a := b.do(req); a.StatusCode != http.StatusForbidden {
					t.Errorf("%s: %s from %v: %d", name, route, from, a.StatusCode)
				}
			}
		}
		if after := s.state(); after != before {
			t.Errorf("something changed: %s", after)
		}
	}
}

func TestPlainHTTPFormWithOriginAlonePasses(t *testing.T) { // case W10: no Sec-Fetch-Site on plain HTTP
	s := furnished(t, false)
	b := s.ingress()
	req := b.request(http.MethodPost, "/users/new", strings.NewReader("name=lamp&password-kind=generate"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "http://"+req.URL.Host)
	b.do(req).is(t, http.StatusOK)
}

// TestEveryRouteAsksWhoItIs walks the route table: nothing but what is listed here
// answers somebody who is not logged in, or is no administrator of Home Assistant.
func TestEveryRouteAsksWhoItIs(t *testing.T) {
	s := furnished(t, false)
	s.haAdmin = func(context.Context, string) (bool, error) { return false, nil }
	open := map[string]bool{
		"/healthz": true, "/static/*": true, "/login": true, "/logout": true, "/setup": true,
		"/api/v1/openapi.json": true, // the same everywhere
	}
	for name, h := range map[string]http.Handler{"direct": s.server.Direct(), "ingress": s.server.Ingress()} {
		seen := 0
		err := chi.Walk(h.(chi.Routes), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
			if open[route] {
				return nil
			}
			seen++
			r := httptest.NewRequest(method, strings.ReplaceAll(route, "{id}", "1"), strings.NewReader("revision=1"))
			r.RemoteAddr = "172.30.32.2:1"
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.Header.Set("X-Remote-User-Id", "2")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			toLogin := strings.HasPrefix(w.Header().Get("Location"), "/login")
			if w.Code != http.StatusForbidden && w.Code != http.StatusUnauthorized && !(w.Code == http.StatusSeeOther && toLogin) {
				t.Errorf("%s: %s %s answers %d to a stranger", name, method, route, w.Code)
			}
			return nil
		})
		if err != nil || seen < 25 {
			t.Errorf("%s: %d routes, %v", name, seen, err)
		}
	}
}
