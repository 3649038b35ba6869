package addon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"
	"unicode"

	"hearthmq/broker"
)

const (
	noticePause = time.Minute // between two notifications of a kind
	noticeLines = 8           // devices that one names
	noticeKnown = 500         // devices that are remembered, so that each is told of once
	noticeRoom  = 64          // refusals that may wait to be looked at
	noticeField = 60          // characters of what a stranger says of himself
)

// NoticesConfig is what Notices work with.
type NoticesConfig struct {
	// Notify shows a notification. Must not be nil.
	Notify func(ctx context.Context, id, title, text string) error
	// Panel returns the path of the admin in Home Assistant, "" while not known. Must
	// not be nil.
	Panel          func() string
	Unknown, Locks bool         // which there shall be
	Log            *slog.Logger // must not be nil
}

// Notices tell the owner in Home Assistant of devices that are not let in: those with
// a user that does not exist, and those that are locked out. It is an Observer of the
// broker's; Run does the talking. Each device is told of once, and of one kind there is
// one notification, which names the last few.
type Notices struct {
	cfg     NoticesConfig
	refused chan broker.Refused
}

// NewNotices returns Notices; Run starts them.
func NewNotices(cfg NoticesConfig) *Notices {
	return &Notices{cfg: cfg, refused: make(chan broker.Refused, noticeRoom)}
}

// OnPublish implements broker.Observer.
func (n *Notices) OnPublish(*broker.Message) {}

// OnEvent implements broker.Observer. In a flood some refusals are not looked at; the
// next ones are.
func (n *Notices) OnEvent(e broker.Event) {
	r, ok := e.(broker.Refused)
	if !ok || !(n.cfg.Unknown && r.Reason == broker.UnknownUser || n.cfg.Locks && r.Reason == broker.TooManyAttempts) {
		return
	}
	select {
	case n.refused <- r:
	default:
	}
}

// notice is one kind of notification.
type notice struct {
	id, title, intro string
	known            map[string]bool
	lines            []string // newest last
	due              bool
	next             time.Time // not before
}

// Run notifies until ctx ends.
func (n *Notices) Run(ctx context.Context) {
	kinds := map[broker.Reason]*notice{
		broker.UnknownUser: {
			id: "hearthmq_unknown_device", title: "A device is not known to HearthMQ", known: map[string]bool{},
			intro: "A device wants to connect with a user that does not exist. If it is yours, give it one; if not, look for it.",
		},
		broker.TooManyAttempts: {
			id: "hearthmq_lock_out", title: "HearthMQ has locked out a device", known: map[string]bool{},
			intro: "A device gave a wrong password too often and has to wait between attempts. If it is yours, correct its password.",
		},
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-n.refused:
			kinds[r.Reason].add(r)
		case <-tick.C:
		}
		for _, k := range kinds {
			if k.due && time.Now().After(k.next) {
				n.show(ctx, k)
			}
		}
	}
}

// add notes a device that was not told of before. Its port and its Client Identifier,
// which may be other ones each time, make no other device of it.
func (k *notice) add(r broker.Refused) {
	host, _, err := net.SplitHostPort(r.Remote)
	if err != nil {
		host = r.Remote
	}
	key := host + "\x00" + r.User
	if k.known[key] {
		return
	}
	if len(k.known) >= noticeKnown {
		clear(k.known)
	}
	k.known[key] = true
	k.lines = append(k.lines, fmt.Sprintf("- user `%s`, client `%s`, from `%s`, %s", plain(r.User), plain(r.ClientID), plain(host), r.At.Local().Format("2 Jan 15:04")))
	if extra := len(k.lines) - noticeLines; extra > 0 {
		k.lines = k.lines[extra:]
	}
	k.due = true
}

// plain makes a stranger's text fit for a code span of Markdown: it can't end it.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '`' {
			return '\''
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > noticeField {
		s = string(r[:noticeField]) + "…"
	}
	if s == "" {
		return "–"
	}
	return s
}

func (n *Notices) show(ctx context.Context, k *notice) {
	text := k.intro + "\n\n" + strings.Join(k.lines, "\n")
	if panel := n.cfg.Panel(); panel != "" {
		text += "\n\n[Open HearthMQ](" + panel + ")"
	}
	k.due, k.next = false, time.Now().Add(noticePause)
	if err := n.cfg.Notify(ctx, k.id, k.title, text); err != nil && ctx.Err() == nil {
		k.due = true // Home Assistant may be restarting
		n.cfg.Log.Debug("can't show a notification in Home Assistant", "err", err)
	}
}
