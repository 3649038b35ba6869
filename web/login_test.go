package web

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker/access"
)

func loginForm(user, password, next string) url.Values {
	return url.Values{"username": {user}, "password": {password}, "next": {next}}
}

// loginCookie returns the login cookie that an answer sets, or nil.
func loginCookie(a answer) *http.Cookie {
	for _, c := range a.Cookies() {
		if strings.Contains(c.Name, "hearthmq") {
			return c
		}
	}
	return nil
}

func TestLogin(t *testing.T) {
	s := furnished(t, false)
	b := s.direct()
	b.get("/users").leads(t, b, "/login?next=%2Fusers")
	b.get("/").leads(t, b, "/login")
	b.get("/live/overview").is(t, http.StatusUnauthorized)
	b.get("/ws").is(t, http.StatusUnauthorized)
	b.get("/login").is(t, http.StatusOK).says(t, "Log in", "Password")

	wrong := b.post("/login", loginForm(adminName, "nope", "/users")).is(t, http.StatusUnprocessableEntity)
	wrong.says(t, "The user name or the password is wrong.")
	if strings.Contains(wrong.body, "nope") || !strings.Contains(wrong.body, `value="anna"`) {
		t.Error("the form must keep the name and forget the password")
	}
	// The same words whoever it is (constant answer).
	for _, name := range []string{"nobody", "old-tablet", "<b>"} {
		a := b.post("/login", loginForm(name, "nope", "")).is(t, http.StatusUnprocessableEntity)
		if got, want := text(a.body), text(wrong.body); got != want {
			t.Errorf("%q is answered differently:\n%s\n%s", name, got, want)
		}
	}
	b.post("/login", loginForm("zigbee2mqtt", "device password", "")).is(t, http.StatusForbidden).says(t, "may use MQTT, but not this page")

	b.post("/login", loginForm(adminName, adminPass, "/users")).leads(t, b, "/users")
	b.get("/users").is(t, http.StatusOK).says(t, "Logged in as anna")
	b.get("/login?next=/clients").leads(t, b, "/clients")
}

func TestLoginSessionIsNotFixed(t *testing.T) { // case W13
	s := furnished(t, false)
	b := s.direct()
	u, _ := url.Parse(b.base)
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: cookiePlain, Value: "planted", Path: "/"}})
	c := loginCookie(b.post("/login", loginForm(adminName, adminPass, "")))
	if c == nil || c.Value == "planted" || len(c.Value) < 43 {
		t.Fatalf("cookie %v", c)
	}
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure || c.Domain != "" || !c.Expires.IsZero() {
		t.Errorf("cookie %v", c)
	}
	// Logging in again changes the token, and the old one is worth nothing.
	second := loginCookie(b.post("/login", loginForm(adminName, adminPass, "")))
	if second.Value == c.Value {
		t.Error("the second login kept the token")
	}
	if with(s, c).StatusCode == http.StatusOK {
		t.Error("the first token still works")
	}
	// Logging out ends it on the server.
	b.post("/logout", nil).leads(t, b, "/login?done=logged-out")
	b.get("/login?done=logged-out").says(t, "You are logged out.")
	if with(s, second).StatusCode == http.StatusOK {
		t.Error("the token works after the logout")
	}
}

// with asks for a page with exactly this cookie.
func with(s *site, c *http.Cookie) *http.Response {
	r := httptest.NewRequest(http.MethodGet, "/users", nil)
	r.AddCookie(c)
	if strings.HasPrefix(c.Name, "__Host-") {
		r.TLS = &tls.ConnectionState{}
	}
	w := httptest.NewRecorder()
	s.server.Direct().ServeHTTP(w, r)
	return w.Result()
}

func TestLoginCookieOnTLS(t *testing.T) { // case W13
	s := furnished(t, false)
	srv := httptest.NewTLSServer(s.server.Direct())
	t.Cleanup(srv.Close)
	b := newBrowser(t, srv, "")
	c := loginCookie(b.post("/login", loginForm(adminName, adminPass, "")))
	if c == nil || c.Name != "__Host-hearthmq" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
		t.Fatalf("cookie %v", c)
	}
	b.get("/users").is(t, http.StatusOK)
	// The cookie of an encrypted connection is not believed on a plain one.
	c.Name = cookiePlain
	r := httptest.NewRequest(http.MethodGet, "/users", nil)
	r.AddCookie(&http.Cookie{Name: cookieTLS, Value: c.Value})
	w := httptest.NewRecorder()
	s.server.Direct().ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		t.Error("the __Host- cookie was taken on a plain connection")
	}
}

func TestLoginExpires(t *testing.T) { // case W14
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.createUser(access.NewUser{Name: adminName, Password: adminPass, Admin: true})
		h := s.server.Direct()
		ask := func(method, path string, c *http.Cookie, form url.Values) *http.Response {
			r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			if c != nil {
				r.AddCookie(c)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Result()
		}
		login := func() *http.Cookie {
			return loginCookie(answer{Response: ask(http.MethodPost, "/login", nil, loginForm(adminName, adminPass, ""))})
		}
		stands := func(c *http.Cookie) bool { return ask(http.MethodGet, "/users", c, nil).StatusCode == http.StatusOK }

		c := login()
		time.Sleep(loginIdle - time.Minute) // fake time: nothing sleeps in a bubble
		if !stands(c) {
			t.Error("ended before it was idle for 30 minutes")
		}
		time.Sleep(loginIdle - time.Second)
		if !stands(c) {
			t.Error("a request did not keep the login")
		}
		time.Sleep(loginIdle)
		if stands(c) {
			t.Error("stands after 30 idle minutes")
		}

		// case R12: the clock was ten years ahead when it was used last; or behind, as at a boot.
		for seen, stand := range map[time.Duration]bool{10 * 365 * 24 * time.Hour: false, 24 * time.Hour: false, time.Minute: true, -56 * 365 * 24 * time.Hour: false} {
			c = login()
			m := s.server.logins.plain
			ctx, err := m.Load(t.Context(), c.Value)
			if err != nil {
				t.Fatal(err)
			}
			m.Put(ctx, keySeen, time.Now().Add(seen).Unix())
			if _, _, err := m.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			if stands(c) != stand {
				t.Errorf("last used %v from now: stands %v", seen, !stand)
			}
		}

		c = login() // what pages ask by themselves does not keep a login
		for range 31 {
			time.Sleep(time.Minute)
			ask(http.MethodGet, "/live/overview", c, nil)
		}
		if stands(c) {
			t.Error("an open page kept the login for ever")
		}

		c = login()
		for range 24*4 - 1 {
			time.Sleep(15 * time.Minute)
			if !stands(c) {
				t.Fatal("ended while it was used")
			}
		}
		time.Sleep(16 * time.Minute)
		if stands(c) {
			t.Error("stands after 24 hours")
		}
	})
}

func TestLoginEndsWithTheAccount(t *testing.T) { // case W14: a stolen cookie after a new password
	no, yes := false, true
	for name, change := range map[string]func(s *site) error{
		"new password": func(s *site) error {
			_, err := s.accounts.SetPassword(s.t.Context(), adminName, "another password", false)
			return err
		},
		"disabled": func(s *site) error {
			return s.accounts.ChangeUser(s.t.Context(), adminName, access.UserChange{Disabled: &yes})
		},
		"demoted": func(s *site) error {
			return s.accounts.ChangeUser(s.t.Context(), adminName, access.UserChange{Admin: &no})
		},
		"deleted and made anew": func(s *site) error {
			if err := s.accounts.DeleteUser(s.t.Context(), adminName); err != nil {
				return err
			}
			s.createUser(access.NewUser{Name: adminName, Password: adminPass, Admin: true})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := furnished(t, false)
			s.createUser(access.NewUser{Name: "second", Password: adminPass, Admin: true})
			b := s.direct().login()
			s.must(change(s))
			b.get("/users").leads(t, b, "/login?next=%2Fusers")
			u, _ := url.Parse(b.base)
			p := principal{token: b.http.Jar.Cookies(u)[0].Value}
			if s.server.allowed(withPrincipal(context.Background(), p)) {
				t.Error("a socket of this login would go on")
			}
		})
	}
}

func TestOwnPasswordKeepsOwnLogin(t *testing.T) {
	s := furnished(t, false)
	b, elsewhere := s.direct().login(), s.direct().login()
	b.post(s.userPath(adminName)+"/password", url.Values{"password-kind": {"choose"}, "password": {"a new password"}}).
		leads(t, b, s.userPath(adminName)+"?done=password-changed")
	b.get("/users").is(t, http.StatusOK)
	elsewhere.get("/users").leads(t, elsewhere, "/login?next=%2Fusers")
}

func TestGuessing(t *testing.T) { // case W15
	s := furnished(t, false)
	b := s.direct()
	var refused answer
	for range 12 {
		if refused = b.post("/login", loginForm(adminName, "guess", "")); refused.StatusCode == http.StatusTooManyRequests {
			break
		}
	}
	refused.is(t, http.StatusTooManyRequests).says(t, "too many attempts")
	if refused.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.post("/login", loginForm(adminName, adminPass, "")).is(t, http.StatusTooManyRequests)
	// From elsewhere the administrator gets in: no lock-out by name.
	r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(loginForm(adminName, adminPass, "").Encode()))
	r.RemoteAddr = "192.168.1.7:1"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	w := httptest.NewRecorder()
	s.server.Direct().ServeHTTP(w, r)
	if w.Code != http.StatusSeeOther {
		t.Errorf("the administrator was locked out: %d", w.Code)
	}
}

func TestNextLeadsNowhereElse(t *testing.T) { // case W22
	s := furnished(t, false)
	for next, want := range map[string]string{
		"/users": "/users", "/users/12": "/users/12", "/access/roles/3": "/access/roles/3", "": "/", "/": "/",
		"//evil.example": "/", `/\evil.example`: "/", "https://evil.example": "/", "/users\r\nSet-Cookie: a=b": "/",
		"javascript:alert(1)": "/", "/users/../../x": "/", "/unknown": "/", "/users?x=//evil": "/", "/%2f/evil": "/",
		" /users": "/", "/users\n": "/", "/logout": "/",
	} {
		b := s.direct()
		b.post("/login", loginForm(adminName, adminPass, next)).leads(t, b, want)
		a := b.get("/login?next=" + url.QueryEscape(next))
		a.leads(t, b, want)
	}
}

func TestDirectIsNotFramed(t *testing.T) { // cases W8, W24
	s := furnished(t, false)
	b := s.direct().login()
	for _, path := range []string{"/", "/users", "/nothing", "/static/x/y", "/healthz", "/live/overview", "/login", "/setup"} {
		h := b.get(path).Header
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: %q lacks %q", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %q", path, csp)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
	}
}

// case A24, case W15: logins behind a trusted proxy are slowed down by the address that the
// proxy tells, as MQTT's are, and nobody else is believed one.
func TestGuessingBehindAProxy(t *testing.T) {
	s := furnishedWith(t, false, func(cfg *Config) { cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.168.1.2/32")} })
	direct := s.server.Direct()
	login := func(peer, forwarded, password string) int {
		r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(loginForm(adminName, password, "").Encode()))
		r.RemoteAddr = peer
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		direct.ServeHTTP(w, r)
		return w.Code
	}
	const proxy = "192.168.1.2:4000"
	guess := func(peer string, forwarded func(n int) string) int {
		for n := range 50 {
			if login(peer, forwarded(n), "guess") == http.StatusTooManyRequests {
				return n
			}
		}
		return -1
	}
	if guess(proxy, func(n int) string { return fmt.Sprintf("198.51.100.%d, 203.0.113.5", n) }) < 0 {
		t.Error("who invents the beginning of the list is not slowed down")
	}
	if got := login(proxy, "203.0.113.5", adminPass); got != http.StatusTooManyRequests {
		t.Errorf("who guessed: %d", got)
	}
	if got := login(proxy, "203.0.113.6", adminPass); got != http.StatusSeeOther {
		t.Errorf("another client of the proxy: %d", got)
	}
	if guess("192.168.1.3:4000", func(n int) string { return fmt.Sprintf("198.51.100.%d", n) }) < 0 {
		t.Error("who is no proxy and invents addresses is not slowed down")
	}
	if got := login(proxy, "unknown", adminPass); got != http.StatusBadRequest {
		t.Errorf("a proxy that does not say for whom it speaks: %d", got)
	}
	if got := login(proxy, "", adminPass); got != http.StatusSeeOther {
		t.Errorf("the proxy itself: %d", got)
	}
}

// Behind a trusted proxy that ends TLS a login is an encrypted one: its cookie is for
// encrypted connections alone, and nobody is warned. Others are not believed that.
func TestLoginBehindAProxyWithTLS(t *testing.T) { // case A24, case W13
	s := furnishedWith(t, false, func(cfg *Config) { cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.168.1.2/32")} })
	direct := s.server.Direct()
	for _, tt := range []struct {
		name, peer string
		proto      []string
		encrypted  bool
	}{
		{"a trusted proxy", "192.168.1.2:4000", []string{"https"}, true},
		{"behind another proxy", "192.168.1.2:4000", []string{"http, HTTPS"}, true},
		{"a client that invents it", "192.168.1.2:4000", []string{"https, http"}, false},
		{"in a line of its own", "192.168.1.2:4000", []string{"https", "http"}, false},
		{"without a word", "192.168.1.2:4000", nil, false},
		{"no proxy", "192.168.1.3:4000", []string{"https"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ask := func(method string, body url.Values) *httptest.ResponseRecorder {
				r := httptest.NewRequest(method, "/login", strings.NewReader(body.Encode()))
				r.RemoteAddr = tt.peer
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Sec-Fetch-Site", "same-origin")
				r.Header["X-Forwarded-Proto"] = tt.proto
				w := httptest.NewRecorder()
				direct.ServeHTTP(w, r)
				return w
			}
			if plain := strings.Contains(ask(http.MethodGet, nil).Body.String(), "not encrypted"); plain == tt.encrypted {
				t.Errorf("warned %v", plain)
			}
			c := loginCookie(answer{Response: ask(http.MethodPost, loginForm(adminName, adminPass, "")).Result()})
			if c == nil || c.Secure != tt.encrypted || strings.HasPrefix(c.Name, "__Host-") != tt.encrypted {
				t.Errorf("cookie %+v", c)
			}
		})
	}
}
