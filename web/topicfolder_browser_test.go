package web

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestFolderInBrowser goes from a folder of the tree to nothing but its topics, and to
// its retained messages, which are deleted in one step.
func TestFolderInBrowser(t *testing.T) {
	s := furnished(t, true)
	for i := range 7 {
		s.keep(fmt.Sprintf("esphome/sensor-%d/state", i), "on", "esphome_livingroom", "esphome", time.Now())
	}
	s.keep("other/state", "on", "esphome_livingroom", "esphome", time.Now())
	for m := range s.broker.Retained("#") {
		s.server.cfg.Feed.OnPublish(m)
	}
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	b := openTab(t, srv.URL+ingressBase+"/topics", 1280, 900)
	b.until(ready)
	choose := func() {
		b.do(chromedp.Evaluate[chromedp.Void](`document.getElementById('topics').hearthmq.show('esphome')`))
		b.until(`!document.getElementById('detail-folder').hidden`)
	}
	choose()
	if got := eval[string](b, `document.getElementById('detail-folder').innerText`); !strings.Contains(got, "7 topics below it") {
		t.Errorf("the folder says %q", got)
	}
	b.screenshot("folder")
	b.do(chromedp.Click(chromedp.CSS("#detail-folder-only")))
	b.until(`document.getElementById('topics').hearthmq.state.matches === 7`)
	b.looks(func(where string) {
		b.fits("folder" + where)
		b.screenshot("folder" + where)
	})
	b.submit("#detail-folder-retained button")
	if b.path() != ingressBase+"/retained" || !strings.Contains(b.text(), "7 messages of ") {
		t.Fatalf("at %s:\n%s", b.path(), b.text())
	}
	b.submit("button[name=which][value=found]")
	b.submit("form.stack button.danger")
	if n := len(s.retainedTopics("esphome/#")); n != 0 || len(s.retainedTopics("other/#")) != 1 {
		t.Errorf("%d are left", n)
	}
	b.harmless()
}
