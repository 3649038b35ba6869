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
	// From the first word of the feed to a complete tree: what the number of topics costs.
	loading := eval[float64](b, `(({ loadedAt, liveAt }) => loadedAt - liveAt)(document.getElementById('topics').hearthmq.state)`)
	loaded := eval[float64](b, `document.getElementById('topics').hearthmq.state.loadedAt`)
	h.live(t, 2000)

	got := eval[struct {
		Rows, Topics, Els int
		P50, P95, Max     float64
		Wire, Open        float64
		Flashes           int
	}](b, `(async () => {
		const { tree, view, socket } = document.getElementById('topics').hearthmq;
		const el = document.getElementById('topics-tree');
		const start = performance.now();
		for (const n of tree.nodes.values()) tree.setOpen(n, true);
		view.draw();
		const rows = tree.rows().length;
		const open = performance.now() - start;
		let flashes = 0;
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
				el.scrollTop += 37;
				now < end ? requestAnimationFrame(frame) : done();
			};
			requestAnimationFrame(frame);
		});
		Element.prototype.animate = animate;
		took.sort((a, b) => a - b);
		const at = (q) => took[Math.floor((took.length - 1) * q)];
		return { Rows: rows, Topics: tree.topics, Els: document.querySelectorAll('#topics-tree .tree-row').length,
			P50: at(.5), P95: at(.95), Max: at(1), Wire: (socket.received - received) / 5, Open: open, Flashes: flashes };
	})()`)
	t.Logf("%d topics in %.0f ms, complete %.0f ms after navigation began; %d rows opened in %.0f ms; frames p50 %.1f p95 %.1f max %.1f ms; %.0f bytes/s; %d elements; %d flashes",
		got.Topics, loading, loaded, got.Rows, got.Open, got.P50, got.P95, got.Max, got.Wire, got.Els, got.Flashes)
	if loading >= 300 {
		machine.Timing(t, "10,000 topics take %.0f ms, want less than 300", loading)
	}
	if got.Topics != 10_001 || got.Rows < 10_000 {
		t.Errorf("%d topics, %d rows", got.Topics, got.Rows)
	}
	if got.P95 >= 33 {
		machine.Timing(t, "a frame takes %.1f ms (p95) while scrolling, want less than 33", got.P95)
	}
	if got.Els > 80 {
		t.Errorf("%d row elements", got.Els)
	}
	// Visible values change five times a second: these are fifty small texts.
	if got.Wire > 100_000 {
		t.Errorf("%.0f bytes a second on the wire", got.Wire)
	}
	b.harmless()
}

func TestTopicsPageShowsHostileTextAsText(t *testing.T) {
	h := newHouse(200)
	srv := topicsSite(t, h.feed, &topicBroker{}, always)
	b := openTab(t, srv.URL+ingressBase+"/topics", 1280, 800)
	b.until(ready)
	eval[bool](b, `(() => { const { tree, view } = document.getElementById('topics').hearthmq;
		tree.setShowSys(true); view.draw(); return true; })()`)
	names := eval[[]string](b, `new Promise((done) => setTimeout(() => done([...document.querySelectorAll('#topics-tree .tree-row:not([hidden]) .tree-name')].map((e) => e.textContent)), 300))`)
	for _, want := range []string{"<script>window.pwned=true<", `<img src=x onerror="window.pwned=true">`, "\ufffdgnp.exe", "$SYS", "(empty)"} {
		if !slices.Contains(names, want) {
			t.Errorf("no row is called %q; there are %q", want, names)
		}
	}
	// Every topic in turn, with all ways to look at it.
	ids := eval[[]int](b, `[...document.getElementById('topics').hearthmq.tree.nodes.values()].filter((n) => n.topic).map((n) => n.id).slice(0, 14)`)
	for _, id := range ids {
		eval[bool](b, fmt.Sprintf(`(() => { const { tree, view } = document.getElementById('topics').hearthmq;
			const n = tree.nodes.get(%d); view.select(n); view.onSelect(n); return true; })()`, id))
		b.until(`!document.getElementById('detail-live').hidden`)
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
	first := eval[string](b, `(() => { const { tree, view } = document.getElementById('topics').hearthmq;
		const n = tree.rows().find((n) => n.topic); view.select(n); view.onSelect(n); return n.path().join('/'); })()`)
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
	eval[bool](b, `(() => { const { tree, view } = document.getElementById('topics').hearthmq;
		const n = tree.find(['a', 'b']); tree.setOpen(n.parent, true); view.select(n); view.onSelect(n); return true; })()`)
	b.until(`!document.getElementById('detail-live').hidden`)
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
		eval[bool](b, `(() => { const { tree, view } = document.getElementById('topics').hearthmq;
			for (const path of [['zigbee2mqtt'], ['zigbee2mqtt', 'kitchen'], ['zigbee2mqtt', 'kitchen', 'temperature-1']]) tree.setOpen(tree.find(path), true);
			const n = tree.find(['zigbee2mqtt', 'kitchen', 'temperature-1', 'state']); view.select(n); view.onSelect(n); view.reveal(n); return true; })()`)
		b.until(`!document.getElementById('detail-live').hidden`)
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
