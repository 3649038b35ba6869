package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/ui"
)

// How long traces last. A forgotten one must not record for ever.
const (
	traceUnseen = 10 * time.Minute // without anybody who looks
	traceKept   = time.Hour        // once it has ended
)

// tracing holds the traces that the admin began. They have numbers, because Client
// Identifiers never stand in a URL. Safe for concurrent use.
type tracing struct {
	mu     sync.Mutex
	traces []*tracedClient
	lastID int
}

type tracedClient struct {
	id      string
	trace   *broker.Trace
	seen    time.Time // guarded by tracing.mu, as is stopped
	stopped time.Time // zero: it records
	timer   *time.Timer
}

// begin notes a trace of the broker; one that runs already keeps its number.
func (t *tracing) begin(trace *broker.Trace) *tracedClient {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range t.traces {
		if x.trace == trace && x.stopped.IsZero() {
			return x
		}
	}
	t.lastID++
	x := &tracedClient{id: strconv.Itoa(t.lastID), trace: trace, seen: time.Now()}
	t.traces = append(t.traces, x)
	x.timer = time.AfterFunc(traceUnseen, func() { t.tick(x) })
	return x
}

// tick ends a trace that nobody looks at, and forgets one that ended long ago.
func (t *tracing) tick(x *tracedClient) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.stopped.IsZero() {
		if rest := traceUnseen - time.Since(x.seen); rest > 0 {
			x.timer.Reset(rest)
			return
		}
		x.stopped = time.Now()
		x.trace.Stop()
	}
	if rest := traceKept - time.Since(x.stopped); rest > 0 {
		x.timer.Reset(rest)
		return
	}
	t.traces = slices.DeleteFunc(t.traces, func(o *tracedClient) bool { return o == x })
}

// get returns a trace by its number and notes that somebody looks at it.
func (t *tracing) get(id string) (x *tracedClient, stopped bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range t.traces {
		if x.id == id {
			x.seen = time.Now()
			return x, !x.stopped.IsZero(), nil
		}
	}
	return nil, false, access.ErrNotFound
}

// of returns the trace of a client that runs.
func (t *tracing) of(clientID string) (*tracedClient, bool) {
	for _, x := range t.list() {
		if x.trace.ClientID() == clientID {
			return x, true
		}
	}
	return nil, false
}

// list returns the traces that run.
func (t *tracing) list() []*tracedClient {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*tracedClient
	for _, x := range t.traces {
		if x.stopped.IsZero() {
			list = append(list, x)
		}
	}
	return list
}

// stop ends a trace. It reports whether it had not ended yet.
func (t *tracing) stop(x *tracedClient) bool {
	x.trace.Stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !x.stopped.IsZero() {
		return false
	}
	x.stopped = time.Now()
	return true
}

func (s *Server) traceRoutes(r chi.Router) {
	c := clients{s}
	r.Post("/clients/trace", s.handle(c.trace))
	r.Get("/clients/trace/{id}", s.handle(c.showTrace))
	r.Get("/live/trace/{id}", s.handle(c.liveTrace))
	r.Post("/clients/trace/{id}/stop", s.handle(c.stopTrace))
	r.Get("/clients/trace/{id}/download", s.handle(c.downloadTrace))
}

// tracePage is how many packets one answer has.
const tracePage = 500

// trace begins to record a client's packets. What others send to it is among them, so
// that stands in the audit.
func (c clients) trace(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	t, err := c.beginTrace(r.Context(), form.Get("client"))
	if errors.Is(err, broker.ErrTooManyTraces) {
		c.errorPage(w, r, http.StatusConflict, ui.ErrorView{
			Icon: "warning", Title: "Too many traces", Text: "Eight clients are traced already. Stop one of those first.", Back: "/clients", BackLabel: "To the clients",
		})
		return nil
	}
	if err != nil {
		return err
	}
	return c.redirect(w, r, "/clients/trace/"+t.id)
}

// beginTrace records the packets of a client in the name of ctx's person, and notes it.
// It fails with broker.ErrNotFound and broker.ErrTooManyTraces.
func (s *Server) beginTrace(ctx context.Context, clientID string) (*tracedClient, error) {
	session, _, err := s.cfg.Broker.Session(clientID)
	if err != nil {
		return nil, err
	}
	t, err := s.cfg.Broker.Trace(session.ClientID)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Accounts.Note(ctx, "client traced", clipText(session.ClientID, maxLogValue), "", ""); err != nil {
		return nil, err
	}
	return s.tracing.begin(t), nil
}

// endTrace ends a trace in the name of ctx's person, and notes it. One that has ended
// stays as it is.
func (s *Server) endTrace(ctx context.Context, x *tracedClient) error {
	if !s.tracing.stop(x) {
		return nil
	}
	return s.cfg.Accounts.Note(context.WithoutCancel(ctx), "client traced no more", clipText(x.trace.ClientID(), maxLogValue),
		"since "+x.trace.Begun().UTC().Format(time.RFC3339), "")
}

func (c clients) showTrace(w http.ResponseWriter, r *http.Request) error {
	x, stopped, err := c.tracing.get(chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	v := ui.TraceView{ID: x.id, ClientID: ui.Visible(x.trace.ClientID()), Since: stamp(x.trace.Begun()), Stopped: stopped}
	all := x.trace.After(0, 1<<20)
	for _, p := range slices.Backward(all[max(0, len(all)-tracePage):]) {
		v.Packets = append(v.Packets, traceRow(p))
		v.Last = max(v.Last, p.Seq)
	}
	return c.render(w, r, http.StatusOK, ui.TracePage(c.view(r, "Trace", "clients", "trace-page"), v))
}

func traceRow(p broker.TracedPacket) ui.TraceRow {
	row := ui.TraceRow{
		Seq: p.Seq, Time: p.At.Local().Format("15:04:05.000"), In: p.In, Type: p.Type, Topic: ui.Visible(p.Topic), Failed: p.Failed,
	}
	var words []string
	if p.Type == "PUBLISH" {
		row.Payload = previewText(p.Payload, p.PayloadSize)
		words = append(words, fmt.Sprintf("QoS %d", p.QoS))
		if p.Retain {
			words = append(words, "retain")
		}
		if p.Dup {
			words = append(words, "again")
		}
	}
	if p.PacketID != 0 {
		words = append(words, fmt.Sprintf("id %d", p.PacketID))
	}
	if p.Detail != "" {
		words = append(words, ui.Visible(p.Detail))
	}
	row.Detail = strings.Join(words, ", ")
	if p.Size > 0 {
		row.Size = ui.Bytes(uint64(p.Size))
	}
	return row
}

// liveTrace answers trace-page.js: the packets after the number it knows.
func (c clients) liveTrace(w http.ResponseWriter, r *http.Request) error {
	after, err := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	if err != nil {
		return badRequest("after %q", r.URL.Query().Get("after"))
	}
	x, stopped, err := c.tracing.get(chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	answer := struct {
		Packets []ui.TraceRow `json:"packets"`
		Stopped bool          `json:"stopped"`
	}{[]ui.TraceRow{}, stopped}
	for _, p := range x.trace.After(after, tracePage) {
		answer.Packets = append(answer.Packets, traceRow(p))
	}
	return c.renderJSON(w, answer)
}

func (c clients) stopTrace(w http.ResponseWriter, r *http.Request) error {
	x, _, err := c.tracing.get(chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	if err := c.endTrace(r.Context(), x); err != nil {
		return err
	}
	return c.redirect(w, r, "/clients/trace/"+x.id)
}

func (c clients) downloadTrace(w http.ResponseWriter, r *http.Request) error {
	x, _, err := c.tracing.get(chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	sendTrace(w, x)
	return nil
}

// sendTrace answers with a trace as a file of text.
func sendTrace(w http.ResponseWriter, x *tracedClient) {
	var b strings.Builder
	fmt.Fprintf(&b, "Packets of the client %s since %s\n", strconv.QuoteToGraphic(x.trace.ClientID()), x.trace.Begun().Format(time.RFC3339))
	for _, p := range x.trace.After(0, 1<<20) {
		row := traceRow(p)
		way := "<-"
		if p.In {
			way = "->"
		}
		fmt.Fprintf(&b, "%s %s %s", p.At.Format("2006-01-02 15:04:05.000"), way, row.Type)
		if row.Topic != "" {
			b.WriteString(" " + row.Topic)
		}
		for _, part := range []string{row.Payload, row.Detail, row.Size} {
			if part != "" {
				b.WriteString(" | " + part)
			}
		}
		b.WriteByte('\n')
	}
	attachment(w, "hearthmq-trace-"+time.Now().Format("2006-01-02-150405")+".txt", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(b.String()))
}
