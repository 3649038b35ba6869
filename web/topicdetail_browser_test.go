package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
	"hearthmq/ui"
)

// say publishes as the client that is named, straight into the broker.
func (s *site) say(topicName, payload string, retain bool, client string) {
	s.t.Helper()
	m := broker.NewMessage(topicName, []byte(payload), 0, retain)
	l := s.broker.Attach(&broker.Identity{ClientID: client, User: "zigbee2mqtt", System: true}, broker.LocalOptions{})
	defer l.Close()
	s.must(l.Publish(context.Background(), m))
}

// topicsTab opens the topics page of a site behind ingress.
func (s *site) topicsTab(t *testing.T, width, height int64) *tab {
	t.Helper()
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	b := openTab(t, srv.URL+ingressBase+"/topics", width, height)
	b.until(ready)
	return b
}

// choose selects a topic, opening what is above it.
func (b *tab) choose(topicName string) {
	b.t.Helper()
	quoted, err := json.Marshal(topicName)
	if err != nil {
		b.t.Fatal(err)
	}
	b.until(fmt.Sprintf(`(() => { const { rows, view, detail, show } = document.getElementById('topics').hearthmq;
		if (detail.topic === %[1]s && rows.byID(view.selected) && !document.getElementById('detail-live').hidden) return true;
		if (detail.topic !== %[1]s || !view.selected) show(%[1]s);
		return false; })()`, quoted))
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelector(%q)?.checkVisibility() === true`, selector))
	eval[bool](b, fmt.Sprintf(`document.querySelector(%q).click() ?? true`, selector))
}

func TestTopicPayloadForms(t *testing.T) {
	s := newSite(t, nil)
	png := "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x00\x01\xff\x89\x99=\x1d\x00\x00\x00\x00IEND\xaeB`\x82"
	for name, payload := range map[string]string{
		"cbor": "\xa2\x61t\xf9\x4d\x60\x62on\xf5", "msgpack": "\x82\xa1t\xcb\x40\x35\x80\x00\x00\x00\x00\x00\xa2on\xc3",
		"spBv1.0/g/NDATA/n": "\x08\x01\x12\x0e\x0a\x01t\x20\x0a\x69\x00\x00\x00\x00\x00\x80\x35\x40\x18\x07",
		"image":             png, "base64": "eyJoZWxsbyI6IndvcmxkIn0=", "text": "grün 😀", "svg": `<svg onload="pwned=1"><script>pwned=1</script></svg>`,
		"not-a-picture": "\xff\xd8\xff\xe0 not a picture", "empty/retained": "",
		"large": `{"list":[` + strings.Repeat(`"0123456789",`, 10_000) + `"end"]}`,
	} {
		s.say(name, payload, false, "z2m")
	}
	b := s.topicsTab(t, 1280, 900)
	for _, c := range []struct{ topic, mode, want string }{
		{"cbor", "cbor", "t: 21.5"}, {"msgpack", "msgpack", "t: 21.5"}, {"spBv1.0/g/NDATA/n", "sparkplug", "value: 21.5"},
		{"base64", "text", "eyJoZWxsbyI6IndvcmxkIn0="}, {"text", "text", "grün 😀"}, {"svg", "text", "<svg onload"},
		{"not-a-picture", "hex", "ff d8 ff e0"},
	} {
		b.choose(c.topic)
		b.until(fmt.Sprintf(`document.getElementById('detail-value').textContent.replace(/\s+/g, ' ').replaceAll(': ', ':').includes(%q)`, strings.ReplaceAll(c.want, ": ", "")) +
			` || document.getElementById('detail-value').innerText.includes(` + fmt.Sprintf("%q", c.want) + `)`)
	}
	b.choose("base64")
	b.click(`#detail-modes [data-mode=unbase64]`)
	b.until(`document.getElementById('detail-value').innerText.includes('"world"')`)
	b.choose("image")
	b.until(`document.querySelector('#detail-value img')?.naturalWidth === 1`)
	// Nothing is cut silently, and all of it is a click away (case W6).
	b.choose("large")
	b.until(`document.getElementById('detail-cut-text').textContent.includes('first 66 kB of 130 kB. The rest was not kept')`)
	s.say("large", `{"list":[`+strings.Repeat(`"0123456789",`, 10_000)+`"end"]}`, false, "z2m")
	b.click("#detail-all")
	b.until(`document.getElementById('detail-cut').hidden && document.querySelector('#detail-value .json') !== null`)
	b.harmless()
}

func TestTopicHistoryChartAndWho(t *testing.T) {
	s := furnished(t, true)
	const name = "zigbee2mqtt/kitchen/sensor"
	s.say(name, `{"temperature":20,"state":"OFF","gone":1}`, true, "zigbee2mqtt_bridge")
	b := s.topicsTab(t, 1280, 900)
	b.choose(name)
	for i := range 30 {
		s.say(name, fmt.Sprintf(`{"temperature":%d.5,"state":"ON","new":true}`, 20+i%7), true, "zigbee2mqtt_bridge")
	}
	// History: any two compared.
	b.click("#tab-history")
	b.until(`document.querySelectorAll('#history-rows tr').length === 31 || !document.getElementById('history-fresh').hidden && document.getElementById('history-fresh').click()`)
	b.click("#history-rows tr:last-child [name=history-old]")
	b.click("#history-rows tr:first-child [name=history-new]")
	b.until(`document.querySelector('#history-value .diff-old')?.textContent.includes('temperature') && document.querySelector('#history-value .diff-new')?.textContent.includes('21.5')`)
	b.screenshot("history-1280")
	b.click("#history-modes [data-show=old]")
	b.until(`document.getElementById('history-value').innerText.includes('gone')`)
	// Kept across restarts.
	b.click("#history-pin")
	b.until(`document.getElementById('detail-badges').textContent.includes('History kept')`)
	if got := s.server.cfg.Feed.Pins(); len(got) != 1 || got[0] != name {
		t.Errorf("pinned: %q", got)
	}
	// Chart: a number chosen in the value.
	b.click("#tab-value")
	b.click("#detail-value .json-chart")
	b.until(`document.querySelector('#chart .chart-line') !== null && document.getElementById('chart-note').textContent.startsWith('31 messages')`)
	b.click("#chart-twin > summary")
	b.until(`document.querySelectorAll('#chart-table tbody tr').length === 31`)
	// The chart may be drawn anew between the focus and the key. Which value the last
	// point shows depends on how close together the messages came.
	b.until(`(() => { const chart = document.querySelector('#chart svg'); chart.focus();
		chart.dispatchEvent(new KeyboardEvent('keydown', { key: 'End', bubbles: true }));
		return /: .*\b2[0-6](\.5)?\b/.test(document.querySelector('.chart-readout').textContent); })()`)
	b.screenshot("chart-1280")
	// Who sent it, who gets it, who may.
	b.click("#tab-who")
	b.until(`(() => { const t = document.getElementById('panel-who').innerText;
		return t.includes('zigbee2mqtt_bridge') && t.includes('zigbee2mqtt/#') && t.includes('washing-machine') && t.includes('no rule matches'); })()`)
	b.screenshot("who-1280")
	for _, width := range []int64{390, 1280} {
		b.do(chromedp.EmulateViewport(width, 844))
		for _, theme := range []string{"dark", "light"} {
			b.theme(theme)
			for _, tabName := range []string{"history", "chart", "who", "value"} {
				b.click("#tab-" + tabName)
				eval[bool](b, `new Promise((done) => setTimeout(() => done(true), 250))`)
				b.fits(tabName)
				b.screenshot(fmt.Sprintf("%s-%d-%s", tabName, width, theme))
			}
		}
	}
	b.harmless()
}

func TestTopicPublishWithProperties(t *testing.T) {
	s := newSite(t, nil)
	s.say("lamp/set", "OFF", false, "x")
	b := s.topicsTab(t, 1280, 900)
	b.choose("lamp/set")
	b.click("#detail-resend")
	b.until(`document.getElementById('publish-payload').value === 'OFF'`)
	b.click("#publish-form .detail-previous > summary")
	eval[bool](b, `(() => { const f = document.getElementById('publish-form').elements;
		f.payload.value = '0102ff'; f.encoding.value = 'hex'; f.contentType.value = 'text/x'; f.responseTopic.value = 'answer/here';
		f.correlation.value = 'c-1'; f.expiry.value = '60'; f.user.value = 'room: kitchen\n a: b: c'; f.retain.checked = true; return true; })()`)
	b.screenshot("publish")
	b.click("#publish-form button[type=submit]")
	b.until(`document.getElementById('publish-result').textContent === 'Published.' && document.getElementById('detail-props').innerText.includes('answer/here')`)
	for m := range s.broker.Retained("lamp/set") {
		p, err := packet.DecodeProperties(m.Properties)
		if err != nil || string(m.Payload) != "\x01\x02\xff" || p.ContentType != "text/x" || p.ResponseTopic != "answer/here" ||
			string(p.CorrelationData) != "c-1" || len(p.User) != 2 || p.User[1].Value != "b: c" || m.Expires.IsZero() {
			t.Errorf("published %q %+v, %v", m.Payload, p, err)
		}
	}
	b.harmless()
}

// TestTopicLinks: a link holds a topic behind the #, whatever is in it, and finds
// it again.
func TestTopicLinks(t *testing.T) {
	s := newSite(t, nil)
	long := "long/" + strings.Repeat("x", 60_000)
	names := []string{"a/b", "/lead", "trail/", "a//b", "%2F/..", "../../etc", "<img src=x onerror=pwned=1>", "emoji/😀", "space and\nline", long}
	for _, n := range names {
		if err := topic.ValidName(n); err != nil {
			t.Fatal(n, err)
		}
		s.say(n, "v of "+ui.LastLevels(n, 20), false, "x")
	}
	b := s.topicsTab(t, 1280, 900)
	for _, n := range names {
		b.choose(n)
		b.until(fmt.Sprintf(`document.getElementById('detail-value').textContent.includes(%q)`, "v of"))
		link := eval[string](b, `location.href`)
		if strings.Contains(strings.TrimPrefix(link, "http://"), "..") || !strings.Contains(link, "/topics#t=") {
			t.Errorf("the link is %.100s", link)
		}
		page, _, _ := strings.Cut(link, "/topics#")
		b.open(page + "/users")
		b.open(link)
		b.until(ready)
		b.until(fmt.Sprintf(`document.getElementById('topics').hearthmq.detail.topic === %q`, n))
		b.until(`document.getElementById('detail-value').textContent.includes('v of')`)
	}
	b.harmless()
}

func TestTopicRegexp(t *testing.T) {
	s := newSite(t, nil)
	for i := range 30 {
		s.say(fmt.Sprintf("home/room%d/temp", i), fmt.Sprint(i), false, "x")
	}
	b := s.topicsTab(t, 1280, 900)
	b.click("#topics-regexp")
	b.do(chromedp.SendKeys(chromedp.ID("topics-filter"), `room1\d/`))
	b.until(`document.getElementById('topics-status').textContent.startsWith('10 topics of')`)
	b.do(chromedp.SendKeys(chromedp.ID("topics-filter"), `(`))
	b.until(`document.getElementById('topics-status').textContent.startsWith('Not a regular expression')`)
}

// TestTopicsAtScale is what the page promises at 100,000 topics.
func TestTopicsAtScale(t *testing.T) {
	if raceEnabled {
		t.Skip("measures time")
	}
	machine := brokertest.WatchMachine()
	h := newHouse(100_003)
	srv := topicsSite(t, h.feed, &topicBroker{}, always)
	b := openTab(t, srv.URL+ingressBase+"/topics", 1280, 800)
	b.until(ready)
	shown := eval[float64](b, `(({ shownAt, liveAt }) => shownAt - liveAt)(document.getElementById('topics').hearthmq.state)`)
	h.live(t, 5000)
	got, slowly := b.scroll(true), b.scroll(false)
	still := eval[float64](b, `(async () => {
		const { socket } = document.getElementById('topics').hearthmq;
		const received = socket.received;
		await new Promise((done) => setTimeout(done, 3000));
		return (socket.received - received) / 3;
	})()`)
	t.Logf("100,003 topics: the tree opens in %.0f ms, all of its %d rows in %.0f ms; frames p50 %.1f p95 %.1f max %.1f ms; %.0f bytes/s while scrolling quickly, %.0f slowly, %.0f at rest; rows were missing in %d of %d frames",
		shown, got.Rows, got.Open, got.P50, got.P95, got.Max, got.Wire, slowly.Wire, still, got.Blank, got.Frames)
	if shown >= 300 {
		machine.Timing(t, "the tree opens in %.0f ms, want less than 300", shown)
	}
	if got.P95 >= 33 {
		machine.Timing(t, "a frame takes %.1f ms (p95)", got.P95)
	}
	if still >= 20_000 || slowly.Wire >= 20_000 || got.Wire == 0 {
		t.Errorf("%.0f bytes a second on the wire, %.0f while scrolling", still, slowly.Wire)
	}
	b.harmless()
}
