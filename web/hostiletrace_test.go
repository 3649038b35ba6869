package web

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/chromedp/chromedp"

	"hearthmq/broker/access"
	"hearthmq/broker/packet"
	"hearthmq/ui"
)

// hostileTraced are topics and payloads that a traced client sends (case W5).
var hostileTraced = []struct{ topic, payload string }{
	{"a/b", "plain"}, {"%2F/..%2f..", "%2e%2e"}, {"../../etc/passwd", "../.."}, {"/", "/"}, {"a//b", ""}, {"  two  spaces ", "  x  y "},
	{"<script>pwned=1</script>", "<script>pwned=1</script>"}, {`"><img src=x onerror=pwned=1>`, `"><svg onload=pwned=1>`}, {"{{7*7}}", "javascript:pwned=1"},
	{"rtl/\u202egnp.exe\u2066x", "\u202eabc\u2069"}, {"line\u2028sep\u2029end", "line\u2028sep"}, {"ctrl/\x01\x02\x1b[31m\x7f", "\x1b[31mred\r\n2026-01-01 -> CONNECT forged"},
	{"lines/\r\n/forged", "a\nb\nc"}, {"emoji/😀/💡", "😀💡"}, {"bom/\ufeff", "\ufeff"}, {"bytes", "\xff\xfe\x00\x80\xc3\x28"}, {"nul", "a\x00b"},
	{"long/" + strings.Repeat("é", 29_997), strings.Repeat("ü", 5000)}, {"long/x" + strings.Repeat("é", 29_997), strings.Repeat("\xff", 70_000)},
	{strings.Repeat("deep/", 120) + "end", "end"}, {"=1-1", "=cmd|' /C calc'!A0"},
}

// traceHostile has a client of a hostile name send all of them, and returns its trace.
func (s *site) traceHostile(t *testing.T) *tracedClient {
	t.Helper()
	s.listen()
	nc, err := net.Dial("tcp", s.mqtt)
	s.must(err)
	t.Cleanup(func() { nc.Close() })
	s.must(nc.SetDeadline(time.Now().Add(2 * time.Minute)))
	c := &packet.Connect{Version: packet.V50, ClientID: hostileName, CleanStart: true, HasUserName: true, UserName: "zigbee2mqtt", HasPassword: true, Password: []byte("device password")}
	_, err = nc.Write(c.Append(nil, packet.V50))
	s.must(err)
	r := packet.NewReader(nc, 0)
	_, err = r.ReadFrame()
	s.must(err)
	trace, err := s.broker.Trace(hostileName)
	s.must(err)
	for i, x := range hostileTraced {
		p := &packet.Publish{Topic: []byte(x.topic), Payload: []byte(x.payload), QoS: 1, PacketID: uint16(i + 1)}
		_, err = nc.Write(p.Append(nil, packet.V50))
		s.must(err)
		if _, err = r.ReadFrame(); err != nil { // PUBACK
			t.Fatalf("%.40q: %v", x.topic, err)
		}
	}
	return s.server.tracing.begin(trace)
}

// tracedTopic is what of a topic a trace keeps.
func tracedTopic(name string) string {
	const most = 1024
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "…"
}

func TestTraceOfHostileTopics(t *testing.T) { // case W5
	s := furnished(t, false)
	x := s.traceHostile(t)
	b := s.ingress()

	// In the page, as the server writes it.
	page := b.get("/clients/trace/"+x.id).is(t, http.StatusOK)
	for _, bad := range []string{"<script>pwned", "<img src=x", "<svg onload", "\u202e", "\u2066", "\u2028", "\x1b", "\x01", "\x00"} {
		if strings.Contains(page.body, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if !utf8.ValidString(page.body) {
		t.Error("the page is no UTF-8")
	}
	// What its script asks for.
	live := b.get("/live/trace/"+x.id+"?after=0").is(t, http.StatusOK)
	if i := strings.IndexFunc(live.body, func(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) || r == 0x2028 || r == 0x1b }); i >= 0 {
		t.Errorf("the script gets %.80q", live.body[i:])
	}

	// As a file: one line for each packet, whatever topics and payloads hold.
	file := b.get("/clients/trace/"+x.id+"/download").is(t, http.StatusOK)
	lines := strings.Split(strings.TrimSuffix(file.body, "\n"), "\n")
	published := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !strings.Contains(l, " -> PUBLISH ") })
	if len(published) != len(hostileTraced) || len(lines) != 1+2*len(hostileTraced) {
		t.Errorf("%d lines, %d of messages, want %d", len(lines), len(published), len(hostileTraced))
	}
	for i, l := range published {
		if want := " -> PUBLISH " + ui.Visible(tracedTopic(hostileTraced[i].topic)); !strings.Contains(l, want) {
			t.Errorf("%.60q is written as %.120q", hostileTraced[i].topic, l)
		}
		if j := strings.IndexFunc(l, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }); j >= 0 {
			t.Errorf("a line holds %.20q", l[j:])
		}
	}
	if h := file.Header; !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || h.Get("X-Content-Type-Options") != "nosniff" || !utf8.ValidString(file.body) {
		t.Errorf("headers of the file: %v", h)
	}

	// By the API: the topic as it is, and bytes that are no text in base64.
	p := s.program(access.ScopeRead)
	var got struct{ Packets []apiPacket }
	p.ask(200, "GET", "/traces/"+x.id+"/packets?limit=2000", "", &got)
	got.Packets = slices.DeleteFunc(got.Packets, func(p apiPacket) bool { return p.Type != "PUBLISH" })
	if len(got.Packets) != len(hostileTraced) {
		t.Fatalf("the API gives %d packets", len(got.Packets))
	}
	follower := p.follow("/traces/" + x.id + "/follow")
	for i, want := range hostileTraced {
		is := got.Packets[i]
		if is.Topic != tracedTopic(want.topic) || is.Size != len(want.payload) {
			t.Errorf("%.60q is %.60q of %d bytes by the API", want.topic, is.Topic, is.Size)
		}
		value := []byte(is.Payload)
		if is.Base64 != "" {
			var err error
			if value, err = base64.StdEncoding.DecodeString(is.Base64); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix([]byte(want.payload), value) || len(value) < min(len(want.payload), 250) {
			t.Errorf("%.60q has the value %.60q by the API", want.topic, value)
		}
		for same := follower.packet(); ; same = follower.packet() {
			if same.Type == "PUBLISH" {
				if same != is {
					t.Errorf("followed: %+v, asked: %+v", same, is)
				}
				break
			}
		}
	}
}

func TestTraceOfHostileTopicsInBrowser(t *testing.T) { // case W5
	s := furnished(t, false)
	x := s.traceHostile(t)
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	b := openTab(t, srv.URL+ingressBase+"/clients/trace/"+x.id, 1280, 900)
	b.until(loaded)
	// The script has replaced what the server wrote by what it asked for itself.
	topics := `[...document.querySelectorAll('[data-trace-list] .log-line')].filter((l) => l.querySelector('[data-cell=type]').textContent === 'PUBLISH')
		.map((l) => l.querySelector('[data-cell=topic]').textContent).reverse()`
	b.until(fmt.Sprintf(`document.querySelector('[data-trace]').hidden === false && (%s).length === %d`, topics, len(hostileTraced)))
	for i, got := range eval[[]string](b, topics) {
		if want := ui.Visible(tracedTopic(hostileTraced[i].topic)); got != want {
			t.Errorf("%.60q is shown as %.60q", want, got)
		}
	}
	b.harmless()
	// Narrowed down to one of them, by what stands in its topic.
	for _, text := range []string{"%2f", "<script>", "😀", "../etc"} {
		eval[bool](b, fmt.Sprintf(`(() => { const f = document.querySelector('[data-trace] [name=text]'); f.value = %q; f.dispatchEvent(new Event('input', { bubbles: true })); return true; })()`, text))
		b.until(fmt.Sprintf(`(%s).length === 1`, topics))
	}
	eval[bool](b, `(() => { const f = document.querySelector('[data-trace] [name=text]'); f.value = ''; f.dispatchEvent(new Event('input', { bubbles: true })); return true; })()`)
	for _, width := range []int64{1280, 320} {
		b.do(chromedp.EmulateViewport(width, 900))
		b.fits(fmt.Sprint("the trace, ", width))
		b.screenshot(fmt.Sprintf("trace-hostile-%d", width))
	}
	b.open(srv.URL + ingressBase + "/clients")
	b.harmless()
	// The client's own page names it and its trace.
	if a := s.ingress().post("/clients/show", url.Values{"client": {hostileName}}); strings.Contains(a.body, "<script>pwned") {
		t.Error("the client's name became markup")
	}
}
