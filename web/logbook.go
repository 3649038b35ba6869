package web

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a LogBook.
const (
	logEntries   = 2000 // that are kept
	maxLogText   = 1024 // bytes of a message
	maxLogValue  = 512  // bytes of a value
	maxLogValues = 24   // of an entry
)

// LogBook keeps the last lines of the log in memory for the page that shows them.
// What clients say ends up in logs, so entries, their number and their size are
// bounded. Safe for concurrent use.
type LogBook struct {
	verbose atomic.Pointer[time.Time] // until when Debug is kept too; nil: it is not

	mu      sync.Mutex
	entries []LogEntry // a ring once it is full
	next    uint64     // Seq of the next entry
}

// LogEntry is one line of the log.
type LogEntry struct {
	Seq     uint64 // from 1 on, without gaps
	At      time.Time
	Level   slog.Level
	Message string
	Values  []LogValue
}

// LogValue is one attribute of a line.
type LogValue struct{ Key, Value string }

// NewLogBook returns an empty one.
func NewLogBook() *LogBook { return &LogBook{next: 1} }

// Handler returns a handler that writes to next and into the book. Values whose key
// names a secret are never written by HearthMQ, so nothing is looked for here.
func (b *LogBook) Handler(next slog.Handler) slog.Handler { return &logHandler{book: b, next: next} }

// KeepDebug has the book keep what is logged at Debug for d, whatever the log's own
// level is; 0 ends it.
func (b *LogBook) KeepDebug(d time.Duration) {
	until := time.Now().Add(d)
	b.verbose.Store(&until)
}

// DebugUntil returns until when Debug is kept; in the past when it is not.
func (b *LogBook) DebugUntil() (t time.Time) {
	if until := b.verbose.Load(); until != nil {
		return *until
	}
	return t
}

func (b *LogBook) keeps(l slog.Level) bool {
	return l >= slog.LevelDebug && time.Now().Before(b.DebugUntil())
}

// After returns the entries with a higher Seq than seq, of level at least, the
// oldest first. Of more than limit, the newest are returned.
func (b *LogBook) After(seq uint64, least slog.Level, limit int) []LogEntry {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []LogEntry
	for n := b.next - 1; n > seq && n+uint64(len(b.entries)) >= b.next && len(list) < limit; n-- {
		if e := b.entries[(n-1)%logEntries]; e.Level >= least {
			list = append(list, e)
		}
	}
	slices.Reverse(list)
	return list
}

// Last returns the Seq of the newest entry.
func (b *LogBook) Last() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next - 1
}

func (b *LogBook) add(e LogEntry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.Seq = b.next
	b.next++
	if len(b.entries) < logEntries {
		b.entries = append(b.entries, e)
		return
	}
	b.entries[(e.Seq-1)%logEntries] = e
}

// logHandler is a slog.Handler in front of another one.
type logHandler struct {
	book   *LogBook
	next   slog.Handler
	values []LogValue // of With
	group  string     // in front of keys, with its dot
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.next.Enabled(ctx, l) || h.book.keeps(l)
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	e := LogEntry{At: r.Time, Level: r.Level, Message: clipText(r.Message, maxLogText), Values: slices.Clip(h.values)}
	r.Attrs(func(a slog.Attr) bool {
		e.Values = appendValues(e.Values, h.group, a)
		return len(e.Values) < maxLogValues
	})
	h.book.add(e)
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.next = h.next.WithAttrs(attrs)
	c.values = slices.Clone(h.values)
	for _, a := range attrs {
		c.values = appendValues(c.values, h.group, a)
	}
	return &c
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.next = h.next.WithGroup(name)
	c.group += name + "."
	return &c
}

func appendValues(to []LogValue, group string, a slog.Attr) []LogValue {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, x := range v.Group() {
			to = appendValues(to, group, x)
		}
		return to
	}
	if text := v.String(); text != "" {
		to = append(to, LogValue{group + a.Key, clipText(text, maxLogValue)})
	}
	return to
}

// clipText bounds text and lets go of the larger one that it may be a part of.
func clipText(s string, limit int) string {
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return strings.Clone(s)
}
