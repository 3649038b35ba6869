package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hearthmq/broker/access"
	"hearthmq/broker/topic"
)

// acl is one rule as Mosquitto writes it.
type acl struct {
	Type     string `json:"acltype"`
	Topic    string `json:"topic"`
	Priority int    `json:"priority"`
	Allow    bool   `json:"allow"`
}

var (
	errReceive     = errors.New("HearthMQ has no right to be sent messages without the right to subscribe: use subscribePattern")
	errLiteral     = errors.New("HearthMQ can't allow a filter with wildcards without what it covers: use subscribePattern")
	errUnsubscribe = errors.New("HearthMQ keeps nobody from unsubscribing")
	errControl     = errors.New("HearthMQ's users control it by being administrators: mark the user as one in the admin")
	errWildcards   = errors.New("HearthMQ has no switch for subscriptions with wildcards: what they deliver is what the rules allow")
)

// rule makes a rule of an ACL; ok is false when there is nothing to say: what the ACL
// allows is allowed anyway.
func (a acl) rule() (r access.Rule, ok bool, err error) {
	effect, scope := access.Deny, access.ScopeSubscribe
	if a.Allow {
		effect = access.Allow
	}
	kind := strings.ToLower(a.Type)
	switch {
	case topic.ValidFilter(a.Topic) != nil:
		return r, false, failure("Invalid topic")
	case strings.HasPrefix(a.Topic, "$CONTROL"):
		return r, false, errControl
	case a.Priority > 0:
		return r, false, errPriority
	case kind == "publishclientsend":
		scope = access.ScopePublish
	case kind == "publishclientreceive" && a.Allow:
		return r, false, errReceive
	case kind == "publishclientreceive", kind == "subscribepattern":
	case kind == "subscribeliteral" && topic.HasWildcard(a.Topic):
		return r, false, errLiteral
	case kind == "subscribeliteral":
	case (kind == "unsubscribeliteral" || kind == "unsubscribepattern") && a.Allow:
		return r, false, nil
	case kind == "unsubscribeliteral", kind == "unsubscribepattern":
		return r, false, errUnsubscribe
	default:
		return r, false, failure("Invalid acltype")
	}
	return access.NewRule(effect, scope, a.Topic), true, nil
}

// rules makes rules of a list of ACLs.
func rules(list *[]acl) ([]access.Rule, error) {
	var out []access.Rule
	if list == nil {
		return nil, nil
	}
	for _, a := range *list {
		r, ok, err := a.rule()
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", a.Type, a.Topic, err)
		}
		if ok {
			out = append(out, r)
		}
	}
	return out, nil
}

// acls are rules as Mosquitto shows them.
func acls(list []access.Rule) []acl {
	out := []acl{}
	for _, r := range list {
		if r.Scope != access.ScopeSubscribe {
			out = append(out, acl{Type: "publishClientSend", Topic: r.Filter, Allow: r.Effect == access.Allow})
		}
		if r.Scope != access.ScopePublish {
			out = append(out, acl{Type: "subscribePattern", Topic: r.Filter, Allow: r.Effect == access.Allow})
		}
	}
	return out
}

// roleView is a role as Mosquitto shows it.
type roleView struct {
	Rolename        string `json:"rolename"`
	TextName        string `json:"textname,omitempty"`
	TextDescription string `json:"textdescription,omitempty"`
	ACLs            []acl  `json:"acls"`
}

func viewRole(r access.Role) roleView {
	v := roleView{Rolename: r.Name, ACLs: acls(r.Rules)}
	v.TextName, v.TextDescription, _ = strings.Cut(r.Description, "\n")
	return v
}

func (h *Handler) createRole(ctx context.Context, c *command) error {
	if c.Wildcards != nil && !*c.Wildcards {
		return errWildcards
	}
	list, err := rules(c.ACLs)
	if err != nil {
		return err
	}
	return h.Accounts.CreateRole(ctx, c.Rolename, note(c, ""), list)
}

func (h *Handler) getRole(name string) (any, error) {
	r, ok := h.Directory.Role(name)
	if !ok {
		return nil, notFound("role", name)
	}
	return map[string]any{"role": viewRole(r)}, nil
}

func (h *Handler) listRoles(c *command) any {
	all := h.Directory.Roles()
	list := []any{}
	for _, r := range page(all, c) {
		if c.Verbose {
			list = append(list, viewRole(r))
		} else {
			list = append(list, r.Name)
		}
	}
	return map[string]any{"totalCount": len(all), "roles": list}
}

func (h *Handler) modifyRole(ctx context.Context, c *command) error {
	r, ok := h.Directory.Role(c.Rolename)
	switch {
	case !ok:
		return notFound("role", c.Rolename)
	case c.Wildcards != nil && !*c.Wildcards:
		return errWildcards
	}
	list := r.Rules
	if c.ACLs != nil {
		var err error
		if list, err = rules(c.ACLs); err != nil {
			return err
		}
	}
	return h.Accounts.ChangeRole(ctx, c.Rolename, r.Revision, note(c, r.Description), list)
}

func (h *Handler) addRoleACL(ctx context.Context, c *command) error {
	r, ok := h.Directory.Role(c.Rolename)
	if !ok {
		return notFound("role", c.Rolename)
	}
	rule, ok, err := c.acl().rule()
	if err != nil || !ok {
		return err
	}
	for _, have := range acls(r.Rules) {
		if have.Topic == c.Topic && strings.EqualFold(have.Type, shownAs(c.ACLType)) {
			return errors.New("ACL with this topic already exists")
		}
	}
	list := append(slices.Clone(r.Rules), rule)
	return h.Accounts.ChangeRole(ctx, c.Rolename, r.Revision, r.Description, list)
}

func (c *command) acl() acl { return acl{Type: c.ACLType, Topic: c.Topic, Allow: c.Allow} }

// shownAs is the kind that an ACL is shown with.
func shownAs(kind string) string {
	if strings.EqualFold(kind, "publishClientSend") {
		return kind
	}
	return "subscribePattern"
}

// removeRoleACL takes one direction of a rule away.
func (h *Handler) removeRoleACL(ctx context.Context, c *command) error {
	r, ok := h.Directory.Role(c.Rolename)
	if !ok {
		return notFound("role", c.Rolename)
	}
	away, other := access.ScopeSubscribe, access.ScopePublish
	switch kind := strings.ToLower(c.ACLType); kind {
	case "publishclientsend":
		away, other = other, away
	case "subscribeliteral", "subscribepattern", "publishclientreceive":
	default:
		return failure("Invalid acltype")
	}
	var list []access.Rule
	found := false
	for _, rule := range r.Rules {
		if rule.Filter == c.Topic && rule.Scope != other {
			found = true
			if rule.Scope == away {
				continue
			}
			rule.Scope = other
		}
		list = append(list, rule)
	}
	if !found {
		return errors.New("ACL not found")
	}
	return h.Accounts.ChangeRole(ctx, c.Rolename, r.Revision, r.Description, list)
}
