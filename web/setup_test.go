package web

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

func claimForm(token, name string) url.Values {
	return url.Values{"token": {token}, "name": {name}, "password": {adminPass}, "repeat": {adminPass}}
}

func TestNothingButSetupBeforeTheOwnerIsThere(t *testing.T) { // case W16
	s := newSite(t, nil)
	b := s.direct()
	for _, path := range []string{"/", "/users", "/login", "/topics", "/ws", "/live/overview", "/nothing"} {
		b.get(path).leads(t, b, "/setup")
	}
	b.post("/login", loginForm("admin", "admin", "")).leads(t, b, "/setup")
	b.get("/setup").is(t, http.StatusOK).says(t, "One step to go", "in the log")
	b.get("/healthz").is(t, http.StatusOK)
}

func TestSetup(t *testing.T) { // case W16
	s := newSite(t, nil)
	b := s.direct()
	b.get("/setup?token=wrong").is(t, http.StatusForbidden).says(t, "not the right one")
	b.get("/setup?token="+setupToken).is(t, http.StatusOK).says(t, "Welcome home")

	b.post("/setup", claimForm("wrong", adminName)).is(t, http.StatusForbidden)
	bad := claimForm(setupToken, adminName)
	bad.Set("repeat", "something else")
	b.post("/setup", bad).is(t, http.StatusUnprocessableEntity).says(t, "The two passwords differ.")
	bad = claimForm(setupToken, "a+b")
	b.post("/setup", bad).is(t, http.StatusUnprocessableEntity).says(t, "wildcards")
	if s.accounts.HasAdmin() {
		t.Fatal("an administrator was made by a refused form")
	}

	a := b.post("/setup", claimForm(setupToken, adminName))
	a.leads(t, b, "/?done=welcome")
	if strings.Contains(a.Header.Get("Location"), setupToken) || loginCookie(a) == nil {
		t.Errorf("Location %q, cookies %v", a.Header.Get("Location"), a.Cookies())
	}
	b.get("/?done=welcome").is(t, http.StatusOK).says(t, "Welcome to HearthMQ", "First steps")

	// The second claim is refused, however right its token is.
	other := s.direct()
	other.get("/setup?token="+setupToken).is(t, http.StatusGone).says(t, "has an administrator already")
	other.post("/setup", claimForm(setupToken, "mallory")).is(t, http.StatusGone)
	if _, ok := s.dir.User("mallory"); ok {
		t.Error("mallory was made")
	}
}

func TestSetupCountsWrongTokens(t *testing.T) { // case W16
	s := newSite(t, nil)
	b := s.direct()
	for range maxClaims {
		b.get("/setup?token=guess").is(t, http.StatusForbidden)
	}
	b.get("/setup?token="+setupToken).is(t, http.StatusTooManyRequests).says(t, "Restart HearthMQ")
	b.post("/setup", claimForm(setupToken, adminName)).is(t, http.StatusTooManyRequests)
	if s.accounts.HasAdmin() {
		t.Error("an administrator was made")
	}
}

func TestSetupWithoutOrWithAWeakToken(t *testing.T) {
	for _, token := range []string{"", "short"} {
		s := newSite(t, func(c *Config) { c.SetupToken = func() string { return token } })
		s.direct().post("/setup", claimForm(token, adminName)).is(t, http.StatusForbidden)
	}
}

func TestTwoClaimsAtOnce(t *testing.T) { // case W16: one wins
	s := newSite(t, nil)
	names := []string{"one", "two", "three", "four"}
	codes := make([]int, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		b := s.direct()
		wg.Go(func() { codes[i] = b.post("/setup", claimForm(setupToken, name)).StatusCode })
	}
	wg.Wait()
	won, users := 0, 0
	for i, name := range names {
		if codes[i] == http.StatusSeeOther {
			won++
		}
		if _, ok := s.dir.User(name); ok {
			users++
		}
	}
	if won != 1 || users != 1 {
		t.Errorf("%d claims won, %d administrators: %v", won, users, codes)
	}
}
