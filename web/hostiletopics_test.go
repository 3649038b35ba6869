package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"hearthmq/broker/topic"
)

// trickyTopics are Topic Names that trip over paths, URLs, filters and markup.
var trickyTopics = []string{
	"a/b", "/lead", "trail/", "a//b", "/", "%2F/..", "../../etc/passwd", "a/../b", ".", "home/%23/x", "a?b=c&d=%23e", `back\slash`,
	"<img src=x onerror=pwned=1>", `"><svg onload=pwned=1>`, "emoji/😀/💡", "space and more", "=1-1", "@SUM(A1)", "ä/ö/日本",
	"long/" + strings.Repeat("x", 60_000), strings.Repeat("deep/", 120) + "end",
}

// TestTrickyTopicsEverywhere does with each of them what a person can do with a
// topic, without a browser.
func TestTrickyTopicsEverywhere(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	for _, name := range trickyTopics {
		short := name[:min(len(name), 40)]
		if err := topic.ValidName(name); err != nil {
			t.Fatal(short, err)
		}
		s.say(name, `{"n":1}`, true, "probe")
		s.say(name, `{"n":2}`, true, "probe")
		code := base64.RawURLEncoding.EncodeToString([]byte(name))
		call := func(path string, body map[string]any) string {
			t.Helper()
			body["topic"] = name
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			req := b.request(http.MethodPost, path, bytes.NewReader(text))
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
			a := b.do(req)
			if a.StatusCode/100 != 2 {
				t.Errorf("%s of %q: %d %s", path, short, a.StatusCode, a.body)
			}
			return a.body
		}
		call("/live/topics/history", map[string]any{})
		if got := call("/live/topics/series", map[string]any{"path": []string{"n"}}); !strings.Contains(got, "2") {
			t.Errorf("chart of %q: %s", short, got)
		}
		if got := call("/topics/who", map[string]any{}); !strings.Contains(got, "probe") {
			t.Errorf("who of %q: %s", short, got)
		}
		call("/topics/pin", map[string]any{"on": true})
		call("/topics/publish", map[string]any{"payload": `{"n":3}`, "qos": 1, "retain": true})
		a := b.post("/topics/download", url.Values{"t": {code}})
		if a.is(t, http.StatusOK); a.body != `{"n":3}` {
			t.Errorf("download of %q: %q", short, a.body)
		}
		// The retained message, deleted and undone.
		preview := b.post("/retained/preview", url.Values{"which": {"ticked"}, "key": {topicKey(name)}}).is(t, http.StatusOK)
		if strings.Contains(preview.body, "<img src=x") || strings.Contains(preview.body, "<svg onload") {
			t.Errorf("preview of %q became markup", short)
		}
		call("/topics/clear", map[string]any{})
		if slices.Contains(s.kept(), name) {
			t.Errorf("%q is still retained", short)
		}
		call("/topics/publish", map[string]any{"payload": "again", "retain": true})
	}
	for _, path := range []string{"/retained", "/topics", "/"} {
		page := b.get(path).is(t, http.StatusOK)
		read(t, path, ingressBase, page.body)
		if len(page.body) > pageBytes {
			t.Errorf("%s has %d bytes", path, len(page.body))
		}
	}
}

// TestTrickyTopicsInTheTree selects each of them in a real browser, and looks at its
// value, history, chart and who has to do with it.
func TestTrickyTopicsInTheTree(t *testing.T) {
	s := newSite(t, nil)
	for _, name := range trickyTopics {
		s.say(name, `{"n":1}`, true, "probe")
		s.say(name, `{"n":2}`, true, "probe")
	}
	b := s.topicsTab(t, 1280, 900)
	for _, name := range trickyTopics {
		b.choose(name)
		b.click("#tab-history")
		b.until(`document.querySelectorAll('#history-rows tr').length === 2`)
		b.click("#tab-who")
		b.until(`document.getElementById('panel-who').textContent.includes('probe')`)
		b.click("#tab-value")
	}
	b.choose("emoji/😀/💡")
	b.do(chromedp.Click(chromedp.ID("detail-clear")))
	b.until(`document.getElementById('clear-dialog').open`)
	b.do(chromedp.Click(chromedp.ID("clear-confirm")))
	b.until(`!document.getElementById('clear-dialog').open && document.getElementById('detail-clear').hidden`)
	if slices.Contains(s.kept(), "emoji/😀/💡") {
		t.Error("it is still retained")
	}
	b.screenshot("hostile-topics")
	b.harmless()
}

// case W6: a payload leaves as a file that no browser opens by itself, whatever it is,
// and what is not all of it says so in its name.
func TestPayloadDownloads(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	safe := regexp.MustCompile(`^[A-Za-z0-9_-]+\.[a-z+]+$`)
	for name, payload := range map[string]string{
		"html": "<!DOCTYPE html><script>pwned=1</script>", "svg": `<svg xmlns="http://www.w3.org/2000/svg" onload="pwned=1"/>`, "json": `{"a":1}`,
		"binary": "\x00\x01\xff\xfe", "large": strings.Repeat("0123456789", 1<<20), "empty": "", "../../x.html": "<b>", "a\";filename=\"x.exe": "MZ", "formula": "=HYPERLINK(\"http://evil\")",
	} {
		s.say(name, payload, payload != "", "probe")
		if _, err := s.server.cfg.Feed.History(name); err != nil { // somebody looks: its next payload is kept whole
			t.Fatal(err)
		}
		s.say(name, payload, payload != "", "probe")
		a := b.post("/topics/download", url.Values{"t": {base64.RawURLEncoding.EncodeToString([]byte(name))}}).is(t, http.StatusOK)
		kind, params, err := mime.ParseMediaType(a.Header.Get("Content-Disposition"))
		if err != nil || kind != "attachment" || !safe.MatchString(params["filename"]) {
			t.Errorf("%q: Content-Disposition %q, %v", name, a.Header.Get("Content-Disposition"), err)
		}
		if a.Header.Get("Content-Type") != "application/octet-stream" || a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Content-Security-Policy") != "default-src 'none'; sandbox" {
			t.Errorf("%q: %v", name, a.Header)
		}
		if !strings.HasPrefix(payload, a.body) || (a.body != payload) != strings.Contains(params["filename"], "-first-") {
			t.Errorf("%q: %d of %d bytes as %s", name, len(a.body), len(payload), params["filename"])
		}
	}
	b.post("/topics/download", url.Values{"t": {"!"}}).is(t, http.StatusBadRequest)
	b.post("/topics/download", url.Values{"t": {"eA"}}).is(t, http.StatusNotFound)
}

// case W7: nothing leaves in a form whose cells a spreadsheet would run. There are no
// tables among the exports; values in JSON and in files are what was published.
func TestExportsHoldNoFormulas(t *testing.T) {
	s := newSite(t, nil)
	b := s.ingress()
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct{ Content map[string]any }
		}
	}
	if err := json.Unmarshal([]byte(b.get("/api/v1/openapi.json").is(t, http.StatusOK).body), &doc); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for path, methods := range doc.Paths {
		for _, m := range methods {
			for _, answer := range m.Responses {
				for kind := range answer.Content {
					kinds[kind] = true
					if strings.Contains(kind, "csv") || strings.Contains(kind, "excel") || strings.Contains(kind, "tab-separated") {
						t.Errorf("%s answers with %s: cells that begin with = + - @ need a prefix", path, kind)
					}
				}
			}
		}
	}
	if len(kinds) < 2 {
		t.Errorf("the API answers with %v only", kinds)
	}
	for _, value := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "\u202eevil", "Grüße 日本"} {
		s.say("formula", value, true, "probe")
		a := b.post("/topics/download", url.Values{"t": {base64.RawURLEncoding.EncodeToString([]byte("formula"))}}).is(t, http.StatusOK)
		if a.body != value || strings.Contains(a.Header.Get("Content-Disposition"), ".csv") {
			t.Errorf("%q left as %q, %s", value, a.body, a.Header.Get("Content-Disposition"))
		}
	}
}
