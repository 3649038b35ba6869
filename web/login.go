package web

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"

	"github.com/go-chi/chi/v5/middleware"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/ui"
)

// nextPath is where a login may lead to: nothing but our own pages (case W22).
var nextPath = regexp.MustCompile(`^/(?:topics|clients|logs(?:/audit)?|settings(?:/(?:certificates|backup|tokens|logins))?|users(?:/-?[0-9]{1,18})?|access(?:/roles/[0-9]{1,18})?)?$`)

func safeNext(next string) string {
	if nextPath.MatchString(next) {
		return next
	}
	return "/"
}

// loginPath is the login page that leads back to path.
func loginPath(path string) string {
	if next := safeNext(path); next != "/" {
		return "/login?next=" + url.QueryEscape(next)
	}
	return "/login"
}

func (s *Server) loginForm(w http.ResponseWriter, r *http.Request) error {
	next := safeNext(r.URL.Query().Get("next"))
	if principalOf(r.Context()).admin {
		return s.redirect(w, r, next)
	}
	return s.loginPage(w, r, http.StatusOK, ui.LoginView{Next: next})
}

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request, status int, l ui.LoginView) error {
	v := s.view(r, "Log in", "")
	v.Bare = true
	l.Plain = !encrypted(r) && !loopback(r)
	return s.render(w, r, status, ui.LoginPage(v, l))
}

// loopback reports whether the request did not leave the machine.
func loopback(r *http.Request) bool {
	return middleware.GetClientIPAddr(r.Context()).Unmap().IsLoopback()
}

// login answers the login form. Wrong name, wrong password and a disabled user
// get the same answer. Directory makes guessing slow by address and name, so that
// nobody can lock the administrator out by guessing under that name (case W15).
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	l := ui.LoginView{Username: form.Get("username"), Next: safeNext(form.Get("next"))}
	addr := middleware.GetClientIPAddr(r.Context())
	ctx := access.WithRemote(r.Context(), addr)
	s.cfg.Accounts.Fresh(ctx) // who was made on the command line a moment ago may log in
	u, err := s.cfg.Directory.CheckPassword(ctx, l.Username, form.Get("password"))
	if err != nil {
		refused, ok := errors.AsType[*broker.Refusal](err)
		if !ok {
			return err
		}
		s.log.Warn("login to the admin refused", "user", l.Username, "remote", addr.String(), "reason", string(refused.Reason))
		switch refused.Reason {
		case broker.TooManyAttempts, broker.ServerFull:
			w.Header().Set("Retry-After", "10")
			l.Problem = "There were too many attempts from here. Wait a moment, then try again."
			return s.loginPage(w, r, http.StatusTooManyRequests, l)
		case broker.BackendUnavailable:
			l.Problem = "The password could not be checked right now. Try again in a minute."
			return s.loginPage(w, r, http.StatusServiceUnavailable, l)
		}
		l.Problem = "The user name or the password is wrong."
		return s.loginPage(w, r, http.StatusUnprocessableEntity, l)
	}
	if !u.Admin {
		l.Problem = "This user may use MQTT, but not this page. An administrator can change that."
		return s.loginPage(w, r, http.StatusForbidden, l)
	}
	if err := s.logins.start(w, r, u); err != nil {
		return err
	}
	s.log.Info("login to the admin", "user", u.Name, "remote", addr.String())
	return s.redirect(w, r, l.Next)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	if err := s.logins.end(w, r); err != nil {
		return err
	}
	return s.redirect(w, r, "/login?done=logged-out")
}
