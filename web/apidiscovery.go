package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// apiDevice is what was announced to Home Assistant as one device.
type apiDevice struct {
	Key      string      `json:"key" doc:"What names it to POST /discovery/delete."`
	Name     string      `json:"name"`
	Model    string      `json:"model"`
	Entities []apiEntity `json:"entities"`
}

type apiEntity struct {
	Topic     string      `json:"topic" doc:"Of its configuration."`
	Component string      `json:"component"`
	Name      string      `json:"name"`
	UniqueID  string      `json:"unique_id"`
	States    []string    `json:"state_topics"`
	Reasons   []apiReason `json:"reasons" doc:"What is the matter with it."`
}

type apiReason struct {
	Kind string `json:"kind" enum:"broken,orphaned,silent,note"`
	Text string `json:"text"`
}

type discoveryInput struct {
	Show   string `query:"show" enum:",broken,orphaned,silent" doc:"Only devices with such entities."`
	Offset int    `query:"offset" minimum:"0"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type discoveryOutput struct {
	Body struct {
		Devices  []apiDevice `json:"devices" doc:"Those with problems first."`
		Total    int         `json:"total" doc:"Devices that were announced."`
		Entities int         `json:"entities"`
		More     bool        `json:"more"`
	}
}

type forgetInput struct {
	Body struct {
		Device   string `json:"device,omitempty" maxLength:"64" doc:"key of a device."`
		Orphaned bool   `json:"orphaned,omitempty" doc:"Instead of device: all whose sender is gone."`
		Quiet    bool   `json:"quiet,omitempty" doc:"Don't tell Home Assistant, which keeps its entities then until it starts the next time."`
		DryRun   bool   `json:"dry_run,omitempty" doc:"Only say what would be removed."`
	}
}

func (a *api) discoveryOperations() {
	tags := []string{"Home Assistant"}
	operate(a, huma.Operation{OperationID: "list-discovery", Method: http.MethodGet, Path: "/discovery", Tags: tags, Summary: "What devices announced to Home Assistant, and what of it is good for nothing"},
		access.ScopeRead, a.listDiscovery)
	operate(a, huma.Operation{OperationID: "delete-discovery", Method: http.MethodPost, Path: "/discovery/delete", Tags: tags, Summary: "Remove announcements; it can be undone for thirty days", Errors: []int{404}},
		access.ScopeAdmin, func(ctx context.Context, in *forgetInput) (*dropOutput, error) {
			which := "device"
			if in.Body.Orphaned {
				which = "orphaned"
			}
			if in.Body.Orphaned == (in.Body.Device != "") {
				return nil, access.Problems{"device": "give either a device or orphaned"}
			}
			var list []*broker.Message
			for m := range a.announcedBy(which, in.Body.Device) {
				list = append(list, m)
			}
			if len(list) == 0 && !in.Body.Orphaned {
				return nil, access.ErrNotFound
			}
			sortRetained(list, "")
			return a.drop(ctx, list, announcedWords[which], !in.Body.Quiet, in.Body.DryRun)
		})
}

func (a *api) listDiscovery(_ context.Context, in *discoveryInput) (*discoveryOutput, error) {
	all := a.discovery()
	out := new(discoveryOutput)
	out.Body.Devices, out.Body.Total, out.Body.Entities = []apiDevice{}, len(all.devices), all.entities
	kind, skip := discoveryKinds[in.Show], in.Offset
	for _, d := range all.devices {
		if kind != "" && !d.is(kind) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if len(out.Body.Devices) == in.Limit {
			out.Body.More = true
			break
		}
		out.Body.Devices = append(out.Body.Devices, announcedDevice(d))
	}
	return out, nil
}

func announcedDevice(d *haDevice) apiDevice {
	out := apiDevice{Key: topicKey(d.key), Name: d.name, Model: d.model, Entities: []apiEntity{}}
	for _, e := range d.entities {
		x := apiEntity{Topic: e.msg.Topic, Component: e.component, Name: e.name, UniqueID: e.uniqueID, States: append([]string{}, e.states...), Reasons: []apiReason{}}
		for _, r := range e.reasons {
			kind := r.kind
			if kind == reasonOrphan {
				kind = "orphaned"
			}
			x.Reasons = append(x.Reasons, apiReason{Kind: kind, Text: r.text})
		}
		out.Entities = append(out.Entities, x)
	}
	return out
}
