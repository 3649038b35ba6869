package web

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// focusScript tells of the element with the focus: its name, whether it is in sight, and
// whether it looks any different from before.
const focusScript = `(() => {
	const e = document.activeElement;
	const look = () => ['', '::after'].map((part) => { const c = getComputedStyle(e, part);
		return [c.outlineStyle === 'none' ? '' : c.outlineStyle + c.outlineWidth, c.boxShadow, c.borderBottomColor, c.borderBottomWidth].join(); }).join();
	const focused = look();
	const r = e.getBoundingClientRect();
	const said = (e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent || e.name || e.tagName).trim().replace(/\s+/g, ' ');
	const seen = e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && r.bottom > 0 && r.top < innerHeight && r.right > 0 && r.left < innerWidth;
	e.blur();
	const blurred = look();
	e.focus({ preventScroll: true, focusVisible: true });
	return { Name: said.slice(0, 50), Tag: e.tagName, Seen: seen, Marked: focused !== blurred };
})()`

// TestKeyboardWalk goes through pages with the keyboard alone: whatever has the focus
// can be seen and is marked, dialogs keep the focus and give it back.
func TestKeyboardWalk(t *testing.T) {
	s := furnished(t, true)
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	at := srv.URL + ingressBase
	b := openTab(t, at+"/settings", 1280, 900)
	b.refused.Store(true)
	b.until(loaded)
	// Whoever wants less motion has none.
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}},
	}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{s.userPath("washing-machine"), "/access", "/users/connect/tasmota", "/retained", "/"} {
		b.open(at + path)
		if moving := eval[[]string](b, `[...document.querySelectorAll('*')].filter((e) => { const c = getComputedStyle(e);
			return c.transitionDuration.split(', ').some((d) => d !== '0s') || c.animationName !== 'none'; }).map((e) => e.className).slice(0, 5)`); len(moving) > 0 {
			t.Errorf("%s: these move: %q", path, moving)
		}
		eval[bool](b, `(document.activeElement.blur(), getSelection().removeAllRanges(), scrollTo(0, 0), true)`)
		seen := map[string]bool{}
		for i := range 40 {
			b.do(chromedp.KeyEvent(kb.Tab))
			f := eval[struct {
				Name, Tag    string
				Seen, Marked bool
			}](b, focusScript)
			if f.Tag == "BODY" || f.Tag == "HTML" { // once around
				break
			}
			if !f.Seen || !f.Marked {
				t.Errorf("%s, Tab %d: %+v", path, i+1, f)
			}
			seen[f.Name] = true
		}
		if !seen["Skip to content"] || len(seen) < 12 {
			t.Errorf("%s: the keyboard comes to %v", path, seen)
		}
	}

	// A dialog: the focus goes in, stays in, and comes back where it was.
	b.open(at + s.userPath("washing-machine"))
	eval[bool](b, `document.querySelector('[data-confirm]').focus() ?? true`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until(`document.querySelector('dialog[open]') !== null`)
	for range 5 {
		if !eval[bool](b, `document.querySelector('dialog[open]').contains(document.activeElement) || document.activeElement === document.body`) {
			t.Error("the focus left the dialog for what is behind it")
		}
		b.do(chromedp.KeyEvent(kb.Tab))
	}
	b.accessible("dialog")
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until(`document.querySelector('dialog[open]') === null`)
	if name := eval[string](b, `document.activeElement.textContent.trim()`); !strings.Contains(name, "Delete") {
		t.Errorf("after the dialog the focus is at %q", name)
	}
	b.harmless()
}
