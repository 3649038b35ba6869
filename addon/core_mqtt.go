package addon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// Integration is Home Assistant's MQTT integration, of which there is at most one.
type Integration struct {
	EntryID string // "" when it is not set up
	Title   string // the broker's name or address when it was set up
	State   string // of the entry: loaded, setup_retry, setup_error, not_loaded, …
	Reason  string // why it is not loaded, "" when not known
	// Flows are the discovered brokers that wait for somebody to confirm them, by the
	// name of their app. Home Assistant discovers none while there is an entry.
	Flows map[string]string
}

const mqttDomain = "mqtt"

// flow is a step of one of Home Assistant's config flows.
type flow struct {
	ID           string            `json:"flow_id"`
	Handler      string            `json:"handler"`
	Type         string            `json:"type"` // form, create_entry, abort, …
	Step         string            `json:"step_id"`
	Schema       []flowField       `json:"data_schema"`
	Errors       map[string]string `json:"errors"`
	Reason       string            `json:"reason"` // of abort
	Placeholders map[string]any    `json:"description_placeholders"`
	Context      struct {
		Source string `json:"source"`
	} `json:"context"`
}

// flowField is a field of a form, or a section of it with fields of its own.
type flowField struct {
	Name        string `json:"name"`
	Type        string `json:"type"` // "expandable": a section
	Default     any    `json:"default"`
	Description struct {
		Suggested any `json:"suggested_value"`
	} `json:"description"`
	Schema []flowField `json:"schema"`
}

// MQTTIntegration finds out how Home Assistant's MQTT integration stands.
func (c *Core) MQTTIntegration(ctx context.Context) (Integration, error) {
	var entries []struct {
		ID     string `json:"entry_id"`
		Domain string `json:"domain"`
		Title  string `json:"title"`
		State  string `json:"state"`
		Reason string `json:"reason"`
		Source string `json:"source"` // "ignore": only a note that it is not wanted
	}
	if err := c.Command(ctx, "config_entries/get", map[string]any{"domain": mqttDomain}, &entries); err != nil {
		return Integration{}, err
	}
	for _, e := range entries {
		if e.Domain == mqttDomain && e.Source != "ignore" {
			return Integration{EntryID: e.ID, Title: e.Title, State: e.State, Reason: shorten(e.Reason)}, nil
		}
	}
	var flows []flow
	if err := c.Command(ctx, "config_entries/flow/progress", nil, &flows); err != nil {
		return Integration{}, err
	}
	in := Integration{Flows: map[string]string{}}
	for _, f := range flows {
		if f.Handler != mqttDomain || f.Context.Source != "hassio" {
			continue
		}
		var form flow // the list does not say which app it is about
		if err := c.call(ctx, http.MethodGet, "config/config_entries/flow/"+f.ID, nil, &form); err != nil {
			return Integration{}, err
		}
		if name, ok := form.Placeholders["addon"].(string); ok {
			in.Flows[name] = f.ID
		}
	}
	return in, nil
}

// errNotDiscovered is why a discovered broker can't be confirmed.
var errNotDiscovered = errors.New("Home Assistant has not discovered HearthMQ yet: wait a minute, or restart HearthMQ") //nolint:staticcheck // a name

// ConfirmMQTT sets up the MQTT integration with the broker that Home Assistant has
// discovered from the app of that name, as its Configure button does.
func (c *Core) ConfirmMQTT(ctx context.Context, app string) error {
	in, err := c.MQTTIntegration(ctx)
	if err != nil {
		return err
	}
	if in.EntryID != "" {
		return errors.New("Home Assistant's MQTT integration is set up already, with " + shorten(in.Title)) //nolint:staticcheck // a name
	}
	id, ok := in.Flows[app]
	if !ok {
		return errNotDiscovered
	}
	var done flow
	if err := c.call(ctx, http.MethodPost, "config/config_entries/flow/"+id, nil, &done); err != nil {
		return err
	}
	return done.outcome("create_entry", "")
}

// outcome is nil when the flow ended as it should have.
func (f *flow) outcome(want, reason string) error {
	switch {
	case f.Type == want && (reason == "" || f.Reason == reason):
		return nil
	case len(f.Errors) > 0:
		why := shorten(f.Errors[slices.Sorted(maps.Keys(f.Errors))[0]])
		if why == "cannot_connect" {
			why = "it could not connect"
		}
		return fmt.Errorf("Home Assistant does not take the new broker: %s", why) //nolint:staticcheck // a name
	case f.Reason != "":
		return fmt.Errorf("Home Assistant gave up: %s", shorten(f.Reason)) //nolint:staticcheck // a name
	}
	return fmt.Errorf("Home Assistant asks for more than HearthMQ can answer: %s", shorten(f.Type+" "+f.Step)) //nolint:staticcheck // a name
}

// reconfigure starts the flow that changes an entry.
func (c *Core) reconfigure(ctx context.Context, entryID string) (*flow, error) {
	var f flow
	err := c.call(ctx, http.MethodPost, "config/config_entries/flow", map[string]any{
		"handler": mqttDomain, "entry_id": entryID, "show_advanced_options": false,
	}, &f)
	if err != nil {
		return nil, err
	}
	if f.Type != "form" || f.Step != "broker" {
		err := f.outcome("form", "")
		if err == nil {
			err = fmt.Errorf("Home Assistant asks for something unexpected: %s", shorten(f.Step)) //nolint:staticcheck // a name
		}
		return nil, errors.Join(err, c.cancel(ctx, &f))
	}
	return &f, nil
}

// cancel ends a flow that leads nowhere, so that it does not wait in Home Assistant.
func (c *Core) cancel(ctx context.Context, f *flow) error {
	if f.ID == "" || f.Type != "form" {
		return nil
	}
	return c.call(context.WithoutCancel(ctx), http.MethodDelete, "config/config_entries/flow/"+f.ID, nil, nil)
}

// MQTTBroker says which broker the entry has. Home Assistant tells that nowhere but
// in the form for changing it, which is opened and closed again.
func (c *Core) MQTTBroker(ctx context.Context, entryID string) (string, error) {
	f, err := c.reconfigure(ctx, entryID)
	if err != nil {
		return "", err
	}
	host := ""
	for _, field := range f.Schema {
		if field.Name == "broker" {
			host, _ = field.Description.Suggested.(string)
		}
	}
	return host, c.cancel(ctx, f)
}

// PointMQTT gives the entry another broker, after Home Assistant has tried it. What
// concerns encryption and transport is put back: apps talk in the machine.
func (c *Core) PointMQTT(ctx context.Context, entryID string, to Service) error {
	f, err := c.reconfigure(ctx, entryID)
	if err != nil {
		return err
	}
	var done flow
	if err := c.call(ctx, http.MethodPost, "config/config_entries/flow/"+f.ID, fill(f.Schema, to), &done); err != nil {
		return errors.Join(err, c.cancel(ctx, f))
	}
	if err := done.outcome("abort", "reconfigure_successful"); err != nil {
		return errors.Join(err, c.cancel(ctx, &done))
	}
	return nil
}

// fill answers a form: what we know, what has to be so for a plain connection, and
// what stands there for the rest.
func fill(fields []flowField, to Service) map[string]any {
	ours := map[string]any{
		"broker": to.Host, "port": to.Port, "username": to.Username, "password": to.Password, "protocol": "5",
		"transport": "tcp", "set_client_cert": false, "set_ca_cert": "off",
	}
	left := []string{"client_cert", "client_key", "client_key_password", "certificate", "tls_insecure", "ws_path", "ws_headers", "advanced_options"}
	values := map[string]any{}
	for _, f := range fields {
		v, known := ours[f.Name]
		switch {
		case f.Type == "expandable":
			values[f.Name] = fill(f.Schema, to)
		case known:
			values[f.Name] = v
		case slices.Contains(left, f.Name):
		case f.Description.Suggested != nil:
			values[f.Name] = f.Description.Suggested
		case f.Default != nil:
			values[f.Name] = f.Default
		}
	}
	return values
}
