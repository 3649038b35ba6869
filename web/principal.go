package web

import (
	"context"
)

// principal is who made a request. The zero value is nobody.
type principal struct {
	name     string // stands in the audit: a user's name, or the Home Assistant user's
	display  string // for people
	admin    bool
	embedded bool   // came through Home Assistant's ingress
	haUser   string // Home Assistant's user ID behind ingress
}

type principalKey struct{}

func withPrincipal(ctx context.Context, p principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// principalOf returns who made the request of this context.
func principalOf(ctx context.Context) principal {
	p, _ := ctx.Value(principalKey{}).(principal)
	return p
}
