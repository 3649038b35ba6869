package control

import (
	"context"
	"slices"
	"strings"

	"hearthmq/broker/access"
)

// clientView is a user as Mosquitto shows a client.
type clientView struct {
	Username        string       `json:"username"`
	TextName        string       `json:"textname,omitempty"`
	TextDescription string       `json:"textdescription,omitempty"`
	Disabled        bool         `json:"disabled,omitempty"`
	Roles           []roleMember `json:"roles"`
	Groups          []string     `json:"groups"`
}

type roleMember struct {
	Rolename string `json:"rolename"`
}

// note is the text of a user or a role, the name in the first line.
func note(c *command, old string) string {
	name, description, _ := strings.Cut(old, "\n")
	if c.TextName != nil {
		name = *c.TextName
	}
	if c.TextDescription != nil {
		description = *c.TextDescription
	}
	return strings.TrimRight(name+"\n"+description, "\n")
}

// rolesOf are the names in a list of roles.
func rolesOf(list *[]member) ([]string, error) {
	var names []string
	if list == nil {
		return nil, nil
	}
	for _, m := range *list {
		if m.Priority != nil && *m.Priority > 0 {
			return nil, errPriority
		}
		names = append(names, m.Rolename)
	}
	return names, nil
}

func (h *Handler) createClient(ctx context.Context, c *command) error {
	if len(c.Groups) > 0 {
		return errGroups
	}
	if c.ClientID != "" {
		return errClientID
	}
	roles, err := rolesOf(c.Roles)
	if err != nil {
		return err
	}
	n := access.NewUser{Name: c.Username, Password: c.Password, NoPassword: c.Password == "", Note: note(c, ""), Roles: roles}
	_, _, err = h.Accounts.CreateUser(ctx, n)
	return err
}

func view(u access.User) clientView {
	v := clientView{Username: u.Name, Disabled: u.Disabled, Roles: []roleMember{}, Groups: []string{}}
	v.TextName, v.TextDescription, _ = strings.Cut(u.Note, "\n")
	for _, r := range u.Roles {
		v.Roles = append(v.Roles, roleMember{r})
	}
	return v
}

func (h *Handler) getClient(name string) (any, error) {
	u, ok := h.Directory.User(name)
	if !ok {
		return nil, notFound("user", name)
	}
	return map[string]any{"client": view(u)}, nil
}

func (h *Handler) listClients(c *command) any {
	all := h.Directory.Users()
	var list []any
	for _, u := range page(all, c) {
		if c.Verbose {
			list = append(list, view(u))
		} else {
			list = append(list, u.Name)
		}
	}
	if list == nil {
		list = []any{}
	}
	return map[string]any{"totalCount": len(all), "clients": list}
}

func (h *Handler) modifyClient(ctx context.Context, c *command) error {
	u, ok := h.Directory.User(c.Username)
	switch {
	case !ok:
		return notFound("user", c.Username)
	case len(c.Groups) > 0:
		return errGroups
	case c.ClientID != "":
		return errClientID
	}
	text := note(c, u.Note)
	change := access.UserChange{Revision: u.Revision, Note: &text}
	if c.Roles != nil {
		roles, err := rolesOf(c.Roles)
		if err != nil {
			return err
		}
		change.Roles = &roles
	}
	if err := h.Accounts.ChangeUser(ctx, c.Username, change); err != nil || c.Password == "" {
		return err
	}
	_, err := h.Accounts.SetPassword(ctx, c.Username, c.Password, false)
	return err
}

// clientRole gives a user a role, or takes it.
func (h *Handler) clientRole(ctx context.Context, c *command, give bool) error {
	u, ok := h.Directory.User(c.Username)
	if !ok {
		return notFound("user", c.Username)
	}
	roles := slices.Clone(u.Roles)
	i := slices.Index(roles, c.Rolename)
	switch {
	case give && i < 0:
		roles = append(roles, c.Rolename)
	case !give && i < 0:
		return notFound("role", c.Rolename)
	case !give:
		roles = slices.Delete(roles, i, i+1)
	}
	return h.Accounts.ChangeUser(ctx, c.Username, access.UserChange{Revision: u.Revision, Roles: &roles})
}
