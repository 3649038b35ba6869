package web

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hearthmq/broker"
)

// TestPagesLook opens the pages about retained messages and discovery as a person
// does, light and dark, wide and narrow, and leaves pictures of them.
func TestPagesLook(t *testing.T) {
	s := furnished(t, true)
	now := time.Now()
	announce(s, now)
	for i := range 30 {
		s.keep(fmt.Sprintf("esphome/sensor-%d/state", i), fmt.Sprintf(`{"value":%d,"unit":"°C"}`, i), "esphome_livingroom", "esphome", now.AddDate(0, 0, -i))
	}
	s.keep(hostileName, hostileName, hostileName, hostileName, now)
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	at := srv.URL + ingressBase
	b := openTab(t, at+"/retained", 1280, 900)
	b.until(loaded)
	s.server.cfg.Certificates = func() []Certificate {
		return []Certificate{{File: "/ssl/fullchain.pem", Ends: now.Add(9 * 24 * time.Hour), Days: 9, Soon: true}}
	}
	s.server.cfg.DiskFree = func() (int64, bool) { return 12 << 30, true }
	received := uint64(0)
	for i := range 240 { // an hour with its ups and downs
		received += uint64(100 + i%40*9)
		s.server.record.note(broker.Stats{Now: time.Now().Add(time.Duration(i-240) * recordEvery), PublishReceived: received, PublishSent: uint64(i * 260), Clients: 20 + i/30})
	}
	look := func(name string) {
		b.fits(name)
		b.whole(name)
		b.harmless()
	}
	for _, width := range []int64{1280, 390, 320} {
		b.do(chromedp.EmulateViewport(width, 844))
		for _, theme := range []string{"light", "dark"} {
			if width == 320 && theme == "dark" {
				continue
			}
			where := fmt.Sprintf("-%d-%s", width, theme)
			b.open(at + "/")
			b.theme(theme)
			b.until(`document.querySelector('[data-hour-messages] .chart-line') !== null`)
			look("overview" + where)
			b.open(at + "/discovery")
			look("discovery" + where)
			b.open(at + "/retained")
			look("retained" + where)
			b.do(chromedp.SetValue(chromedp.CSS("[name=gone]"), "7"))
			b.submit(".find button[type=submit]")
			look("retained-found" + where)
			b.submit("button[name=which][value=found]")
			look("retained-preview" + where)
		}
	}
	b.submit("form.stack button.danger")
	if b.path() != ingressBase+"/retained" {
		t.Fatalf("at %s", b.path())
	}
	look("retained-deleted-320")
	b.submit(".rows form button")
	b.do(chromedp.EmulateViewport(1280, 844))
	b.open(at + "/discovery?show=broken")
	look("discovery-broken")
	// Tick all, and the link to a topic.
	b.open(at + "/retained")
	b.do(chromedp.Click(chromedp.CSS("[data-tick-all]")))
	if n := eval[int](b, `document.querySelectorAll('[name=key]:checked').length`); n < 30 {
		t.Errorf("%d are ticked", n)
	}
	b.submit(".cell-topic a")
	b.until(ready)
	b.until(`document.getElementById('topics').hearthmq.detail.topic.includes('pwned=1')`)
	b.harmless()
}
