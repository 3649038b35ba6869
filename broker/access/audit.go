package access

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Via is the way by which a change came.
type Via string

const (
	ViaAdmin         Via = "admin"          // the web admin with its own login
	ViaHomeAssistant Via = "home assistant" // the web admin inside Home Assistant; the name is a user's of it
	ViaControl       Via = "$CONTROL"       // a message to $CONTROL; the name is the user
	ViaToken         Via = "token"          // the API; the name is the token's label
	ViaCommandLine   Via = "command line"   // the name is the operating system's user
	ViaSetup         Via = "set-up"         // the one-time link that makes the first administrator
	ViaSelf          Via = "HearthMQ"       // nobody asked for it in particular
)

// Who asked for something.
type Who struct {
	Via  Via
	Name string // "" where there is none
}

// String is for people: "ann", "Home Assistant user ann", "token grafana",
// "command line (root)".
func (w Who) String() string {
	switch {
	case w.Via == ViaAdmin && w.Name != "":
		return w.Name
	case w.Via == ViaHomeAssistant:
		return strings.TrimSpace("Home Assistant user " + w.Name)
	case w.Via == ViaControl:
		return w.Name + " by $CONTROL"
	case w.Via == ViaToken:
		return strings.TrimSpace("token " + w.Name)
	case w.Name == "":
		return string(w.Via)
	case w.Via == "":
		return w.Name
	}
	return fmt.Sprintf("%s (%s)", w.Via, w.Name)
}

// LogValue implements slog.LogValuer.
func (w Who) LogValue() slog.Value { return slog.StringValue(w.String()) }

type actorKey struct{}

// WithActor notes who asks for what is done with ctx, for the audit. Of a name that
// came from outside no more is kept than a user's name may have.
func WithActor(ctx context.Context, via Via, name string) context.Context {
	if len(name) > MaxNameBytes {
		name = strings.ToValidUTF8(name[:MaxNameBytes], "") + "…"
	}
	return context.WithValue(ctx, actorKey{}, Who{via, name})
}

// Actor returns who asks, HearthMQ itself when nobody was noted.
func Actor(ctx context.Context) Who {
	if w, ok := ctx.Value(actorKey{}).(Who); ok {
		return w
	}
	return Who{Via: ViaSelf}
}

// AuditEntry says who changed what. It never contains a secret.
type AuditEntry struct {
	ID            int64
	At            time.Time
	Via           Via
	Actor         string // who did it, by that way; see Who
	Action        string // "user created", "password changed", …
	Object        string // name of what was changed
	Before, After string // one line each, for people
}

// Who returns who did it.
func (e AuditEntry) Who() Who { return Who{e.Via, e.Actor} }

// AuditQuery selects entries of the audit. The zero value selects the newest.
type AuditQuery struct {
	Text         string    // stands in actor, action, object, before or after, in capitals or not; "": any
	Via          Via       // "": any
	Since, Until time.Time // from Since on, before Until; zero: any
	Before       int64     // entries with a smaller ID, which are older: the next page; 0: from the newest on
	Limit        int       // 0: AuditPage; at most MaxAuditPage
}

// Sizes of a page of the audit.
const (
	AuditPage    = 100
	MaxAuditPage = 1000
)

// Normal returns the query with its limit in bounds. Repositories are asked with it.
func (q AuditQuery) Normal() AuditQuery {
	if q.Limit <= 0 {
		q.Limit = AuditPage
	}
	q.Limit = min(q.Limit, MaxAuditPage)
	return q
}

// Matches reports whether the query selects e.
func (q AuditQuery) Matches(e AuditEntry) bool {
	fold := func(s string) string { return strings.Map(foldASCII, s) }
	return (q.Via == "" || q.Via == e.Via) &&
		(q.Since.IsZero() || !e.At.Before(q.Since)) &&
		(q.Until.IsZero() || e.At.Before(q.Until)) &&
		(q.Before == 0 || e.ID < q.Before) &&
		(q.Text == "" || strings.Contains(fold(strings.Join([]string{e.Actor, e.Action, e.Object, e.Before, e.After}, "\n")), fold(q.Text)))
}

// foldASCII makes small letters of the 26 capital ones: what SQLite's lower does.
func foldASCII(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// Audit returns a page of what was changed, newest first. next is the Before of the
// page that follows, 0 when there is none.
func (a *Accounts) Audit(ctx context.Context, q AuditQuery) (page []AuditEntry, next int64, err error) {
	q = q.Normal()
	ask := q
	ask.Limit++ // one more tells whether there is another page
	if page, err = a.repo.Audit(ctx, ask); err != nil {
		return nil, 0, fmt.Errorf("read the audit: %w", err)
	}
	if len(page) > q.Limit {
		page = page[:q.Limit]
		next = page[q.Limit-1].ID
	}
	return page, next, nil
}

// Note writes down a change that somebody else has made, such as a restored backup or
// a token. It must not contain a secret.
func (a *Accounts) Note(ctx context.Context, action, object, before, after string) error {
	return a.change(ctx, func() (string, error) {
		return nobody, a.repo.Note(ctx, entry(ctx, action, object, before, after))
	})
}

func entry(ctx context.Context, action, object, before, after string) AuditEntry {
	who := Actor(ctx)
	return AuditEntry{
		At:     now(),
		Via:    who.Via,
		Actor:  who.Name,
		Action: action,
		Object: object,
		Before: shorten(before),
		After:  shorten(after),
	}
}

// maxAuditBytes bounds Before and After; a thousand rules don't belong there.
const maxAuditBytes = 4096

func shorten(s string) string {
	if len(s) <= maxAuditBytes {
		return s
	}
	return strings.ToValidUTF8(s[:maxAuditBytes], "") + " …"
}

// describeUser is a user's standing in one line, without anything secret.
func describeUser(u User) string {
	var b strings.Builder
	fmt.Fprintf(&b, "roles: %s", orNone(strings.Join(u.Roles, ", ")))
	if len(u.Rules) > 0 {
		fmt.Fprintf(&b, "; rules: %s", describeRules(u.Rules))
	}
	if text := FormatLimits(u.Limits); text != "" {
		fmt.Fprintf(&b, "; limits: %s", text)
	}
	if len(u.Networks) > 0 {
		fmt.Fprintf(&b, "; from: %s", FormatNetworks(u.Networks))
	}
	if u.Admin {
		b.WriteString("; admin")
	}
	if u.Disabled {
		b.WriteString("; disabled")
	}
	if u.Note != "" {
		fmt.Fprintf(&b, "; note: %s", u.Note)
	}
	return b.String()
}

func describeRole(r Role) string {
	s := "rules: " + orNone(describeRules(r.Rules))
	if r.Description != "" {
		s += "; description: " + r.Description
	}
	return s
}

func describeRules(rules []Rule) string {
	texts := make([]string, len(rules))
	for i, r := range rules {
		texts[i] = r.String()
	}
	return strings.Join(texts, ", ")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
