package web

import (
	flags "flag"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"hearthmq/broker/brokertest"
)

var everyPaint = flags.Bool("paint", false, "measure the first paint of every page, often")

// firstPaint is what is promised of every page, in milliseconds from the click.
const firstPaint = 300

// painted is what one visit took, in milliseconds.
type painted struct {
	Answer float64 // the first byte came
	Ready  float64 // the page is whole and its modules have run
	Paint  float64 // something is seen: text or a picture (first-contentful-paint)
	Bytes  int     // what came over the network
	Files  int
}

// visit opens a page and waits until it was painted.
func (b *tab) visit(url string) painted {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
	return eval[painted](b, `new Promise((done) => {
		new PerformanceObserver((list, o) => {
			const paint = list.getEntriesByName('first-contentful-paint')[0];
			if (!paint) return;
			o.disconnect();
			const [nav] = performance.getEntriesByType('navigation'), files = performance.getEntriesByType('resource').filter((f) => f.transferSize > 0);
			done({ Answer: nav.responseStart, Ready: nav.domContentLoadedEventEnd, Paint: paint.startTime,
				Bytes: files.reduce((n, f) => n + f.transferSize, nav.transferSize), Files: files.length });
		}).observe({ type: 'paint', buffered: true });
	})`)
}

// TestFirstPaint measures in a real browser how long it takes until a page is seen, by
// somebody who was never here and by somebody who was. With -paint it is every page, in a
// filled house.
func TestFirstPaint(t *testing.T) {
	most := float64(firstPaint)
	if raceEnabled {
		most *= 3
	}
	var s *site
	if *everyPaint {
		s = filled(t)
	} else {
		s = furnished(t, true)
	}
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	at := srv.URL + ingressBase
	paths, rounds := []string{"/", "/topics"}, 2
	if *everyPaint {
		rounds = 9
		paths = append(paths, "/clients", "/discovery", "/retained", "/users", "/users/new", "/users/connect", "/users/connect/zigbee2mqtt", s.userPath("device-007"), "/access", s.rolePath("read-only"),
			"/bridges", "/connect", "/import", "/logs", "/logs/audit", "/settings", "/settings/tokens", "/settings/logins", "/settings/certificates", "/settings/backup")
	}
	b := openTab(t, at+"/settings", 1280, 900) // the browser itself has started
	b.until(loaded)
	for _, path := range paths {
		machine := brokertest.WatchMachine()
		for _, cold := range []bool{true, false} {
			var all []painted
			for range rounds {
				if _, err := chromedp.Call(b.ctx, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: cold}); err != nil {
					t.Fatal(err)
				}
				all = append(all, b.visit(at+path))
			}
			slices.SortFunc(all, func(x, y painted) int { return int(x.Paint*1000) - int(y.Paint*1000) })
			mid, last := all[len(all)/2], all[len(all)-1]
			how := map[bool]string{true: "first visit", false: "again"}[cold]
			t.Logf("%-32s %-11s seen after %4.0f ms (worst %4.0f), answer after %4.0f, complete after %4.0f; %6d bytes in %d files",
				path, how, mid.Paint, last.Paint, mid.Answer, mid.Ready, mid.Bytes, mid.Files)
			if mid.Paint >= most {
				machine.Timing(t, "%s, %s: seen after %.0f ms", path, how, mid.Paint)
			}
			// However busy the machine is: a page that waits for something shows here.
			if limit := 20 * time.Second; mid.Paint >= float64(limit.Milliseconds()) {
				t.Errorf("%s, %s: seen after %.0f ms", path, how, mid.Paint)
			}
		}
	}
	b.harmless()
}
