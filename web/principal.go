package web

import (
	"context"
	"net/http"

	"hearthmq/broker/access"
)

// principal is who made a request. The zero value is nobody.
type principal struct {
	name     string // stands in the audit: a user's name, or the Home Assistant user's
	display  string // for people
	admin    bool
	scope    access.TokenScope // of the API's token; "" for people
	embedded bool              // came through Home Assistant's ingress
	haUser   string            // Home Assistant's user ID, behind ingress only
	refusal  refusal

	// stands reports whether the API's token is still good; nil for people.
	stands func(context.Context) bool

	token string // of the login session, on the direct port only
	tls   bool   // which of the two cookies token came in
}

// refusal says why somebody Home Assistant let through may not use the admin.
type refusal byte

const (
	refusedNone     refusal = iota
	refusedNotAdmin         // not an administrator of Home Assistant
	refusedUnknown          // Home Assistant did not say who it is
	refusedNoAnswer         // Home Assistant could not be asked
)

type principalKey struct{}

// withPrincipal also makes p the actor of every change in the audit.
func withPrincipal(ctx context.Context, p principal) context.Context {
	ctx = context.WithValue(ctx, principalKey{}, p)
	if p.name != "" {
		via := access.ViaAdmin
		switch {
		case p.scope != "" && !p.admin:
			via = access.ViaToken
		case p.embedded:
			via = access.ViaHomeAssistant
		}
		ctx = access.WithActor(ctx, via, p.name)
	}
	return ctx
}

// principalOf returns who made the request of this context.
func principalOf(ctx context.Context) principal {
	p, _ := ctx.Value(principalKey{}).(principal)
	return p
}

// requireAdmin lets administrators through. Others are sent to the login, or
// told why they may not, or, where no person reads the answer, refused with 401.
func (s *Server) requireAdmin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := principalOf(r.Context())
		switch {
		case p.admin:
			next.ServeHTTP(w, r)
		case p.embedded:
			s.refusedPage(w, r, p)
		case background(r):
			http.Error(w, "log in first", http.StatusUnauthorized)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			s.handle(func(w http.ResponseWriter, r *http.Request) error { return s.redirect(w, r, "/login") })(w, r)
		default:
			s.handle(func(w http.ResponseWriter, r *http.Request) error {
				return s.redirect(w, r, loginPath(r.URL.Path))
			})(w, r)
		}
	})
}

// allowed reports whether the person behind a request that was let in earlier
// still may use the admin. What outlives its request, the WebSocket, asks about
// once a second: it ends with the login that opened it (case W11).
func (s *Server) allowed(ctx context.Context) bool {
	p := principalOf(ctx)
	if p.stands != nil {
		return p.stands(ctx)
	}
	if p.embedded {
		admin, refused := s.ingressAdmin(ctx, p.haUser)
		return admin && refused == refusedNone
	}
	return s.logins.stands(ctx, p)
}
