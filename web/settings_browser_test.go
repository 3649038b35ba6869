package web

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hearthmq/broker/access"
)

// TestSettingsAndLogsLook opens the pages of the log, of the settings and of traces on
// a desktop and a phone, light and dark, and leaves pictures of them.
func TestSettingsAndLogsLook(t *testing.T) {
	book := NewLogBook()
	s := furnishedWith(t, true, func(c *Config) {
		c.LogBook, c.Backups = book, &fakeBackups{}
		c.Logins = &fakeLogins{[]access.BrowserLogin{{ID: 1, User: adminName, Address: "192.168.1.20", Browser: "Firefox Android", Created: time.Now(), Seen: time.Now()},
			{ID: 2, User: hostileName, Address: "192.168.1.99", Browser: "Chrome Windows", Created: time.Now(), Seen: time.Now()}}}
		c.Certificates = func() []Certificate {
			return []Certificate{{Ports: "MQTT, encrypted (8883)", File: "/ssl/fullchain.pem", Names: []string{"home.example.org", "192.168.1.2"}, Issuer: "CN=R11,O=Let's Encrypt", Ends: time.Now().AddDate(0, 0, 9)}}
		}
		c.Settings = []Setting{
			{Key: "mqtt_address", Group: "Ports", Value: ":1883", Default: ":1883", Origin: SettingDefault, Meaning: "MQTT; empty: closed."},
			{Key: "certfile", Group: "Certificates", Value: "/etc/letsencrypt/live/a-rather-long-name.example.org/fullchain.pem", Default: "fullchain.pem", Origin: "HEARTHMQ_CERTFILE", Meaning: "The certificate; in `/ssl` in the app."},
		}
	})
	log := slog.New(book.Handler(slog.DiscardHandler))
	book.KeepDebug(time.Hour)
	log.Info("client connected", "client_id", "washer-0815", "user", "washing-machine", "remote", "192.168.1.44:50123", "listener", "mqtt", "protocol", "5.0")
	log.Warn("The certificate ends soon", "file", "/ssl/fullchain.pem", "ends", "2026-12-06")
	log.Error("changes can't be stored; acknowledgements wait", "err", "database or disk is full")
	log.Info("client refused", "client_id", hostileName, "user", hostileName, "reason", "wrong password")
	_, _, err := s.tokens.Create(t.Context(), "grafana", access.ScopeRead)
	s.must(err)
	trace, err := s.broker.Trace("washer-0815")
	s.must(err)
	id := s.server.tracing.begin(trace)
	sender := s.connect("sender", "zigbee2mqtt")
	sender.publish("sensors/washing-machine/set", `{"power": 1250, "energy": 3.2, "state": "washing"}`)
	sender.publish("sensors/washing-machine/set", hostileName)
	eventually(t, "packets were traced", func() bool { return len(trace.After(0, 10)) > 0 })

	srv := httptest.NewServer(ingressProxy(s.server.Ingress(), ingressBase))
	t.Cleanup(srv.Close)
	at := srv.URL + ingressBase
	b := openTab(t, at+"/logs", 1280, 900)
	b.until(loaded)
	for _, width := range []int64{1280, 390, 320} {
		b.do(chromedp.EmulateViewport(width, 844))
		for _, theme := range []string{"light", "dark"} {
			if width == 320 && theme == "dark" {
				continue
			}
			for name, path := range map[string]string{
				"logs": "/logs", "audit": "/logs/audit", "settings": "/settings", "certificates": "/settings/certificates", "backup": "/settings/backup",
				"tokens": "/settings/tokens", "logins": "/settings/logins", "trace": "/clients/trace/" + id.id, "clients": "/clients",
			} {
				b.do(chromedp.Navigate(at + path))
				b.theme(theme)
				b.until(loaded)
				switch name {
				case "logs":
					b.until(`document.querySelectorAll('[data-logs-list] li').length >= 4`)
				case "trace":
					b.until(`document.querySelectorAll('[data-trace-list] li').length >= 1`)
				}
				where := fmt.Sprintf("%s-%d-%s", name, width, theme)
				b.fits(where)
				b.whole(where)
				b.harmless()
			}
		}
	}
}
