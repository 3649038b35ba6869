package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

// logs are the pages about what happened: the log and the audit.
type logs struct{ *Server }

func (s *Server) logsRoutes(r chi.Router) {
	l := logs{s}
	r.Get("/logs", s.handle(l.show))
	r.Post("/logs", s.handle(l.search))
	r.Get("/live/logs", s.handle(l.live))
	r.Post("/logs/debug", s.handle(l.debug))
	r.Get("/logs/download", s.handle(l.download))
	r.Get("/logs/audit", s.handle(l.audit))
	r.Post("/logs/audit", s.handle(l.audit))
}

const (
	logRows   = 300              // that a page shows
	liveRows  = 500              // of one answer to logs-page.js
	debugSpan = 15 * time.Minute // how long Debug is kept once asked for
)

// logFilter says which lines are wanted.
type logFilter struct {
	level        slog.Level
	client, text string
}

// levels are those that a line is shown with, the rarest last.
var levels = []struct {
	key   string
	level slog.Level
}{{"debug", slog.LevelDebug}, {"info", slog.LevelInfo}, {"warning", slog.LevelWarn}, {"error", slog.LevelError}}

// levelOf reads a level of a form; anything else is the lowest.
func levelOf(key string) slog.Level {
	for _, l := range levels {
		if l.key == key {
			return l.level
		}
	}
	return slog.LevelDebug - 4
}

func levelKey(l slog.Level) string {
	for _, known := range slices.Backward(levels) {
		if l >= known.level {
			return known.key
		}
	}
	return "debug"
}

func (f logFilter) matches(e LogEntry) bool {
	if e.Level < f.level {
		return false
	}
	if f.client != "" && !slices.ContainsFunc(e.Values, func(v LogValue) bool {
		return (v.Key == "client_id" || v.Key == "user") && strings.Contains(strings.ToLower(v.Value), strings.ToLower(f.client))
	}) {
		return false
	}
	return f.text == "" || strings.Contains(strings.ToLower(logLine(e)), strings.ToLower(f.text))
}

// logLine is an entry as one line of text.
func logLine(e LogEntry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-7s  %s", e.At.Local().Format("2006-01-02 15:04:05.000"), levelKey(e.Level), ui.Visible(e.Message))
	for _, v := range e.Values {
		b.WriteByte(' ')
		b.WriteString(v.Key)
		b.WriteByte('=')
		if strings.ContainsAny(v.Value, " \"=\n\t") || v.Value != ui.Visible(v.Value) {
			b.WriteString(strconv.QuoteToGraphic(v.Value))
		} else {
			b.WriteString(v.Value)
		}
	}
	return b.String()
}

func (l logs) show(w http.ResponseWriter, r *http.Request) error {
	return l.page(w, r, logFilter{level: levelOf(r.URL.Query().Get("level"))})
}

// search is a POST: what is looked for may be a topic or a client. It changes nothing.
func (l logs) search(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	return l.page(w, r, filterOf(form))
}

func filterOf(form url.Values) logFilter {
	return logFilter{level: levelOf(form.Get("level")), client: strings.TrimSpace(form.Get("client")), text: strings.TrimSpace(form.Get("text"))}
}

func (l logs) page(w http.ResponseWriter, r *http.Request, f logFilter) error {
	v := ui.LogsView{
		Level: levelKey(f.level), Client: f.client, Text: f.text, Last: l.cfg.LogBook.Last(),
		Searched: f.client != "" || f.text != "",
	}
	if f.level < slog.LevelDebug {
		v.Level = ""
	}
	if until := l.cfg.LogBook.DebugUntil(); until.After(time.Now()) {
		v.DebugUntil = until.Local().Format("15:04")
	}
	all := l.cfg.LogBook.After(0, f.level, logEntries)
	for _, e := range slices.Backward(all) {
		if len(v.Entries) == logRows {
			v.More = true
			break
		}
		if f.matches(e) {
			v.Entries = append(v.Entries, logRow(e))
		}
	}
	return l.render(w, r, http.StatusOK, ui.LogsPage(l.view(r, "Logs", "logs", "logs-page"), v))
}

func logRow(e LogEntry) ui.LogRow {
	row := ui.LogRow{Seq: e.Seq, Time: stamp(e.At), Level: levelKey(e.Level), Message: ui.Visible(e.Message)}
	for _, v := range e.Values {
		row.Values = append(row.Values, ui.LogPair{Key: v.Key, Value: ui.Visible(v.Value)})
	}
	return row
}

// stamp writes a moment, with its day unless that is today.
func stamp(t time.Time) string {
	t = t.Local()
	if now := time.Now(); t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2 Jan 15:04:05")
}

// live answers logs-page.js: what came after the number it knows.
func (l logs) live(w http.ResponseWriter, r *http.Request) error {
	after, err := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	if err != nil {
		return badRequest("after %q", r.URL.Query().Get("after"))
	}
	answer := struct {
		Last    uint64      `json:"last"`
		Entries []ui.LogRow `json:"entries"`
	}{l.cfg.LogBook.Last(), []ui.LogRow{}}
	if after > answer.Last {
		after = 0 // HearthMQ was started again
	}
	for _, e := range l.cfg.LogBook.After(after, slog.LevelDebug-4, liveRows) {
		answer.Entries = append(answer.Entries, logRow(e))
		answer.Last = max(answer.Last, e.Seq)
	}
	return l.renderJSON(w, answer)
}

// debug has more recorded for a while, or no more.
func (l logs) debug(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	on := form.Get("on") != ""
	if err := l.keepDebug(r.Context(), on); err != nil {
		return err
	}
	if !on {
		return l.redirect(w, r, "/logs")
	}
	return l.redirect(w, r, "/logs?done=debug-on")
}

// keepDebug has more recorded for a while, or no more, in the name of ctx's person, and
// notes it: topics and clients are told of then.
func (s *Server) keepDebug(ctx context.Context, on bool) error {
	span, action := time.Duration(0), "debug log ended"
	if on {
		span, action = debugSpan, "debug log begun"
	}
	s.cfg.LogBook.KeepDebug(span)
	return s.cfg.Accounts.Note(context.WithoutCancel(ctx), action, "", "", "")
}

// download gives all that is in memory as text.
func (l logs) download(w http.ResponseWriter, r *http.Request) error {
	var b strings.Builder
	for _, e := range l.cfg.LogBook.After(0, slog.LevelDebug-4, logEntries) {
		b.WriteString(logLine(e))
		b.WriteByte('\n')
	}
	attachment(w, "hearthmq-log-"+time.Now().Format("2006-01-02-150405")+".txt", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(b.String()))
	return nil
}

// attachment announces a file that the browser saves and never shows (case W6).
// name is made of letters, digits, dots and dashes.
func attachment(w http.ResponseWriter, name, kind string) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cache-Control", "no-store")
}

// audit shows who changed what. A POST narrows it down: what is looked for may be
// the name of a user. It changes nothing.
func (l logs) audit(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	q := access.AuditQuery{Text: strings.TrimSpace(form.Get("text")), Via: access.Via(form.Get("via"))}
	if before := form.Get("before"); before != "" {
		if q.Before, err = strconv.ParseInt(before, 10, 64); err != nil {
			return badRequest("before %q", before)
		}
	}
	entries, next, err := l.cfg.Accounts.Audit(r.Context(), q)
	if err != nil {
		return err
	}
	v := ui.AuditView{Text: q.Text, Via: string(q.Via), Next: next}
	for _, via := range []access.Via{access.ViaAdmin, access.ViaHomeAssistant, access.ViaToken, access.ViaCommandLine, access.ViaControl, access.ViaSetup, access.ViaSelf} {
		v.Ways = append(v.Ways, ui.OptionView{Value: string(via), Label: viaLabel(via), Selected: via == q.Via})
	}
	for _, e := range entries {
		v.Entries = append(v.Entries, ui.AuditRow{
			Time: stamp(e.At), Actor: ui.Visible(e.Who().String()), Action: e.Action, Object: ui.Visible(e.Object),
			Before: ui.Visible(e.Before), After: ui.Visible(e.After),
		})
	}
	return l.render(w, r, http.StatusOK, ui.AuditPage(l.view(r, "Logs", "logs"), v))
}

// viaLabel names a way by which changes come.
func viaLabel(via access.Via) string {
	switch via {
	case access.ViaAdmin:
		return "Admin with its own login"
	case access.ViaHomeAssistant:
		return "Home Assistant"
	case access.ViaToken:
		return "API"
	case access.ViaCommandLine:
		return "Command line"
	case access.ViaControl:
		return "Messages to $CONTROL"
	case access.ViaSetup:
		return "Set-up link"
	}
	return "HearthMQ itself"
}
