package web

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestForeignFrame puts the admin into a frame of another site, in a real browser: the
// browser shows nothing of it, whereas a page of the same origin may (cases W8, W24).
func TestForeignFrame(t *testing.T) {
	s := furnished(t, false)
	var pages, assets atomic.Int32
	count := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/frame" {
				w.Header().Set("Content-Type", "text/html")
				_, _ = io.WriteString(w, frameOf(r.URL.Query().Get("of")))
				return
			}
			if strings.Contains(r.URL.Path, "/static/") {
				assets.Add(1)
			} else {
				pages.Add(1)
			}
			h.ServeHTTP(w, r)
		})
	}
	home := httptest.NewServer(count(ingressProxy(s.server.Ingress(), ingressBase)))
	t.Cleanup(home.Close)
	direct := httptest.NewServer(count(s.server.Direct()))
	t.Cleanup(direct.Close)
	evil := httptest.NewServer(count(http.NotFoundHandler()))
	t.Cleanup(evil.Close)
	b := openTab(t, "about:blank", 800, 600, chromedp.Flag("disable-http-cache", true))
	b.refused.Store(true)
	for _, c := range []struct {
		name, outer, inner string
		shown              bool
	}{
		{"Home Assistant", home.URL, home.URL + ingressBase + "/users", true},
		{"another site", evil.URL, home.URL + ingressBase + "/users", false},
		{"another site, direct", evil.URL, direct.URL + "/login", false},
		{"the direct port itself", direct.URL, direct.URL + "/login", false},
	} {
		pages.Store(0)
		assets.Store(0)
		b.do(chromedp.Navigate(c.outer + "/frame?of=" + c.inner))
		b.until(`document.title === 'framed'`)
		if pages.Load() == 0 || (assets.Load() > 0) != c.shown {
			t.Errorf("%s: %d pages and %d of their files were asked for", c.name, pages.Load(), assets.Load())
		}
	}
}

func frameOf(url string) string {
	return fmt.Sprintf(`<!DOCTYPE html><link rel=icon href="data:,"><title>outer</title><iframe src=%q onload="document.title='framed'"></iframe>`, url)
}
