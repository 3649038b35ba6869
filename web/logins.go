package web

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/go-chi/chi/v5/middleware"

	"hearthmq/broker/access"
)

// How long a login on the direct port lasts.
const (
	loginIdle     = 30 * time.Minute
	loginLifetime = 24 * time.Hour
	// seenStep is how precisely the last use is remembered: a write to the
	// database per minute, not per request.
	seenStep = time.Minute
)

// Names of the cookies. __Host- makes a browser insist on Secure and Path=/.
const (
	cookieTLS   = "__Host-hearthmq"
	cookiePlain = "hearthmq"
)

// logins are the sessions of people on the direct port (not MQTT's). One store,
// two cookies: which one counts depends on whether the connection is encrypted.
type logins struct {
	encrypted, plain *scs.SessionManager
	directory        *access.Directory
}

func newLogins(store scs.Store, d *access.Directory) *logins {
	// Not scs.New: that starts a goroutine which nobody can end.
	manager := func(name string, secure bool) *scs.SessionManager {
		return &scs.SessionManager{
			Store:    store,
			Codec:    access.LoginCodec{},
			Lifetime: loginLifetime,
			Cookie: scs.SessionCookie{
				Name: name, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure,
			},
		}
	}
	return &logins{encrypted: manager(cookieTLS, true), plain: manager(cookiePlain, false), directory: d}
}

func (l *logins) manager(tls bool) *scs.SessionManager {
	if tls {
		return l.encrypted
	}
	return l.plain
}

// Keys of what a session holds.
const (
	keyName    = "name"
	keyID      = "id"
	keyVersion = "version"
	keySeen    = "seen"
	keyAddress = "address"
	keyBrowser = "browser"
)

// start begins a login for u and sets its cookie. An existing session's token
// becomes worthless: a token planted before the login opens nothing (case W13).
func (l *logins) start(w http.ResponseWriter, r *http.Request, u access.User) error {
	m := l.manager(encrypted(r))
	token := ""
	if c, err := r.Cookie(m.Cookie.Name); err == nil {
		token = c.Value
	}
	ctx, err := m.Load(r.Context(), token)
	if err != nil {
		return fmt.Errorf("load login: %w", err)
	}
	if err := m.Clear(ctx); err != nil {
		return fmt.Errorf("clear login: %w", err)
	}
	if err := m.RenewToken(ctx); err != nil {
		return fmt.Errorf("renew login: %w", err)
	}
	m.Put(ctx, keyName, u.Name)
	m.Put(ctx, keyID, u.ID)
	m.Put(ctx, keyVersion, int64(u.Version))
	m.Put(ctx, keySeen, time.Now().Unix())
	m.Put(ctx, keyAddress, middleware.GetClientIPAddr(r.Context()).Unmap().String())
	m.Put(ctx, keyBrowser, clipText(r.UserAgent(), 256))
	token, expiry, err := m.Commit(ctx)
	if err != nil {
		return fmt.Errorf("store login: %w", err)
	}
	m.WriteSessionCookie(ctx, w, token, expiry)
	return nil
}

// end makes the request's login worthless, on the server too.
func (l *logins) end(w http.ResponseWriter, r *http.Request) error {
	m := l.manager(encrypted(r))
	m.WriteSessionCookie(r.Context(), w, "", time.Time{})
	p := principalOf(r.Context())
	if p.token == "" {
		return nil
	}
	ctx, err := m.Load(r.Context(), p.token)
	if err != nil {
		return fmt.Errorf("load login: %w", err)
	}
	if err := m.Destroy(ctx); err != nil {
		return fmt.Errorf("end login: %w", err)
	}
	return nil
}

// identify returns who the request's cookie belongs to; nobody when there is
// none, when it expired, or when the account is not what it was at login:
// changing the password, disabling or demoting a user ends all its logins (case W14).
func (l *logins) identify(r *http.Request) (principal, error) {
	m := l.manager(encrypted(r))
	c, err := r.Cookie(m.Cookie.Name)
	if err != nil || c.Value == "" {
		return principal{}, nil
	}
	ctx, err := m.Load(r.Context(), c.Value)
	if err != nil {
		return principal{}, fmt.Errorf("load login: %w", err)
	}
	u, ok := l.user(ctx, m)
	if !ok {
		return principal{}, nil
	}
	now := time.Now()
	if now.Sub(time.Unix(m.GetInt64(ctx, keySeen), 0)).Abs() >= seenStep && !background(r) {
		m.Put(ctx, keySeen, now.Unix())
		if _, _, err := m.Commit(ctx); err != nil {
			return principal{}, fmt.Errorf("store login: %w", err)
		}
	}
	return principal{name: u.Name, display: u.Name, admin: true, token: c.Value, tls: encrypted(r)}, nil
}

// user returns whose login the loaded session is, if it still is one.
func (l *logins) user(ctx context.Context, m *scs.SessionManager) (access.User, bool) {
	u, ok := l.directory.User(m.GetString(ctx, keyName))
	if !ok || u.ID != m.GetInt64(ctx, keyID) || int64(u.Version) != m.GetInt64(ctx, keyVersion) || !u.Admin || u.Disabled {
		return access.User{}, false
	}
	// A clock that shows less than at the last use was set: a login stands for no years (case R12).
	idle := time.Since(time.Unix(m.GetInt64(ctx, keySeen), 0))
	return u, idle.Abs() < loginIdle
}

// stands reports whether p's login is still one, leaving it as it is.
func (l *logins) stands(ctx context.Context, p principal) bool {
	if p.token == "" {
		return false
	}
	m := l.manager(p.tls)
	ctx, err := m.Load(ctx, p.token)
	if err != nil {
		return false
	}
	_, ok := l.user(ctx, m)
	return ok
}

// directIdentity puts the person of the login cookie into the context.
func (s *Server) directIdentity(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := s.logins.identify(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(withPrincipal(r.Context(), p)))
	})
}
