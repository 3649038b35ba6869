package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker/access"
)

type apiTemplate struct {
	ID     string             `json:"id"`
	Name   string             `json:"name"`
	About  string             `json:"about"`
	User   string             `json:"user" doc:"The user name that is proposed."`
	Values []apiTemplateValue `json:"values" doc:"What differs between devices of the sort."`
	Rules  []string           `json:"rules" doc:"What the user may, with {key} for the values."`
}

type apiTemplateValue struct {
	Key     string `json:"key"`
	Label   string `json:"label"`
	Hint    string `json:"hint"`
	Default string `json:"default"`
}

type templatesOutput struct {
	Body struct {
		Templates []apiTemplate `json:"templates"`
	}
}

type newDeviceInput struct {
	Template string `path:"template" maxLength:"64" doc:"id of a template."`
	Body     struct {
		Name   string            `json:"name,omitempty" maxLength:"128" doc:"User name. Absent: the one that is proposed."`
		Host   string            `json:"host" maxLength:"253" doc:"Name or address under which the device finds HearthMQ."`
		Port   int               `json:"port,omitempty" minimum:"1" maximum:"65535" doc:"Absent: the plain MQTT one."`
		Values map[string]string `json:"values,omitempty" doc:"By the keys of the template. Absent: the defaults."`
	}
}

type newDeviceOutput struct {
	Body struct {
		User      apiUser    `json:"user"`
		Password  string     `json:"password" doc:"Can't be asked for again."`
		Host      string     `json:"host"`
		Port      int        `json:"port"`
		Encrypted bool       `json:"encrypted"`
		Setup     []apiSetup `json:"setup" doc:"What to set in the device."`
		QR        string     `json:"qr" doc:"What a QR code for it holds."`
		Notes     []string   `json:"notes"`
	}
}

type apiSetup struct {
	Title  string          `json:"title" doc:"Where in the device that is."`
	Fields []apiSetupField `json:"fields" doc:"To type in."`
	Text   string          `json:"text" doc:"To paste."`
}

type apiSetupField struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

type givenInput struct {
	ID       int64  `path:"id"`
	Template string `path:"template" maxLength:"64" doc:"id of a template."`
	Body     struct {
		Values map[string]string `json:"values,omitempty" doc:"By the keys of the template. Absent: the defaults."`
		DryRun bool              `json:"dry_run,omitempty" doc:"Only say which rules would be added."`
	}
}

type givenOutput struct {
	Body struct {
		Added []string `json:"added" doc:"Rules that the user did not have."`
		User  apiUser  `json:"user"`
	}
}

type learningInput struct {
	ID   int64 `path:"id"`
	Body struct {
		Seconds int  `json:"seconds" minimum:"60" maximum:"604800"`
		Open    bool `json:"open,omitempty" doc:"The user may do meanwhile whatever no rule denies."`
	}
}

type acceptInput struct {
	ID   int64 `path:"id"`
	Body struct {
		Replace bool `json:"replace,omitempty" doc:"In the place of the user's own rules and of its roles."`
	}
}

type learnedOutput struct {
	Body struct {
		Running   bool      `json:"running"`
		Begun     time.Time `json:"begun"`
		Until     time.Time `json:"until"`
		Open      bool      `json:"open"`
		Publish   []string  `json:"publish" doc:"Topics that the user published to."`
		Subscribe []string  `json:"subscribe" doc:"Filters that it subscribed to."`
		Cut       bool      `json:"cut" doc:"There was more than is kept."`
		Rules     []string  `json:"rules" doc:"That allow it, and little else."`
	}
}

func (a *api) deviceOperations() {
	tags := []string{"Connect devices"}
	operate(a, huma.Operation{OperationID: "list-templates", Method: http.MethodGet, Path: "/templates", Tags: tags, Summary: "Devices and programs whose rights and settings are known"},
		access.ScopeRead, func(context.Context, *struct{}) (*templatesOutput, error) {
			out := new(templatesOutput)
			out.Body.Templates = []apiTemplate{}
			for _, t := range access.Templates() {
				out.Body.Templates = append(out.Body.Templates, templateOf(t))
			}
			return out, nil
		})
	operate(a, huma.Operation{OperationID: "connect-device", Method: http.MethodPost, Path: "/templates/{template}/devices", Tags: tags, DefaultStatus: http.StatusCreated, Errors: []int{404},
		Summary: "Add a user for a device, with the rights that it needs; answers with what to set in the device"},
		access.ScopeAdmin, a.newDevice)
	operate(a, huma.Operation{OperationID: "give-product", Method: http.MethodPost, Path: "/users/{id}/templates/{template}", Tags: tags, Errors: []int{404, 409},
		Summary: "Give a user that is there the rights of a product"},
		access.ScopeAdmin, a.giveProduct)
	operate(a, huma.Operation{OperationID: "get-learning", Method: http.MethodGet, Path: "/users/{id}/learning", Tags: tags, Errors: []int{404},
		Summary: "What a user was seen doing, and the rules that would allow it"},
		access.ScopeRead, func(ctx context.Context, in *idInput) (*learnedOutput, error) { return a.learned(ctx, in.ID) })
	operate(a, huma.Operation{OperationID: "start-learning", Method: http.MethodPost, Path: "/users/{id}/learning", Tags: tags, DefaultStatus: http.StatusCreated, Errors: []int{404},
		Summary: "Watch a user for a while; what was seen before is forgotten"},
		access.ScopeAdmin, func(ctx context.Context, in *learningInput) (*learnedOutput, error) {
			u, err := a.learner(in.ID)
			if err != nil {
				return nil, err
			}
			if err := a.cfg.Accounts.StartLearning(ctx, u.Name, time.Duration(in.Body.Seconds)*time.Second, in.Body.Open); err != nil {
				return nil, err
			}
			return a.learned(ctx, in.ID)
		})
	operate(a, huma.Operation{OperationID: "accept-learning", Method: http.MethodPost, Path: "/users/{id}/learning/accept", Tags: tags, Errors: []int{404, 409, 422},
		Summary: "Give the user the rules that are proposed, and end watching"},
		access.ScopeAdmin, func(ctx context.Context, in *acceptInput) (*userOutput, error) {
			u, err := a.learner(in.ID)
			if err != nil {
				return nil, err
			}
			if err := a.cfg.Accounts.AcceptLearned(ctx, u.Name, in.Body.Replace); err != nil {
				return nil, err
			}
			u, err = a.userWithID(in.ID)
			return &userOutput{a.user(u)}, err
		})
	operate(a, huma.Operation{OperationID: "stop-learning", Method: http.MethodDelete, Path: "/users/{id}/learning", Tags: tags, Errors: []int{404},
		Summary: "End watching a user, and forget what was seen"},
		access.ScopeAdmin, func(ctx context.Context, in *idInput) (*emptyOutput, error) {
			u, err := a.learner(in.ID)
			if err != nil {
				return nil, err
			}
			return nil, a.cfg.Accounts.DropLearning(ctx, u.Name)
		})
}

func templateOf(t *access.Template) apiTemplate {
	name, values := t.Defaults("")
	out := apiTemplate{ID: t.ID, Name: t.Name, About: t.About, User: name, Values: []apiTemplateValue{}, Rules: t.Rules}
	for _, k := range t.Keys {
		out.Values = append(out.Values, apiTemplateValue{Key: k.Key, Label: k.Label, Hint: k.Hint, Default: values[k.Key]})
	}
	return out
}

func (a *api) newDevice(ctx context.Context, in *newDeviceInput) (*newDeviceOutput, error) {
	t, err := access.FindTemplate(in.Template)
	if err != nil {
		return nil, err
	}
	n := newDevice{name: in.Body.Name, host: in.Body.Host, values: in.Body.Values}
	if n.name == "" {
		n.name = t.UserName(n.values)
	}
	if in.Body.Port > 0 {
		n.port = strconv.Itoa(in.Body.Port)
	}
	made, err := a.connectDevice(ctx, t, n)
	if p := problemsOf(err); p != nil {
		all := access.Problems{}
		for key, text := range p {
			if value, ok := strings.CutPrefix(key, "key-"); ok {
				key = "values." + value
			}
			all[key] = text
		}
		return nil, all
	}
	if err != nil {
		return nil, err
	}
	out := new(newDeviceOutput)
	b := &out.Body
	b.User, b.Password, b.Host, b.Port, b.Encrypted = a.user(made.user), made.password, made.at.Host, made.at.Port, made.at.TLS
	b.Setup, b.QR, b.Notes = []apiSetup{}, made.setup.QR, append([]string{}, made.setup.Notes...)
	for _, block := range made.setup.Blocks {
		s := apiSetup{Title: block.Title, Fields: []apiSetupField{}, Text: block.Text}
		for _, f := range block.Fields {
			s.Fields = append(s.Fields, apiSetupField{Label: f[0], Value: f[1]})
		}
		b.Setup = append(b.Setup, s)
	}
	return out, nil
}

func (a *api) giveProduct(ctx context.Context, in *givenInput) (*givenOutput, error) {
	u, err := a.learner(in.ID)
	if err != nil {
		return nil, err
	}
	t, err := access.FindTemplate(in.Template)
	if err != nil {
		return nil, err
	}
	rules, _, err := t.Fill(u.Name, in.Body.Values)
	if p := problemsOf(err); p != nil {
		all := access.Problems{}
		for key, text := range p {
			all["values."+key] = text
		}
		return nil, all
	}
	if err != nil {
		return nil, err
	}
	missing := access.MissingRules(u.Rules, rules)
	if !in.Body.DryRun && len(missing) > 0 {
		if err := a.cfg.Accounts.AddRules(ctx, u.Name, missing); err != nil {
			return nil, err
		}
	}
	out := new(givenOutput)
	u, err = a.userWithID(in.ID)
	out.Body.Added, out.Body.User = ruleTexts(missing), a.user(u)
	return out, err
}

// learner returns a user that rules can be learnt for.
func (a *api) learner(id int64) (access.User, error) {
	u, err := a.userWithID(id)
	if err == nil && (u.System || u.FromSettings) {
		err = access.Problems{"id": "this user's rules can't be changed here"}
	}
	return u, err
}

func (a *api) learned(ctx context.Context, id int64) (*learnedOutput, error) {
	u, err := a.learner(id)
	if err != nil {
		return nil, err
	}
	l, err := a.cfg.Accounts.Learned(ctx, u.Name)
	if err != nil {
		return nil, err
	}
	out := new(learnedOutput)
	b := &out.Body
	b.Running, b.Begun, b.Until, b.Open, b.Cut = l.Running, l.Begun, l.Until, l.Open, l.Cut
	b.Publish, b.Subscribe, b.Rules = append([]string{}, l.Publish...), append([]string{}, l.Subscribe...), ruleTexts(l.Rules)
	return out, nil
}
