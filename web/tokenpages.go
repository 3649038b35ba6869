package web

import (
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

func (p settings) tokenRoutes(r chi.Router) {
	r.Get("/settings/tokens", p.handle(p.tokens))
	r.Post("/settings/tokens", p.handle(p.createToken))
	r.Get("/settings/tokens/{id}/revoke", p.handle(p.askRevoke))
	r.Post("/settings/tokens/{id}/revoke", p.handle(p.revokeToken))
}

func (p settings) tokens(w http.ResponseWriter, r *http.Request) error {
	return p.tokensPage(w, r, http.StatusOK, ui.TokensView{})
}

func (p settings) tokensPage(w http.ResponseWriter, r *http.Request, status int, v ui.TokensView) error {
	if p.cfg.Tokens == nil {
		return access.ErrNotFound
	}
	list, err := p.cfg.Tokens.List(r.Context())
	if err != nil {
		return err
	}
	now := time.Now()
	for _, t := range list {
		v.Tokens = append(v.Tokens, ui.TokenRow{
			ID: t.ID, Label: ui.Visible(t.Label), Scope: string(t.Scope), CreatedBy: ui.Visible(t.CreatedBy),
			Created: ui.Ago(t.Created, now), Used: ui.Ago(t.Used, now),
		})
	}
	v.Embedded = principalOf(r.Context()).embedded
	return p.render(w, r, status, ui.TokensPage(p.page(r, "forms"), v))
}

func (p settings) createToken(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	v := ui.TokensView{Label: form.Get("label"), Scope: form.Get("scope")}
	if p.cfg.Tokens == nil {
		return access.ErrNotFound
	}
	made, secret, err := p.cfg.Tokens.Create(r.Context(), v.Label, access.TokenScope(v.Scope))
	if problems := problemsOf(err); problems != nil {
		v.Problems = elsewhere(problems, "label")
		return p.tokensPage(w, r, http.StatusUnprocessableEntity, v)
	}
	if err != nil {
		return err
	}
	p.log.Info("token created", "label", made.Label, "scope", string(made.Scope), "actor", access.Actor(r.Context()))
	host := r.Host
	if principalOf(r.Context()).embedded {
		host = "" // that is Home Assistant's
	}
	scheme := "http"
	if encrypted(r) {
		scheme = "https"
	}
	address := ""
	if host != "" {
		address = (&url.URL{Scheme: scheme, Host: host, Path: apiPath}).String()
	}
	return p.render(w, r, http.StatusOK, ui.TokenSecretPage(p.page(r), ui.TokenSecretView{
		Label: ui.Visible(made.Label), Scope: string(made.Scope), Secret: secret, Address: address,
	}))
}

func (p settings) token(r *http.Request) (access.Token, error) {
	id, err := idOf(r)
	if err != nil || p.cfg.Tokens == nil {
		return access.Token{}, access.ErrNotFound
	}
	list, err := p.cfg.Tokens.List(r.Context())
	if err != nil {
		return access.Token{}, err
	}
	for _, t := range list {
		if t.ID == id {
			return t, nil
		}
	}
	return access.Token{}, access.ErrNotFound
}

func (p settings) askRevoke(w http.ResponseWriter, r *http.Request) error {
	t, err := p.token(r)
	if err != nil {
		return err
	}
	return p.render(w, r, http.StatusOK, ui.ConfirmPage(p.page(r), ui.RevokeQuestion(t.ID, ui.Visible(t.Label)), "/settings/tokens"))
}

func (p settings) revokeToken(w http.ResponseWriter, r *http.Request) error {
	t, err := p.token(r)
	if err != nil {
		return err
	}
	if err := p.cfg.Tokens.Revoke(r.Context(), t.ID); err != nil {
		return err
	}
	p.log.Info("token revoked", "label", t.Label, "actor", access.Actor(r.Context()))
	return p.redirect(w, r, "/settings/tokens?done=token-revoked")
}
