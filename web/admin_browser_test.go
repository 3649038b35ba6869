package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hearthmq/broker/access"
)

const loaded = `document.documentElement.dataset.ready === 'true'`

// open goes to a page and waits until its modules have run.
func (b *tab) open(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
	b.until(loaded)
}

func (b *tab) typeInto(name, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS(fmt.Sprintf("input[name=%q]:not([type=hidden])", name)), text))
}

// submit presses a button and waits for the page it leads to.
func (b *tab) submit(selector string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 3*time.Minute)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("%s: %v", selector, err)
	}
	b.until(loaded)
}

func (b *tab) path() string { return eval[string](b, `location.pathname`) }

func (b *tab) text() string { return eval[string](b, `document.body.innerText`) }

// whole writes a picture of the whole page, however long.
func (b *tab) whole(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// fits fails when the page is wider than the window, or can't be used by everybody.
func (b *tab) fits(where string) {
	b.t.Helper()
	if !strings.HasSuffix(where, "-dark") { // which has the same parts
		b.accessible(where)
	}
	wide := eval[[]string](b, `document.documentElement.scrollWidth <= innerWidth ? [] :
		[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.tagName + '.' + e.className).slice(0, 8)`)
	if len(wide) > 0 {
		b.t.Errorf("%s is wider than the window: %q", where, wide)
	}
}

func TestAdminFlowInBrowser(t *testing.T) {
	s := newSite(t, nil)
	srv := httptest.NewServer(s.server.Direct())
	t.Cleanup(srv.Close)
	b := openTab(t, srv.URL+"/setup?token="+setupToken, 1280, 900)
	b.until(loaded)
	b.whole("setup")
	b.typeInto("name", adminName)
	b.typeInto("password", adminPass)
	b.typeInto("repeat", adminPass)
	b.submit("button[type=submit]")
	if b.path() != "/" {
		t.Fatalf("set-up led to %s: %s", b.path(), b.text())
	}
	b.whole("welcome")

	// Log out by the menu and in again.
	b.do(chromedp.Click(chromedp.CSS(".menu[data-menu] summary")))
	b.screenshot("menu")
	b.submit("form[action='/logout'] button")
	b.typeInto("username", adminName)
	b.typeInto("password", adminPass)
	b.submit("button[type=submit]")

	// Add a user with a generated password.
	b.open(srv.URL + "/users/new")
	if eval[bool](b, `document.querySelector('[name=password]').checkVisibility()`) {
		t.Error("the password field shows although one is generated")
	}
	b.do(chromedp.Click(chromedp.CSS("[name=password-kind][value=choose]")))
	if !eval[bool](b, `document.querySelector('[name=password]').checkVisibility()`) {
		t.Error("the password field does not show")
	}
	b.do(chromedp.Click(chromedp.CSS("[name=password-kind][value=generate]")))
	b.typeInto("name", "washing-machine")
	b.submit("main button[type=submit]")
	b.whole("secret")
	password := eval[string](b, `document.getElementById('secret-password').textContent`)
	if _, err := s.dir.CheckPassword(t.Context(), "washing-machine", password); err != nil {
		t.Errorf("the password shown, %q: %v", password, err)
	}
	b.do(chromedp.Click(chromedp.CSS("[data-copy=secret-password]")))
	b.until(`document.querySelector('[data-copy=secret-password] [data-label]').textContent !== 'Copy'`)

	// Give it rules by rows that are added and removed.
	b.open(srv.URL + s.userPath("washing-machine"))
	if n := eval[int](b, `document.querySelectorAll('[data-rule]').length`); n != 1 {
		t.Errorf("%d rows of rules at the start, want 1", n)
	}
	b.do(chromedp.SendKeys(chromedp.CSS("[data-rule] [name=filter]"), "laundry/#"),
		chromedp.Click(chromedp.CSS("[data-rule-add]")), chromedp.Click(chromedp.CSS("[data-rule-add]")),
		chromedp.SendKeys(chromedp.CSS("[data-rule]:nth-child(2) [name=filter]"), "gone/#"),
		chromedp.SendKeys(chromedp.CSS("[data-rule]:nth-child(3) [name=filter]"), "status/+"),
		chromedp.SetValue(chromedp.CSS("[data-rule]:nth-child(3) [name=effect]"), "deny"),
		chromedp.SetValue(chromedp.CSS("[data-rule]:nth-child(3) [name=listener]"), "wss"),
		chromedp.Click(chromedp.CSS("[data-rule]:nth-child(2) [data-rule-remove]")))
	b.submit("form[data-rules] button[type=submit]")
	if got := rulesText(s.user("washing-machine").Rules); got != "allow both laundry/#\ndeny both status/+ listener=wss\n" {
		t.Errorf("stored rules:\n%s", got)
	}
	b.open(srv.URL + s.userPath("washing-machine"))
	if got := eval[string](b, `document.querySelector('[data-rule]:nth-child(2) [name=listener]').value`); got != "wss" {
		t.Errorf("the rule's listener is shown as %q", got)
	}
	b.whole("rules")

	// Delete it by the dialog that names it.
	b.do(chromedp.Click(chromedp.CSS("[data-confirm]")))
	b.until(`document.querySelector('dialog[open]') !== null`)
	b.screenshot("dialog")
	if got := eval[string](b, `document.querySelector('dialog[open]').innerText`); !strings.Contains(got, "Delete washing-machine?") {
		t.Errorf("the dialog says %q", got)
	}
	b.do(chromedp.Click(chromedp.CSS("dialog[open] [data-close]")))
	b.until(`document.querySelector('dialog[open]') === null`)
	b.do(chromedp.Click(chromedp.CSS("[data-confirm]")))
	b.submit("dialog[open] button[type=submit]")
	if _, ok := s.dir.User("washing-machine"); ok || b.path() != "/users" {
		t.Errorf("not deleted; at %s", b.path())
	}
	b.harmless()
}

// TestAdminLooks opens every page behind ingress at the widths of a desktop, a
// tablet and phones, light and dark, and leaves pictures of them.
func TestAdminLooks(t *testing.T) {
	s := furnished(t, true)
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	direct := httptest.NewServer(s.server.Direct())
	t.Cleanup(direct.Close)
	b := openTab(t, direct.URL+"/login", 1280, 900)
	b.until(loaded)
	at := srv.URL + ingressBase
	pages := []struct{ name, url string }{
		{"login", direct.URL + "/login"},
		{"overview", at + "/"}, {"users", at + "/users"}, {"user-new", at + "/users/new"},
		{"user", at + s.userPath("washing-machine")}, {"user-system", at + s.userPath(access.HomeAssistantUser)},
		{"clients", at + "/clients"}, {"access", at + "/access"}, {"role-new", at + "/access/roles/new"},
		{"role", at + s.rolePath("sensors")}, {"role-fixed", at + s.rolePath(access.RoleEverything)},
		{"delete", at + s.userPath("washing-machine") + "/delete"},
	}
	for _, width := range []int64{1280, 800, 390, 320} {
		b.do(chromedp.EmulateViewport(width, 844))
		for _, theme := range []string{"light", "dark"} {
			if width == 320 && theme == "dark" {
				continue
			}
			for _, p := range pages {
				b.do(chromedp.Navigate(p.url))
				b.theme(theme)
				b.until(loaded)
				where := fmt.Sprintf("%s-%d-%s", p.name, width, theme)
				b.fits(where)
				b.whole(where)
				b.harmless()
			}
		}
	}
	// The check, with its answer.
	for _, width := range []int64{1280, 390} {
		b.do(chromedp.EmulateViewport(width, 844), chromedp.Navigate(at+"/access"))
		b.theme("light")
		b.until(loaded)
		b.do(chromedp.SetValue(chromedp.CSS("[name=user]"), "washing-machine"), chromedp.SendKeys(chromedp.CSS("input[name=topic][required]"), "zigbee2mqtt/lamp/set"))
		b.submit(".check-form button[type=submit]")
		b.fits("check")
		b.screenshot(fmt.Sprintf("check-%d", width))
		b.do(chromedp.Navigate(at + "/clients"))
		b.until(loaded)
		b.submit("[data-client=washer-0815] .row-link")
		b.fits("client")
		b.whole(fmt.Sprintf("client-%d", width))
		b.harmless()
	}
}

func TestAdminLiveInBrowser(t *testing.T) {
	s := furnished(t, true)
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	b := openTab(t, srv.URL+ingressBase+"/clients", 1280, 900)
	b.until(loaded)
	late := s.connect("late-"+hostileName, "zigbee2mqtt")
	b.until(`document.querySelectorAll('[data-clients-table] tbody tr').length === 4`)
	late.c.Disconnect(0)
	b.until(`document.querySelectorAll('[data-clients-table] tbody tr').length === 3`)
	b.do(chromedp.SendKeys(chromedp.CSS("[data-clients-form] input"), "WASH"))
	b.until(`[...document.querySelectorAll('[data-clients-table] tbody tr')].filter((r) => !r.hidden).length === 1`)
	b.harmless()

	b.open(srv.URL + ingressBase + "/")
	for i := range 5 {
		s.connect(fmt.Sprint("more-", i), "zigbee2mqtt").publish("test/hello", "hello")
	}
	b.until(`document.querySelector('[data-figure=clients]').textContent === '8'`)
	b.until(`document.querySelector('[data-spark=in] polyline').getAttribute('points').includes(' ')`)
	b.whole("overview-live")
	b.harmless()
}

// TestAdminWithoutScript: everything can be reached and sent without JavaScript.
func TestAdminWithoutScript(t *testing.T) {
	s := furnished(t, true)
	page := s.ingress().get(s.userPath("washing-machine")).body
	for _, want := range []string{
		`href="` + ingressBase + s.userPath("washing-machine") + `/delete"`, // the question on a page of its own
		`class="rule rule-blank"`,         // a row for one more rule
		`A rule whose topic is emptied`,   // for who has no button for it
		`name="password" type="password"`, // not hidden until a script says so
	} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if strings.Contains(page, `data-shown-with="password-kind=choose" hidden`) {
		t.Error("the password field needs JavaScript")
	}
}

// TestThemeFollowsHomeAssistant embeds the admin as Home Assistant's panel does.
func TestThemeFollowsHomeAssistant(t *testing.T) {
	s := furnished(t, false)
	admin := ingressProxy(s.server.Ingress(), ingressBase)
	mux := http.NewServeMux()
	mux.Handle(ingressBase+"/", admin)
	mux.HandleFunc("/panel", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!DOCTYPE html><html style="--primary-background-color:#102030;--primary-color:rgb(200, 10, 10);--divider-color:url(https://evil.example/x)">
			<link rel=icon href="data:,"><title>panel</title><home-assistant></home-assistant><iframe src="%s/users" width=900 height=700></iframe>`, ingressBase)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	b := openTab(t, srv.URL+"/panel", 1280, 900)
	const root = `document.querySelector('iframe').contentDocument?.documentElement`
	b.until(root + `?.dataset.ready === 'true'`)
	for expression, want := range map[string]string{
		`.dataset.theme`:                          "dark",
		`.style.getPropertyValue('--hm-page')`:    "#102030",
		`.style.getPropertyValue('--hm-primary')`: "rgb(200, 10, 10)",
		`.style.getPropertyValue('--hm-divider')`: "", // not a colour
	} {
		if got := eval[string](b, root+expression); got != want {
			t.Errorf("%s is %q, want %q", expression, got, want)
		}
	}
	b.screenshot("panel")
	eval[bool](b, `document.documentElement.style.setProperty('--primary-background-color', '#ffffff') ?? true`)
	b.until(root + `.dataset.theme === 'light'`)
	b.do(chromedp.Evaluate[chromedp.Void](`localStorage.setItem('hearthmq.theme', 'dark'); document.querySelector('iframe').contentWindow.dispatchEvent(new Event('hearthmq-theme'))`))
	b.until(root + `.dataset.theme === 'dark' && !` + root + `.style.getPropertyValue('--hm-page')`)
}
