package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

func TestLogBookIsBounded(t *testing.T) {
	book := NewLogBook()
	log := slog.New(book.Handler(slog.DiscardHandler))
	if got := book.After(0, slog.LevelDebug, 10); len(got) != 0 || book.Last() != 0 {
		t.Errorf("an empty book has %d entries, last %d", len(got), book.Last())
	}
	book.KeepDebug(time.Hour)
	for i := range 3 * logEntries {
		log.Info("line", "n", i)
	}
	all := book.After(0, slog.LevelDebug, 10*logEntries)
	if len(all) != logEntries || all[0].Seq != 2*logEntries+1 || all[len(all)-1].Values[0].Value != fmt.Sprint(3*logEntries-1) {
		t.Errorf("%d entries from %d to %v", len(all), all[0].Seq, all[len(all)-1])
	}
	if got := book.After(3*logEntries-2, slog.LevelDebug, 10); len(got) != 2 {
		t.Errorf("%d entries after the last but two", len(got))
	}
	if got := book.After(0, slog.LevelDebug, 10); len(got) != 10 || got[9].Seq != 3*logEntries {
		t.Errorf("not the newest ten: %v", got)
	}
	log.Info(strings.Repeat("ä", maxLogText), "long", strings.Repeat("x", 10*maxLogValue))
	e := book.After(book.Last()-1, slog.LevelDebug, 1)[0]
	if len(e.Message) > maxLogText+3 || len(e.Values[0].Value) > maxLogValue+3 {
		t.Errorf("message of %d bytes, value of %d", len(e.Message), len(e.Values[0].Value))
	}
	many := make([]any, 0, 200)
	for i := range 100 {
		many = append(many, fmt.Sprint("k", i), i)
	}
	log.Info("many", many...)
	if n := len(book.After(book.Last()-1, slog.LevelDebug, 1)[0].Values); n > maxLogValues {
		t.Errorf("%d values", n)
	}
}

func TestLogBookKeepsDebugForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		book := NewLogBook()
		log := slog.New(book.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))).With("part", "x").WithGroup("g")
		log.Debug("unseen")
		book.KeepDebug(time.Minute)
		log.Debug("seen", "a", 1, slog.Group("in", "b", "2", "none", ""))
		time.Sleep(time.Minute) // of the bubble
		log.Debug("unseen again")
		log.Warn("warned", "err", errors.New("broken"))
		got := book.After(0, slog.LevelDebug, 10)
		if len(got) != 2 || got[0].Message != "seen" || fmt.Sprint(got[0].Values) != "[{part x} {g.a 1} {g.in.b 2}]" {
			t.Errorf("kept %v", got)
		}
		if strings.Contains(out.String(), "seen") || !strings.Contains(out.String(), "warned") {
			t.Errorf("the log itself: %s", out.String())
		}
		if w := book.After(0, slog.LevelWarn, 10); len(w) != 1 || w[0].Values[1] != (LogValue{"g.err", "broken"}) {
			t.Errorf("warnings: %v", w)
		}
	})
}

func TestLogPage(t *testing.T) {
	book := NewLogBook()
	s := newSite(t, func(c *Config) { c.LogBook = book })
	log := slog.New(book.Handler(slog.DiscardHandler))
	b := s.ingress()
	b.get("/logs").is(t, http.StatusOK).says(t, "Nothing was logged yet")
	book.KeepDebug(time.Hour)
	log.Info("client connected", "client_id", "lamp", "user", "bob")
	log.Warn("disk is nearly full")
	log.Info("client refused", "client_id", hostileName, "topic", "a\u202eb\nc") // case W5
	log.Debug("tolerated", "client_id", "lamp")

	a := b.get("/logs").is(t, http.StatusOK)
	a.says(t, "client connected", "disk is nearly full", "tolerated", "a\ufffdb␊c")
	if strings.Contains(a.body, "<img src=x") || strings.Contains(a.body, "\u202e") {
		t.Error("a value of the log is markup, or turns text around")
	}
	for name, q := range map[string]struct {
		form url.Values
		want []string
		not  []string
	}{
		"level":  {url.Values{"level": {"warning"}}, []string{"disk is nearly full"}, []string{"client connected", "tolerated"}},
		"client": {url.Values{"client": {"LAMP"}}, []string{"client connected", "tolerated"}, []string{"nearly full"}},
		"user":   {url.Values{"client": {"bob"}}, []string{"client connected"}, []string{"tolerated"}},
		"text":   {url.Values{"text": {"FULL"}}, []string{"disk is nearly full"}, []string{"client connected"}},
		"none":   {url.Values{"text": {"no such text"}}, []string{"Nothing matches"}, []string{"client connected"}},
	} {
		a := b.post("/logs", q.form).is(t, http.StatusOK)
		a.says(t, q.want...)
		for _, not := range q.not {
			if strings.Contains(text(a.body), not) {
				t.Errorf("%s: shows %q", name, not)
			}
		}
	}
	b.get("/logs?level=error").is(t, http.StatusOK).says(t, "Nothing matches")

	var live struct {
		Last    uint64
		Entries []ui.LogRow
	}
	if err := json.Unmarshal([]byte(b.get("/live/logs?after=2").is(t, http.StatusOK).body), &live); err != nil {
		t.Fatal(err)
	}
	if live.Last < 4 || len(live.Entries) < 2 || live.Entries[0].Message != "client refused" {
		t.Errorf("after 2: %+v", live)
	}
	b.get("/live/logs?after=x").is(t, http.StatusBadRequest)
	if err := json.Unmarshal([]byte(b.get("/live/logs?after=99999").body), &live); err != nil || len(live.Entries) < 4 {
		t.Errorf("after a restart: %+v, %v", live, err)
	}

	d := b.get("/logs/download").is(t, http.StatusOK)
	if !strings.HasPrefix(d.Header.Get("Content-Disposition"), "attachment; filename=\"hearthmq-log-") || !strings.Contains(d.body, "client connected client_id=lamp user=bob\n") {
		t.Errorf("%s\n%s", d.Header.Get("Content-Disposition"), d.body)
	}
	if n := strings.Count(d.body, "\n"); n < 4 || strings.Contains(d.body, "a\u202eb") {
		t.Errorf("%d lines:\n%s", n, d.body)
	}
}

func TestRecordEverything(t *testing.T) {
	book := NewLogBook()
	b := newSite(t, func(c *Config) { c.LogBook = book }).ingress()
	b.post("/logs/debug", url.Values{"on": {"1"}}).leads(t, b, "/logs?done=debug-on")
	if left := time.Until(book.DebugUntil()); left < debugSpan-time.Minute || left > debugSpan {
		t.Errorf("for %s", left)
	}
	b.get("/logs").says(t, "Everything is recorded", "Until")
	b.post("/logs/debug", nil).leads(t, b, "/logs")
	b.get("/logs").says(t, "Not enough to find the reason?")
}

func TestAuditPage(t *testing.T) {
	s := furnished(t, false)
	b := s.ingress()
	note := "Now in the attic"
	s.must(s.accounts.ChangeUser(access.WithActor(t.Context(), access.ViaAdmin, "anna"), "washing-machine", access.UserChange{Note: &note}))
	b.get("/logs/audit").is(t, http.StatusOK).says(t, "anna", "user changed", "washing-machine", "Cellar, behind the door", note, "user created", "zigbee2mqtt")
	a := b.post("/logs/audit", url.Values{"text": {"ATTIC"}}).is(t, http.StatusOK)
	a.says(t, note)
	if strings.Contains(text(a.body), "zigbee2mqtt") {
		t.Error("shows what does not match")
	}
	b.post("/logs/audit", url.Values{"text": {"no such change"}}).says(t, "Nothing matches")
	b.post("/logs/audit", url.Values{"via": {"token"}}).says(t, "Nothing matches")
	program := s.program(access.ScopeRead)
	for _, via := range []access.Via{access.ViaAdmin, access.ViaHomeAssistant, access.ViaControl, access.ViaToken, access.ViaCommandLine, access.ViaSetup, access.ViaSelf} {
		if page := b.get("/logs/audit").body; !strings.Contains(page, `<option value="`+string(via)+`">`) {
			t.Errorf("%q can't be chosen", via)
		}
		program.ask(http.StatusOK, http.MethodGet, "/audit?via="+url.QueryEscape(string(via)), "", nil)
	}
	b.post("/logs/audit", url.Values{"via": {"admin"}, "text": {"attic"}}).says(t, note)
	b.post("/logs/audit", url.Values{"before": {"x"}}).is(t, http.StatusBadRequest)
	for i := range 2 * access.AuditPage {
		s.must(s.accounts.Note(t.Context(), "tested", fmt.Sprint("change-", i), "", ""))
	}
	first := b.get("/logs/audit")
	if strings.Contains(text(first.body), note) {
		t.Error("everything stands on one page")
	}
	_, forms := read(t, "audit", ingressBase, first.body)
	older := b.post("/logs/audit", forms[len(forms)-1].values)
	if n := strings.Count(older.body, "change-"); n != access.AuditPage {
		t.Errorf("%d changes on the second page", n)
	}
}

func TestSettingsPage(t *testing.T) {
	s := newSite(t, func(c *Config) {
		c.Settings = []Setting{
			{Key: "mqtt_address", Group: "Ports", Value: ":1883", Default: ":1883", Origin: SettingDefault, Meaning: "MQTT; empty: closed."},
			{Key: "log_level", Group: "Log", Value: "debug", Default: "info", Origin: "HEARTHMQ_LOG_LEVEL", Meaning: "`debug` or `info`."},
			{Key: "ws_address", Group: "Log", Value: "", Default: ":1884", Origin: "options.json", Meaning: "x"},
		}
	})
	a := s.ingress().get("/settings").is(t, http.StatusOK)
	a.says(t, "Ports", "mqtt_address", ":1883", "MQTT; empty: closed.", "debug", "from HEARTHMQ_LOG_LEVEL", "Default: info.", "empty", "options of the app")
	if strings.Contains(text(a.body), "from default") || !strings.Contains(a.body, "<code>debug</code>") {
		t.Error(text(a.body))
	}
}
