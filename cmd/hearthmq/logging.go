package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// levelTrace is below Debug: every packet.
const levelTrace = slog.LevelDebug - 4

// level translates the setting log_level.
func level(setting string) slog.Level {
	switch setting {
	case "trace":
		return levelTrace
	case "debug":
		return slog.LevelDebug
	case "warning":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// lineHandler is a slog.Handler that writes for people:
//
//	2026-11-21 07:30:01 info     client connected  client_id=lamp user=bob
//
// What clients chose is quoted wherever it could be taken for something else.
type lineHandler struct {
	level slog.Level
	out   *lockedWriter
	attrs string // of With, as they are printed
	group string // prefix of keys, with its dot
}

// lockedWriter keeps lines whole.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func newLog(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(&lineHandler{level: level, out: &lockedWriter{w: w}})
}

// Enabled implements slog.Handler.
func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// Handle implements slog.Handler.
func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	b := make([]byte, 0, 256)
	b = r.Time.AppendFormat(b, time.DateTime)
	b = fmt.Appendf(b, " %-7s  %s", levelName(r.Level), visibly(r.Message))
	if h.attrs != "" || r.NumAttrs() > 0 {
		b = append(b, ' ')
	}
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, h.group, a)
		return true
	})
	b = append(b, '\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(b)
	return err
}

// WithAttrs implements slog.Handler.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	b := []byte(h.attrs)
	for _, a := range attrs {
		b = appendAttr(b, h.group, a)
	}
	c := *h
	c.attrs = string(b)
	return &c
}

// WithGroup implements slog.Handler.
func (h *lineHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.group += name + "."
	return &c
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "trace"
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warning"
	}
	return "error"
}

func appendAttr(b []byte, group string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, x := range v.Group() {
			b = appendAttr(b, group, x)
		}
		return b
	}
	text := shortened(v.String())
	if text == "" { // no user, no detail
		return b
	}
	b = append(b, ' ')
	b = append(b, group...)
	b = append(b, a.Key...)
	b = append(b, '=')
	if plain(text) {
		return append(b, text...)
	}
	return strconv.AppendQuote(b, text)
}

// longestValue is how much of what a client chose goes into a line. Under serve -c a
// Client Identifier may have 64 kB, and strangers choose it.
const longestValue = 1000

// shortened cuts text to longestValue bytes, without breaking a character.
func shortened(text string) string {
	if len(text) <= longestValue {
		return text
	}
	return strings.ToValidUTF8(text[:longestValue], "") + "…"
}

// plain reports whether text can stand without quotes.
func plain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r == '"' || r == '=' || r == unicode.ReplacementChar || unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
}
