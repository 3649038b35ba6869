package dynsec

import (
	"slices"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// policy is what messages are judged by. Immutable.
type policy struct {
	clients   map[string]*judged
	anonymous []*judgedRole
	defaults  defaults
	classes   *topic.Classes // of topics, for those who were asked about so far
}

// judged is a client.
type judged struct {
	clientID string
	disabled bool
	version  uint64 // stands for the password; never 0
	login    string // its name in the Directory that knows the passwords, "": no password
	roles    []*judgedRole
}

// judgedRole is a role.
type judgedRole struct {
	name      string
	wildcards bool
	literal   [kinds]map[string]bool
	patterns  [kinds][]acl
	byClient  bool // a pattern for receiving names the client
}

// newPolicy makes one of the present state. Each role of a client is asked before those of
// its groups.
func (s *state) newPolicy(logins map[string]string) *policy {
	p := &policy{clients: make(map[string]*judged, len(s.clients)), defaults: s.defaults}
	roles := make(map[string]*judgedRole, len(s.roles))
	for name, r := range s.roles {
		j := &judgedRole{name: name, wildcards: r.wildcards, patterns: r.acls}
		j.byClient = slices.ContainsFunc(r.acls[receive], func(a acl) bool { return strings.Contains(a.topic, "%c") })
		for _, k := range []kind{subscribeLiteral, unsubscribeLiteral} {
			j.literal[k] = make(map[string]bool, len(r.acls[k]))
			for _, a := range r.acls[k] {
				j.literal[k][a.topic] = a.allow
			}
		}
		roles[name] = j
	}
	all := func(list []member) (out []*judgedRole) {
		for _, m := range list {
			out = append(out, roles[m.name])
		}
		return out
	}
	memberships := map[string][]member{}
	for _, g := range s.groups {
		for _, m := range g.clients {
			memberships[m.name], _ = insert(memberships[m.name], member{g.name, m.priority})
		}
	}
	for name, c := range s.clients {
		j := &judged{clientID: c.clientID, disabled: c.disabled, version: mark(c.hash), login: logins[name], roles: all(c.roles)}
		for _, g := range memberships[name] {
			j.roles = append(j.roles, all(s.groups[g.name].roles)...)
		}
		p.clients[name] = j
	}
	if g := s.groups[s.anonymous]; g != nil {
		p.anonymous = all(g.roles)
	}
	return p
}

// rolesOf are the roles of a user; ok is false where there is no such user.
func (p *policy) rolesOf(user string) (roles []*judgedRole, ok bool) {
	if user == "" {
		return p.anonymous, true
	}
	c := p.clients[user]
	if c == nil {
		return nil, false
	}
	return c.roles, true
}

// Users are the clients with what they may do, in the order in which it is asked.
func (e *Engine) Users() map[string][]string {
	p := e.policy.Load()
	users := make(map[string][]string, len(p.clients))
	for name, c := range p.clients {
		rules := []string{}
		for _, r := range c.roles {
			for k, list := range r.patterns {
				for _, a := range list {
					rules = append(rules, decision(a.allow, kindNames[k]+" "+a.topic+" (role "+r.name+")").Rule.Text)
				}
			}
		}
		users[name] = rules
	}
	return users
}

var unknown = broker.Decision{Rule: broker.RuleRef{Text: "dynamic security has no such client"}}

func decision(allow bool, text string) broker.Decision {
	word := "deny "
	if allow {
		word = "allow "
	}
	return broker.Decision{Allow: allow, MaxQoS: 2, Rule: broker.RuleRef{Text: word + text}}
}

// otherwise is what holds where no ACL matched. What controls the broker is never allowed
// by default.
func otherwise(allow bool, name string) broker.Decision {
	return decision(allow && !strings.HasPrefix(name, "$CONTROL"), "by default (dynamic security)")
}

// Authorize implements broker.Authorizer.
func (e *Engine) Authorize(id *broker.Identity, act broker.Action, name string) broker.Decision {
	p := e.policy.Load()
	roles, ok := p.rolesOf(id.User)
	if !ok {
		return unknown
	}
	switch act {
	case broker.Subscribe:
		d := p.filter(roles, id, subscribeLiteral, subscribePattern, p.defaults.Subscribe, name)
		d.Narrowed = true // each message is asked for as well
		return d
	case broker.Publish:
		return p.message(roles, id, send, p.defaults.Send, name)
	default:
		p.learn(roles, id)
		return p.message(roles, id, receive, p.defaults.Receive, name)
	}
}

// MayUnsubscribe implements broker.UnsubscribeAuthorizer.
func (e *Engine) MayUnsubscribe(id *broker.Identity, filter string) bool {
	p := e.policy.Load()
	roles, ok := p.rolesOf(id.User)
	return ok && p.filter(roles, id, unsubscribeLiteral, unsubscribePattern, p.defaults.Unsubscribe, filter).Allow
}

func (p *policy) message(roles []*judgedRole, id *broker.Identity, k kind, byDefault bool, name string) broker.Decision {
	for _, r := range roles {
		for i := range r.patterns[k] {
			a := &r.patterns[k][i]
			if a.concerns(id, func(pattern string) bool { return topic.Match(pattern, name) }) {
				return decision(a.allow, kindNames[k]+" "+a.topic+" (role "+r.name+")")
			}
		}
	}
	return otherwise(byDefault, name)
}

func (p *policy) filter(roles []*judgedRole, id *broker.Identity, literal, pattern kind, byDefault bool, filter string) broker.Decision {
	wild := topic.HasWildcard(filter)
	for _, r := range roles {
		if literal == subscribeLiteral && wild && !r.wildcards {
			return decision(false, "allowwildcardsubs (role "+r.name+")")
		}
		if allow, ok := r.literal[literal][filter]; ok {
			return decision(allow, kindNames[literal]+" "+filter+" (role "+r.name+")")
		}
		for i := range r.patterns[pattern] {
			a := &r.patterns[pattern][i]
			if a.concerns(id, func(p string) bool { return covers(p, filter) }) {
				return decision(a.allow, kindNames[pattern]+" "+a.topic+" (role "+r.name+")")
			}
		}
	}
	return otherwise(byDefault, filter)
}

// concerns reports whether an ACL is one for a client and matches.
func (a *acl) concerns(id *broker.Identity, matches func(pattern string) bool) bool {
	pattern, ok := a.pattern(id)
	return ok && matches(pattern)
}

// pattern is the ACL's topic for a client; ok is false where it is none for that one. One
// with %c or %u allows nothing to a client whose names can't stand in a topic's level, and
// forbids it more than others rather than less.
func (a *acl) pattern(id *broker.Identity) (pattern string, ok bool) {
	pattern, ok = topic.Substitute(a.topic, id.User, id.ClientID)
	if ok || a.allow || topic.SubstitutedBytes(a.topic, id.User, id.ClientID) > topic.MaxBytes {
		return pattern, ok // what is longer than a topic can be forbids none
	}
	safe := func(value string) string {
		if value == "" || strings.ContainsAny(value, "+#\x00") {
			return "+"
		}
		return value
	}
	return strings.NewReplacer("%u", safe(id.User), "%c", safe(id.ClientID)).Replace(a.topic), true
}

// covers reports whether a pattern matches all that a filter does, level by level.
func covers(pattern, filter string) bool {
	if (pattern == "" || pattern[0] != '$') != (filter == "" || filter[0] != '$') {
		return false
	}
	for {
		p, restP, moreP := strings.Cut(pattern, "/")
		f, restF, moreF := strings.Cut(filter, "/")
		switch {
		case p == "#":
			return true
		case f == "#", p != "+" && p != f:
			return false
		case !moreF:
			return !moreP || restP == "#"
		case !moreP:
			return false
		}
		pattern, filter = restP, restF
	}
}
