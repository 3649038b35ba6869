package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestTopicsByLinks goes to every tricky topic level by level, as somebody without a
// script does, and reads its value.
func TestTopicsByLinks(t *testing.T) {
	s := furnished(t, false)
	for i, name := range trickyTopics {
		s.say(name, fmt.Sprintf(`{"this":"value %d of <b>"}`, i), i%2 == 0, "probe <i>")
	}
	b := s.ingress()
	for i, name := range trickyTopics {
		a := b.get("/topics").is(t, http.StatusOK)
		for at := 0; ; {
			end := strings.IndexByte(name[at:], '/')
			level := name
			if end >= 0 {
				level, at = name[:at+end], at+end+1
			}
			code := keyOf(level)
			switch {
			case strings.Contains(a.body, `href="`+ingressBase+"/topics?t="+code+`"`):
				a = b.get("/topics?t=" + code)
			case strings.Contains(a.body, `name="t" value="`+code+`"`):
				a = b.post("/topics", url.Values{"t": {code}})
			default:
				t.Fatalf("%.60q: nothing leads to %.60q", name, level)
			}
			a.is(t, http.StatusOK)
			if end < 0 {
				break
			}
		}
		a.says(t, fmt.Sprintf("value %d of <b>", i), "probe <i>")
		if strings.Contains(a.body, "<img src=x") || strings.Contains(a.body, "<b>\"") || strings.Contains(a.body, "<svg onload") {
			t.Errorf("%.60q became markup", name)
		}
		if len(a.body) > 3*pageBytes { // one with 60 kB has its name in base64url
			t.Errorf("the page of %.60q has %d bytes", name, len(a.body))
		}
	}
	b.get("/topics?t="+keyOf("no/such/topic")).is(t, http.StatusNotFound).says(t, "There is no such topic")
	b.get("/topics?t="+keyOf("a/#")).is(t, http.StatusBadRequest)
	b.get("/topics?t=%00").is(t, http.StatusBadRequest)
	b.get("/topics?from=-1").is(t, http.StatusOK)
}

// TestTopicsPagesOfALargeFolder leads through a folder of more levels than a page lists,
// in pages that stay small however long the names are.
func TestTopicsPagesOfALargeFolder(t *testing.T) {
	s := furnished(t, false)
	const n = 3*staticRows + 7
	for i := range n {
		s.say(fmt.Sprintf("many/%04d", i), "on", true, "probe")
	}
	for i := range 40 {
		s.say(fmt.Sprintf("long/%02d%s", i, strings.Repeat("x", 2000)), strings.Repeat("value ", 10_000), false, "probe")
	}
	b := s.ingress()
	for folder, want := range map[string]int{"many": n, "long": 40} {
		seen, pages := 0, 0
		for from := "0"; from != ""; pages++ {
			a := b.post("/topics", url.Values{"t": {keyOf(folder)}, "from": {from}}).is(t, http.StatusOK)
			if len(a.body) > pageBytes {
				t.Errorf("a page of %s has %d bytes", folder, len(a.body))
			}
			seen += strings.Count(a.body, `class="topics-static-row`)
			_, rest, _ := strings.Cut(a.body, `name="from" value="`)
			from, _, _ = strings.Cut(rest, `"`)
		}
		if seen != want || pages < 2 {
			t.Errorf("%s: %d levels on %d pages, want %d", folder, seen, pages, want)
		}
	}
	// Beside a topic its neighbours are listed.
	if a := b.get("/topics?t=" + keyOf("many/0003")); !strings.Contains(a.body, keyOf("many/0004")) || !strings.Contains(a.body, "is-current") {
		t.Error("the neighbours of a topic are not listed")
	}
	// A value is cut with a word, never silently (case W6).
	s.say("large", strings.Repeat("0123456789", 20_000), true, "probe")
	b.get("/topics?t="+keyOf("large")).is(t, http.StatusOK).says(t, "These are the first 66 kB of 200 kB.")
	s.say("bytes", "\xff\x00\x01<b>", true, "probe")
	b.get("/topics?t="+keyOf("bytes")).is(t, http.StatusOK).says(t, "ff 00 01 3c 62 3e")
	s.say("cbor", "\xa1\x61a\x18\x2a", true, "probe")
	b.get("/topics?t="+keyOf("cbor")).is(t, http.StatusOK).says(t, `"a": 42`)
	s.say("nothing", "", false, "probe")
	b.get("/topics?t="+keyOf("nothing")).is(t, http.StatusOK).says(t, "An empty message")
}

// TestTopicsWithoutScriptInBrowser opens folders and reads a value in a browser that runs
// no script, and follows the same link in one that does.
func TestTopicsWithoutScriptInBrowser(t *testing.T) {
	s := furnished(t, false)
	s.say("zigbee2mqtt/kitchen/lamp", `{"state":"ON","brightness":120}`, true, "zigbee2mqtt_bridge")
	s.say("zigbee2mqtt/kitchen", `{"here":true}`, false, "zigbee2mqtt_bridge")
	s.say(hostileName, hostileName, true, hostileName)
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	at := srv.URL + ingressBase + "/topics"
	b := openTab(t, at, 1280, 800)
	b.until(ready)
	script := func(off bool) {
		if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off}); err != nil {
			t.Fatal(err)
		}
	}
	script(true)
	for _, width := range []int64{1280, 390, 320} {
		b.do(chromedp.EmulateViewport(width, 800), chromedp.Navigate(at))
		press := func(name string) {
			t.Helper()
			if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(fmt.Sprintf(`.topics-static-name[href$="=%s"]`, keyOf(name))))); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		b.screenshot(fmt.Sprintf("topics-noscript-top-%d", width))
		press("zigbee2mqtt")
		press("zigbee2mqtt/kitchen")
		if text := b.text(); !strings.Contains(text, `"here": true`) {
			t.Errorf("the folder's own value is not there: %s", text)
		}
		b.fits("topics without a script")
		b.screenshot(fmt.Sprintf("topics-noscript-folder-%d", width))
		press("zigbee2mqtt/kitchen/lamp")
		if text := b.text(); !strings.Contains(text, `"brightness": 120`) || !strings.Contains(text, "zigbee2mqtt_bridge") {
			t.Errorf("the value is not there: %s", text)
		}
		b.fits("topics without a script")
		b.screenshot(fmt.Sprintf("topics-noscript-value-%d", width))
	}
	b.do(chromedp.Navigate(at + "?t=" + keyOf(hostileName)))
	script(false)
	b.do(chromedp.Navigate(at + "?t=" + keyOf("zigbee2mqtt/kitchen/lamp")))
	b.until(`document.getElementById('topics').hearthmq?.detail.topic === 'zigbee2mqtt/kitchen/lamp' && !document.getElementById('detail-live').hidden &&
		document.getElementById('detail-static') === null && document.getElementById('topics-tree').getAttribute('role') === 'tree' && location.search === ''`)
	b.do(chromedp.Navigate(at + "?t=" + keyOf("zigbee2mqtt")))
	b.until(`document.getElementById('topics').hearthmq?.detail.topic === 'zigbee2mqtt'`)
	b.do(chromedp.Navigate(at + "?t=" + keyOf(hostileName)))
	b.until(`document.getElementById('topics').hearthmq?.detail.topic.includes('pwned')`)
	b.harmless()
}
