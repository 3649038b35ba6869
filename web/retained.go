package web

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker"
	"hearthmq/broker/feed"
	"hearthmq/broker/feed/payload"
	"hearthmq/ui"
)

// retained is the page of all retained messages. What it looks for comes in the
// body of a POST: topics never stand in a URL.
type retained struct{ *Server }

// retainedRoutes mounts the pages about retained messages and discovery.
func (s *Server) retainedRoutes(r chi.Router) {
	p := retained{s}
	r.Get("/retained", s.handle(p.show))
	r.Post("/retained", s.handle(p.show))
	r.Post("/retained/preview", s.handle(p.preview))
	r.Post("/retained/delete", s.handle(p.delete))
	r.Post("/retained/undo", s.handle(p.undo))
	r.Get("/discovery", s.handle(discoveryPage{s}.show))
}

const (
	retainedRows = 90  // shown at once
	previewRows  = 40  // shown before a deletion
	retainedText = 120 // characters of a value
	retainedName = 200 // bytes of a topic
)

// retainedFilter says which retained messages are meant.
type retainedFilter struct {
	text, publisher, sort string
	regexp                bool
	older, gone           int // days, 0: any
	page                  int // from 0
	match                 *feed.Filter
	problem               string
}

func readRetainedFilter(form url.Values) retainedFilter {
	return retainedFilter{text: form.Get("q"), publisher: strings.TrimSpace(form.Get("publisher")), regexp: form.Get("regexp") == "1",
		page: days(form.Get("page")), sort: form.Get("sort"), older: days(form.Get("older")), gone: days(form.Get("gone"))}.ready()
}

// ready returns the filter with its text understood.
func (f retainedFilter) ready() retainedFilter {
	var err error
	if f.match, err = feed.NewFilter(f.text, f.regexp); err != nil {
		f.problem = "Not a regular expression: " + err.Error()
	}
	return f
}

func days(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 3650 {
		return 0
	}
	return n
}

// narrow reports whether the filter leaves anything out.
func (f retainedFilter) narrow() bool {
	return f.match != nil || f.publisher != "" || f.older > 0 || f.gone > 0
}

// words says for people what is meant.
func (f retainedFilter) words() string {
	var parts []string
	if f.match != nil {
		kind := "with"
		if f.regexp {
			kind = "matching"
		}
		parts = append(parts, fmt.Sprintf("%s %q", kind, f.text))
	}
	if f.publisher != "" {
		parts = append(parts, fmt.Sprintf("sent by %q", f.publisher))
	}
	if f.older > 0 {
		parts = append(parts, fmt.Sprintf("older than %s", ui.Plural(f.older, "day", "days")))
	}
	if f.gone > 0 {
		parts = append(parts, fmt.Sprintf("whose sender is gone for %s", ui.Plural(f.gone, "day", "days")))
	}
	if parts == nil {
		return "all"
	}
	return strings.Join(parts, ", ")
}

// keepsTo reports whether m is meant.
func (f retainedFilter) keepsTo(m *broker.Message, now time.Time, who *presence) bool {
	switch {
	case f.problem != "", !f.match.Match(m.Topic, m.Payload):
		return false
	case f.older > 0 && now.Sub(m.Received) < time.Duration(f.older)*24*time.Hour:
		return false
	case f.publisher != "" && !strings.Contains(strings.ToLower(m.PublisherID+" "+m.PublisherUser), strings.ToLower(f.publisher)):
		return false
	case f.gone > 0 && who.gone(m, now) < time.Duration(f.gone)*24*time.Hour:
		return false
	}
	return true
}

// owned reports whether the broker itself made m; such messages are not listed.
func owned(m *broker.Message) bool { return strings.HasPrefix(m.Topic, "$SYS/") }

// topicKey stands for a topic in forms: topics may be long and hold line breaks.
func topicKey(name string) string {
	h := sha256.Sum256([]byte(name))
	return hex.EncodeToString(h[:12])
}

func (p retained) show(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	f := readRetainedFilter(form)
	if r.Method != http.MethodPost {
		f.gone = days(r.URL.Query().Get("gone")) // the overview's link: a number, no topic
	}
	v := p.retainedView(f, time.Now())
	if v.Removals, err = p.removals(r.Context()); err != nil {
		return err
	}
	status := http.StatusOK
	if f.problem != "" {
		status = http.StatusUnprocessableEntity
	}
	return p.render(w, r, status, ui.RetainedPage(p.view(r, "Retained", "retained", "retained-page"), v))
}

func (p retained) retainedView(f retainedFilter, now time.Time) ui.RetainedView {
	v := ui.RetainedView{Filter: f.view(), Narrow: f.narrow(), Problem: f.problem}
	who := presenceOf(p.cfg.Broker.AllSessions())
	var found []*broker.Message
	for m := range p.cfg.Broker.Retained("#") {
		if owned(m) || m.Expired(now) {
			continue
		}
		v.All++
		if f.keepsTo(m, now, who) {
			found = append(found, m)
			v.Bytes += uint64(m.Size())
		}
	}
	v.Found = len(found)
	sortRetained(found, f.sort)
	from := min(f.page*retainedRows, max(0, (len(found)-1)/retainedRows*retainedRows))
	v.From, v.Page, v.Last = from, from/retainedRows, from+retainedRows >= len(found)
	for _, m := range found[from:min(len(found), from+retainedRows)] {
		v.Rows = append(v.Rows, withheldRow(p.cfg.Broker, retainedRow(m, now, who), m))
	}
	return v
}

func sortRetained(list []*broker.Message, by string) {
	slices.SortFunc(list, func(a, b *broker.Message) int {
		byName := cmp.Compare(a.Topic, b.Topic)
		switch by {
		case "size":
			return cmp.Or(cmp.Compare(b.Size(), a.Size()), byName)
		case "old":
			return cmp.Or(a.Received.Compare(b.Received), byName)
		case "new":
			return cmp.Or(b.Received.Compare(a.Received), byName)
		}
		return byName
	})
}

func (f retainedFilter) view() ui.RetainedFilter {
	return ui.RetainedFilter{Text: f.text, Regexp: f.regexp, Publisher: f.publisher, Older: f.older, Gone: f.gone, Sort: f.sort}
}

func retainedRow(m *broker.Message, now time.Time, who *presence) ui.RetainedRow {
	row := ui.RetainedRow{
		Key: topicKey(m.Topic), Topic: cutName(m.Topic), Link: topicLink(m.Topic), Value: payload.Preview(m.Payload, retainedText),
		Size: ui.Bytes(uint64(len(m.Payload))), Publisher: cutName(m.PublisherID), User: cutName(m.PublisherUser),
	}
	if !m.Received.IsZero() {
		row.Age = ui.Ago(m.Received, now)
	}
	if gone := who.gone(m, now); gone >= 24*time.Hour {
		row.Gone = "sender gone for " + ui.Plural(int(gone/(24*time.Hour)), "day", "days")
	}
	return row
}

// withheldRow says of a row that new subscribers do not get its message, and why.
func withheldRow(b Broker, row ui.RetainedRow, m *broker.Message) ui.RetainedRow {
	if rule, withheld := b.Withheld(m); withheld {
		row.Withheld = rule.Text
	}
	return row
}

func cutName(name string) string {
	if len(name) <= retainedName {
		return name
	}
	return strings.ToValidUTF8(name[:retainedName], "") + "…"
}

func (p retained) removals(ctx context.Context) ([]ui.RemovalView, error) {
	list, err := p.cfg.Trash.Removals(ctx)
	if err != nil {
		return nil, fmt.Errorf("list what can be put back: %w", err)
	}
	now := time.Now()
	var out []ui.RemovalView
	for _, r := range list {
		out = append(out, ui.RemovalView{ID: r.ID, What: r.What, Actor: r.Actor, Ago: ui.Ago(r.At, now), Topics: r.Topics})
	}
	return out, nil
}

// chosen are the messages that a form means: those whose boxes are ticked, else
// all that its filter finds. None that came after before is among them.
func (p retained) chosen(form url.Values, f retainedFilter, now, before time.Time) []*broker.Message {
	var meant func(m *broker.Message) bool
	switch form.Get("which") {
	case "ticked":
		meant = func(m *broker.Message) bool { return slices.Contains(form["key"], topicKey(m.Topic)) }
	case "device", "orphaned":
		found := p.announcedBy(form.Get("which"), form.Get("device"))
		meant = func(m *broker.Message) bool { return found[m] }
	default:
		who := presenceOf(p.cfg.Broker.AllSessions())
		meant = func(m *broker.Message) bool { return f.keepsTo(m, now, who) }
	}
	var list []*broker.Message
	for m := range p.cfg.Broker.Retained("#") {
		if !owned(m) && !m.Expired(now) && !m.Received.After(before) && meant(m) {
			list = append(list, m)
		}
	}
	sortRetained(list, f.sort)
	return list
}

// preview says what a deletion would take. It changes nothing.
func (p retained) preview(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	f, now := readRetainedFilter(form), time.Now()
	list := p.chosen(form, f, now, now)
	if len(list) == 0 || f.problem != "" {
		if form.Get("from") == "discovery" {
			return p.redirect(w, r, "/discovery?done=retained-none")
		}
		return p.show(w, r)
	}
	v := ui.RetainedPreview{Filter: f.view(), Which: form.Get("which"), Count: len(list), Before: strconv.FormatInt(now.UnixMilli()+1, 10),
		What: whatWords(form, f), Back: "/retained", Device: form.Get("device")}
	if form.Get("from") == "discovery" {
		v.Back = "/discovery"
	}
	if v.Which == "ticked" {
		v.Keys = form["key"]
	}
	who := presenceOf(p.cfg.Broker.AllSessions())
	for i, m := range list {
		v.Bytes += uint64(m.Size())
		if i < previewRows {
			v.Rows = append(v.Rows, retainedRow(m, now, who))
		}
		v.Discovery = v.Discovery || strings.HasPrefix(m.Topic, "homeassistant/") && strings.HasSuffix(m.Topic, "/config")
	}
	return p.render(w, r, http.StatusOK, ui.RetainedPreviewPage(p.view(r, "Delete retained messages", "retained"), v))
}

// whatWords says for people what a form means.
func whatWords(form url.Values, f retainedFilter) string {
	switch form.Get("which") {
	case "ticked":
		return "chosen one by one"
	case "device", "orphaned":
		return announcedWords[form.Get("which")]
	}
	return f.words()
}

var announcedWords = map[string]string{
	"device":   "announced to Home Assistant by one device",
	"orphaned": "announced to Home Assistant by senders that are gone",
}

// delete does what preview said.
func (p retained) delete(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	f := readRetainedFilter(form)
	ms, err := strconv.ParseInt(form.Get("before"), 10, 64)
	if err != nil || f.problem != "" {
		return badRequest("a deletion without its preview")
	}
	list := p.chosen(form, f, time.Now(), time.UnixMilli(ms))
	switch form.Get("which") {
	case "ticked", "device", "orphaned":
	default:
		if !f.narrow() {
			return badRequest("nothing was chosen")
		}
	}
	dropped, _, err := p.remove(r.Context(), list, whatWords(form, f), form.Get("tell") == "1")
	if err != nil {
		return err
	}
	back, done := "/retained", "retained-deleted"
	if form.Get("from") == "discovery" {
		back = "/discovery"
	}
	if len(dropped) == 0 {
		done = "retained-none"
	}
	return p.redirect(w, r, back+"?done="+done)
}

// remove deletes retained messages and keeps them in the trash, which comes first:
// what can't be kept is not deleted. id is what undoes it.
func (s *Server) remove(ctx context.Context, list []*broker.Message, what string, tell bool) (dropped []*broker.Message, id int64, err error) {
	if len(list) == 0 {
		return nil, 0, nil
	}
	actor := principalOf(ctx).name
	id, err = s.cfg.Trash.Put(ctx, feed.Removal{At: time.Now(), Actor: actor, What: what, Notified: tell}, list)
	if err != nil {
		return nil, 0, err
	}
	names := make([]string, len(list))
	for i, m := range list {
		names[i] = m.Topic
	}
	// What was begun is finished, also when the browser goes away.
	dropped, err = s.cfg.Broker.DropRetained(context.WithoutCancel(ctx), names, tell)
	for _, m := range dropped {
		s.cfg.Feed.Cleared(m.Topic)
	}
	if len(dropped) == 0 {
		err = errors.Join(err, s.cfg.Trash.Forget(context.WithoutCancel(ctx), id))
	}
	if err != nil {
		return dropped, id, fmt.Errorf("delete retained messages: %w", err)
	}
	if len(dropped) == 0 {
		return nil, 0, nil // somebody was faster
	}
	s.log.Info("retained messages deleted in the admin", "user", actor, "topics", len(dropped), "what", what, "told", tell)
	return dropped, id, s.cfg.Accounts.Note(context.WithoutCancel(ctx), "retained messages deleted", what, ui.Plural(len(dropped), "message", "messages"), "")
}

// putBack undoes a removal in the name of ctx's person, and says how many messages there
// are again. It fails with feed.ErrNoRemoval.
func (s *Server) putBack(ctx context.Context, id int64) (int, error) {
	removal, messages, err := s.cfg.Trash.Removed(ctx, id)
	if err != nil {
		return 0, err
	}
	ctx = context.WithoutCancel(ctx)
	restored, err := s.cfg.Broker.RestoreRetained(ctx, messages, removal.Notified)
	if !removal.Notified {
		s.cfg.Feed.Seed(slices.Values(restored))
	}
	if err != nil {
		return len(restored), fmt.Errorf("put retained messages back: %w", err)
	}
	if err := s.cfg.Trash.Forget(ctx, id); err != nil {
		return len(restored), err
	}
	s.log.Info("retained messages put back in the admin", "user", principalOf(ctx).name, "topics", len(restored))
	return len(restored), s.cfg.Accounts.Note(ctx, "retained messages put back", removal.What, "", ui.Plural(len(restored), "message", "messages"))
}

// undo puts back what a deletion took.
func (p retained) undo(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(form.Get("id"), 10, 64)
	if err != nil {
		return badRequest("no removal")
	}
	back := "/retained"
	if form.Get("from") == "discovery" {
		back = "/discovery"
	}
	if _, err := p.putBack(r.Context(), id); errors.Is(err, feed.ErrNoRemoval) {
		return p.redirect(w, r, back+"?done=retained-gone")
	} else if err != nil {
		return err
	}
	return p.redirect(w, r, back+"?done=retained-restored")
}
