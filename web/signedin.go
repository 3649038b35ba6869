package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

// LoginList knows who is logged in to the direct port.
type LoginList interface {
	// ListLogins returns the logins of user, of everybody when user is "", the last used first.
	ListLogins(ctx context.Context, user string) ([]access.BrowserLogin, error)
	// DeleteLogin ends one of them; one that is gone already is no error.
	DeleteLogin(ctx context.Context, id int64) error
	// LoginID returns the ID of the login with this token, 0 when there is none.
	LoginID(ctx context.Context, token string) (int64, error)
}

// endLogin logs a browser out, in the name of ctx's person.
func (s *Server) endLogin(ctx context.Context, id int64) error {
	list, err := s.cfg.Logins.ListLogins(ctx, "")
	if err != nil {
		return err
	}
	for _, l := range list {
		if l.ID != id {
			continue
		}
		if err := s.cfg.Logins.DeleteLogin(ctx, id); err != nil {
			return err
		}
		return s.cfg.Accounts.Note(context.WithoutCancel(ctx), "login ended", l.User, "", "")
	}
	return access.ErrNotFound
}

func (p settings) loginRoutes(r chi.Router) {
	r.Get("/settings/logins", p.handle(p.loginsPage))
	r.Post("/settings/logins/others", p.handle(p.endOthers))
	r.Post("/settings/logins/{id}/end", p.handle(p.end))
}

// loginsPage lists the browsers that are logged in.
func (p settings) loginsPage(w http.ResponseWriter, r *http.Request) error {
	v := ui.LoginsView{Embedded: principalOf(r.Context()).embedded}
	list, own, err := p.signedIn(r)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, l := range list {
		v.Logins = append(v.Logins, ui.LoginRow{
			ID: l.ID, User: ui.Visible(l.User), Address: ui.Visible(l.Address), Browser: browserName(l.Browser),
			Created: ui.Ago(l.Created, now), Seen: ui.Ago(l.Seen, now), Own: l.ID == own,
		})
	}
	return p.render(w, r, http.StatusOK, ui.LoginsPage(p.page(r), v))
}

// signedIn returns the logins there are, and which of them is the request's own, 0: none.
func (p settings) signedIn(r *http.Request) (list []access.BrowserLogin, own int64, err error) {
	if p.cfg.Logins == nil {
		return nil, 0, access.ErrNotFound
	}
	if list, err = p.cfg.Logins.ListLogins(r.Context(), ""); err != nil {
		return nil, 0, err
	}
	if token := principalOf(r.Context()).token; token != "" {
		own, err = p.cfg.Logins.LoginID(r.Context(), token)
	}
	return list, own, err
}

func (p settings) end(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil || p.cfg.Logins == nil {
		return access.ErrNotFound
	}
	if err := p.endLogin(r.Context(), id); err != nil {
		return err
	}
	return p.redirect(w, r, "/settings/logins?done=login-ended")
}

// endOthers logs out everybody but the browser that asks.
func (p settings) endOthers(w http.ResponseWriter, r *http.Request) error {
	list, own, err := p.signedIn(r)
	if err != nil {
		return err
	}
	if err := p.endLogins(r.Context(), list, own); err != nil {
		return err
	}
	return p.redirect(w, r, "/settings/logins?done=logins-ended")
}

// endLogins logs out all of them but one, in the name of ctx's person.
func (s *Server) endLogins(ctx context.Context, list []access.BrowserLogin, but int64) error {
	for _, l := range list {
		if l.ID == but {
			continue
		}
		if err := s.endLogin(ctx, l.ID); err != nil {
			return err
		}
	}
	return nil
}

// browserName says in few words which browser a User-Agent is of, as far as people
// need it to know their own.
func browserName(agent string) string {
	name := "A browser"
	for _, b := range []struct{ mark, name string }{
		{"Home Assistant", "Home Assistant's app"}, {"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox", "Firefox"}, {"Chrom", "Chrome"}, {"Safari", "Safari"},
	} {
		if strings.Contains(agent, b.mark) {
			name = b.name
			break
		}
	}
	for _, o := range []struct{ mark, name string }{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	} {
		if strings.Contains(agent, o.mark) {
			return name + " on " + o.name
		}
	}
	return name
}
