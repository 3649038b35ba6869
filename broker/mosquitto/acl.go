package mosquitto

import (
	"io"
	"strings"

	"hearthmq/broker/topic"
)

// Access is what a rule of an acl_file speaks of, as bits. Zero denies both.
type Access byte

const (
	// Read is receiving messages.
	Read Access = 1 << iota
	// Write is publishing them.
	Write
	// DenyAll denies both, whatever else is allowed further down.
	DenyAll Access = 0
)

// ACLRule is one topic or pattern line.
type ACLRule struct {
	Access Access
	Filter string
	Line   int
}

// ACLUser holds the topic lines of one user.
type ACLUser struct {
	Name  string
	Line  int // of the first "user" line
	Rules []ACLRule
}

// ACL is an acl_file.
type ACL struct {
	File      string
	Anonymous []ACLRule // topic lines before the first user: for clients without a user name
	Users     []ACLUser // in order of appearance
	Patterns  []ACLRule // for everybody
}

// maxACLRules bounds the rules of one file.
const maxACLRules = 200_000

// ReadACL reads an acl_file. What Mosquitto would refuse is Broken: a rule that is
// passed over might be the one that denies.
func ReadACL(file string, r io.Reader) (*ACL, []Notice) {
	p := &aclReader{acl: &ACL{File: file}, notices: notices{file: file}, users: map[string]int{}, user: -1}
	newLineReader(r).each(&p.notices, Broken, p.read)
	return p.acl, p.notices.all()
}

type aclReader struct {
	notices
	acl   *ACL
	users map[string]int // index in acl.Users
	user  int            // whose rules follow, -1: those of clients without a user name
	rules int
}

func (p *aclReader) read(line int, text string) {
	if text == "" || text[0] == '#' {
		return
	}
	text = strings.TrimRight(text, " \t\r\n\v\f")
	keyword, rest := word(text)
	switch keyword {
	case "":
	case "user":
		p.readUser(line, strings.Trim(rest, " \t"))
	case "topic", "pattern":
		p.readRule(line, keyword, rest)
	default:
		p.add(line, Broken, "", "%s is not a keyword of an acl_file (user, topic, pattern)%s", unknown(keyword), tabHint(keyword))
	}
}

// tabHint explains a mistake that can't be seen.
func tabHint(word string) string {
	if strings.Contains(word, "\t") {
		return "; a tab does not separate words, a space does"
	}
	return ""
}

func (p *aclReader) readUser(line int, name string) {
	if name == "" {
		p.add(line, Broken, "user", "the user's name is missing")
		return
	}
	i, ok := p.users[name]
	if !ok {
		i = len(p.acl.Users)
		p.users[name] = i
		p.acl.Users = append(p.acl.Users, ACLUser{Name: name, Line: line})
	}
	p.user = i
}

func (p *aclReader) readRule(line int, keyword, rest string) {
	first, filter := word(rest)
	filter = strings.TrimLeft(filter, " \t")
	if first == "" {
		p.add(line, Broken, keyword, "the topic is missing")
		return
	}
	rule := ACLRule{Access: Read | Write, Line: line, Filter: first}
	if filter != "" {
		rule.Filter = filter
		switch first {
		case "read":
			rule.Access = Read
		case "write":
			rule.Access = Write
		case "readwrite":
		case "deny":
			rule.Access = DenyAll
		default:
			p.add(line, Broken, keyword, "%s is not a kind of access (read, write, readwrite, deny)%s", quote(first), tabHint(first))
			return
		}
	}
	if err := topic.ValidFilter(rule.Filter); err != nil {
		p.add(line, Broken, keyword, "%s: %v", quote(rule.Filter), err)
		return
	}
	if p.rules++; p.rules > maxACLRules {
		if p.rules == maxACLRules+1 {
			p.add(line, Broken, keyword, "there are more than %d rules", maxACLRules)
		}
		return
	}
	switch {
	case keyword == "pattern":
		p.acl.Patterns = append(p.acl.Patterns, rule)
	case p.user < 0:
		p.acl.Anonymous = append(p.acl.Anonymous, rule)
	default:
		u := &p.acl.Users[p.user]
		u.Rules = append(u.Rules, rule)
	}
}
