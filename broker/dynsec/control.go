package dynsec

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"hearthmq/broker"
)

// Endpoint is the topic of the commands.
const Endpoint = "$CONTROL/dynamic-security/v1"

// maxCommands bounds the commands of one message.
const maxCommands = 10_000

// failure is what the plugin answers where a command can't be carried out: programs know
// these words.
type failure string

func (f failure) Error() string { return string(f) }

const internal = failure("Internal error")

// reply answers one command.
type reply struct {
	Command     string `json:"command"`
	Correlation string `json:"correlationData,omitempty"`
	Error       string `json:"error,omitempty"`
	Data        any    `json:"data,omitempty"`
}

// Answer carries out the commands of a request to an endpoint of Mosquitto's, in its form.
// do returns what a command asks for, and errors with the text of the answer. What breaks
// the form ends the request.
func Answer(request []byte, do func(name string, command map[string]any) (data any, err error)) []byte {
	out := struct {
		Responses []reply `json:"responses"`
	}{Responses: []reply{}}
	fail := func(r reply, text string) { r.Error = text; out.Responses = append(out.Responses, r) }
	none := reply{Command: "Unknown command"}
	var tree any
	err := json.Unmarshal(request, &tree)
	object, _ := tree.(map[string]any) // no object has no commands
	commands, ok := fields(object).get("commands")
	list, isList := commands.([]any)
	switch {
	case err != nil:
		fail(none, "Payload not valid JSON")
	case !ok || !isList || len(list) > maxCommands:
		fail(none, "Invalid/missing commands")
		list = nil
	}
	for _, x := range list {
		object, ok := x.(map[string]any)
		if !ok {
			fail(none, "Command not an object")
			break
		}
		v := fields(object)
		name, has, ok := v.text("command")
		if !has || !ok {
			fail(none, "Missing command")
			break
		}
		r := reply{Command: name}
		if r.Correlation, _, ok = v.text("correlationData"); !ok {
			fail(r, "Invalid correlationData data type.")
			break
		}
		data, err := do(name, object)
		if err != nil {
			fail(r, err.Error())
			continue
		}
		r.Data = data
		out.Responses = append(out.Responses, r)
	}
	text, err := json.Marshal(out)
	if err != nil {
		panic(err) // our own types can be encoded
	}
	return text
}

// ErrUnknownCommand is for commands that an endpoint does not know.
const ErrUnknownCommand = failure("Unknown command")

// request is one under way. Engine.mu is held.
type request struct {
	*state
	engine   *Engine
	changed  bool
	affected map[string]bool // users whose rights have changed; "": those without a name
}

// Control implements broker.Controller for Endpoint. Who may ask is decided before.
func (e *Engine) Control(ctx context.Context, id *broker.Identity, text []byte) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := &request{state: e.state, engine: e, affected: map[string]bool{}}
	answer := Answer(text, func(name string, command map[string]any) (any, error) {
		for known, do := range commands {
			if strings.EqualFold(known, name) {
				data, err := do(r, command)
				e.log.Info("dynamic security", "command", known, "by", id.User, "client_id", id.ClientID, "answer", said(err))
				return data, err
			}
		}
		return nil, ErrUnknownCommand
	})
	if !r.changed {
		return answer
	}
	if err := e.save(); err != nil {
		e.log.Error("dynamic security can't be stored: what was changed ends with the program", "file", e.file, "err", err)
	}
	if err := e.apply(ctx); err != nil {
		e.log.Error("dynamic security", "err", err)
	}
	if affected := r.affected; len(affected) > 0 && e.Changed != nil {
		time.AfterFunc(afterAnswer, func() { e.Changed(func(user string) bool { return affected[user] }) })
	}
	return answer
}

func said(err error) string {
	if err != nil {
		return err.Error()
	}
	return "done"
}

// change notes a change that users feel.
func (r *request) change(users ...string) {
	r.changed = true
	r.index++
	for _, u := range users {
		r.affected[u] = true
	}
}

// feel notes users whose rights follow from a group's.
func (r *request) feel(g *group) {
	if g.name == r.anonymous {
		r.affected[""] = true
	}
	for _, m := range g.clients {
		r.affected[m.name] = true
	}
}

// feelRole notes users who have a role, by themselves or by a group.
func (r *request) feelRole(name string) {
	for user, c := range r.clients {
		if has(c.roles, name) {
			r.affected[user] = true
		}
	}
	for _, g := range r.groups {
		if has(g.roles, name) {
			r.feel(g)
		}
	}
}

type handler func(r *request, v fields) (data any, err error)

var commands = map[string]handler{
	"setDefaultACLAccess": (*request).setDefaults, "getDefaultACLAccess": (*request).getDefaults, "getDetails": (*request).details,
	"createClient": (*request).createClient, "deleteClient": (*request).deleteClient, "getClient": (*request).getClient, "listClients": (*request).listClients,
	"modifyClient": (*request).modifyClient, "setClientPassword": (*request).setPassword, "setClientId": (*request).setClientID,
	"addClientRole": (*request).addClientRole, "removeClientRole": (*request).removeClientRole,
	"enableClient":  func(r *request, v fields) (any, error) { return r.enable(v, true) },
	"disableClient": func(r *request, v fields) (any, error) { return r.enable(v, false) },
	"createGroup":   (*request).createGroup, "deleteGroup": (*request).deleteGroup, "getGroup": (*request).getGroup, "listGroups": (*request).listGroups,
	"modifyGroup": (*request).modifyGroup, "addGroupClient": (*request).addGroupClient, "removeGroupClient": (*request).removeGroupClient,
	"addGroupRole": (*request).addGroupRole, "removeGroupRole": (*request).removeGroupRole,
	"setAnonymousGroup": (*request).setAnonymous, "getAnonymousGroup": (*request).getAnonymous,
	"createRole": (*request).createRole, "deleteRole": (*request).deleteRole, "getRole": (*request).getRole, "listRoles": (*request).listRoles,
	"modifyRole": (*request).modifyRole, "addRoleACL": (*request).addACL, "removeRoleACL": (*request).removeACL,
}

// Names of things in a command, with the words for what is wrong with them.
var (
	userKey  = key{"username", "Username"}
	groupKey = key{"groupname", "Group name"}
	roleKey  = key{"rolename", "Role name"}
)

type key struct{ field, word string }

// of returns the name in a command.
func (k key) of(v fields) (string, error) {
	s, has, ok := v.text(k.field)
	switch {
	case !has || !ok:
		return "", failure("Invalid/missing " + k.field)
	case !mqttText(s):
		return "", failure(k.word + " not valid UTF-8")
	}
	return s, nil
}

// newOf is the name of something that is to be made.
func (k key) newOf(v fields) (string, error) {
	if s, has, ok := v.text(k.field); has && ok && s == "" {
		return "", failure("Empty " + k.field)
	}
	return k.of(v)
}

func (v fields) newTexts() (texts, error) {
	for _, k := range []string{"textname", "textdescription"} {
		if _, _, ok := v.text(k); !ok {
			return texts{}, failure("Invalid/missing " + k)
		}
	}
	return v.texts(), nil
}

// change takes over the texts that a command has.
func (t *texts) change(v fields) {
	n := v.texts()
	if n.Name != nil {
		t.Name = n.Name
	}
	if n.Description != nil {
		t.Description = n.Description
	}
}

// roleList is the list of roles in a command; has is false where there is none.
func (r *request) roleList(v fields) (list []member, has bool, err error) {
	x, has := v.get("roles")
	if !has {
		return nil, false, nil
	}
	const wrong = failure("'roles' not an array or missing/invalid rolename")
	entries, ok := x.([]any)
	if !ok {
		return nil, false, wrong
	}
	for _, e := range entries {
		m, _ := e.(map[string]any) // no object has no fields
		name, has, ok := fields(m).text("rolename")
		switch {
		case !has || !ok:
			return nil, false, wrong
		case r.roles[name] == nil:
			return nil, false, failure("Role not found")
		}
		list, _ = insert(list, member{name, bounded(fields(m).number("priority", noPriority))})
	}
	return list, true, nil
}

// page is the part of a sorted list that a command asks for.
func page(names []string, v fields) []string {
	names = names[min(max(v.number("offset", 0), 0), len(names)):]
	if n := v.number("count", -1); n >= 0 {
		names = names[:min(max(n, 1), len(names))]
	}
	return names
}

func (r *request) setDefaults(v fields) (any, error) {
	x, _ := v.get("acls")
	list, ok := x.([]any)
	if !ok {
		return nil, failure("Missing/invalid actions array")
	}
	for _, e := range list {
		m, _ := e.(map[string]any) // no object has no fields
		typ, _, _ := fields(m).text("acltype")
		x, _ := fields(m).get("allow")
		allow, ok := x.(bool)
		for name, at := range map[string]*bool{
			kindNames[send]: &r.defaults.Send, kindNames[receive]: &r.defaults.Receive, "subscribe": &r.defaults.Subscribe, "unsubscribe": &r.defaults.Unsubscribe,
		} {
			if ok && strings.EqualFold(name, typ) {
				*at = allow
			}
		}
	}
	r.change()
	return nil, nil
}

func (r *request) getDefaults(fields) (any, error) {
	type one struct {
		Type  string `json:"acltype"`
		Allow bool   `json:"allow"`
	}
	d := r.defaults
	return map[string]any{"acls": []one{{kindNames[send], d.Send}, {kindNames[receive], d.Receive}, {"subscribe", d.Subscribe}, {"unsubscribe", d.Unsubscribe}}}, nil
}

func (r *request) details(fields) (any, error) {
	return map[string]any{"clientCount": len(r.clients), "groupCount": len(r.groups), "roleCount": len(r.roles), "changeIndex": r.index}, nil
}
