package mosquitto

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// FileUser is a user of a password_file, for people to look at.
type FileUser struct {
	Name      string
	Place     string   // file and line of the password
	Listeners []string // that it may come in by
	Rules     []string // file, line and rule, in the order in which they are asked; nil with NoRules
	NoRules   bool     // there is no acl_file: everything is allowed
}

// Users lists the users of password files and of dynamic security, by name. One that is in two files is there
// twice; who may do different things by different listeners, too.
func (g *Guard) Users() []FileUser {
	entrances := g.now.Load().by
	found := map[string]*FileUser{}
	for _, listener := range slices.Sorted(maps.Keys(entrances)) {
		x := entrances[listener]
		if x.users == nil {
			continue
		}
		for name, line := range x.users.lines {
			key := fmt.Sprintf("%p %p %s", x.users, x.acl, name)
			u := found[key]
			if u == nil {
				u = &FileUser{Name: name, Place: fmt.Sprintf("%s:%d", x.users.file, line), NoRules: x.acl == nil, Rules: x.acl.of(name)}
				found[key] = u
			}
			u.Listeners = append(u.Listeners, listener)
		}
	}
	list := g.dynamicUsers(entrances)
	for _, u := range found {
		list = append(list, *u)
	}
	slices.SortFunc(list, func(a, b FileUser) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Place, b.Place), slices.Compare(a.Listeners, b.Listeners))
	})
	return list
}

// dynamicUsers are those of dynamic security.
func (g *Guard) dynamicUsers(entrances map[string]*entrance) []FileUser {
	var listeners []string
	for _, name := range slices.Sorted(maps.Keys(entrances)) {
		if entrances[name].dynsec {
			listeners = append(listeners, name)
		}
	}
	if g.dynsec == nil || len(listeners) == 0 {
		return nil
	}
	var list []FileUser
	for name, rules := range g.dynsec.Users() {
		list = append(list, FileUser{Name: name, Place: "dynamic security", Listeners: listeners, Rules: rules})
	}
	return list
}

// accessWords are an acl_file's.
var accessWords = map[Access]string{Read: "read", Write: "write", Read | Write: "readwrite", DenyAll: "deny"}

// of lists the rules that are asked for a user.
func (t *aclTable) of(user string) []string {
	if t == nil {
		return nil
	}
	list := make([]string, 0, len(t.users[user])+len(t.patterns))
	for i, e := range slices.Concat(t.users[user], t.patterns) {
		keyword := "topic"
		if i >= len(t.users[user]) {
			keyword = "pattern"
		}
		list = append(list, fmt.Sprintf("%s:%d: %s %s %s", t.file, e.Line, keyword, accessWords[e.Access], e.Filter))
	}
	return list
}
