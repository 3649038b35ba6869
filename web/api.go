package web

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/bridge"
	"hearthmq/broker/feed"
)

// apiPath is where the API is. Its version changes when a program that was written
// for it would break.
const apiPath = "/api/v1"

// api is the machine's way to do what the pages do. Its description comes from the
// types of its requests and answers.
type api struct {
	*Server
	doc    *huma.OpenAPI
	router chi.Router
}

const apiText = `Everything that the pages of HearthMQ's admin do, for programs.

Send a token as ` + "`Authorization: Bearer hmq_…`" + `. Tokens are made on the page Settings, API, or by
` + "`hearthmq token create --label NAME --scope read`" + `. A token of scope *read* sees everything that holds no secret; one of
scope *admin* may change it too.

Topics, client identifiers and user names never stand in a URL as they are: they come in bodies, or as base64url without padding.
Errors are application/problem+json.`

// apiRoutes mounts the API on r.
func (s *Server) apiRoutes(r chi.Router) {
	r.Route(apiPath, func(r chi.Router) {
		r.NotFound(func(w http.ResponseWriter, r *http.Request) {
			writeProblem(w, http.StatusNotFound, "there is nothing at this address; /api/v1/openapi.json lists what there is")
		})
		r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
			writeProblem(w, http.StatusMethodNotAllowed, "not with this method; /api/v1/openapi.json lists what there is")
		})
		r.Get("/openapi.json", s.openAPI)
		r.Group(func(r chi.Router) {
			r.Use(s.requireToken)
			a := &api{s, s.newDocument(), r}
			a.systemOperations()
			a.userOperations()
			a.roleOperations()
			a.clientOperations()
			a.blockOperations()
			a.traceOperations()
			a.messageOperations()
			a.topicOperations()
			a.retainedOperations()
			a.discoveryOperations()
			a.tokenOperations()
			a.bridgeOperations()
			a.importOperations()
			a.deviceOperations()
			s.apiDoc, s.apiText = a.doc, sync.OnceValues(a.doc.MarshalJSON) // strangers may ask for it
		})
	})
}

// newDocument returns the description of an API without operations.
func (s *Server) newDocument() *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info:    &huma.Info{Title: "HearthMQ", Version: strings.TrimPrefix(s.cfg.Version, "HearthMQ "), Description: apiText},
		Servers: []*huma.Server{{URL: apiPath}},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"token": {Type: "http", Scheme: "bearer", Description: "A token of HearthMQ"},
			},
		},
	}
}

// openAPI describes the API. It holds nothing of this installation, so it needs no token.
func (s *Server) openAPI(w http.ResponseWriter, r *http.Request) {
	b, err := s.apiText()
	if err != nil {
		s.log.Error("the description of the API can't be written", "err", err)
		writeProblem(w, http.StatusInternalServerError, "")
		return
	}
	w.Header().Set("Content-Type", "application/vnd.oai.openapi+json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(b)
}

// bearer returns the token that a request carries, "" when there is none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// tokenPrincipal returns who the request's token stands for. ok is false without a
// good one.
func (s *Server) tokenPrincipal(r *http.Request) (p principal, ok bool, err error) {
	secret := bearer(r)
	if secret == "" || s.cfg.Tokens == nil {
		return principal{}, false, nil
	}
	token, err := s.cfg.Tokens.Check(r.Context(), secret)
	if errors.Is(err, access.ErrNotFound) {
		return principal{}, false, nil
	}
	if err != nil {
		return principal{}, false, err
	}
	return principal{
		name: token.Label, display: token.Label, scope: token.Scope, embedded: principalOf(r.Context()).embedded,
		stands: func(ctx context.Context) bool {
			now, err := s.cfg.Tokens.Check(ctx, secret)
			return err == nil && now.Scope == token.Scope
		},
	}, true, nil
}

// requireToken lets requests with a good token through, and those that Home Assistant
// vouches for. A login's cookie opens no API: a page of another site could send it.
func (s *Server) requireToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok, err := s.tokenPrincipal(r)
		if err != nil {
			s.log.Error("request failed", "request", middleware.GetReqID(r.Context()), "path", r.URL.Path, "err", err)
			writeProblem(w, http.StatusInternalServerError, "")
			return
		}
		if home := principalOf(r.Context()); !ok && bearer(r) == "" && home.embedded && home.admin {
			p, ok = home, true
			p.scope = access.ScopeAdmin
		}
		if !ok {
			s.log.Debug("API: no token, or one that is not good", "remote", r.RemoteAddr, "path", r.URL.Path)
			w.Header().Set("WWW-Authenticate", `Bearer realm="HearthMQ"`)
			writeProblem(w, http.StatusUnauthorized, "a token is needed: Authorization: Bearer hmq_…")
			return
		}
		next.ServeHTTP(w, r.WithContext(withPrincipal(r.Context(), p)))
	})
}

// problem says what went wrong in terms of HTTP. What is nobody's business stays in the log.
func (a *api) problem(ctx context.Context, operation string, err error) error {
	if _, ok := errors.AsType[huma.StatusError](err); ok || err == nil {
		return err
	}
	if p := bodyProblem(err); p != nil {
		return p
	}
	p := problemsOf(err)
	if bad, ok := errors.AsType[bridge.Problems](err); ok {
		p = access.Problems(bad)
	}
	if p != nil {
		var details []error
		for _, field := range slices.Sorted(maps.Keys(p)) {
			details = append(details, &huma.ErrorDetail{Message: p[field], Location: "body." + field})
		}
		return huma.Error422UnprocessableEntity("not possible", details...)
	}
	switch {
	case errors.Is(err, access.ErrNotFound), errors.Is(err, broker.ErrNotFound), errors.Is(err, feed.ErrNoTopic),
		errors.Is(err, feed.ErrNoRemoval), errors.Is(err, bridge.ErrNotFound):
		return huma.Error404NotFound("there is no such thing")
	case errors.Is(err, access.ErrConflict), errors.Is(err, bridge.ErrConflict):
		return huma.Error409Conflict("somebody else changed it since that revision: read it again")
	case errors.Is(err, broker.ErrTooManyTraces):
		return huma.Error409Conflict("eight clients are traced already: stop one of those first")
	}
	a.log.Error("request failed", "request", middleware.GetReqID(ctx), "operation", operation, "err", err)
	return huma.Error500InternalServerError("this went wrong in HearthMQ; its log says more under request " + middleware.GetReqID(ctx))
}

// writeProblem answers what never came to an operation.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	writeJSON(w, status, "application/problem+json", huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail})
}

// nameOf reads a name that stands in a path as base64url.
func nameOf(coded string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(coded, "="))
	if err != nil || len(b) == 0 {
		return "", huma.Error422UnprocessableEntity("not possible", &huma.ErrorDetail{Message: "must be base64url", Location: "path"})
	}
	return string(b), nil
}

// empty is the answer of what has nothing to tell.
type emptyOutput struct{}
