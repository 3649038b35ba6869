package dynsec

import (
	"maps"
	"slices"
)

const (
	noClient = failure("Client not found")
	noGroup  = failure("Group not found")
	noRole   = failure("Role not found")
)

// clientOf is the client that a command names.
func (r *request) clientOf(v fields) (*client, error) {
	name, err := userKey.of(v)
	if err != nil {
		return nil, err
	}
	if c := r.clients[name]; c != nil {
		return c, nil
	}
	return nil, noClient
}

// wantedGroups is the list of groups in a command, and in which of them there is a mistake.
func (r *request) wantedGroups(v fields) (list []member, has bool, err error) {
	x, _ := v.get("groups")
	entries, has := x.([]any)
	for _, e := range entries {
		m, ok := e.(map[string]any)
		if !ok {
			continue
		}
		name, named, ok := fields(m).text("groupname")
		switch {
		case !named || !ok:
			return nil, has, failure("'groups' contains an object with an invalid 'groupname'")
		case r.groups[name] == nil:
			return nil, has, noGroup
		}
		list = append(list, member{name, bounded(fields(m).number("priority", noPriority))})
	}
	return list, has, nil
}

func (r *request) createClient(v fields) (any, error) {
	name, err := userKey.newOf(v)
	if err != nil {
		return nil, err
	}
	password, hasPassword, ok := v.text("password")
	if !ok {
		return nil, failure("Invalid/missing password")
	}
	c := &client{name: name}
	if c.clientID, _, ok = v.text("clientid"); !ok {
		return nil, failure("Invalid/missing client id")
	}
	if !mqttText(c.clientID) {
		return nil, failure("Client ID not valid UTF-8")
	}
	if c.texts, err = v.newTexts(); err != nil {
		return nil, err
	}
	if r.clients[name] != nil {
		return nil, failure("Client already exists")
	}
	if c.roles, _, err = r.roleList(v); err != nil {
		return nil, err
	}
	groups, _, err := r.wantedGroups(v)
	if err != nil {
		return nil, err
	}
	if hasPassword {
		if c.hash, err = newHash(password); err != nil {
			return nil, err
		}
	}
	r.clients[name] = c
	r.joinGroups(name, groups)
	r.change()
	return nil, nil
}

// joinGroups makes a client a member of exactly these groups.
func (r *request) joinGroups(name string, groups []member) {
	for _, g := range r.groups {
		g.clients = without(g.clients, name)
	}
	for _, m := range groups {
		g := r.groups[m.name]
		g.clients, _ = insert(g.clients, member{name, m.priority})
	}
}

func (r *request) deleteClient(v fields) (any, error) {
	c, err := r.clientOf(v)
	if err != nil {
		return nil, err
	}
	r.joinGroups(c.name, nil)
	delete(r.clients, c.name)
	r.change(c.name)
	return nil, nil
}

func (r *request) enable(v fields, on bool) (any, error) {
	c, err := r.clientOf(v)
	if err != nil {
		return nil, err
	}
	c.disabled = !on
	r.change()
	if !on {
		r.affected[c.name] = true
	}
	return nil, nil
}

func (r *request) setClientID(v fields) (any, error) {
	if _, err := userKey.of(v); err != nil {
		return nil, err
	}
	id, _, ok := v.text("clientid")
	if !ok {
		return nil, failure("Invalid/missing client ID")
	}
	if !mqttText(id) {
		return nil, failure("Client ID not valid UTF-8")
	}
	c, err := r.clientOf(v)
	if err != nil {
		return nil, err
	}
	c.clientID = id
	r.change(c.name)
	return nil, nil
}

func (r *request) setPassword(v fields) (any, error) {
	if _, err := userKey.of(v); err != nil {
		return nil, err
	}
	password, has, ok := v.text("password")
	switch {
	case !has || !ok:
		return nil, failure("Invalid/missing password")
	case password == "":
		return nil, failure("Empty password is not allowed")
	}
	c, err := r.clientOf(v)
	if err != nil {
		return nil, err
	}
	hash, err := newHash(password)
	if err != nil {
		return nil, err
	}
	c.hash = hash
	r.change(c.name)
	return nil, nil
}

func (r *request) modifyClient(v fields) (any, error) {
	c, err := r.clientOf(v)
	if err != nil {
		return nil, err
	}
	roles, hasRoles, err := r.roleList(v)
	if err != nil {
		return nil, err
	}
	groups, hasGroups, err := r.wantedGroups(v)
	if err == noGroup {
		err = failure("'groups' contains an object with a 'groupname' that does not exist")
	}
	if err != nil {
		return nil, err
	}
	if password, _, _ := v.text("password"); password != "" {
		hash, err := newHash(password)
		if err != nil {
			return nil, err
		}
		c.hash = hash
	}
	if id, has, ok := v.text("clientid"); has && ok {
		c.clientID = id
	}
	c.texts.change(v)
	if hasRoles {
		c.roles = roles
	}
	if hasGroups {
		r.joinGroups(c.name, groups)
	}
	r.change(c.name)
	return nil, nil
}

// clientAndRole are those that a command names.
func (r *request) clientAndRole(v fields) (*client, string, error) {
	if _, err := userKey.of(v); err != nil {
		return nil, "", err
	}
	role, err := roleKey.of(v)
	if err != nil {
		return nil, "", err
	}
	c, err := r.clientOf(v)
	if err != nil {
		return nil, "", err
	}
	if r.roles[role] == nil {
		return nil, "", noRole
	}
	return c, role, nil
}

func (r *request) addClientRole(v fields) (any, error) {
	c, role, err := r.clientAndRole(v)
	if err != nil {
		return nil, err
	}
	var added bool
	if c.roles, added = insert(c.roles, member{role, bounded(v.number("priority", noPriority))}); !added {
		return nil, internal
	}
	r.change(c.name)
	return nil, nil
}

func (r *request) removeClientRole(v fields) (any, error) {
	c, role, err := r.clientAndRole(v)
	if err != nil {
		return nil, err
	}
	c.roles = without(c.roles, role)
	r.change(c.name)
	return nil, nil
}

// clientJSON is a client in answers.
type clientJSON struct {
	Name     string `json:"username"`
	ClientID string `json:"clientid,omitempty"`
	texts
	Disabled    bool         `json:"disabled,omitempty"`
	Roles       []memberJSON `json:"roles"`
	Groups      []memberJSON `json:"groups"`
	Connections []connection `json:"connections"`
}

type connection struct {
	Address string `json:"address"`
}

func (r *request) clientJSON(c *client) clientJSON {
	j := clientJSON{
		Name: c.name, ClientID: c.clientID, texts: c.texts, Disabled: c.disabled,
		Roles: membersJSON(c.roles, asRole), Groups: membersJSON(r.groupsOf(c.name), asGroup), Connections: []connection{},
	}
	if r.engine.Sessions == nil {
		return j
	}
	for s := range r.engine.Sessions() {
		if s.Connected && s.User == c.name && s.Identity != nil && (c.clientID == "" || c.clientID == s.ClientID) {
			j.Connections = append(j.Connections, connection{s.Identity.Remote.Addr().String()})
		}
	}
	return j
}

func (r *request) getClient(v fields) (any, error) {
	c, err := r.clientOf(v)
	if err != nil {
		return nil, err
	}
	return map[string]any{"client": r.clientJSON(c)}, nil
}

func (r *request) listClients(v fields) (any, error) {
	list := []any{}
	for _, name := range page(slices.Sorted(maps.Keys(r.clients)), v) {
		if v.flag("verbose", false) {
			list = append(list, r.clientJSON(r.clients[name]))
		} else {
			list = append(list, name)
		}
	}
	return map[string]any{"totalCount": len(r.clients), "clients": list}, nil
}
