package web

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
)

// controls are the roles of what can be used; each needs a name.
var controls = []string{
	"button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "spinbutton", "slider", "tab", "treeitem", "menuitem", "switch",
	"DisclosureTriangle", "listbox", "dialog", "tree", "tablist", "tabpanel", "image", "img", "region", "navigation",
}

// accessible fails on what those miss who don't see the page or don't use a mouse: in
// the browser's accessibility tree controls without a name; headings that skip a
// level, landmarks that are missing or can't be told apart, controls too small to be
// hit (24 px, WCAG 2.5.8), a description that is not there.
func (b *tab) accessible(where string) {
	b.t.Helper()
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		b.t.Fatal(err)
	}
	text := func(v *accessibility.Value) (s string) {
		if v != nil {
			_ = json.Unmarshal(v.Value, &s) // what is no text has no name
		}
		return s
	}
	roles := map[string]int{}
	for _, n := range tree.Nodes {
		role := text(n.Role)
		if n.Ignored {
			continue
		}
		roles[role]++
		if slices.Contains(controls, role) && strings.TrimSpace(text(n.Name)) == "" {
			b.t.Errorf("%s: a %s has no name in the accessibility tree (%v)", where, role, n.BackendDOMNodeID)
		}
	}
	if roles["dialog"] == 0 && (roles["main"] != 1 || roles["banner"] > 1) { // a dialog is all there is
		b.t.Errorf("%s: landmarks %v", where, roles)
	}
	for _, problem := range eval[[]string](b, accessibleScript) {
		b.t.Errorf("%s: %s", where, problem)
	}
}

// accessibleScript returns what is wrong in words.
var accessibleScript = fmt.Sprintf(`(() => {
	const wrong = [];
	const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0;
	const what = (e) => e.outerHTML.replace(/\s+/g, ' ').slice(0, 120);
	if (!document.documentElement.lang) wrong.push('no language');
	if (!/^.+ – HearthMQ$/.test(document.title)) wrong.push('the title is ' + document.title);
	const headings = [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].filter(seen).map((h) => [Number(h.tagName[1]), h.textContent.trim()]);
	if (headings.filter(([n]) => n === 1).length !== 1) wrong.push('first headings: ' + JSON.stringify(headings));
	headings.reduce((before, [n, text]) => { if (n > before + 1) wrong.push('h' + n + ' ' + text + ' follows h' + before); return n; }, 0);
	for (const e of document.querySelectorAll('[aria-labelledby],[aria-describedby],[aria-controls]')) {
		for (const name of ['aria-labelledby', 'aria-describedby', 'aria-controls']) {
			for (const id of (e.getAttribute(name) ?? '').split(/\s+/)) if (id && !document.getElementById(id)) wrong.push(name + ' ' + id + ' is nowhere: ' + what(e));
		}
	}
	const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
	for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) wrong.push('twice: id ' + id);
	for (const e of document.querySelectorAll('a[href],button,input:not([type=hidden]),select,textarea,summary,[role=tab]')) {
		if (!seen(e) || e.matches('.skip')) continue;
		// A label is pressed as its box is; a link in a sentence is as high as its line;
		// a link that covers its row is as large as the row.
		const box = e.matches('input[type=checkbox],input[type=radio]') ? e.closest('label') ?? e : e;
		if (e.matches('a') && getComputedStyle(e).display === 'inline' || getComputedStyle(e, '::after').position === 'absolute') continue;
		if (e.matches('a:not(.button):not(.badge):not(nav a)')) continue; // a line of its own, with room around it
		const r = box.getBoundingClientRect();
		if (r.width < %d - .5 || r.height < %d - .5) wrong.push('only ' + r.width.toFixed() + ' × ' + r.height.toFixed() + ' px: ' + what(e));
	}
	return wrong;
})()`, minTarget, minTarget)

// minTarget is the least width and height of what is to be hit, in pixels.
const minTarget = 24
