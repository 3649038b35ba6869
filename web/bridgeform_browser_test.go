package web

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestBridgeFormInBrowser adds a bridge whose topics are filled in as rows, and finds
// them again; a slip in the text is put right in the text.
func TestBridgeFormInBrowser(t *testing.T) {
	s := furnished(t, false)
	book := s.withBridges()
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	at := srv.URL + ingressBase
	b := openTab(t, at+"/bridges/new", 1280, 900)
	b.refused.Store(true)
	b.until(loaded)
	const row = "[data-rows] > .rule:nth-child"
	b.typeInto("name", "holiday-home")
	b.do(chromedp.SendKeys(chromedp.CSS("[name=addresses]"), "broker.example"),
		chromedp.SendKeys(chromedp.CSS(row+"(1) [data-part=filter]"), "sensors/#"),
		chromedp.Click(chromedp.CSS("[data-add]")),
		chromedp.SendKeys(chromedp.CSS(row+"(2) [data-part=filter]"), "gone/#"),
		chromedp.Click(chromedp.CSS("[data-add]")),
		chromedp.SetValue(chromedp.CSS(row+"(3) [data-part=direction]"), "in"),
		chromedp.SendKeys(chromedp.CSS(row+"(3) [data-part=filter]"), "heating/#"),
		chromedp.Click(chromedp.CSS(row+"(3) summary")),
		chromedp.SendKeys(chromedp.CSS(row+"(3) [data-part=here]"), "away/"),
		chromedp.Click(chromedp.CSS(row+"(2) [data-remove]")))
	b.looks(func(where string) { b.look("bridge-form" + where) })
	if focus := eval[string](b, `document.activeElement.textContent.trim()`); focus != "Add topic" {
		t.Errorf("the focus is at %q after a row was removed", focus)
	}
	b.submit(`main button[type=submit]:not([name])`)
	list, err := book.Repository.Bridges(t.Context())
	s.must(err)
	if len(list) != 1 || len(list[0].Topics) != 2 || list[0].Topics[0].String() != "sensors/# out 1" || list[0].Topics[1].String() != `heating/# in 1 away/ ""` {
		t.Fatalf("at %s, stored %+v", b.path(), list)
	}

	// What is stored stands in rows again.
	b.open(at + "/bridges/edit/holiday-home")
	if got := eval[string](b, `[...document.querySelectorAll('[data-rows] [data-part=filter]')].map((e) => e.value).join(' ')`); got != "sensors/# heating/#" {
		t.Errorf("the rows are %q", got)
	}
	if eval[bool](b, `document.querySelector('[data-bridge-text]').open`) {
		t.Error("the text is open beside the rows")
	}
	b.do(chromedp.SetValue(chromedp.CSS("[name=topics]"), "sensors/# sideways"))
	b.submit(`main button[type=submit]:not([name])`)
	if !strings.Contains(b.text(), "not in, out or both") || !eval[bool](b, `document.querySelector('[name=topics]').checkVisibility() && document.querySelector('[data-bridge-topics]').hidden`) {
		t.Errorf("after a slip in the text:\n%s", b.text())
	}
	b.harmless()
}

// TestBridgeAndChartModules runs what needs no page with cases of our own.
func TestBridgeAndChartModules(t *testing.T) {
	s := furnished(t, false)
	s.withBridges()
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	b := openTab(t, srv.URL+ingressBase+"/bridges/new", 800, 600)
	b.until(loaded)
	for _, w := range eval[[]string](b, `(async () => {
		const folder = new URL('.', document.querySelector('script[src*="bridge-form.js"]').src);
		const { parse, write } = await import(folder + 'bridge-form.js');
		const { timeMarks, ticks } = await import(folder + 'series-chart.js');
		const wrong = [];
		const same = (what, got, want) => { if (JSON.stringify(got) !== JSON.stringify(want)) wrong.push(what + ': ' + JSON.stringify(got)); };
		for (const [line, want] of [
			['sensors/#', 'sensors/# out 0'], ['topic a/# BOTH 2', 'a/# both 2'], ['a in 1 here/ there/', 'a in 1 here/ there/'],
			['"a b" in 0 "" x/', '"a b" in 0 "" x/'], ['"" out 1 a/b c/d', '"" out 1 a/b c/d'], ['topic', 'topic out 0'],
			['a sideways', null], ['a in 3', null], ['a in 1 b c d', null], ['a in 1 "b', null],
		]) { const t = parse(line); same(line, t && write(t), want); }
		const m = 60000, at = new Date(2026, 10, 7, 14, 37);
		same('a minute', timeMarks(m, 4), [15000, 30000, 45000, m]);
		same('an hour', timeMarks(60 * m, 6), [10, 20, 30, 40, 50, 60].map((n) => n * m));
		same('two minutes', timeMarks(97000, 8), [15, 30, 45, 60, 75, 90].map((n) => n * 1000));
		same('six hours begin at the clock', timeMarks(360 * m, 6, at), [37, 97, 157, 217, 277, 337].map((n) => n * m));
		same('a year', timeMarks(365 * 1440 * m, 6).length <= 7, true);
		same('ticks', ticks(0, 27, 4), [0, 10, 20]);
		return wrong;
	})()`) {
		t.Error(w)
	}
	b.harmless()
}
