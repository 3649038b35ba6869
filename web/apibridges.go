package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker/access"
	"hearthmq/broker/bridge"
	"hearthmq/broker/packet"
)

// apiBridge is a bridge without its password.
type apiBridge struct {
	Name        string         `json:"name"`
	Revision    int64          `json:"revision" doc:"Send it with a change to be told when somebody was faster."`
	Disabled    bool           `json:"disabled"`
	Fixed       bool           `json:"fixed" doc:"A file prescribes it: it can't be changed here."`
	Addresses   []string       `json:"addresses"`
	Topics      []string       `json:"topics" doc:"As Mosquitto writes them: pattern, direction, QoS, prefix here, prefix there."`
	Version     string         `json:"version" enum:"3.1,3.1.1,5"`
	ClientID    string         `json:"client_id"`
	Username    string         `json:"username"`
	HasPassword bool           `json:"has_password"`
	TLS         bool           `json:"tls"`
	AnyName     bool           `json:"tls_any_name"`
	CAFile      string         `json:"ca_file"`
	CertFile    string         `json:"cert_file"`
	KeyFile     string         `json:"key_file"`
	LocalUser   string         `json:"local_user" doc:"Whose rights it has here; empty: all that its topics allow."`
	Start       string         `json:"start"`
	DropRetain  bool           `json:"drop_retain"`
	NotifyThere bool           `json:"notify_there"`
	State       apiBridgeState `json:"state"`
}

type apiBridgeState struct {
	State   string    `json:"state" doc:"off, connecting, connected, waiting, resting, ended or stopped."`
	Since   time.Time `json:"since,omitzero"`
	Address string    `json:"address" doc:"Of the last try."`
	Next    time.Time `json:"next_try,omitzero"`
	Problem string    `json:"problem" doc:"Empty when the last connection was well."`
	Refused []string  `json:"refused" doc:"Filters that one of the sides did not grant."`
	In      uint64    `json:"messages_in"`
	Out     uint64    `json:"messages_out"`
	Dropped uint64    `json:"dropped"`
	InRate  float64   `json:"in_rate" doc:"Messages a second."`
	OutRate float64   `json:"out_rate"`
	Backlog int       `json:"backlog" doc:"Messages that wait for the other side."`
}

var bridgeVersions = map[string]packet.Version{"3.1": packet.V31, "3.1.1": packet.V311, "5": packet.V50}

func versionName(v packet.Version) string {
	for name, known := range bridgeVersions {
		if known == v {
			return name
		}
	}
	return ""
}

func (a *api) bridgeOf(s bridge.Settings) apiBridge {
	out := apiBridge{
		Name: s.Name, Revision: s.Revision, Disabled: s.Disabled, Fixed: a.cfg.Bridges.Fixed(), Addresses: s.Addresses, Topics: []string{},
		Version: versionName(s.Version), ClientID: s.ClientID, Username: s.Username, HasPassword: s.HasPassword,
		TLS: s.TLS.On, AnyName: s.TLS.AnyName, CAFile: s.TLS.CAFile, CertFile: s.TLS.CertFile, KeyFile: s.TLS.KeyFile,
		LocalUser: s.User, Start: string(s.Start), DropRetain: s.DropRetain, NotifyThere: s.Notify && !s.NotifyLocal,
		State: apiBridgeState{State: string(bridge.Off), Refused: []string{}},
	}
	for _, t := range s.Topics {
		out.Topics = append(out.Topics, t.String())
	}
	for _, st := range a.cfg.Bridges.Statuses() {
		if st.Name == s.Name {
			out.State = apiBridgeState{
				State: cmp.Or(string(st.State), string(bridge.Off)), Since: st.Since, Address: st.Address, Next: st.Next, Problem: st.LastError,
				Refused: append([]string{}, st.Refused...), In: st.In, Out: st.Out, Dropped: st.Dropped, InRate: st.InRate, OutRate: st.OutRate, Backlog: st.Backlog,
			}
		}
	}
	return out
}

// BridgeFields are those of a bridge that are given; the others stay what they are, or
// what a new one starts from. It is exported since huma describes embedded fields of no
// other type.
type BridgeFields struct {
	Revision    int64     `json:"revision,omitempty" doc:"0: whatever it is."`
	Disabled    *bool     `json:"disabled,omitempty"`
	Addresses   *[]string `json:"addresses,omitempty" maxItems:"16" doc:"host or host:port, the wanted one first."`
	Topics      *[]string `json:"topics,omitempty" maxItems:"1000" doc:"As Mosquitto writes them: pattern, direction (in, out, both), QoS, prefix here, prefix there."`
	Version     *string   `json:"version,omitempty" enum:"3.1,3.1.1,5"`
	ClientID    *string   `json:"client_id,omitempty" maxLength:"256" doc:"On the other side."`
	Username    *string   `json:"username,omitempty" maxLength:"1024" doc:"On the other side."`
	Password    *string   `json:"password,omitempty" maxLength:"1024" doc:"On the other side. Absent: as it is; empty: none."`
	TLS         *bool     `json:"tls,omitempty"`
	AnyName     *bool     `json:"tls_any_name,omitempty" doc:"The certificate may be of another name, never of another authority."`
	CAFile      *string   `json:"ca_file,omitempty" maxLength:"1024"`
	CertFile    *string   `json:"cert_file,omitempty" maxLength:"1024"`
	KeyFile     *string   `json:"key_file,omitempty" maxLength:"1024"`
	LocalUser   *string   `json:"local_user,omitempty" maxLength:"128" doc:"Whose rights it has here; empty: all that its topics allow."`
	Start       *string   `json:"start,omitempty" enum:"automatic,lazy,once"`
	DropRetain  *bool     `json:"drop_retain,omitempty"`
	NotifyThere *bool     `json:"notify_there,omitempty"`
}

// set puts a field that is given in the place of what there is.
func set[T any](to *T, given *T) {
	if given != nil {
		*to = *given
	}
}

// fill puts what is given into s.
func (a *api) fill(s *bridge.Settings, f *BridgeFields) error {
	if a.cfg.Bridges.Fixed() {
		return access.Problems{"name": "the bridges are prescribed by a file"}
	}
	set(&s.Disabled, f.Disabled)
	set(&s.TLS.On, f.TLS)
	set(&s.TLS.AnyName, f.AnyName)
	set(&s.TLS.CAFile, f.CAFile)
	set(&s.TLS.CertFile, f.CertFile)
	set(&s.TLS.KeyFile, f.KeyFile)
	set(&s.ClientID, f.ClientID)
	set(&s.Username, f.Username)
	if f.Password != nil {
		s.Password, s.HasPassword = *f.Password, *f.Password != ""
	}
	s.HasPassword = s.HasPassword && s.Username != ""
	if f.Version != nil {
		s.Version = bridgeVersions[*f.Version]
	}
	if f.Start != nil {
		s.Start = bridge.Start(*f.Start)
	}
	set(&s.DropRetain, f.DropRetain)
	if f.NotifyThere != nil {
		s.Notify, s.NotifyLocal = true, !*f.NotifyThere
	}
	addresses, user, lines := s.Addresses, s.User, []string{}
	set(&addresses, f.Addresses)
	set(&user, f.LocalUser)
	for _, t := range s.Topics {
		lines = append(lines, t.String())
	}
	set(&lines, f.Topics)
	if p := a.setBridge(s, addresses, strings.Join(lines, "\n"), user); len(p) > 0 {
		return access.Problems(p)
	}
	if f.Revision != 0 {
		s.Revision = f.Revision
	}
	return nil
}

type bridgesOutput struct {
	Body struct {
		Bridges []apiBridge `json:"bridges"`
	}
}

type bridgeOutput struct{ Body apiBridge }

type bridgeInput struct {
	Name string `path:"name" maxLength:"64"`
}

type newBridgeInput struct {
	Body struct {
		Name string `json:"name" maxLength:"64"`
		BridgeFields
	}
}

type changeBridgeInput struct {
	bridgeInput
	Body BridgeFields
}

type bridgeTestOutput struct {
	Body struct {
		OK      bool   `json:"ok"`
		Problem string `json:"problem" doc:"What kept it from connecting, for people."`
	}
}

func (a *api) bridgeOperations() {
	tags := []string{"Bridges"}
	operate(a, huma.Operation{OperationID: "list-bridges", Method: http.MethodGet, Path: "/bridges", Tags: tags, Summary: "All bridges to other brokers, and how they do"},
		access.ScopeRead, func(ctx context.Context, _ *struct{}) (*bridgesOutput, error) {
			list, err := a.cfg.Bridges.List(ctx)
			out := new(bridgesOutput)
			out.Body.Bridges = []apiBridge{}
			for _, s := range list {
				out.Body.Bridges = append(out.Body.Bridges, a.bridgeOf(s))
			}
			return out, err
		})
	operate(a, huma.Operation{OperationID: "get-bridge", Method: http.MethodGet, Path: "/bridges/{name}", Tags: tags, Summary: "One bridge", Errors: []int{404}},
		access.ScopeRead, func(ctx context.Context, in *bridgeInput) (*bridgeOutput, error) { return a.bridge(ctx, in.Name) })
	operate(a, huma.Operation{OperationID: "create-bridge", Method: http.MethodPost, Path: "/bridges", Tags: tags, Summary: "Add a bridge and start it", DefaultStatus: http.StatusCreated},
		access.ScopeAdmin, func(ctx context.Context, in *newBridgeInput) (*bridgeOutput, error) {
			s := newBridge()
			s.Name = in.Body.Name
			if err := a.fill(&s, &in.Body.BridgeFields); err != nil {
				return nil, err
			}
			if err := a.cfg.Bridges.Add(ctx, s); err != nil {
				return nil, err
			}
			return a.bridge(ctx, s.Name)
		})
	operate(a, huma.Operation{OperationID: "change-bridge", Method: http.MethodPatch, Path: "/bridges/{name}", Tags: tags, Summary: "Change what is given of a bridge, and connect it anew", Errors: []int{404, 409}},
		access.ScopeAdmin, func(ctx context.Context, in *changeBridgeInput) (*bridgeOutput, error) {
			s, err := a.cfg.Bridges.Get(ctx, in.Name)
			if err != nil {
				return nil, err
			}
			if err := a.fill(&s, &in.Body); err != nil {
				return nil, err
			}
			if err := a.cfg.Bridges.Change(ctx, s); err != nil {
				return nil, err
			}
			return a.bridge(ctx, s.Name)
		})
	operate(a, huma.Operation{OperationID: "delete-bridge", Method: http.MethodDelete, Path: "/bridges/{name}", Tags: tags, Summary: "End a bridge and forget it, with what waits for it", Errors: []int{404}},
		access.ScopeAdmin, func(ctx context.Context, in *bridgeInput) (*emptyOutput, error) {
			if _, err := a.cfg.Bridges.Get(ctx, in.Name); err != nil {
				return nil, err
			}
			if a.cfg.Bridges.Fixed() {
				return nil, access.Problems{"name": "the bridges are prescribed by a file"}
			}
			return nil, a.cfg.Bridges.Delete(ctx, in.Name)
		})
	operate(a, huma.Operation{OperationID: "test-bridge", Method: http.MethodPost, Path: "/bridges/{name}/test", Tags: tags, Errors: []int{404},
		Summary: "Connect once as a bridge would, with what is given in the place of what is stored; it need not be stored. Changes nothing."},
		access.ScopeAdmin, func(ctx context.Context, in *changeBridgeInput) (*bridgeTestOutput, error) {
			s, err := a.cfg.Bridges.Get(ctx, in.Name)
			if errors.Is(err, bridge.ErrNotFound) {
				s, err = newBridge(), nil
				s.Name = in.Name
			}
			if err != nil {
				return nil, err
			}
			if err := a.fill(&s, &in.Body); err != nil {
				return nil, err
			}
			out := new(bridgeTestOutput)
			err = a.cfg.Bridges.Test(ctx, s)
			if _, ok := errors.AsType[bridge.Problems](err); ok {
				return nil, err
			}
			if out.Body.OK = err == nil; err != nil {
				out.Body.Problem = err.Error()
			}
			return out, nil
		})
}

func (a *api) bridge(ctx context.Context, name string) (*bridgeOutput, error) {
	s, err := a.cfg.Bridges.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	return &bridgeOutput{a.bridgeOf(s)}, nil
}
