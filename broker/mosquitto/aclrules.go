package mosquitto

import (
	"fmt"
	"slices"
	"strings"

	"hearthmq/broker/access"
	"hearthmq/broker/topic"
)

// PatternRole is the role that holds the pattern lines of an acl_file.
const PatternRole = "mosquitto-patterns"

// Rights are what one user may do, in HearthMQ's terms.
type Rights struct {
	Roles []string
	Rules []access.Rule
	// Narrower tells that the user may do less than with Mosquitto; a Notice says why.
	Narrower bool
}

// ACLRights are the rights that an acl_file gives.
type ACLRights struct {
	acl      *ACL
	patterns []access.Rule // of PatternRole, valid
	notices
}

// NewACLRights looks at what all users share. The notices are about the file as a whole.
func NewACLRights(acl *ACL) *ACLRights {
	r := &ACLRights{acl: acl, notices: notices{file: acl.File}}
	var shared, byClient []int
	for _, p := range acl.Patterns {
		shared = append(shared, p.Line)
		if strings.Contains(p.Filter, "%c") {
			byClient = append(byClient, p.Line)
		}
	}
	if len(acl.Patterns) > access.MaxRules {
		r.add(shared[0], Broken, "pattern", "these are %d patterns, %d are possible", len(acl.Patterns), access.MaxRules)
		acl.Patterns = nil
	}
	r.patterns = merge(patterns(acl.Patterns, Write), patterns(acl.Patterns, Read))
	for _, rule := range acl.all() {
		r.aboutDollar(rule)
	}
	if len(byClient) > 0 {
		r.add(byClient[0], Changed, "pattern", "%%c (line %s) stands for client identifiers without a slash: a client named a/b is not given the topics of level a",
			linesOf(byClient))
	}
	r.add(0, Changed, "", "a SUBSCRIBE to nothing but topics that the user may not read is refused; Mosquitto accepts it and delivers nothing")
	r.add(0, Changed, "", "every user may read $SYS/#, unless a rule denies it")
	return r
}

// aboutDollar tells where a rule about topics with a $ loses its meaning.
func (r *ACLRights) aboutDollar(rule ACLRule) {
	if rule.Access&Write == 0 || rule.Filter[0] != '$' {
		return
	}
	for _, reserved := range []string{"$SYS/#", "$CONTROL/#", "$hearthmq/#"} {
		if topic.Overlaps(reserved, rule.Filter) {
			r.add(rule.Line, Changed, "", "nobody may publish to %s", reserved)
		}
	}
}

func (a *ACL) all() []ACLRule {
	all := slices.Concat(a.Anonymous, a.Patterns)
	for _, u := range a.Users {
		all = append(all, u.Rules...)
	}
	return all
}

// patterns is one side of the pattern lines as they are, with %u in them.
func patterns(rules []ACLRule, bit Access) settled {
	var s settled
	for _, r := range inOrder(rules) {
		switch {
		case r.Access == DenyAll:
			s.deny = append(s.deny, ranked{filter: r.Filter, line: r.Line})
		case r.Access&bit != 0:
			s.allow = append(s.allow, ranked{allow: true, filter: r.Filter, line: r.Line})
		}
	}
	return s
}

// inOrder returns rules as Mosquitto asks them: denies first.
func inOrder(rules []ACLRule) []ACLRule {
	var denies, others []ACLRule
	for _, r := range rules {
		if r.Access == DenyAll {
			denies = append(denies, r)
		} else {
			others = append(others, r)
		}
	}
	return slices.Concat(denies, others)
}

// Role is the role of the patterns; ok is false when there are none.
func (r *ACLRights) Role() (role access.Role, ok bool) {
	return access.Role{
		Name: PatternRole, Description: "Pattern lines of " + r.acl.File + ", for every user.", Rules: r.patterns,
	}, len(r.patterns) > 0
}

// Notices returns what was found so far.
func (r *ACLRights) Notices() []Notice { return r.notices.all() }

// Of returns the rights of a user.
func (r *ACLRights) Of(user string) Rights {
	var own []ACLRule
	for _, u := range r.acl.Users {
		if u.Name == user {
			own = u.Rules
		}
	}
	return r.rights(user, own)
}

// Anonymous returns the rules for clients without a user name.
func (r *ACLRights) Anonymous() []access.Rule {
	return r.rights("", r.acl.Anonymous).Rules
}

func (r *ACLRights) rights(user string, own []ACLRule) Rights {
	if len(own) > access.MaxRules {
		r.add(own[0].Line, Broken, "", "%s has %d rules, %d are possible", who(user), len(own), access.MaxRules)
		return Rights{}
	}
	own = r.literal(own)
	publish, exactP := r.side(user, own, Write)
	subscribe, exactS := r.side(user, own, Read)
	out := Rights{Rules: merge(publish, subscribe), Narrower: len(publish.clashes)+len(subscribe.clashes) > 0}
	if user != "" && exactP && exactS {
		mine := func(bit Access) settled { return patterns(own, bit) }
		out.Rules = merge(mine(Write), mine(Read))
		if len(r.patterns) > 0 {
			out.Roles = []string{PatternRole}
		}
	}
	told := map[string]bool{}
	for _, c := range slices.Concat(publish.clashes, subscribe.clashes) {
		text := fmt.Sprintf("for %s this line wins over the pattern in line %d as far as it goes, while the pattern takes something from line %d: in HearthMQ a deny wins, so %s is denied",
			who(user), c.deny.line, c.under.line, c.deny.filter)
		if !told[text] {
			told[text] = true
			r.add(c.over.line, Changed, "topic", "%s", text)
		}
	}
	return out
}

func who(user string) string {
	if user == "" {
		return "clients without a user name"
	}
	return "user " + quote(user)
}

// side is what a user may do in one direction. asRole says that the role of the
// patterns and the user's own rules side by side have the same effect.
func (r *ACLRights) side(user string, own []ACLRule, bit Access) (s settled, asRole bool) {
	var list []ranked
	add := func(rule ACLRule, filter string) {
		if rule.Access == DenyAll || rule.Access&bit != 0 {
			list = append(list, ranked{allow: rule.Access != DenyAll, filter: filter, line: rule.Line})
		}
	}
	for _, rule := range inOrder(own) {
		add(rule, rule.Filter)
	}
	for _, rule := range inOrder(r.acl.Patterns) {
		filter := rule.Filter
		if strings.Contains(filter, "%u") {
			if user == "" {
				continue
			}
			filter = strings.ReplaceAll(filter, "%u", user)
			if filter[0] == '$' && rule.Filter[0] != '$' || topic.ValidFilter(filter) != nil {
				continue
			}
		}
		add(rule, filter)
	}
	s = settle(list)
	// A role's %u is not put in for a name with a slash.
	return s, s.plain && !strings.Contains(user, "/")
}

// literal returns a user's rules without what HearthMQ would take for placeholders:
// in topic lines %u and %c stand for themselves.
func (r *ACLRights) literal(rules []ACLRule) []ACLRule {
	out := make([]ACLRule, 0, len(rules))
	for _, rule := range rules {
		filter, changed := literally(rule.Filter)
		switch {
		case !changed:
		case rule.Access == DenyAll:
			r.add(rule.Line, Changed, "topic", "%%u and %%c stand for themselves in this line, which HearthMQ has no way to say: %s is denied", filter)
		default:
			r.add(rule.Line, Left, "topic", "%%u and %%c stand for themselves in this line, which HearthMQ has no way to say: left out (did you mean pattern?)")
			continue
		}
		rule.Filter = filter
		out = append(out, rule)
	}
	return out
}
