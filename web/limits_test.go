package web

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
)

func TestBodiesAreBounded(t *testing.T) { // case W23
	s := furnished(t, false)
	b := s.direct().login()
	big := url.Values{"name": {strings.Repeat("x", maxBody)}}
	b.post("/users/new", big).is(t, http.StatusRequestEntityTooLarge).says(t, "That is too much")

	many := url.Values{}
	for i := range 20_000 {
		many.Set(fmt.Sprint("f", i), "x")
	}
	b.post("/users/new", many).is(t, http.StatusBadRequest)

	var zipped strings.Builder
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("name=x"))
	_ = z.Close()
	req := b.request(http.MethodPost, "/users/new", strings.NewReader(zipped.String()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Content-Encoding", "gzip")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if a := b.do(req); a.StatusCode < 400 || a.StatusCode >= 500 {
		t.Errorf("gzip: %d", a.StatusCode)
	}
}

func TestSlowBodies(t *testing.T) { // case W23
	s := furnished(t, false)
	h := withBodyOf(s.server.Ingress(), timeoutBody{})
	srv := httptest.NewServer(ingressProxy(h, ingressBase))
	t.Cleanup(srv.Close)
	b := newBrowser(t, srv, ingressBase)
	b.post("/users/new", nil).is(t, http.StatusRequestTimeout).says(t, "did not arrive in time")
}

// withBodyOf replaces the body of every request.
func withBodyOf(h http.Handler, body io.ReadCloser) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = body
		h.ServeHTTP(w, r)
	})
}

// timeoutBody is what is left of a body when the deadline has passed.
type timeoutBody struct{}

func (timeoutBody) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
func (timeoutBody) Close() error             { return nil }

func TestHealth(t *testing.T) { // case W25
	var err error
	s := newSite(t, func(c *Config) { c.Healthy = func(context.Context) error { return err } })
	b := s.direct()
	if a := b.get("/healthz").is(t, http.StatusOK); a.body != "ok\n" {
		t.Errorf("says %q", a.body)
	}
	err = errors.New("disk of /data/secret is full")
	if a := b.get("/healthz").is(t, http.StatusServiceUnavailable); strings.Contains(a.body, "secret") {
		t.Errorf("says %q", a.body)
	}
}

func TestPanicsAndErrorsBecomePages(t *testing.T) {
	s := furnished(t, false)
	ctx := withPrincipal(t.Context(), principal{name: adminName, display: adminName, admin: true})
	for name, h := range map[string]http.Handler{
		"panic": s.server.recoverer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret detail") })),
		"error": s.server.handle(func(http.ResponseWriter, *http.Request) error { return errors.New("secret detail") }),
	} {
		w := &memoryWriter{header: http.Header{}}
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "/x", nil)
		requestID(h).ServeHTTP(w, r)
		page := text(w.body.String())
		if w.status != http.StatusInternalServerError || !strings.Contains(page, "Something went wrong") || strings.Contains(page, "secret") ||
			!strings.Contains(page, "under request") {
			t.Errorf("%s: %d %s", name, w.status, page)
		}
	}
}

type memoryWriter struct {
	header http.Header
	status int
	body   strings.Builder
}

func (w *memoryWriter) Header() http.Header         { return w.header }
func (w *memoryWriter) WriteHeader(status int)      { w.status = status }
func (w *memoryWriter) Write(b []byte) (int, error) { return w.body.Write(b) }

func TestAssets(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	page := b.get("/").body
	_, rest, _ := strings.Cut(page, `rel="stylesheet" href="`+ingressBase)
	css, _, _ := strings.Cut(rest, `"`)
	a := b.get(css).is(t, http.StatusOK)
	if got := a.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
		t.Errorf("Cache-Control %q", got)
	}
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/css") || !strings.Contains(a.body, "@layer reset, tokens") {
		t.Errorf("Content-Type %q", a.Header.Get("Content-Type"))
	}
	b.get(strings.Replace(css, "/static/", "/static/0", 1)).is(t, http.StatusNotFound)
	b.get("/static/").is(t, http.StatusNotFound)
	if c := b.get("/").Header.Get("Cache-Control"); c != "no-store" {
		t.Errorf("a page may be cached: %q", c)
	}
}
