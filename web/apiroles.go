package web

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/topic"
)

type apiRole struct {
	ID          int64    `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Builtin     bool     `json:"builtin" doc:"Comes with HearthMQ, can't be deleted."`
	Rules       []string `json:"rules"`
	Revision    int64    `json:"revision"`
}

func roleOf(r access.Role) apiRole {
	return apiRole{ID: r.ID, Name: r.Name, Description: r.Description, Builtin: r.Builtin, Rules: ruleTexts(r.Rules), Revision: r.Revision}
}

type roleOutput struct{ Body apiRole }

type rolesOutput struct {
	Body struct {
		Roles []apiRole `json:"roles"`
	}
}

type newRoleInput struct {
	Body struct {
		Name        string   `json:"name" maxLength:"128"`
		Description string   `json:"description,omitempty" maxLength:"1024"`
		Rules       []string `json:"rules"`
	}
}

type changeRoleInput struct {
	ID   int64 `path:"id"`
	Body struct {
		Revision    int64    `json:"revision,omitempty" doc:"0: whatever it is."`
		Description string   `json:"description,omitempty" maxLength:"1024"`
		Rules       []string `json:"rules"`
	}
}

type checkInput struct {
	Body struct {
		User     string `json:"user,omitempty" doc:"Empty: a client without a user name."`
		ClientID string `json:"client_id,omitempty"`
		Action   string `json:"action" enum:"publish,subscribe"`
		Topic    string `json:"topic" doc:"A topic name; with subscribe a topic filter."`
		Listener string `json:"listener,omitempty"`
		Address  string `json:"address,omitempty" doc:"IP address of the client, for rules with from=."`
	}
}

type checkOutput struct {
	Body struct {
		Allow    bool   `json:"allow"`
		Rule     string `json:"rule" doc:"The rule that decides, or why there is none."`
		MaxQoS   int    `json:"max_qos"`
		NoRetain bool   `json:"no_retain" doc:"The message would not be retained."`
		Retained *int   `json:"max_qos_retained,omitempty" doc:"The highest QoS of a retained message, where that is another."`
		Narrowed bool   `json:"narrowed" doc:"Only a part of what the filter matches is delivered."`
	}
}

type apiDenial struct {
	Action   string    `json:"action" enum:"publish,subscribe,receive,connect"`
	User     string    `json:"user"`
	ClientID string    `json:"client_id"`
	Topic    string    `json:"topic"`
	Why      string    `json:"why"`
	Address  string    `json:"address"`
	Listener string    `json:"listener"`
	Count    uint64    `json:"count"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Allowed  bool      `json:"allowed" doc:"By now; who asked for a subscription has to ask again."`
	Proposal *apiRule  `json:"proposal,omitempty" doc:"What would allow it; give it to POST /rules. Absent: no rule would."`
}

// apiRule is a rule with the user that it is for.
type apiRule struct {
	User string `json:"user" maxLength:"128" doc:"Empty: clients without a user name."`
	Rule string `json:"rule" maxLength:"2048"`
}

type allowInput struct{ Body apiRule }

type whyInput struct {
	Body struct {
		About string `json:"about" minLength:"1" maxLength:"512" doc:"Client identifier, user name or address of the device, or a part of it."`
	}
}

type whyOutput struct{ Body access.Explanation }

type denialsOutput struct {
	Body struct {
		Denials []apiDenial `json:"denials"`
	}
}

func (a *api) roleOperations() {
	tags := []string{"Users and rights"}
	operate(a, huma.Operation{OperationID: "list-roles", Method: http.MethodGet, Path: "/roles", Tags: tags, Summary: "All roles with their rules"},
		access.ScopeRead, func(context.Context, *struct{}) (*rolesOutput, error) {
			out := new(rolesOutput)
			out.Body.Roles = []apiRole{}
			for _, r := range a.cfg.Directory.Roles() {
				out.Body.Roles = append(out.Body.Roles, roleOf(r))
			}
			return out, nil
		})
	operate(a, huma.Operation{OperationID: "get-role", Method: http.MethodGet, Path: "/roles/{id}", Tags: tags, Summary: "One role", Errors: []int{404}},
		access.ScopeRead, func(_ context.Context, in *idInput) (*roleOutput, error) {
			r, err := a.roleWithID(in.ID)
			return &roleOutput{roleOf(r)}, err
		})
	operate(a, huma.Operation{OperationID: "create-role", Method: http.MethodPost, Path: "/roles", Tags: tags, Summary: "Add a role", DefaultStatus: http.StatusCreated, Errors: []int{422}},
		access.ScopeAdmin, func(ctx context.Context, in *newRoleInput) (*roleOutput, error) {
			rules, err := parseRules(strings.Join(in.Body.Rules, "\n"))
			if err != nil {
				return nil, err
			}
			if err := a.cfg.Accounts.CreateRole(ctx, in.Body.Name, in.Body.Description, rules); err != nil {
				return nil, err
			}
			r, _ := a.cfg.Directory.Role(in.Body.Name)
			return &roleOutput{roleOf(r)}, nil
		})
	operate(a, huma.Operation{OperationID: "change-role", Method: http.MethodPut, Path: "/roles/{id}", Tags: tags, Summary: "Give a role another description and other rules", Errors: []int{404, 409, 422}},
		access.ScopeAdmin, func(ctx context.Context, in *changeRoleInput) (*roleOutput, error) {
			r, err := a.roleWithID(in.ID)
			if err != nil {
				return nil, err
			}
			rules, err := parseRules(strings.Join(in.Body.Rules, "\n"))
			if err != nil {
				return nil, err
			}
			if err := a.cfg.Accounts.ChangeRole(ctx, r.Name, in.Body.Revision, in.Body.Description, rules); err != nil {
				return nil, err
			}
			r, err = a.roleWithID(in.ID)
			return &roleOutput{roleOf(r)}, err
		})
	operate(a, huma.Operation{OperationID: "delete-role", Method: http.MethodDelete, Path: "/roles/{id}", Tags: tags, Summary: "Delete a role; users lose it", Errors: []int{404, 422}},
		access.ScopeAdmin, func(ctx context.Context, in *idInput) (*emptyOutput, error) {
			r, err := a.roleWithID(in.ID)
			if err != nil {
				return nil, err
			}
			return nil, a.cfg.Accounts.DeleteRole(ctx, r.Name)
		})
	operate(a, huma.Operation{OperationID: "check", Method: http.MethodPost, Path: "/check", Tags: tags, Summary: "May this user do that? Changes nothing.", Errors: []int{409, 422}},
		access.ScopeRead, a.checkRight)
	operate(a, huma.Operation{OperationID: "list-denials", Method: http.MethodGet, Path: "/denials", Tags: tags, Summary: "What was denied or refused lately, the latest first"},
		access.ScopeRead, func(context.Context, *struct{}) (*denialsOutput, error) {
			out := new(denialsOutput)
			out.Body.Denials = []apiDenial{}
			for _, d := range a.cfg.Denials.Recent() {
				out.Body.Denials = append(out.Body.Denials, a.denial(d))
			}
			return out, nil
		})
	operate(a, huma.Operation{OperationID: "add-rule", Method: http.MethodPost, Path: "/rules", Tags: tags, Summary: "Add one rule to a user's own, such as the one that a denial proposes", Errors: []int{404, 409}},
		access.ScopeAdmin, func(ctx context.Context, in *allowInput) (*emptyOutput, error) {
			rule, err := access.ParseRule(in.Body.Rule)
			if err != nil {
				return nil, access.Problems{"rule": err.Error()}
			}
			return nil, a.cfg.Accounts.AddRules(ctx, in.Body.User, []access.Rule{rule})
		})
	operate(a, huma.Operation{OperationID: "why", Method: http.MethodPost, Path: "/why", Tags: tags, Summary: "Why does a device get nothing? Changes nothing."},
		access.ScopeRead, func(_ context.Context, in *whyInput) (*whyOutput, error) {
			return &whyOutput{a.explainer().Why(in.Body.About)}, nil
		})
}

func (a *api) denial(d access.Denial) apiDenial {
	out := apiDenial{
		Action: d.Action, User: d.User, ClientID: d.ClientID, Topic: d.Topic, Why: a.cfg.Directory.Reason(d), Address: d.Remote,
		Listener: d.Listener, Count: d.Count, First: d.First, Last: d.Last, Allowed: a.cfg.Directory.AllowedNow(d),
	}
	if p, ok := a.cfg.Directory.Proposal(d); ok {
		out.Proposal = &apiRule{User: p.User, Rule: p.Rule.String()}
	}
	return out
}

func (a *api) checkRight(_ context.Context, in *checkInput) (*checkOutput, error) {
	q := access.Question{User: in.Body.User, ClientID: in.Body.ClientID, Name: in.Body.Topic, Listener: in.Body.Listener, Action: broker.Publish}
	valid := topic.ValidName
	if in.Body.Action == "subscribe" {
		q.Action, valid = broker.Subscribe, topic.ValidFilter
	}
	if a.cfg.Directory.Elsewhere() {
		return nil, huma.Error409Conflict(access.ErrElsewhere.Error())
	}
	if err := valid(in.Body.Topic); err != nil {
		return nil, access.Problems{"topic": err.Error()}
	}
	if in.Body.Address != "" {
		var err error
		if q.Remote, err = netip.ParseAddr(in.Body.Address); err != nil {
			return nil, access.Problems{"address": "must be an IP address"}
		}
	}
	d := a.cfg.Directory.Check(q)
	out := new(checkOutput)
	out.Body.Allow, out.Body.Rule = d.Allow, firstOf(d.Rule.Text, "no rule matches")
	out.Body.MaxQoS, out.Body.NoRetain, out.Body.Narrowed = int(d.MaxQoS), d.NoRetain, d.Narrowed
	if d.RetainLess > 0 {
		most := int(d.Most(true))
		out.Body.Retained = &most
	}
	return out, nil
}
