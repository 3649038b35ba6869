package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// apiUser is a user without anything that opens something.
type apiUser struct {
	ID           int64     `json:"id" doc:"Negative for users of the settings; those last as long as this process."`
	Name         string    `json:"name"`
	Note         string    `json:"note"`
	Password     string    `json:"password" enum:"none,chosen,generated" doc:"How the password came to be."`
	Admin        bool      `json:"admin" doc:"May use the admin."`
	Disabled     bool      `json:"disabled"`
	System       bool      `json:"system" doc:"Made by HearthMQ, can't be changed."`
	FromSettings bool      `json:"from_settings" doc:"One of the logins of the settings, can't be changed here."`
	Roles        []string  `json:"roles"`
	Rules        []string  `json:"rules" doc:"The user's own rules, as people write them."`
	Limits       apiLimits `json:"limits"`
	Networks     []string  `json:"networks" doc:"From which alone the user may connect; empty: from everywhere."`
	Clients      int       `json:"clients" doc:"Connected now."`
	Revision     int64     `json:"revision" doc:"Send it with a change to be told when somebody was faster."`
	Created      time.Time `json:"created"`
	Changed      time.Time `json:"changed"`
}

func describeUser(u access.User, connected map[string]int) apiUser {
	out := apiUser{
		ID: u.ID, Name: u.Name, Note: u.Note, Password: string(u.Kind), Admin: u.Admin, Disabled: u.Disabled,
		System: u.System, FromSettings: u.FromSettings, Roles: append([]string{}, u.Roles...), Rules: ruleTexts(u.Rules),
		Limits: apiLimits(u.Limits), Networks: strings.Fields(access.FormatNetworks(u.Networks)),
		Revision: u.Revision, Created: u.Created, Changed: u.Changed, Clients: connected[u.Name],
	}
	if out.Password == "" {
		out.Password = "none"
	}
	return out
}

// user describes one user.
func (a *api) user(u access.User) apiUser { return describeUser(u, a.connectedByUser()) }

func ruleTexts(rules []access.Rule) []string {
	texts := make([]string, len(rules))
	for i, r := range rules {
		texts[i] = r.String()
	}
	return texts
}

// userWithID finds a user by the number that stands in paths.
func (s *Server) userWithID(id int64) (access.User, error) {
	for _, u := range s.cfg.Directory.Users() {
		if u.ID == id {
			return u, nil
		}
	}
	return access.User{}, access.ErrNotFound
}

type idInput struct {
	ID int64 `path:"id"`
}

type userOutput struct{ Body apiUser }

type usersOutput struct {
	Body struct {
		Users []apiUser `json:"users"`
	}
}

type newUserInput struct {
	Body struct {
		Name     string    `json:"name" maxLength:"128"`
		Password string    `json:"password,omitempty" doc:"A password of your choice. Without one, one is generated and told once."`
		Note     string    `json:"note,omitempty" maxLength:"1024"`
		Roles    []string  `json:"roles,omitempty"`
		Rules    []string  `json:"rules,omitempty"`
		Limits   apiLimits `json:"limits,omitempty"`
		Networks []string  `json:"networks,omitempty" doc:"From which alone the user may connect, such as 192.168.1.0/24."`
		Admin    bool      `json:"admin,omitempty"`
		Disabled bool      `json:"disabled,omitempty"`
	}
}

type newUserOutput struct {
	Body struct {
		User     apiUser `json:"user"`
		Password string  `json:"generated_password,omitempty" doc:"Can't be asked for again."`
	}
}

type changeUserInput struct {
	ID   int64 `path:"id"`
	Body struct {
		Revision int64      `json:"revision,omitempty" doc:"0: whatever it is."`
		Note     *string    `json:"note,omitempty" maxLength:"1024"`
		Roles    *[]string  `json:"roles,omitempty"`
		Rules    *[]string  `json:"rules,omitempty"`
		Limits   *apiLimits `json:"limits,omitempty" doc:"In place of all that the user has; {} takes them away."`
		Networks *[]string  `json:"networks,omitempty" doc:"In place of all that the user has; [] lets it connect from everywhere."`
		Admin    *bool      `json:"admin,omitempty"`
		Disabled *bool      `json:"disabled,omitempty"`
	}
}

type passwordInput struct {
	ID   int64 `path:"id"`
	Body struct {
		Password string `json:"password,omitempty" doc:"A password of your choice. Without one, one is generated and told once."`
	}
}

type passwordOutput struct {
	Body struct {
		Password string `json:"generated_password,omitempty" doc:"Can't be asked for again."`
	}
}

func (a *api) userOperations() {
	tags := []string{"Users and rights"}
	operate(a, huma.Operation{OperationID: "list-users", Method: http.MethodGet, Path: "/users", Tags: tags, Summary: "All users"},
		access.ScopeRead, func(context.Context, *struct{}) (*usersOutput, error) {
			out := new(usersOutput)
			out.Body.Users = []apiUser{}
			connected := a.connectedByUser()
			for _, u := range a.cfg.Directory.Users() {
				out.Body.Users = append(out.Body.Users, describeUser(u, connected))
			}
			return out, nil
		})
	operate(a, huma.Operation{OperationID: "get-user", Method: http.MethodGet, Path: "/users/{id}", Tags: tags, Summary: "One user", Errors: []int{404}},
		access.ScopeRead, func(_ context.Context, in *idInput) (*userOutput, error) {
			u, err := a.userWithID(in.ID)
			if err != nil {
				return nil, err
			}
			return &userOutput{a.user(u)}, nil
		})
	operate(a, huma.Operation{OperationID: "create-user", Method: http.MethodPost, Path: "/users", Tags: tags, Summary: "Add a user", DefaultStatus: http.StatusCreated, Errors: []int{422}},
		access.ScopeAdmin, a.createUser)
	operate(a, huma.Operation{OperationID: "change-user", Method: http.MethodPatch, Path: "/users/{id}", Tags: tags, Summary: "Change what is given of a user", Errors: []int{404, 409, 422}},
		access.ScopeAdmin, a.changeUser)
	operate(a, huma.Operation{OperationID: "set-password", Method: http.MethodPost, Path: "/users/{id}/password", Tags: tags, Summary: "Give a user another password", Errors: []int{404, 422}},
		access.ScopeAdmin, func(ctx context.Context, in *passwordInput) (*passwordOutput, error) {
			u, err := a.userWithID(in.ID)
			if err != nil {
				return nil, err
			}
			out := new(passwordOutput)
			out.Body.Password, err = a.cfg.Accounts.SetPassword(ctx, u.Name, in.Body.Password, in.Body.Password == "")
			return out, err
		})
	operate(a, huma.Operation{OperationID: "delete-user", Method: http.MethodDelete, Path: "/users/{id}", Tags: tags, Summary: "Delete a user; its clients are disconnected", Errors: []int{404, 422}},
		access.ScopeAdmin, func(ctx context.Context, in *idInput) (*emptyOutput, error) {
			u, err := a.userWithID(in.ID)
			if err != nil {
				return nil, err
			}
			return nil, a.cfg.Accounts.DeleteUser(ctx, u.Name)
		})
}

func (a *api) createUser(ctx context.Context, in *newUserInput) (*newUserOutput, error) {
	rules, err := parseRules(strings.Join(in.Body.Rules, "\n"))
	if err != nil {
		return nil, err
	}
	networks, err := readNetworks(in.Body.Networks)
	if err != nil {
		return nil, err
	}
	u, generated, err := a.cfg.Accounts.CreateUser(ctx, access.NewUser{
		Limits: broker.Limits(in.Body.Limits), Networks: networks,
		Name: in.Body.Name, Password: in.Body.Password, Generate: in.Body.Password == "", Note: in.Body.Note,
		Roles: in.Body.Roles, Rules: rules, Admin: in.Body.Admin, Disabled: in.Body.Disabled,
	})
	if err != nil {
		return nil, err
	}
	out := new(newUserOutput)
	out.Body.User, out.Body.Password = a.user(u), generated
	return out, nil
}

func (a *api) changeUser(ctx context.Context, in *changeUserInput) (*userOutput, error) {
	u, err := a.userWithID(in.ID)
	if err != nil {
		return nil, err
	}
	c := access.UserChange{
		Revision: in.Body.Revision, Note: in.Body.Note, Roles: in.Body.Roles, Admin: in.Body.Admin, Disabled: in.Body.Disabled,
	}
	if in.Body.Rules != nil {
		rules, err := parseRules(strings.Join(*in.Body.Rules, "\n"))
		if err != nil {
			return nil, err
		}
		c.Rules = &rules
	}
	if in.Body.Limits != nil {
		limits := broker.Limits(*in.Body.Limits)
		c.Limits = &limits
	}
	if in.Body.Networks != nil {
		networks, err := readNetworks(*in.Body.Networks)
		if err != nil {
			return nil, err
		}
		c.Networks = &networks
	}
	if err := a.cfg.Accounts.ChangeUser(ctx, u.Name, c); err != nil {
		return nil, err
	}
	if u, err = a.userWithID(in.ID); err != nil {
		return nil, err
	}
	return &userOutput{a.user(u)}, nil
}
