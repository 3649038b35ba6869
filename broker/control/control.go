// Package control answers the commands of Mosquitto's dynamic security plugin, which
// come as messages to $CONTROL/dynamic-security/v1, with HearthMQ's own users and roles:
// so mosquitto_ctrl dynsec and what is built on the same commands work. What HearthMQ
// has no counterpart for (groups, priorities, users bound to a client identifier) is
// answered with an error that says so, never with something that is nearly the same.
//
// Only users who may use the admin are answered. The package must not import
// database/sql or net/http; cmd/hearthmq gives a Handler to the broker.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// Handler implements broker.Controller. Safe for concurrent use.
type Handler struct {
	Accounts  *access.Accounts  // must not be nil
	Directory *access.Directory // must not be nil
}

var _ broker.Controller = (*Handler)(nil)

// endpoint is the topic of dynamic security.
const endpoint = "$CONTROL/dynamic-security/v1"

// maxCommands bounds the commands of one message.
const maxCommands = 1000

// command is one of a request, with the fields of all of them.
type command struct {
	Command         string          `json:"command"`
	CorrelationData string          `json:"correlationData"`
	Username        string          `json:"username"`
	Password        string          `json:"password"`
	ClientID        string          `json:"clientid"`
	Rolename        string          `json:"rolename"`
	Groupname       string          `json:"groupname"`
	TextName        *string         `json:"textname"`
	TextDescription *string         `json:"textdescription"`
	ACLType         string          `json:"acltype"`
	Topic           string          `json:"topic"`
	Priority        *int            `json:"priority"`
	Allow           bool            `json:"allow"`
	Verbose         bool            `json:"verbose"`
	Count           int             `json:"count"`
	Offset          int             `json:"offset"`
	Roles           *[]member       `json:"roles"`
	Groups          []member        `json:"groups"`
	ACLs            *[]acl          `json:"acls"`
	Wildcards       *bool           `json:"allowwildcardsubs"`
	Ignored         json.RawMessage `json:"-"`
}

type member struct {
	Rolename  string `json:"rolename"`
	Groupname string `json:"groupname"`
	Priority  *int   `json:"priority"`
}

// reply answers one command.
type reply struct {
	Command         string `json:"command"`
	CorrelationData string `json:"correlationData,omitempty"`
	Error           string `json:"error,omitempty"`
	Data            any    `json:"data,omitempty"`
}

// Control implements broker.Controller.
func (h *Handler) Control(ctx context.Context, id *broker.Identity, topic string, request []byte) (response []byte, allowed bool) {
	u, ok := h.Directory.User(id.User)
	// A user of the same name that somebody else let in is another one.
	if stands, _ := h.Directory.Review(id); !ok || !stands || !u.Admin || u.Disabled || u.Version != id.Version {
		return nil, false
	}
	if topic != endpoint {
		return encode(map[string]string{"error": "endpoint not available"}), true
	}
	ctx = access.WithActor(ctx, access.ViaControl, id.User)
	var q struct {
		Commands []command `json:"commands"`
	}
	var out struct {
		Responses []reply `json:"responses"`
	}
	if err := json.Unmarshal(request, &q); err != nil || q.Commands == nil || len(q.Commands) > maxCommands {
		out.Responses = []reply{{Command: "Unknown command", Error: "Payload not valid JSON"}}
		return encode(out), true
	}
	for i := range q.Commands {
		c := &q.Commands[i]
		r := reply{Command: c.Command, CorrelationData: c.CorrelationData}
		data, err := h.do(ctx, c)
		if r.Data = data; err != nil {
			r.Data, r.Error = nil, problem(err)
		}
		out.Responses = append(out.Responses, r)
	}
	return encode(out), true
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types can be encoded
	}
	return b
}

// problem says what went wrong, in a line.
func problem(err error) string {
	if p, ok := errors.AsType[access.Problems](err); ok {
		var all []string
		for key, text := range p {
			all = append(all, key+": "+text)
		}
		slices.Sort(all)
		return strings.Join(all, "; ")
	}
	return err.Error()
}

// failure is an error in the words of Mosquitto, which programs may know.
type failure string

func (f failure) Error() string { return string(f) }

// Errors for what Mosquitto has and HearthMQ has not.
var (
	errGroups   = errors.New("HearthMQ has no groups: give the roles to the users themselves")
	errPriority = errors.New("HearthMQ has no priorities: a deny beats every allow, whatever their order")
	errClientID = errors.New("HearthMQ binds no user to a client identifier")
	errDefaults = errors.New("HearthMQ's defaults can't be changed: where no rule matches, the answer is no")
	errUnknown  = failure("Unknown command")
)

func (h *Handler) do(ctx context.Context, c *command) (data any, err error) {
	if c.Priority != nil && *c.Priority > 0 {
		return nil, errPriority
	}
	switch c.Command {
	case "createClient":
		return nil, h.createClient(ctx, c)
	case "deleteClient":
		return nil, h.Accounts.DeleteUser(ctx, c.Username)
	case "enableClient", "disableClient":
		off := c.Command == "disableClient"
		return nil, h.Accounts.ChangeUser(ctx, c.Username, access.UserChange{Disabled: &off})
	case "setClientPassword":
		_, err := h.Accounts.SetPassword(ctx, c.Username, c.Password, false)
		return nil, err
	case "setClientId":
		if c.ClientID == "" {
			return nil, nil
		}
		return nil, errClientID
	case "getClient":
		return h.getClient(c.Username)
	case "listClients":
		return h.listClients(c), nil
	case "modifyClient":
		return nil, h.modifyClient(ctx, c)
	case "addClientRole":
		return nil, h.clientRole(ctx, c, true)
	case "removeClientRole":
		return nil, h.clientRole(ctx, c, false)
	case "createRole":
		return nil, h.createRole(ctx, c)
	case "deleteRole":
		return nil, h.Accounts.DeleteRole(ctx, c.Rolename)
	case "getRole":
		return h.getRole(c.Rolename)
	case "listRoles":
		return h.listRoles(c), nil
	case "modifyRole":
		return nil, h.modifyRole(ctx, c)
	case "addRoleACL":
		return nil, h.addRoleACL(ctx, c)
	case "removeRoleACL":
		return nil, h.removeRoleACL(ctx, c)
	case "getDefaultACLAccess":
		return map[string]any{"acls": defaults()}, nil
	case "setDefaultACLAccess":
		return nil, setDefaults(c)
	case "listGroups":
		return map[string]any{"totalCount": 0, "groups": []string{}}, nil
	case "getAnonymousGroup":
		return map[string]any{"group": map[string]string{"groupname": ""}}, nil
	case "getDetails":
		return map[string]any{"clientCount": len(h.Directory.Users()), "groupCount": 0, "roleCount": len(h.Directory.Roles())}, nil
	case "createGroup", "deleteGroup", "getGroup", "modifyGroup", "addGroupClient", "removeGroupClient",
		"addGroupRole", "removeGroupRole", "setAnonymousGroup":
		return nil, errGroups
	}
	return nil, errUnknown
}

// defaults are what holds where no rule matches.
func defaults() []map[string]any {
	return []map[string]any{
		{"acltype": "publishClientSend", "allow": false}, {"acltype": "publishClientReceive", "allow": false},
		{"acltype": "subscribe", "allow": false}, {"acltype": "unsubscribe", "allow": true},
	}
}

// setDefaults accepts what holds anyway.
func setDefaults(c *command) error {
	if c.ACLs == nil {
		return failure("Missing/invalid acls array")
	}
	for _, a := range *c.ACLs {
		if a.Allow != strings.EqualFold(a.Type, "unsubscribe") {
			return errDefaults
		}
	}
	return nil
}

// page is the part of a list that a command asks for.
func page[T any](list []T, c *command) []T {
	list = list[min(max(c.Offset, 0), len(list)):]
	if c.Count > 0 {
		list = list[:min(c.Count, len(list))]
	}
	return list
}

func notFound(what, name string) error { return fmt.Errorf("%s %q %w", what, name, access.ErrNotFound) }
