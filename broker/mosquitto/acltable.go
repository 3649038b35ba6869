package mosquitto

import (
	"fmt"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// aclTable is an acl_file for decisions as Mosquitto makes them: denies first, then
// line by line, the first match with the right decides; a user's own lines before the
// patterns. Immutable.
type aclTable struct {
	file     string
	users    map[string][]aclEntry // in the order in which they are asked; "": without a user name
	patterns []aclEntry
	byUser   bool // some pattern names the user
	byClient bool // or the client
}

// aclEntry is a rule with its name for people.
type aclEntry struct {
	ACLRule
	ref broker.RuleRef
}

func newACLTable(acl *ACL) *aclTable {
	t := &aclTable{file: acl.File, users: make(map[string][]aclEntry, len(acl.Users)+1)}
	entries := func(keyword string, rules []ACLRule) []aclEntry {
		list := make([]aclEntry, 0, len(rules))
		for _, r := range inOrder(rules) {
			list = append(list, aclEntry{r, broker.RuleRef{Text: fmt.Sprintf("%s:%d: %s %s", acl.File, r.Line, keyword, r.Filter)}})
		}
		return list
	}
	t.patterns = entries("pattern", acl.Patterns)
	for _, p := range t.patterns {
		t.byUser = t.byUser || strings.Contains(p.Filter, "%u")
		t.byClient = t.byClient || strings.Contains(p.Filter, "%c")
	}
	t.users[""] = entries("topic", acl.Anonymous)
	for _, u := range acl.Users {
		t.users[u.Name] = entries("topic", u.Rules)
	}
	return t
}

// decide answers whether somebody may publish (Write) or be sent (Read) a message.
func (t *aclTable) decide(user, clientID string, bit Access, name string) broker.Decision {
	own := t.users[user]
	for i := range own {
		if r := &own[i]; topic.Match(r.Filter, name) && r.speaksOf(bit) {
			return r.decision()
		}
	}
	if t.noPatterns(user, clientID) {
		return broker.Decision{Rule: broker.RuleRef{Text: t.file + ": no pattern holds for names with + or #"}}
	}
	for i := range t.patterns {
		r := &t.patterns[i]
		if filter, ok := patternFor(r.Filter, user, clientID); ok && topic.Match(filter, name) && r.speaksOf(bit) {
			return r.decision()
		}
	}
	return broker.Decision{Rule: broker.RuleRef{Text: t.file + ": no line matches"}}
}

// noPatterns reports whether there are patterns that hold for nobody of these names.
func (t *aclTable) noPatterns(user, clientID string) bool {
	return len(t.patterns) > 0 && (strings.ContainsAny(user, "+#") || strings.ContainsAny(clientID, "+#"))
}

// speaksOf reports whether the rule decides about a right.
func (r *ACLRule) speaksOf(bit Access) bool { return r.Access == DenyAll || r.Access&bit != 0 }

func (e *aclEntry) decision() broker.Decision {
	if e.Access == DenyAll {
		return broker.Decision{Rule: e.ref}
	}
	return broker.Decision{Allow: true, MaxQoS: 2, Rule: e.ref}
}

// patternFor puts a client's names into a pattern; ok is false when it is not about
// such a client. Nobody names himself into the topics with a $.
func patternFor(pattern, user, clientID string) (filter string, ok bool) {
	if !strings.Contains(pattern, "%") {
		return pattern, true
	}
	if user == "" && strings.Contains(pattern, "%u") {
		return "", false
	}
	if topic.SubstitutedBytes(pattern, user, clientID) > topic.MaxBytes {
		return "", false // longer than any topic
	}
	filter = strings.NewReplacer("%c", clientID, "%u", user).Replace(pattern)
	if filter == "" || filter[0] == '$' && pattern[0] != '$' {
		return "", false
	}
	return filter, true
}
