package mosquitto

import (
	"fmt"
	"slices"
	"strings"

	"hearthmq/broker/access"
	"hearthmq/broker/topic"
)

// DynsecRights are the rights that a dynamic-security.json gives.
type DynsecRights struct {
	notices
	dynsec *Dynsec
	roles  map[string]*DynsecRole
	groups map[string]*DynsecGroup
	rules  map[string][]access.Rule // of a role by itself
	member map[string][]string      // groups of a user, by priority
}

// DynsecDefaultRole is the role that holds what the defaults allow.
const DynsecDefaultRole = "mosquitto-default"

// NewDynsecRights looks at what all users share.
func NewDynsecRights(d *Dynsec) *DynsecRights {
	r := &DynsecRights{
		notices: notices{file: d.File}, dynsec: d, roles: map[string]*DynsecRole{}, groups: map[string]*DynsecGroup{},
		rules: map[string][]access.Rule{}, member: map[string][]string{},
	}
	for i := range d.Roles {
		role := &d.Roles[i]
		if len(role.ACLs) > access.MaxRules {
			r.add(role.Line, Broken, "", "role %s has %d ACLs, %d are possible", quote(role.Name), len(role.ACLs), access.MaxRules)
			role.ACLs = nil
		}
		r.roles[role.Name] = role
		r.aboutRole(role)
		r.rules[role.Name] = r.compile("", []*DynsecRole{role}, false).rules
	}
	for i := range d.Groups {
		g := &d.Groups[i]
		r.groups[g.Name] = g
	}
	r.members()
	r.add(0, Changed, "", "every user may read $SYS/#, unless a rule denies it, and may always unsubscribe")
	return r
}

// members sorts the groups of each user by the user's priority in them.
func (r *DynsecRights) members() {
	type membership struct {
		group    string
		priority DynsecMember
	}
	of := map[string][]membership{}
	for _, g := range r.dynsec.Groups {
		for _, c := range g.Clients {
			of[c.Username] = append(of[c.Username], membership{g.Name, DynsecMember{Rolename: g.Name, Priority: c.Priority}})
		}
	}
	for user, list := range of {
		var all []DynsecMember
		for _, m := range list {
			all = append(all, m.priority)
		}
		for _, m := range byPriority(all) {
			r.member[user] = append(r.member[user], m.Rolename)
		}
	}
}

// aboutRole tells what of a role has no counterpart.
func (r *DynsecRights) aboutRole(role *DynsecRole) {
	if role.AllowWildcardSubs != nil && !*role.AllowWildcardSubs {
		r.add(role.Line, Changed, "allowwildcardsubs", "role %s keeps its users from subscribing with wildcards; in HearthMQ they may, and get what they may read", quote(role.Name))
	}
	for _, a := range role.ACLs {
		switch {
		case strings.HasPrefix(a.Type, "unsubscribe"):
			if !a.Allow {
				r.add(role.Line, Left, a.Type, "role %s: nobody can be kept from unsubscribing", quote(role.Name))
			}
		case topic.Overlaps("$CONTROL/#", a.Topic) && a.Topic[0] == '$':
			if a.Allow {
				r.add(role.Line, Left, a.Type, "role %s: the right to look after users by %s stays behind; make those who need it administrators in HearthMQ", quote(role.Name), quote(a.Topic))
			}
		case a.Type == "subscribeLiteral" && !a.Allow && topic.HasWildcard(a.Topic):
			r.add(role.Line, Changed, a.Type, "role %s: a subscription to %s itself can't be denied without denying what it matches: it is not denied", quote(role.Name), quote(a.Topic))
		case a.Type == "subscribeLiteral" && !a.Allow:
			r.add(role.Line, Changed, a.Type, "role %s: messages of %s are not delivered for wider subscriptions either", quote(role.Name), quote(a.Topic))
		case a.Type == "subscribeLiteral" && topic.HasWildcard(a.Topic):
			r.add(role.Line, Changed, a.Type, "role %s: with %s, subscriptions to parts of it are allowed as well", quote(role.Name), quote(a.Topic))
		}
		if strings.HasSuffix(a.Type, "Literal") && (strings.Contains(a.Topic, "%u") || strings.Contains(a.Topic, "%c")) {
			r.add(role.Line, Changed, a.Type, "role %s: %%u and %%c are placeholders in HearthMQ's rules, here they stand for themselves", quote(role.Name))
		}
	}
}

// Roles are HearthMQ's roles.
func (r *DynsecRights) Roles() []access.Role {
	var list []access.Role
	for _, role := range r.dynsec.Roles {
		list = append(list, access.Role{Name: role.Name, Description: role.Description, Rules: r.rules[role.Name]})
	}
	if rules := r.defaults(); len(rules) > 0 {
		list = append(list, access.Role{Name: DynsecDefaultRole, Description: "What defaultACLAccess of " + r.dynsec.File + " allows.", Rules: rules})
	}
	return list
}

// Notices returns what was found so far.
func (r *DynsecRights) Notices() []Notice { return r.notices.all() }

// defaults are the rules that everybody has whom no ACL speaks of.
func (r *DynsecRights) defaults() []access.Rule { return r.compile("", nil, true).rules }

// compiled is what a list of roles comes to.
type compiled struct {
	rules   []access.Rule
	clashes []clash
}

// compile makes rules of roles in their order. defaults adds what the file's defaults
// allow, which comes last. Subscribing and being sent messages are two lists in
// Mosquitto and both have to allow; in HearthMQ they are one.
func (r *DynsecRights) compile(user string, roles []*DynsecRole, defaults bool) compiled {
	send := settle(r.list(user, roles, defaults && r.dynsec.Defaults.PublishClientSend, "publishClientSend"))
	subscribe := settle(r.list(user, roles, defaults && r.dynsec.Defaults.Subscribe, "subscribeLiteral", "subscribePattern"))
	receive := settle(r.list(user, roles, r.dynsec.Defaults.PublishClientReceive, "publishClientReceive"))
	both := settled{deny: slices.Concat(subscribe.deny, receive.deny)}
	if r.dynsec.Defaults.PublishClientReceive {
		both.allow = subscribe.allow
	} else {
		for _, s := range subscribe.allow {
			for _, x := range receive.allow {
				if filter, ok := intersect(s.filter, x.filter); ok && overlap(s.filter, x.filter) {
					both.allow = append(both.allow, ranked{allow: true, filter: filter, line: s.line})
				}
			}
		}
	}
	return compiled{rules: merge(send, both), clashes: slices.Concat(send.clashes, subscribe.clashes, receive.clashes)}
}

// list is what the roles say about one kind of access, in the order in which it is asked.
func (r *DynsecRights) list(user string, roles []*DynsecRole, byDefault bool, types ...string) []ranked {
	var list []ranked
	for _, role := range roles {
		for _, t := range types {
			for _, a := range role.ACLs {
				if a.Type != t || a.Topic[0] == '$' && topic.Overlaps("$CONTROL/#", a.Topic) ||
					t == "subscribeLiteral" && !a.Allow && topic.HasWildcard(a.Topic) {
					continue
				}
				filter := a.Topic
				if user != "" && !strings.Contains(user, "/") {
					filter = strings.ReplaceAll(filter, "%u", user)
				}
				list = append(list, ranked{allow: a.Allow, filter: filter, line: role.Line})
			}
		}
	}
	if byDefault {
		list = append(list, ranked{allow: true, filter: "#"})
	}
	return list
}

// Of returns the rights of a client.
func (r *DynsecRights) Of(c *DynsecClient) Rights {
	return r.rights(who(c.Username), c.Username, r.rolesOf(c.Line, c.Roles, r.member[c.Username]))
}

// Anonymous returns the rules for clients without a user name.
func (r *DynsecRights) Anonymous() []access.Rule {
	if r.groups[r.dynsec.AnonymousGroup] == nil {
		return nil
	}
	roles := r.rolesOf(0, nil, []string{r.dynsec.AnonymousGroup})
	return r.compile("", roles, true).rules
}

// rolesOf lists the roles that a client has, in the order in which they are asked.
func (r *DynsecRights) rolesOf(line int, own []DynsecMember, groups []string) []*DynsecRole {
	var list []*DynsecRole
	add := func(line int, members []DynsecMember) {
		for _, m := range byPriority(members) {
			if role := r.roles[m.Rolename]; role == nil {
				r.add(line, Left, "", "there is no role %s", quote(m.Rolename))
			} else if !slices.Contains(list, role) {
				list = append(list, role)
			}
		}
	}
	add(line, own)
	for _, name := range groups {
		g := r.groups[name]
		add(g.Line, g.Roles)
	}
	return list
}

// rights gives a user its roles where they do side by side what they do one after the
// other, and rules of its own where not.
func (r *DynsecRights) rights(whose, user string, roles []*DynsecRole) Rights {
	all := r.compile(user, roles, true)
	var out Rights
	var together []access.Rule
	for _, role := range roles {
		out.Roles = append(out.Roles, role.Name)
		together = append(together, forUser(r.rules[role.Name], user)...)
	}
	if rules := r.defaults(); len(rules) > 0 {
		out.Roles = append(out.Roles, DynsecDefaultRole)
		together = append(together, rules...)
	}
	if !sameRules(all.rules, together) {
		out = Rights{Rules: all.rules}
		r.add(0, Changed, "", "%s gets rules of its own in place of its roles, whose order mattered", whose)
	}
	for _, c := range all.clashes {
		out.Narrower = true
		r.add(c.deny.line, Changed, "", "%s: %s is denied, although %s (role in line %d) was allowed before it: in HearthMQ a deny wins",
			whose, c.deny.filter, c.over.filter, c.over.line)
	}
	return out
}

func forUser(rules []access.Rule, user string) []access.Rule {
	rules = slices.Clone(rules)
	if strings.Contains(user, "/") {
		return rules
	}
	for i := range rules {
		rules[i].Filter = strings.ReplaceAll(rules[i].Filter, "%u", user)
	}
	return rules
}

// sameRules reports whether two lists hold the same rules, whatever their order and
// however publish and subscribe are put together.
func sameRules(a, b []access.Rule) bool {
	sides := func(rules []access.Rule) map[string]bool {
		set := map[string]bool{}
		for _, r := range rules {
			for _, s := range []access.Scope{access.ScopePublish, access.ScopeSubscribe} {
				if r.Scope == s || r.Scope == access.ScopeBoth {
					set[fmt.Sprint(r.Effect, s, r.Filter)] = true
				}
			}
		}
		return set
	}
	x, y := sides(a), sides(b)
	if len(x) != len(y) {
		return false
	}
	for k := range x {
		if !y[k] {
			return false
		}
	}
	return true
}
