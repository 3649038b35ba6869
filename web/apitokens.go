package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker/access"
)

type apiToken struct {
	ID        int64      `json:"id"`
	Label     string     `json:"label"`
	Scope     string     `json:"scope" enum:"read,admin"`
	Created   time.Time  `json:"created"`
	CreatedBy string     `json:"created_by"`
	Used      *time.Time `json:"used,omitempty" doc:"Absent: never."`
}

func tokenOf(t access.Token) apiToken {
	out := apiToken{ID: t.ID, Label: t.Label, Scope: string(t.Scope), Created: t.Created, CreatedBy: t.CreatedBy}
	if !t.Used.IsZero() {
		out.Used = &t.Used
	}
	return out
}

type tokensOutput struct {
	Body struct {
		Tokens []apiToken `json:"tokens"`
	}
}

type newTokenInput struct {
	Body struct {
		Label string `json:"label" maxLength:"128"`
		Scope string `json:"scope,omitempty" enum:"read,admin" default:"read"`
	}
}

type newTokenOutput struct {
	Body struct {
		Token  apiToken `json:"token"`
		Secret string   `json:"secret" doc:"What to send. It can't be asked for again."`
	}
}

type apiLogin struct {
	ID      int64     `json:"id"`
	User    string    `json:"user"`
	Address string    `json:"address"`
	Browser string    `json:"browser"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	Expires time.Time `json:"expires"`
}

type loginsOutput struct {
	Body struct {
		Logins []apiLogin `json:"logins"`
	}
}

func (a *api) tokenOperations() {
	if a.cfg.Tokens != nil {
		a.tokenOnes()
	}
	if a.cfg.Logins != nil {
		a.loginOnes()
	}
}

func (a *api) tokenOnes() {
	tags := []string{"Access to the admin"}
	operate(a, huma.Operation{OperationID: "list-tokens", Method: http.MethodGet, Path: "/tokens", Tags: tags, Summary: "All tokens, without their secrets"},
		access.ScopeRead, func(ctx context.Context, _ *struct{}) (*tokensOutput, error) {
			list, err := a.cfg.Tokens.List(ctx)
			out := new(tokensOutput)
			out.Body.Tokens = []apiToken{}
			for _, t := range list {
				out.Body.Tokens = append(out.Body.Tokens, tokenOf(t))
			}
			return out, err
		})
	operate(a, huma.Operation{OperationID: "create-token", Method: http.MethodPost, Path: "/tokens", Tags: tags, Summary: "Make a token", DefaultStatus: http.StatusCreated, Errors: []int{422}},
		access.ScopeAdmin, func(ctx context.Context, in *newTokenInput) (*newTokenOutput, error) {
			made, secret, err := a.cfg.Tokens.Create(ctx, in.Body.Label, access.TokenScope(in.Body.Scope))
			out := new(newTokenOutput)
			out.Body.Token, out.Body.Secret = tokenOf(made), secret
			return out, err
		})
	operate(a, huma.Operation{OperationID: "revoke-token", Method: http.MethodDelete, Path: "/tokens/{id}", Tags: tags, Summary: "Make a token worthless", Errors: []int{404}},
		access.ScopeAdmin, func(ctx context.Context, in *idInput) (*emptyOutput, error) {
			return nil, a.cfg.Tokens.Revoke(ctx, in.ID)
		})
}

func (a *api) loginOnes() {
	tags := []string{"Access to the admin"}
	operate(a, huma.Operation{OperationID: "list-logins", Method: http.MethodGet, Path: "/logins", Tags: tags, Summary: "Browsers that are logged in to the admin"},
		access.ScopeRead, func(ctx context.Context, _ *struct{}) (*loginsOutput, error) {
			list, err := a.cfg.Logins.ListLogins(ctx, "")
			out := new(loginsOutput)
			out.Body.Logins = []apiLogin{}
			for _, l := range list {
				out.Body.Logins = append(out.Body.Logins, apiLogin(l))
			}
			return out, err
		})
	operate(a, huma.Operation{OperationID: "end-login", Method: http.MethodDelete, Path: "/logins/{id}", Tags: tags, Summary: "Log a browser out", Errors: []int{404}},
		access.ScopeAdmin, func(ctx context.Context, in *idInput) (*emptyOutput, error) {
			return nil, a.endLogin(ctx, in.ID)
		})
	operate(a, huma.Operation{OperationID: "end-logins", Method: http.MethodDelete, Path: "/logins", Tags: tags, Summary: "Log all browsers out"},
		access.ScopeAdmin, func(ctx context.Context, _ *struct{}) (*emptyOutput, error) {
			list, err := a.cfg.Logins.ListLogins(ctx, "")
			if err != nil {
				return nil, err
			}
			return nil, a.endLogins(ctx, list, 0)
		})
}
