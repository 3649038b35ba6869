package dynsec

import (
	"maps"
	"slices"
)

// groupOf is the group that a command names.
func (r *request) groupOf(v fields) (*group, error) {
	name, err := groupKey.of(v)
	if err != nil {
		return nil, err
	}
	if g := r.groups[name]; g != nil {
		return g, nil
	}
	return nil, noGroup
}

func (r *request) createGroup(v fields) (any, error) {
	name, err := groupKey.newOf(v)
	if err != nil {
		return nil, err
	}
	g := &group{name: name}
	if g.texts, err = v.newTexts(); err != nil {
		return nil, err
	}
	if r.groups[name] != nil {
		return nil, failure("Group already exists")
	}
	if g.roles, _, err = r.roleList(v); err != nil {
		return nil, err
	}
	r.groups[name] = g
	r.change()
	return nil, nil
}

func (r *request) deleteGroup(v fields) (any, error) {
	g, err := r.groupOf(v)
	if err != nil {
		return nil, err
	}
	if g.name == r.anonymous {
		return nil, failure("Deleting the anonymous group is forbidden")
	}
	r.feel(g)
	delete(r.groups, g.name)
	r.change()
	return nil, nil
}

func (r *request) modifyGroup(v fields) (any, error) {
	g, err := r.groupOf(v)
	if err != nil {
		return nil, err
	}
	roles, hasRoles, err := r.roleList(v)
	if err != nil {
		return nil, err
	}
	x, _ := v.get("clients")
	entries, hasClients := x.([]any)
	var clients []member
	for _, e := range entries {
		m, ok := e.(map[string]any)
		if !ok {
			continue
		}
		name, has, ok := fields(m).text("username")
		switch {
		case !has || !ok:
			return nil, failure("'clients' contains an object with an invalid 'username'")
		case r.clients[name] == nil:
			return nil, failure("'clients' contains an object with a 'username' that does not exist")
		}
		clients, _ = insert(clients, member{name, bounded(fields(m).number("priority", noPriority))})
	}
	r.feel(g)
	g.texts.change(v)
	if hasRoles {
		g.roles = roles
	}
	if hasClients {
		g.clients = clients
	}
	r.feel(g)
	r.change()
	return nil, nil
}

// groupAndClient are those that a command names.
func (r *request) groupAndClient(v fields) (*group, *client, error) {
	if _, err := userKey.of(v); err != nil {
		return nil, nil, err
	}
	if _, err := groupKey.of(v); err != nil {
		return nil, nil, err
	}
	c, err := r.clientOf(v)
	if err != nil {
		return nil, nil, err
	}
	g, err := r.groupOf(v)
	return g, c, err
}

func (r *request) addGroupClient(v fields) (any, error) {
	g, c, err := r.groupAndClient(v)
	if err != nil {
		return nil, err
	}
	var added bool
	if g.clients, added = insert(g.clients, member{c.name, bounded(v.number("priority", noPriority))}); !added {
		return nil, failure("Client is already in this group")
	}
	r.change(c.name)
	return nil, nil
}

func (r *request) removeGroupClient(v fields) (any, error) {
	g, c, err := r.groupAndClient(v)
	if err != nil {
		return nil, err
	}
	g.clients = without(g.clients, c.name)
	r.change(c.name)
	return nil, nil
}

// groupAndRole are those that a command names.
func (r *request) groupAndRole(v fields) (*group, string, error) {
	if _, err := groupKey.of(v); err != nil {
		return nil, "", err
	}
	role, err := roleKey.of(v)
	if err != nil {
		return nil, "", err
	}
	g, err := r.groupOf(v)
	if err != nil {
		return nil, "", err
	}
	if r.roles[role] == nil {
		return nil, "", noRole
	}
	return g, role, nil
}

func (r *request) addGroupRole(v fields) (any, error) {
	g, role, err := r.groupAndRole(v)
	if err != nil {
		return nil, err
	}
	var added bool
	if g.roles, added = insert(g.roles, member{role, bounded(v.number("priority", noPriority))}); !added {
		return nil, failure("Group is already in this role")
	}
	r.feel(g)
	r.change()
	return nil, nil
}

func (r *request) removeGroupRole(v fields) (any, error) {
	g, role, err := r.groupAndRole(v)
	if err != nil {
		return nil, err
	}
	g.roles = without(g.roles, role)
	r.feel(g)
	r.change()
	return nil, nil
}

func (r *request) setAnonymous(v fields) (any, error) {
	g, err := r.groupOf(v)
	if err != nil {
		return nil, err
	}
	r.anonymous = g.name
	r.change("")
	return nil, nil
}

func (r *request) getAnonymous(fields) (any, error) {
	return map[string]any{"group": map[string]string{"groupname": r.anonymous}}, nil
}

// groupJSON is a group in answers.
type groupJSON struct {
	Name string `json:"groupname"`
	texts
	Clients []memberJSON `json:"clients"`
	Roles   []memberJSON `json:"roles"`
}

func (g *group) json() groupJSON {
	j := groupJSON{g.name, g.texts, []memberJSON{}, membersJSON(g.roles, asRole)}
	for _, m := range g.clients {
		j.Clients = append(j.Clients, asUser(m.name)) // without priorities
	}
	return j
}

func (r *request) getGroup(v fields) (any, error) {
	g, err := r.groupOf(v)
	if err != nil {
		return nil, err
	}
	return map[string]any{"group": g.json()}, nil
}

func (r *request) listGroups(v fields) (any, error) {
	list := []any{}
	for _, name := range page(slices.Sorted(maps.Keys(r.groups)), v) {
		if v.flag("verbose", false) {
			list = append(list, r.groups[name].json())
		} else {
			list = append(list, name)
		}
	}
	return map[string]any{"totalCount": len(r.groups), "groups": list}, nil
}
