package web

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"hearthmq/broker/access"
)

// What a request can get wrong is said at once, each with its place.
func TestAPISaysWhatIsWrong(t *testing.T) {
	s := furnished(t, false)
	p := s.program(access.ScopeAdmin)
	for _, c := range []struct {
		method, path, body string
		status             int
		says               []string
	}{
		{"GET", "/audit?limit=0&before=x&surprise=1&since=yesterday", "", 422, []string{
			"query.limit", "query.before", "must be a whole number", "query.surprise", "unknown query parameter", "query.since", "must be a time"}},
		{"GET", "/clients?connected=perhaps", "", 422, []string{"query.connected", "true or false"}},
		{"GET", "/users/seven", "", 422, []string{"path.id"}},
		{"GET", "/log?after=-1", "", 422, []string{"query.after", "not below 0"}},
		{"POST", "/users", `{"note": "no name", "surprise": 1}`, 422, []string{"body", "name", "surprise"}},
		{"POST", "/users", `{"name": 7}`, 422, []string{"body.name", "string"}},
		{"POST", "/users", `[]`, 422, []string{"body"}},
		{"POST", "/users", ` `, 400, []string{"a body is needed"}},
		{"POST", "/users", `{"name"`, 400, []string{"not JSON"}},
		{"POST", "/users", `{"name": "x"} {}`, 400, []string{"not JSON"}},
		{"POST", "/publish", fmt.Sprintf(`{"topic": "a", "payload": %q}`, strings.Repeat("x", maxBody)), 413, []string{"at most 1048576 bytes"}},
	} {
		a := p.ask(c.status, c.method, c.path, c.body, nil)
		for _, want := range c.says {
			if !strings.Contains(a.body, want) {
				t.Errorf("%s %s does not say %q: %s", c.method, c.path, want, a.body)
			}
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/check", strings.NewReader("user=x"))
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	s.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnsupportedMediaType || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a form: status %d, Cache-Control %q", resp.StatusCode, resp.Header.Get("Cache-Control"))
	}
}
