package addontest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// Entry is what Home Assistant's MQTT integration was set up with.
type Entry struct {
	ID, Title                        string
	Broker, User, Password, Protocol string
	Port                             int
	ClientID                         string // of the section of other settings, as are the two below
	SetCACert, Transport             string
}

// Notification is one that Home Assistant shows.
type Notification struct {
	Title   string `json:"title"`
	Message string `json:"message"`
}

// flow is a config flow that waits for an answer.
type flow struct {
	id, source, step string
	app              string // of a discovered broker
	broker           Entry  // likewise
}

// passwordKept stands in forms in the place of a password.
const passwordKept = "__**password_not_changed**__"

// SetConnect says which brokers Home Assistant reaches when it tries one.
func (c *Core) SetConnect(reaches func(broker Entry) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connect = reaches
}

// SetEntry sets up the MQTT integration; nil: removes it.
func (c *Core) SetEntry(e *Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entry = e
}

// Entry returns what the MQTT integration was set up with; nil: it is not.
func (c *Core) Entry() *Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entry == nil {
		return nil
	}
	e := *c.entry
	return &e
}

// Flows returns how many config flows wait.
func (c *Core) Flows() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.flows)
}

// Notifications returns those that Home Assistant shows, by their identifiers.
func (c *Core) Notifications() map[string]Notification {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]Notification, len(c.notifications))
	for id, n := range c.notifications {
		all[id] = n
	}
	return all
}

// discoverMQTT is the step that a discovered broker starts: none while the integration
// is set up, since there can be only one. mu is held.
func (c *Core) discoverMQTT(d Discovery) {
	if c.entry != nil || d.Service != "mqtt" {
		return
	}
	name := d.App
	for _, a := range c.supervisor.apps { // the Supervisor's mu is held by who pushes
		if a.Slug == d.App {
			name = a.Name
		}
	}
	port, _ := d.Config["port"].(float64)
	host, _ := d.Config["host"].(string)
	user, _ := d.Config["username"].(string)
	password, _ := d.Config["password"].(string)
	for id, f := range c.flows {
		if f.app == name {
			delete(c.flows, id)
		}
	}
	f := c.start("hassio", "hassio_confirm")
	f.app, f.broker = name, Entry{Title: name, Broker: host, Port: int(port), User: user, Password: password, Protocol: "5"}
}

// start makes a flow. mu is held.
func (c *Core) start(source, step string) *flow {
	c.lastFlow++
	f := &flow{id: fmt.Sprintf("01flow%04d", c.lastFlow), source: source, step: step}
	c.flows[f.id] = f
	return f
}

// entries answers config_entries/get: without what the integration was set up with.
// mu is held.
func (c *Core) entries(domain any) []map[string]any {
	all := []map[string]any{}
	if c.entry != nil && (domain == nil || domain == "mqtt") {
		all = append(all, map[string]any{
			"entry_id": c.entry.ID, "domain": "mqtt", "title": c.entry.Title, "source": "hassio", "state": "loaded",
			"supports_options": true, "supports_reconfigure": true, "supports_unload": true, "disabled_by": nil, "reason": nil,
		})
	}
	return all
}

// progress answers config_entries/flow/progress. mu is held.
func (c *Core) progress() []map[string]any {
	all := []map[string]any{}
	for _, f := range c.flows {
		all = append(all, map[string]any{
			"flow_id": f.id, "handler": "mqtt", "step_id": f.step, "context": map[string]any{"source": f.source},
		})
	}
	slices.SortFunc(all, func(a, b map[string]any) int {
		if a["flow_id"].(string) < b["flow_id"].(string) {
			return -1
		}
		return 1
	})
	return all
}

// serveFlow is Core's view of config flows: id is "" for starting one.
func (c *Core) serveFlow(w http.ResponseWriter, r *http.Request, id string) {
	var body map[string]any
	if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&body) != nil {
		answer(w, http.StatusBadRequest, map[string]any{"message": "Invalid JSON specified"})
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == "" {
		c.reconfigure(w, r, body)
		return
	}
	f := c.flows[id]
	if f == nil {
		answer(w, http.StatusNotFound, map[string]any{"message": "Invalid flow specified"})
		return
	}
	switch r.Method {
	case http.MethodGet:
		answer(w, http.StatusOK, c.form(f, nil))
	case http.MethodDelete:
		delete(c.flows, id)
		answer(w, http.StatusOK, map[string]any{"message": "Flow aborted"})
	case http.MethodPost:
		if f.step == "hassio_confirm" {
			c.confirm(w, f)
		} else {
			c.repoint(w, f, body)
		}
	}
}

// reconfigure starts the flow that changes the entry. mu is held.
func (c *Core) reconfigure(w http.ResponseWriter, r *http.Request, body map[string]any) {
	if r.Method != http.MethodPost {
		plain(w, http.StatusMethodNotAllowed)
		return
	}
	entry, _ := body["entry_id"].(string)
	if body["handler"] != "mqtt" || c.entry == nil || c.entry.ID != entry {
		answer(w, http.StatusNotFound, map[string]any{"message": "Config entry not found"})
		return
	}
	answer(w, http.StatusOK, c.form(c.start("reconfigure", "broker"), nil))
}

// form is a step that asks. mu is held.
func (c *Core) form(f *flow, errors map[string]any) map[string]any {
	if errors == nil {
		errors = map[string]any{}
	}
	v := map[string]any{"type": "form", "flow_id": f.id, "handler": "mqtt", "step_id": f.step, "errors": errors, "data_schema": []any{}, "description_placeholders": nil, "last_step": nil}
	if f.step == "hassio_confirm" {
		v["description_placeholders"] = map[string]any{"addon": f.app}
		return v
	}
	text := map[string]any{"text": map[string]any{"multiline": false}}
	field := func(name string, required bool, suggested any, more map[string]any) map[string]any {
		m := map[string]any{"name": name, "required": required}
		if !required {
			m["optional"] = true
		}
		if suggested != nil && suggested != "" {
			m["description"] = map[string]any{"suggested_value": suggested}
		}
		for k, x := range more {
			m[k] = x
		}
		return m
	}
	e := c.entry
	v["data_schema"] = []any{
		field("broker", true, e.Broker, map[string]any{"selector": text}),
		field("port", true, e.Port, map[string]any{"default": 1883, "selector": map[string]any{"number": map[string]any{"min": 1, "max": 65535, "mode": "box"}}}),
		field("protocol", true, e.Protocol, map[string]any{"default": "5", "selector": map[string]any{"select": map[string]any{"options": []string{"5", "3.1", "3.1.1"}, "mode": "dropdown"}}}),
		field("username", false, e.User, map[string]any{"selector": text}),
		field("password", false, passwordKept, map[string]any{"selector": map[string]any{"text": map[string]any{"type": "password"}}}),
		map[string]any{"type": "expandable", "name": "other_settings", "required": true, "expanded": false, "schema": []any{
			field("client_id", false, e.ClientID, map[string]any{"selector": text}),
			field("keepalive", false, nil, map[string]any{"selector": map[string]any{"number": map[string]any{"min": 15, "max": 3600}}}),
			field("set_client_cert", true, false, map[string]any{"selector": map[string]any{"boolean": map[string]any{}}}),
			field("client_cert", false, nil, map[string]any{"selector": map[string]any{"file": map[string]any{"accept": ".pem"}}}),
			field("set_ca_cert", true, e.SetCACert, map[string]any{"selector": map[string]any{"select": map[string]any{"options": []string{"off", "auto", "custom"}}}}),
			field("tls_insecure", false, nil, map[string]any{"selector": map[string]any{"boolean": map[string]any{}}}),
			field("transport", true, e.Transport, map[string]any{"default": "tcp", "selector": map[string]any{"select": map[string]any{"options": []string{"tcp", "websockets"}}}}),
			field("ws_path", false, nil, map[string]any{"selector": text}),
		}},
	}
	return v
}

// reaches tries a broker. mu is held, and let go meanwhile.
func (c *Core) reaches(e Entry) bool {
	connect := c.connect
	if connect == nil {
		return true
	}
	c.mu.Unlock()
	defer c.mu.Lock()
	return connect(e)
}

// confirm sets the integration up with a discovered broker. mu is held.
func (c *Core) confirm(w http.ResponseWriter, f *flow) {
	if !c.reaches(f.broker) {
		answer(w, http.StatusOK, c.form(f, map[string]any{"base": "cannot_connect"}))
		return
	}
	e := f.broker
	e.ID, e.Transport, e.SetCACert = "01entry", "tcp", "off"
	c.entry = &e
	clear(c.flows) // there can be only one
	answer(w, http.StatusOK, map[string]any{
		"type": "create_entry", "flow_id": f.id, "handler": "mqtt", "title": e.Title, "version": 2,
		"result": map[string]any{"entry_id": e.ID, "domain": "mqtt", "title": e.Title, "source": "hassio", "state": "loaded"},
	})
}

// repoint gives the entry another broker, checked as Core's schema does. mu is held.
func (c *Core) repoint(w http.ResponseWriter, f *flow, body map[string]any) {
	bad := func(text string) {
		answer(w, http.StatusBadRequest, map[string]any{"message": "User input malformed: " + text})
	}
	other, isSection := body["other_settings"].(map[string]any)
	host, isHost := body["broker"].(string)
	port, isPort := body["port"].(float64)
	protocol, isProtocol := body["protocol"].(string)
	if !isHost || !isPort || !isProtocol || !isSection || !slices.Contains([]string{"5", "3.1", "3.1.1"}, protocol) {
		bad("required key not provided @ data['broker', 'port', 'protocol', 'other_settings']")
		return
	}
	for key := range body {
		if !slices.Contains([]string{"broker", "port", "protocol", "username", "password", "other_settings"}, key) {
			bad("extra keys not allowed @ data['" + key + "']")
			return
		}
	}
	_, isCert := other["set_client_cert"].(bool)
	ca, isCA := other["set_ca_cert"].(string)
	transport, _ := other["transport"].(string)
	if !isCert || !isCA || !slices.Contains([]string{"off", "auto", "custom"}, ca) {
		bad("required key not provided @ data['other_settings']['set_ca_cert']")
		return
	}
	e := *c.entry
	e.Broker, e.Port, e.Protocol, e.SetCACert, e.Transport = host, int(port), protocol, ca, transport
	e.User, _ = body["username"].(string)
	if p, _ := body["password"].(string); p != passwordKept {
		e.Password = p
	}
	e.ClientID, _ = other["client_id"].(string)
	if !c.reaches(e) {
		answer(w, http.StatusOK, c.form(f, map[string]any{"base": "cannot_connect"}))
		return
	}
	c.entry = &e
	delete(c.flows, f.id)
	answer(w, http.StatusOK, map[string]any{
		"type": "abort", "flow_id": f.id, "handler": "mqtt", "reason": "reconfigure_successful", "description_placeholders": nil,
	})
}

// notify is the service persistent_notification.create.
func (c *Core) notify(w http.ResponseWriter, r *http.Request) {
	var v struct {
		ID string `json:"notification_id"`
		Notification
	}
	if json.NewDecoder(r.Body).Decode(&v) != nil || v.Message == "" {
		answer(w, http.StatusBadRequest, map[string]any{"message": "required key not provided @ data['message']"})
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notifications[v.ID] = v.Notification
	answer(w, http.StatusOK, []any{})
}
