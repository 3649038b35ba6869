package web

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// looks runs visit at the widths of a desktop and of phones, light and dark.
func (b *tab) looks(visit func(where string)) {
	b.t.Helper()
	for _, width := range []int64{1280, 390, 320} {
		for _, theme := range []string{"light", "dark"} {
			if width == 320 && theme == "dark" {
				continue
			}
			b.do(chromedp.EmulateViewport(width, 844))
			b.theme(theme)
			visit(fmt.Sprintf("-%d-%s", width, theme))
		}
	}
}

// look checks the page as it is and leaves a picture of it.
func (b *tab) look(name string) {
	b.t.Helper()
	b.fits(name)
	b.whole(name)
	b.harmless()
}

// TestImportInBrowser sends what a folder of Mosquitto's holds, reads what would come of
// it, and says yes.
func TestImportInBrowser(t *testing.T) {
	s := furnished(t, false)
	dir := t.TempDir()
	var files []string
	for name, text := range map[string]string{
		"mosquitto.conf": "listener 1883\nallow_anonymous false\npassword_file /etc/mosquitto/passwd\nacl_file /etc/mosquitto/acl\npersistence true\n" +
			"max_keepalive 600\nlog_type all\nplugin /usr/lib/mosquitto_go_auth.so\nconnection cloud\naddress mqtt.example.org:8883\ntopic sensors/# out 1\n",
		"passwd":       "anna-phone:$7$101$c2FsdHNhbHQ=$" + strings.Repeat("A", 86) + "==\nheating:$7$101$c2FsdHNhbHQ=$" + strings.Repeat("B", 86) + "==\n",
		"acl":          "user heating\ntopic readwrite heating/#\nuser anna-phone\ntopic read #\npattern write tele/%c/#\n",
		"mosquitto.db": string(retainedDB(12)),
	} {
		file := filepath.Join(dir, name)
		s.must(os.WriteFile(file, []byte(text), 0o600))
		files = append(files, file)
	}
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	at := srv.URL + ingressBase
	b := openTab(t, at+"/settings", 1280, 900)
	b.refused.Store(true)
	b.until(loaded)
	b.looks(func(where string) {
		b.open(at + "/import")
		b.look("import" + where)
		b.submit("main button[type=submit]") // nothing chosen
		b.look("import-nothing" + where)
		b.do(chromedp.SetUploadFiles(chromedp.CSS("#f-files"), files))
		b.submit("main button[type=submit]")
		b.until(`document.body.innerText.includes('Nothing was changed yet')`)
		b.look("import-report" + where)
	})
	for _, part := range []string{"Comes over as it is", "Changes its meaning", "Stays behind", "12 retained messages"} {
		if !strings.Contains(b.text(), part) {
			t.Errorf("the report lacks %q:\n%s", part, b.text())
		}
	}
	b.submit("form[action$='/import/apply'] button")
	b.look("import-done-320-light")
	if !strings.Contains(b.text(), "Imported: ") {
		t.Errorf("it says\n%s", b.text())
	}
	if _, ok := s.dir.User("heating"); !ok {
		t.Error("a user did not come over")
	}
	if n := len(s.retainedTopics("zigbee2mqtt/#")); n != 12 {
		t.Errorf("%d retained messages came over, want 12", n)
	}
}

// retainedTopics lists what is retained.
func (s *site) retainedTopics(filter string) (names []string) {
	for m := range s.broker.Retained(filter) {
		names = append(names, m.Topic)
	}
	return names
}

// TestEmptyAndErrorPagesLook opens what somebody sees who has nothing yet, who typed
// something wrong, and who is where nothing is.
func TestEmptyAndErrorPagesLook(t *testing.T) {
	s := newSite(t, func(c *Config) { c.LogBook, c.Backups = NewLogBook(), &fakeBackups{} })
	s.withBridges()
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	direct := httptest.NewServer(s.server.Direct())
	t.Cleanup(direct.Close)
	at := srv.URL + ingressBase
	b := openTab(t, at+"/settings", 1280, 900)
	b.refused.Store(true)
	b.until(loaded)
	b.looks(func(where string) {
		for name, path := range map[string]string{
			"overview": "/", "topics": "/topics", "retained": "/retained", "discovery": "/discovery", "clients": "/clients", "blocked": "/clients/blocked",
			"bridges": "/bridges", "tokens": "/settings/tokens", "logins": "/settings/logins", "certificates": "/settings/certificates", "settings": "/settings",
			"logs": "/logs", "audit": "/logs/audit", "access": "/access", "connect": "/connect", "backup": "/settings/backup",
		} {
			b.open(at + path)
			b.look("empty-" + name + where)
		}
		b.open(at + "/users/new")
		b.do(chromedp.SendKeys(chromedp.CSS("[name=name]"), "a+b"))
		b.submit("main button[type=submit]")
		b.look("wrong-user" + where)
	})
	b.looks(func(where string) {
		b.open(at + "/users/4711")
		b.look("error-404" + where)
		b.open(direct.URL + "/setup?token=wrong")
		b.look("error-setup" + where)
		b.open(direct.URL + "/login")
		b.look("login" + where)
	})
}

// TestBlockedLooks blocks a client by the page that asks.
func TestBlockedLooks(t *testing.T) {
	s := furnished(t, true)
	_, err := s.bans.Add(t.Context(), "client", hostileName, hostileName)
	s.must(err)
	_, err = s.bans.Add(t.Context(), "address", "192.168.7.0/24", "The neighbour's")
	s.must(err)
	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	at := srv.URL + ingressBase
	b := openTab(t, at+"/clients", 1280, 900)
	b.until(loaded)
	b.looks(func(where string) {
		b.open(at + "/clients")
		b.submit("[data-client=washer-0815] .row-link")
		b.look("client" + where)
		b.submit("form[action$='/clients/block/ask'] button")
		b.look("block" + where)
		b.open(at + "/clients/blocked")
		b.look("blocked" + where)
	})
	b.open(at + "/clients")
	b.submit("[data-client=washer-0815] .row-link")
	b.submit("form[action$='/clients/block/ask'] button")
	b.do(chromedp.Click(chromedp.CSS("[name=by][value=client]")))
	b.submit("main button.danger")
	if b.path() != ingressBase+"/clients/blocked" || !strings.Contains(b.text(), "washer-0815") {
		t.Errorf("at %s:\n%s", b.path(), b.text())
	}
	s.gone("washer-0815")
	b.submit("form[action$='/clients/blocked/lift'] button")
	if n := len(s.bans.List()); n != 2 {
		t.Errorf("%d blocks are left, want 2", n)
	}
	b.harmless()
}
