package access

import (
	"context"
	"fmt"
	"strings"
)

// actorSelf does what nobody asked for in particular.
const actorSelf = "HearthMQ"

type actorKey struct{}

// WithActor notes who asks for what is done with ctx, for the audit.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

// Actor returns who asks, "HearthMQ" when nobody was noted.
func Actor(ctx context.Context) string {
	if name, _ := ctx.Value(actorKey{}).(string); name != "" {
		return name
	}
	return actorSelf
}

func entry(ctx context.Context, action, object, before, after string) AuditEntry {
	return AuditEntry{
		At:     now(),
		Actor:  Actor(ctx),
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
