package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// silentReferrer is what stands between a browser and the admin in many homes: it says
// that no page may tell where a request comes from.
type silentReferrer struct{ http.ResponseWriter }

func (w silentReferrer) WriteHeader(status int) {
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.ResponseWriter.WriteHeader(status)
}

func (w silentReferrer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// TestFormsOverPlainHTTP sends a form of a Home Assistant without TLS that allows no
// referrer, in a real browser: it says nothing of Sec-Fetch-Site there, and the origin
// is all that there is (case W10).
func TestFormsOverPlainHTTP(t *testing.T) {
	s := furnished(t, false)
	h := ingressProxy(s.server.Ingress(), ingressBase)
	var mu sync.Mutex
	var posts []http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			mu.Lock()
			posts = append(posts, r.Header.Clone())
			mu.Unlock()
		}
		h.ServeHTTP(silentReferrer{w}, r)
	}))
	t.Cleanup(srv.Close)
	// Not 127.0.0.1: a browser trusts that as if it were encrypted.
	at := strings.Replace(srv.URL, "127.0.0.1", "homeassistant.test", 1)
	b := openTab(t, at+ingressBase+"/users/new", 1280, 900, chromedp.Flag("host-resolver-rules", "MAP homeassistant.test 127.0.0.1"))
	b.until(loaded)
	if eval[bool](b, `isSecureContext`) {
		t.Fatal("the browser takes the connection for a safe one")
	}
	b.typeInto("name", "plain-lamp")
	b.submit("main form button[type=submit]")
	if _, ok := s.dir.User("plain-lamp"); !ok {
		t.Errorf("no user was made; the page says\n%s", b.text())
	}
	b.harmless()
	mu.Lock()
	defer mu.Unlock()
	if len(posts) != 1 || posts[0].Get("Sec-Fetch-Site") != "" || posts[0].Get("Origin") != at {
		t.Errorf("the browser sent %v", posts)
	}
}
