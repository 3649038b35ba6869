package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// How many lines of one kind are logged in any second; the others of a flood are counted
// alone (case R14), and told of every calmTell. In Mosquitto's place there are more:
// people's scripts read there who came and went after a power cut.
const (
	calmRate    = 10
	standInRate = 100
	calmTell    = 10 * time.Second
)

// calmHandler is a slog.Handler in front of another that lets no flood through. Lines
// of the same message are of one kind; our messages are constants. What is written for
// debugging passes: who asked for it wants all.
type calmHandler struct {
	slog.Handler
	kinds *calmKinds
}

// calmKinds is shared by all handlers that With makes.
type calmKinds struct {
	rate int // lines of a kind in any second

	mu     sync.Mutex // held while left out lines are told of
	byText map[string]*calmKind
	closed bool
}

type calmKind struct {
	logged []time.Time // the last ones, a ring
	next   int         // of logged: the oldest
	left   int         // lines that were left out and not told of yet
	tell   func()      // does so, by a timer
}

// calm lets through rate lines of a kind in any second.
func calm(h slog.Handler, rate int) *calmHandler {
	return &calmHandler{h, &calmKinds{rate: rate, byText: make(map[string]*calmKind)}}
}

// Handle implements slog.Handler.
func (h *calmHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo && !h.pass(r) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// pass reports whether a line may be logged. The first that may not starts a timer
// that tells how many there were.
func (h *calmHandler) pass(r slog.Record) bool {
	h.kinds.mu.Lock()
	defer h.kinds.mu.Unlock()
	k := h.kinds.byText[r.Message]
	if k == nil {
		k = &calmKind{logged: make([]time.Time, h.kinds.rate)}
		h.kinds.byText[r.Message] = k
	}
	if oldest := &k.logged[k.next]; oldest.IsZero() || r.Time.Sub(*oldest) >= time.Second {
		*oldest, k.next = r.Time, (k.next+1)%h.kinds.rate
		return true
	}
	if k.left++; k.left == 1 && !h.kinds.closed {
		level := r.Level
		k.tell = func() { h.tell(k, level, r.Message) }
		time.AfterFunc(calmTell, func() {
			h.kinds.mu.Lock()
			defer h.kinds.mu.Unlock()
			if !h.kinds.closed {
				k.tell()
			}
		})
	}
	return false
}

// tell says how many lines of a kind were left out. h.kinds.mu is held.
func (h *calmHandler) tell(k *calmKind, level slog.Level, message string) {
	r := slog.NewRecord(time.Now(), level, "more lines of a kind than are logged", 0)
	r.AddAttrs(slog.String("kind", message), slog.Int("left_out", k.left))
	k.left = 0
	_ = h.Handler.Handle(context.Background(), r) // there is nowhere else to tell it
}

// close tells of all that was left out and not told of yet; nothing is told by timers then.
func (h *calmHandler) close() {
	h.kinds.mu.Lock()
	defer h.kinds.mu.Unlock()
	h.kinds.closed = true
	for _, k := range h.kinds.byText {
		if k.left > 0 {
			k.tell()
		}
	}
}

// WithAttrs implements slog.Handler.
func (h *calmHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &calmHandler{h.Handler.WithAttrs(attrs), h.kinds}
}

// WithGroup implements slog.Handler.
func (h *calmHandler) WithGroup(name string) slog.Handler {
	return &calmHandler{h.Handler.WithGroup(name), h.kinds}
}
