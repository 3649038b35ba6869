package dynsec

import (
	"maps"
	"slices"

	"hearthmq/broker/topic"
)

// roleOf is the role that a command names.
func (r *request) roleOf(v fields) (*role, error) {
	name, err := roleKey.of(v)
	if err != nil {
		return nil, err
	}
	if x := r.roles[name]; x != nil {
		return x, nil
	}
	return nil, noRole
}

func (r *request) createRole(v fields) (any, error) {
	name, err := roleKey.newOf(v)
	if err != nil {
		return nil, err
	}
	x := &role{name: name, wildcards: v.flag("allowwildcardsubs", true)}
	if x.texts, err = v.newTexts(); err != nil {
		return nil, err
	}
	if w, has := v.get("allowwildcardsubs"); has {
		if _, ok := w.(bool); !ok {
			return nil, failure("Invalid allowwildcardsubs")
		}
	}
	if r.roles[name] != nil {
		return nil, failure("Role already exists")
	}
	x.readACLs(v.list("acls"))
	r.roles[name] = x
	r.change()
	return nil, nil
}

func (r *request) deleteRole(v fields) (any, error) {
	x, err := r.roleOf(v)
	if err != nil {
		return nil, err
	}
	r.feelRole(x.name)
	for _, c := range r.clients {
		c.roles = without(c.roles, x.name)
	}
	for _, g := range r.groups {
		g.roles = without(g.roles, x.name)
	}
	delete(r.roles, x.name)
	r.change()
	return nil, nil
}

func (r *request) modifyRole(v fields) (any, error) {
	x, err := r.roleOf(v)
	if err == noRole {
		return nil, failure("Role does not exist")
	}
	if err != nil {
		return nil, err
	}
	x.texts.change(v)
	if w := v.flag("allowwildcardsubs", x.wildcards); w != x.wildcards {
		x.wildcards = w
		r.feelRole(x.name)
	}
	if list, _ := v.get("acls"); list != nil {
		if list, ok := list.([]any); ok {
			x.acls = [kinds][]acl{}
			x.readACLs(list)
			r.feelRole(x.name)
		}
	}
	r.change()
	return nil, nil
}

// aclOf is the place of an ACL that a command names.
func (r *request) aclOf(v fields) (x *role, k kind, filter string, err error) {
	if x, err = r.roleOf(v); err != nil {
		return nil, 0, "", err
	}
	typ, has, ok := v.text("acltype")
	if !has || !ok {
		return nil, 0, "", failure("Invalid/missing acltype")
	}
	if k, ok = kindOf(typ); !ok {
		return nil, 0, "", failure("Unknown acltype")
	}
	filter, has, ok = v.text("topic")
	switch {
	case !has || !ok:
		return nil, 0, "", failure("Invalid/missing topic")
	case !mqttText(filter):
		return nil, 0, "", failure("Topic not valid UTF-8")
	case topic.ValidFilter(filter) != nil:
		return nil, 0, "", failure("Invalid ACL topic")
	}
	return x, k, filter, nil
}

func (r *request) addACL(v fields) (any, error) {
	x, k, filter, err := r.aclOf(v)
	if err != nil {
		return nil, err
	}
	if !x.add(k, acl{filter, bounded(v.number("priority", 0)), v.flag("allow", false)}) {
		return nil, failure("ACL with this topic already exists")
	}
	r.feelRole(x.name)
	r.change()
	return nil, nil
}

func (r *request) removeACL(v fields) (any, error) {
	x, k, filter, err := r.aclOf(v)
	if err != nil {
		return nil, err
	}
	list := slices.DeleteFunc(slices.Clone(x.acls[k]), func(a acl) bool { return a.topic == filter })
	if len(list) == len(x.acls[k]) {
		return nil, failure("ACL not found")
	}
	x.acls[k] = list
	r.feelRole(x.name)
	r.change()
	return nil, nil
}

func (r *request) getRole(v fields) (any, error) {
	x, err := r.roleOf(v)
	if err != nil {
		return nil, err
	}
	return map[string]any{"role": x.json()}, nil
}

func (r *request) listRoles(v fields) (any, error) {
	list := []any{}
	for _, name := range page(slices.Sorted(maps.Keys(r.roles)), v) {
		if v.flag("verbose", false) {
			list = append(list, r.roles[name].json())
		} else {
			list = append(list, name)
		}
	}
	return map[string]any{"totalCount": len(r.roles), "roles": list}, nil
}
