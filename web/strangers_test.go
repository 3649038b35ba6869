package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Who has not said who it is can't have much held in memory: four hundred logins of a
// megabyte each, none of them finished, took more than the memory limit.
func TestStrangersSendLittle(t *testing.T) { // case W23
	s := furnished(t, false)
	large := url.Values{"username": {strings.Repeat("x", maxStrange)}, "password": {"x"}}
	for _, path := range []string{"/login", "/setup"} {
		s.direct().post(path, large).is(t, http.StatusRequestEntityTooLarge)
		if a := s.direct().post(path, url.Values{"username": {strings.Repeat("x", maxStrange/4)}, "password": {"x"}}); a.StatusCode == http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d", a.Request.URL, a.StatusCode)
		}
	}
	// A token that nobody has looked at makes nobody less of a stranger.
	req := s.direct().request(http.MethodPost, "/login", strings.NewReader(large.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Authorization", "Bearer hmq_x")
	s.direct().do(req).is(t, http.StatusRequestEntityTooLarge)
	for _, path := range []string{"/users/new", importPath, restorePath, "/topics/publish"} {
		s.direct().post(path, large).is(t, http.StatusSeeOther)
	}
	if a := s.direct().login().post("/users/new", large); a.StatusCode == http.StatusRequestEntityTooLarge {
		t.Errorf("%s: %d", a.Request.URL, a.StatusCode)
	}
}

// A page of any site can have its name lead to this machine and ask the browser on it for
// the figures that programs here get without a token (DNS rebinding).
func TestMetricsByForeignName(t *testing.T) { // case W25
	s := furnished(t, false)
	b := s.direct()
	for host, want := range map[string]int{
		"localhost:8080": http.StatusOK, "127.0.0.1:8080": http.StatusOK, "[::1]:8080": http.StatusOK, "raspberrypi": http.StatusOK, "localhost.": http.StatusOK,
		"evil.example:8080": http.StatusUnauthorized, "evil.example": http.StatusUnauthorized, "evil.example.": http.StatusUnauthorized,
		"127.0.0.1.evil.example": http.StatusUnauthorized,
	} {
		req := b.request(http.MethodGet, "/metrics", nil)
		req.Host = host
		b.do(req).is(t, want)
	}
}
