package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"sync"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

// maxClaims is how many wrong tokens are looked at before set-up is closed
// until the next start.
const maxClaims = 10

// claim guards the making of the first administrator (case W16).
type claim struct {
	mu    sync.Mutex // held while the administrator is made: one of two claims wins
	wrong int
	token func() string // the one-time token, "" while there is none
}

var (
	errClaimed     = errors.New("an administrator exists")
	errClaimWrong  = errors.New("set-up token wrong")
	errClaimClosed = errors.New("too many wrong set-up tokens")
)

// check compares a token in constant time and counts wrong ones. Callers hold mu.
func (c *claim) check(token string) error {
	if c.wrong >= maxClaims {
		return errClaimClosed
	}
	want := c.token()
	got, expect := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(want))
	if len(want) < 22 || subtle.ConstantTimeCompare(got[:], expect[:]) != 1 { // 22 base64 digits: 128 bits
		if token != "" {
			c.wrong++
		}
		return errClaimWrong
	}
	return nil
}

// unclaimed sends everybody to the set-up while there is no administrator, except
// programs: they show a token, which may be made by the command line alone.
func (s *Server) unclaimed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.Path
		if s.cfg.Accounts.HasAdmin() || p == "/setup" || p == "/healthz" || p == "/metrics" || strings.HasPrefix(p, "/static/") || strings.HasPrefix(p, apiPath+"/") {
			next.ServeHTTP(w, r)
			return
		}
		s.handle(func(w http.ResponseWriter, r *http.Request) error { return s.redirect(w, r, "/setup") })(w, r)
	})
}

func (s *Server) setupForm(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Accounts.HasAdmin() {
		return s.setupRefused(w, r, errClaimed)
	}
	token := r.URL.Query().Get("token")
	s.claim.mu.Lock()
	err := s.claim.check(token)
	s.claim.mu.Unlock()
	if err != nil {
		if token == "" && !errors.Is(err, errClaimClosed) {
			return s.render(w, r, http.StatusOK, ui.SetupHelpPage(s.bareView(r, "Set up"), ""))
		}
		return s.setupRefused(w, r, err)
	}
	return s.render(w, r, http.StatusOK, ui.SetupPage(s.bareView(r, "Set up"), ui.SetupView{Token: token}))
}

func (s *Server) bareView(r *http.Request, title string) ui.PageView {
	v := s.view(r, title, "")
	v.Bare = true
	return v
}

func (s *Server) setupRefused(w http.ResponseWriter, r *http.Request, err error) error {
	switch {
	case errors.Is(err, errClaimed):
		s.errorPage(w, r, http.StatusGone, ui.ErrorView{
			Icon: "key", Title: "This link was used", Text: "HearthMQ has an administrator already. Log in, or ask whoever that is for a user.",
			Back: "/login", BackLabel: "To the login",
		})
		return nil
	case errors.Is(err, errClaimClosed):
		return s.render(w, r, http.StatusTooManyRequests, ui.SetupHelpPage(s.bareView(r, "Set up"),
			"Too many wrong links were tried. Restart HearthMQ: it then prints a new one."))
	case errors.Is(err, errClaimWrong):
		return s.render(w, r, http.StatusForbidden, ui.SetupHelpPage(s.bareView(r, "Set up"),
			"That link is not the right one. Each start prints a new link and the older ones stop working."))
	}
	return err
}

// setup makes the first administrator and logs it in.
func (s *Server) setup(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	u, err := s.claimAdmin(r, form.Get("token"), form.Get("name"), form.Get("password"), form.Get("repeat"))
	if p := problemsOf(err); p != nil {
		return s.render(w, r, http.StatusUnprocessableEntity, ui.SetupPage(s.bareView(r, "Set up"),
			ui.SetupView{Token: form.Get("token"), Name: form.Get("name"), Problems: elsewhere(p, "name", "password", "repeat")}))
	}
	if err != nil {
		return s.setupRefused(w, r, err)
	}
	s.log.Info("the first administrator was created", "user", u.Name)
	if err := s.logins.start(w, r, u); err != nil {
		return err
	}
	return s.redirect(w, r, "/?done=welcome")
}

func (s *Server) claimAdmin(r *http.Request, token, name, password, repeat string) (access.User, error) {
	s.claim.mu.Lock()
	defer s.claim.mu.Unlock()
	if s.cfg.Accounts.HasAdmin() {
		return access.User{}, errClaimed
	}
	if err := s.claim.check(token); err != nil {
		return access.User{}, err
	}
	if password != repeat {
		return access.User{}, access.Problems{"repeat": "The two passwords differ."}
	}
	ctx := access.WithActor(r.Context(), access.ViaSetup, "")
	u, _, err := s.cfg.Accounts.CreateUser(ctx, access.NewUser{Name: name, Password: password, Admin: true})
	return u, err
}
