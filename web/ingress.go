package web

import (
	"context"
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	"hearthmq/broker/forwarded"
	"hearthmq/ui"
)

// What Home Assistant's Supervisor adds to a request, and nobody else may.
const (
	headerIngressPath = "X-Ingress-Path"
	headerUserID      = "X-Remote-User-Id"
	headerUserName    = "X-Remote-User-Name"
	headerDisplayName = "X-Remote-User-Display-Name"
)

// ingressPath is what an X-Ingress-Path looks like. Anything else is ignored (case W4).
var ingressPath = regexp.MustCompile(`^/api/hassio_ingress/[A-Za-z0-9_-]{1,128}$`)

// supervisor is where ingress asks from.
var supervisor = netip.AddrFrom4([4]byte{172, 30, 32, 2})

// peerGuard refuses everybody but the Supervisor, whatever headers say (case W1).
func (s *Server) peerGuard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || peer.Addr().Unmap() != supervisor {
			s.log.Warn("ingress refused a connection that is not Home Assistant's", "remote", r.RemoteAddr)
			http.Error(w, "only Home Assistant may connect here", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ingressIdentity takes base path and identity from the Supervisor's headers.
func (s *Server) ingressIdentity(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if base := r.Header.Get(headerIngressPath); ingressPath.MatchString(base) {
			ctx = ui.WithBase(ctx, base)
		}
		// A proxy in front of Home Assistant may have changed Host; the browser's
		// Origin is compared with what the browser asked for.
		if host := r.Header.Get("X-Forwarded-Host"); host != "" {
			r.Host = host
		}
		p := principal{embedded: true, haUser: r.Header.Get(headerUserID)}
		p.display = firstOf(r.Header.Get(headerDisplayName), r.Header.Get(headerUserName), "Home Assistant")
		p.name = firstOf(r.Header.Get(headerUserName), p.haUser, "unknown")
		p.admin, p.refusal = s.ingressAdmin(ctx, p.haUser)
		next.ServeHTTP(w, r.WithContext(withPrincipal(ctx, p)))
	})
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// ingressAdmin decides whether a user of Home Assistant may use the admin. When
// that can't be found out the answer is no (case W3).
func (s *Server) ingressAdmin(ctx context.Context, haUser string) (bool, refusal) {
	switch {
	case !s.cfg.AdminOnly:
		return true, refusedNone
	case haUser == "":
		return false, refusedUnknown
	case s.cfg.IngressAdmin == nil:
		return false, refusedNoAnswer
	}
	admin, err := s.cfg.IngressAdmin(ctx, haUser)
	switch {
	case err != nil:
		s.log.Warn("could not ask Home Assistant who is an administrator", "err", err)
		return false, refusedNoAnswer
	case !admin:
		return false, refusedNotAdmin
	}
	return true, refusedNone
}

// refusedPage explains why somebody that Home Assistant let through sees nothing.
func (s *Server) refusedPage(w http.ResponseWriter, r *http.Request, p principal) {
	e := ui.ErrorView{Icon: "access", Title: "For administrators"}
	switch p.refusal {
	case refusedNotAdmin:
		e.Text = "Your Home Assistant user is not an administrator, so the MQTT broker is not yours to change. " +
			"An administrator can allow it with the setting ui_admin_only: false."
	case refusedUnknown:
		e.Text = "Home Assistant did not say who you are. Log in to Home Assistant again and come back. " +
			"With the setting ui_admin_only: false the question is not asked."
	default:
		e.Text = "Home Assistant could not be asked whether you are an administrator, so the answer is no for now. " +
			"It may still be starting: try again in a minute. With the setting ui_admin_only: false the question is not asked."
	}
	s.errorPage(w, r, http.StatusForbidden, e)
}

// forwardedClient puts the address of the client for whom a trusted proxy speaks in place of
// the proxy's: it counts where logins are slowed down, and in logs (case A24). The port stays
// that of the proxy's connection. A proxy whose word can't be read is refused: its own address
// may be allowed more than that of whoever asks.
func (s *Server) forwardedClient(next http.Handler) http.Handler {
	if len(s.cfg.TrustedProxies) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil { // no address of a network, hence of no proxy
			next.ServeHTTP(w, r)
			return
		}
		client, err := forwarded.Client(peer.Addr(), r.Header[forwarded.Header], s.cfg.TrustedProxies)
		if err != nil {
			s.log.Warn("a proxy does not say for whom it speaks", "remote", r.RemoteAddr, "err", err)
			http.Error(w, "X-Forwarded-For can't be read", http.StatusBadRequest)
			return
		}
		ctx := r.Context()
		if forwarded.Trusted(peer.Addr(), s.cfg.TrustedProxies) && lastOf(r.Header["X-Forwarded-Proto"]) == "https" {
			ctx = context.WithValue(ctx, encryptedKey{}, true)
		}
		r = r.WithContext(ctx) // a copy of its own
		r.RemoteAddr = netip.AddrPortFrom(client, peer.Port()).String()
		next.ServeHTTP(w, r)
	})
}

type encryptedKey struct{}

// encrypted reports whether a browser's request is, up to here or to a trusted proxy.
func encrypted(r *http.Request) bool {
	by, _ := r.Context().Value(encryptedKey{}).(bool)
	return by || r.TLS != nil
}

// lastOf is the last word of a header's lines: that of the proxy that is nearest.
func lastOf(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	words := strings.Split(lines[len(lines)-1], ",")
	return strings.ToLower(strings.TrimSpace(words[len(words)-1]))
}

// withoutProxyHeaders deletes, on the direct port, what only the Supervisor or a
// proxy of its may say (case W2).
func withoutProxyHeaders(next http.Handler) http.Handler {
	names := []string{
		headerIngressPath, headerUserID, headerUserName, headerDisplayName, "X-Hass-Source", "X-Hassio-Key",
		"X-Supervisor-Token", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Forwarded",
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		passed := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("X-Real-Ip") != "" || r.Header.Get("Forwarded") != "" || r.Header.Get("Via") != ""
		for _, name := range names {
			r.Header.Del(name)
		}
		if passed {
			r = r.WithContext(context.WithValue(r.Context(), proxiedKey{}, true))
		}
		next.ServeHTTP(w, r)
	})
}

type proxiedKey struct{}

// proxied reports whether a proxy says that it passed the request on. Whoever asked it
// is then not on this machine, although the proxy may be.
func proxied(ctx context.Context) bool {
	p, _ := ctx.Value(proxiedKey{}).(bool)
	return p
}
