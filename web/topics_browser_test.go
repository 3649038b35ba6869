package web

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/feed"
)

const ready = `document.getElementById('topics').hearthmq?.state.complete === true`

func TestTopicsPageUnderLoad(t *testing.T) {
	machine := brokertest.WatchMachine()
	h := newHouse(10_001)
	srv := topicsSite(t, h.feed, &topicBroker{}, always)
	b := openTab(t, srv.URL+ingressBase+"/topics", 1280, 800)
	b.until(ready)
	shown := eval[float64](b, `(({ shownAt, liveAt }) => shownAt - liveAt)(document.getElementById('topics').hearthmq.state)`)
	h.live(t, 2000)

	got := b.scroll(true)
	t.Logf("%d topics: the tree opens in %.0f ms, all of it in %.0f ms; frames p50 %.1f p95 %.1f max %.1f ms; %.0f bytes/s while scrolling; %d elements; %d flashes",
		got.Topics, shown, got.Open, got.P50, got.P95, got.Max, got.Wire, got.Els, got.Flashes)
	if shown >= 300 {
		machine.Timing(t, "the tree opens in %.0f ms, want less than 300", shown)
	}
	if got.Topics != 10_000 || got.Rows < 10_000 { // the one of $SYS is hidden
		t.Errorf("%d topics, %d rows", got.Topics, got.Rows)
	}
	if got.P95 >= 33 {
		machine.Timing(t, "a frame takes %.1f ms (p95) while scrolling, want less than 33", got.P95)
	}
	if got.Els > 80 {
		t.Errorf("%d row elements", got.Els)
	}
	if got.Blank > got.Frames/2 {
		machine.Timing(t, "rows were missing in %d of %d frames", got.Blank, got.Frames)
	}
	// Visible values change five times a second: these are fifty small texts.
	if got.Wire > 100_000 {
		t.Errorf("%.0f bytes a second on the wire", got.Wire)
	}
	b.harmless()
}

// scrolled is what scrolling through the tree was like.
type scrolled struct {
	Rows, Topics, Els, Flashes int
	Frames, Blank              int // Blank: frames with a row in sight that had not come yet
	Open, P50, P95, Max, Wire  float64
}

// scroll opens all folders, by a filter for everything, and scrolls for five seconds.
func (b *tab) scroll(quickly bool) scrolled {
	b.t.Helper()
	step := 37 // pixels in a frame
	if !quickly {
		step = 2
	}
	return eval[scrolled](b, fmt.Sprintf(`(async () => {
		const { rows, view, socket, state } = document.getElementById('topics').hearthmq;
		const el = document.getElementById('topics-tree');
		const start = performance.now();
		const input = document.getElementById('topics-filter');
		input.value = '#';
		input.dispatchEvent(new Event('input'));
		while (state.matches < 0 || rows.all < rows.topics) await new Promise((done) => setTimeout(done, 5));
		const open = performance.now() - start;
		await new Promise((done) => setTimeout(done, 1000));
		let flashes = 0, blank = 0;
		const animate = Element.prototype.animate;
		Element.prototype.animate = function (...a) { flashes++; return animate.apply(this, a); };
		const took = [];
		const received = socket.received;
		let last = performance.now();
		const end = last + 5000;
		await new Promise((done) => {
			const frame = (now) => {
				took.push(now - last);
				last = now;
				if (!rows.at(Math.floor(el.scrollTop / 28)) || !rows.at(Math.floor((el.scrollTop + el.clientHeight) / 28))) blank++;
				el.scrollTop += %d;
				now < end ? requestAnimationFrame(frame) : done();
			};
			requestAnimationFrame(frame);
		});
		Element.prototype.animate = animate;
		took.sort((a, b) => a - b);
		const at = (q) => took[Math.floor((took.length - 1) * q)];
		return { Rows: rows.all, Topics: rows.topics, Els: document.querySelectorAll('#topics-tree .tree-row').length, Frames: took.length, Blank: blank,
			P50: at(.5), P95: at(.95), Max: at(1), Wire: (socket.received - received) / 5, Open: open, Flashes: flashes };
	})()`, step))
}

// seen are the ids of the topics among the first rows.
func (b *tab) seen() []int {
	b.t.Helper()
	return eval[[]int](b, `(() => { const { rows } = document.getElementById('topics').hearthmq; const ids = [];
		for (let i = rows.from; i < rows.to; i++) if (rows.at(i)?.topic) ids.push(rows.at(i).id);
		return ids; })()`)
}

func TestTopicsPageShowsHostileTextAsText(t *testing.T) {
	h := newHouse(200)
	srv := topicsSite(t, h.feed, &topicBroker{}, always)
	b := openTab(t, srv.URL+ingressBase+"/topics", 1280, 800)
	b.until(ready)
	b.click("#topics-sys")
	b.until(`document.getElementById('topics').hearthmq.rows.all > 10`)
	names := eval[[]string](b, `new Promise((done) => setTimeout(() => done([...document.querySelectorAll('#topics-tree .tree-row:not([hidden]) .tree-name')].map((e) => e.textContent)), 300))`)
	for _, want := range []string{"<script>window.pwned=true<", `<img src=x onerror="window.pwned=true">`, "\ufffdgnp.exe", "$SYS", "(empty)"} {
		if !slices.Contains(names, want) {
			t.Errorf("no row is called %q; there are %q", want, names)
		}
	}
	// Every topic in turn, with all ways to look at it.
	for _, name := range h.topics[:14] {
		b.choose(name)
		eval[bool](b, `(async () => {
			const names = [...document.querySelectorAll('#detail-modes button')].map((m) => m.dataset.mode);
			for (const name of names) {
				document.querySelector('#detail-modes [data-mode=' + name + ']')?.click();
				await new Promise((done) => setTimeout(done, 30));
			}
			return true;
		})()`)
		for _, tab := range []string{"history", "chart", "who", "value"} {
			eval[bool](b, fmt.Sprintf(`document.getElementById('tab-%s').click() ?? true`, tab))
			eval[bool](b, `new Promise((done) => setTimeout(() => done(true), 60))`)
		}
	}
	b.harmless()
}

func TestTopicsPageKeyboard(t *testing.T) {
	f := feed.New(feed.Limits{})
	for _, n := range []string{"a/x/1", "a/x/2", "a/y", "b", "c/z"} {
		f.OnPublish(&broker.Message{Topic: n, Payload: []byte("v"), Received: time.Now()})
	}
	srv := topicsSite(t, f, &topicBroker{}, always)
	b := openTab(t, srv.URL+ingressBase+"/topics", 1280, 800)
	b.until(ready)
	eval[bool](b, `document.getElementById('topics-tree').focus() ?? true`)
	for _, step := range []struct {
		key, active string
		rows        int
		expanded    string
	}{
		{kb.ArrowDown, "a", 3, "false"},
		{kb.ArrowRight, "a", 5, "true"},
		{kb.ArrowRight, "x", 5, "false"},
		{kb.ArrowRight, "x", 7, "true"},
		{kb.End, "c", 7, "false"},
		{kb.Home, "a", 7, "true"},
		{"y", "y", 7, ""},
		{kb.ArrowLeft, "a", 7, "true"},
		{kb.ArrowLeft, "a", 3, "false"},
		{kb.ArrowDown, "b", 3, ""},
		{kb.Enter, "b", 3, ""},
	} {
		b.do(chromedp.KeyEvent(step.key))
		b.until(fmt.Sprintf(`(() => {
			const t = document.getElementById('topics-tree');
			const row = document.getElementById(t.getAttribute('aria-activedescendant') ?? '-');
			return row?.querySelector('.tree-name').textContent === %q
				&& document.querySelectorAll('#topics-tree .tree-row:not([hidden])').length === %d
				&& (row.getAttribute('aria-expanded') ?? '') === %q;
		})()`, step.active, step.rows, step.expanded))
	}
	b.until(`document.getElementById('detail-topic').textContent === 'b' && document.activeElement.id === 'topics-tree'
		&& document.querySelector('#topics-tree .tree-row[aria-selected=true] .tree-name')?.textContent === 'b'`)
	aria := eval[[]string](b, `[...document.querySelectorAll('#topics-tree .tree-row:not([hidden])')].map((r) =>
		['role', 'aria-level', 'aria-posinset', 'aria-setsize'].map((a) => r.getAttribute(a)).join(' ')).sort()`)
	if want := []string{"treeitem 1 1 3", "treeitem 1 2 3", "treeitem 1 3 3"}; !slices.Equal(aria, want) {
		t.Errorf("rows say %q", aria)
	}
}

func TestTopicsPageFilterClearPublish(t *testing.T) {
	h := newHouse(500)
	broker := &topicBroker{retained: map[string]bool{}}
	srv := topicsSite(t, h.feed, broker, always)
	b := openTab(t, srv.URL+ingressBase+"/topics", 1280, 800)
	b.until(ready)
	b.do(chromedp.SendKeys(chromedp.ID("topics-filter"), "KITCHEN/temperature-1/"))
	b.until(`document.getElementById('topics-status').textContent.includes('match') &&
		[...document.querySelectorAll('#topics-tree .tree-row:not([hidden]) .tree-name')].some((e) => e.textContent === 'temperature-1')`)
	first := eval[string](b, fmt.Sprintf(`(() => { const { rows, view } = document.getElementById('topics').hearthmq;
		const n = rows.byID(%d); view.select(n.id); view.onSelect(n); return rows.path(n); })()`, b.seen()[0]))
	if !strings.Contains(first, "kitchen/temperature-1/state") {
		t.Errorf("found %q", first)
	}
	b.until(`!document.getElementById('detail-live').hidden`)
	b.do(chromedp.Click(chromedp.CSS("#publish > summary")))
	b.do(chromedp.SendKeys(chromedp.ID("publish-payload"), attack))
	eval[bool](b, `(document.querySelector('#publish-form [name=retain]').checked = true)`)
	b.do(chromedp.Click(chromedp.CSS("#publish-form button[type=submit]")))
	b.until(`document.getElementById('publish-result').textContent === 'Published.' && !document.getElementById('detail-clear').hidden
		&& document.querySelector('#detail-value .payload-text')?.textContent === '` + attack + `'`)
	broker.mu.Lock()
	broker.retained[first] = true
	broker.mu.Unlock()
	b.do(chromedp.Click(chromedp.ID("detail-clear")))
	b.until(`document.getElementById('clear-dialog').open`)
	b.screenshot("clear-dialog")
	b.do(chromedp.Click(chromedp.ID("clear-confirm")))
	b.until(`!document.getElementById('clear-dialog').open && document.getElementById('detail-clear').hidden`)
	b.harmless()
}

func TestTopicsPageReconnects(t *testing.T) {
	f := feed.New(feed.Limits{})
	f.OnPublish(&broker.Message{Topic: "a/b", Payload: []byte("1"), Received: time.Now()})
	srv := topicsSite(t, f, &topicBroker{}, always)
	b := openTab(t, srv.URL+ingressBase+"/topics", 1280, 800)
	b.until(ready)
	b.choose("a/b")
	srv.CloseClientConnections()
	f.OnPublish(&broker.Message{Topic: "a/b", Payload: []byte("after"), Received: time.Now()})
	b.until(`document.querySelector('#detail-value .payload-text')?.textContent === 'after' &&
		document.querySelector('#topics-tree .tree-row[aria-selected=true] .tree-value')?.textContent === 'after'`)
}

// TestTopicsPageLooks leaves pictures for people.
func TestTopicsPageLooks(t *testing.T) {
	h := newHouse(2000)
	srv := topicsSite(t, h.feed, &topicBroker{}, always)
	b := openTab(t, srv.URL+ingressBase+"/topics", 1280, 800)
	b.until(ready)
	h.live(t, 200)
	chosen := slices.Index(h.topics, "zigbee2mqtt/kitchen/temperature-1/state")
	b.screenshot("1280-empty")
	for _, c := range []struct {
		name          string
		width, height int64
		theme         string
	}{
		{"1280-light", 1280, 800, "light"}, {"1280-dark", 1280, 800, "dark"},
		{"390-light", 390, 844, "light"}, {"390-dark", 390, 844, "dark"}, {"800-light", 800, 700, "light"},
	} {
		b.do(chromedp.EmulateViewport(c.width, c.height))
		b.theme(c.theme)
		b.choose("zigbee2mqtt/kitchen/temperature-1/state")
		h.publish(chosen)
		b.until(`document.querySelector('#detail-value .is-changed') !== null`)
		eval[bool](b, `new Promise((done) => setTimeout(() => done(true), 400))`)
		b.screenshot(c.name)
		if wide := eval[bool](b, `document.documentElement.scrollWidth > innerWidth`); wide {
			t.Errorf("%s: the page is wider than the window", c.name)
		}
	}
	eval[bool](b, `document.getElementById('detail-close').click() ?? true`)
	b.do(chromedp.EmulateViewport(390, 844))
	b.screenshot("390-closed")
	b.harmless()
}

// TestTopicModules runs the modules that need no page, with cases of our own.
func TestTopicModules(t *testing.T) {
	srv := topicsSite(t, feed.New(feed.Limits{}), &topicBroker{}, always)
	b := openTab(t, srv.URL+ingressBase+"/topics", 800, 600)
	b.until(ready)
	wrong := eval[[]string](b, `(async () => {
		const folder = new URL('.', document.querySelector('script[src*="topics-page.js"]').src);
		const { parseJSON } = await import(folder + 'json-text.js');
		const f = await import(folder + 'format.js');
		const { hexDump } = await import(folder + 'payload-view.js');
		const wrong = [];
		const same = (what, got, want) => { if (JSON.stringify(got) !== JSON.stringify(want)) wrong.push(what + ': ' + JSON.stringify(got)); };
		const leaves = (v) => v === null ? null : v.items ? v.items.map((m) => [m.key, leaves(m.value)]) : v.text;
		for (const [text, want] of [
			['{"b":1,"a":12345678901234567890,"b":2}', [['b', '1'], ['a', '12345678901234567890'], ['b', '2']]],
			['[1.50, -0e1 ,true,null,"\\u0041\\n"]', [['0', '1.50'], ['1', '-0e1'], ['2', 'true'], ['3', 'null'], ['4', 'A\n']]],
			['{}', []], ['[]', []], [' [ ] ', []], ['{"__proto__":1}', [['__proto__', '1']]],
			['{', null], ['[1,]', null], ['{"a"}', null], ['[01]', null], ['["\n"]', null], ['[1] x', null], ['', null], ['"\\x"', null],
			['['.repeat(200) + ']'.repeat(200), null],
		]) same(text.slice(0, 40), leaves(parseJSON(text)), want);
		same('visible', f.visible('a\u202e\n\u0000b'), 'a\ufffd\u240a\u2400b');
		same('visibleText', f.visibleText('a\r\n\tb\u001b'), 'a\n\tb\u241b');
		same('bytes', [0, 999, 1000, 9960, 65536, 12e6].map(f.bytes), ['0 B', '999 B', '1.0 kB', '10 kB', '66 kB', '12 MB']);
		same('count', f.count(1234567), '1\u202f234\u202f567');
		same('rate', [f.rate(12, 0), f.rate(0, 60), f.rate(0.5, 0.9)], ['12 a second', 'about every 60\u202fs', '0.5 a second']);
		same('hex', hexDump(new Uint8Array([0, 65, 255])), '00000  00 41 ff' + ' '.repeat(42) + '.A.');
		return wrong;
	})()`)
	for _, w := range wrong {
		t.Error(w)
	}
}
