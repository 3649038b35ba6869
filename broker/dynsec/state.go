package dynsec

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// state is what the file holds. Engine.mu guards it.
type state struct {
	index     int64 // counts changes
	defaults  defaults
	clients   map[string]*client
	groups    map[string]*group
	roles     map[string]*role
	anonymous string // group of clients without a user name, "": none
}

// defaults hold where no ACL matches.
type defaults struct {
	Send        bool `json:"publishClientSend"`
	Receive     bool `json:"publishClientReceive"`
	Subscribe   bool `json:"subscribe"`
	Unsubscribe bool `json:"unsubscribe"`
}

type texts struct {
	Name        *string `json:"textname,omitempty"`
	Description *string `json:"textdescription,omitempty"`
}

type client struct {
	name     string
	clientID string // that it may log in with alone, "": any
	texts    texts
	disabled bool
	roles    []member
	hash     string // "": no password, nobody logs in
}

type group struct {
	name    string
	texts   texts
	roles   []member
	clients []member
}

type role struct {
	name      string
	texts     texts
	wildcards bool // SUBSCRIBE with wildcards is not refused outright
	acls      [kinds][]acl
}

type acl struct {
	topic    string
	priority int
	allow    bool
}

// member is one of a list, with its priority there.
type member struct {
	name     string
	priority int
}

// kind is one of the lists of ACLs that a role has.
type kind int

const (
	send kind = iota
	receive
	subscribeLiteral
	subscribePattern
	unsubscribeLiteral
	unsubscribePattern
	kinds
)

var kindNames = [kinds]string{
	"publishClientSend", "publishClientReceive", "subscribeLiteral", "subscribePattern", "unsubscribeLiteral", "unsubscribePattern",
}

func kindOf(name string) (kind, bool) {
	i := slices.IndexFunc(kindNames[:], func(n string) bool { return strings.EqualFold(n, name) })
	return kind(i), i >= 0
}

// Priorities are bounded, and have a value where none is given.
const (
	maxPriority = 100_000
	noPriority  = -1
)

func bounded(priority int) int { return min(max(priority, -maxPriority), maxPriority) }

// insert adds a member unless there is one of its name, in order: the higher priority
// first, then by name.
func insert(list []member, m member) (longer []member, added bool) {
	if has(list, m.name) {
		return list, false
	}
	list = append(slices.Clone(list), m)
	slices.SortFunc(list, func(a, b member) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.name, b.name))
	})
	return list, true
}

func has(list []member, name string) bool {
	return slices.ContainsFunc(list, func(m member) bool { return m.name == name })
}

func without(list []member, name string) []member {
	return slices.DeleteFunc(slices.Clone(list), func(m member) bool { return m.name == name })
}

// add adds an ACL unless there is one for its topic: the higher priority first, else the
// older one.
func (r *role) add(k kind, a acl) (added bool) {
	if slices.ContainsFunc(r.acls[k], func(have acl) bool { return have.topic == a.topic }) {
		return false
	}
	list := append(slices.Clone(r.acls[k]), a)
	slices.SortStableFunc(list, func(a, b acl) int { return cmp.Compare(b.priority, a.priority) })
	r.acls[k] = list
	return true
}

// groupsOf are the groups of a client.
func (s *state) groupsOf(name string) []member {
	var list []member
	for _, g := range s.groups {
		for _, m := range g.clients {
			if m.name == name {
				list, _ = insert(list, member{g.name, m.priority})
			}
		}
	}
	return list
}

// aclJSON is an ACL in the file and in answers.
type aclJSON struct {
	Type     string `json:"acltype"`
	Topic    string `json:"topic"`
	Priority int    `json:"priority"`
	Allow    bool   `json:"allow"`
}

// memberJSON is a role, group or client in a list of others.
type memberJSON struct {
	Role     string `json:"rolename,omitempty"`
	Group    string `json:"groupname,omitempty"`
	User     string `json:"username,omitempty"`
	Priority *int   `json:"priority,omitempty"`
}

func membersJSON(list []member, of func(name string) memberJSON) []memberJSON {
	out := []memberJSON{}
	for _, m := range list {
		j := of(m.name)
		if m.priority != noPriority {
			j.Priority = &m.priority
		}
		out = append(out, j)
	}
	return out
}

func asRole(name string) memberJSON  { return memberJSON{Role: name} }
func asGroup(name string) memberJSON { return memberJSON{Group: name} }
func asUser(name string) memberJSON  { return memberJSON{User: name} }

type roleJSON struct {
	Name string `json:"rolename"`
	texts
	Wildcards bool      `json:"allowwildcardsubs"`
	ACLs      []aclJSON `json:"acls"`
}

func (r *role) json() roleJSON {
	j := roleJSON{Name: r.name, texts: r.texts, Wildcards: r.wildcards, ACLs: []aclJSON{}}
	for k, list := range r.acls {
		for _, a := range list {
			j.ACLs = append(j.ACLs, aclJSON{kindNames[k], a.topic, a.priority, a.allow})
		}
	}
	return j
}

// stored is the file. Mosquitto 2.0 reads a password in three parts, 2.1 in one.
type stored struct {
	Index    int64          `json:"changeIndex"`
	Defaults defaults       `json:"defaultACLAccess"`
	Clients  []storedClient `json:"clients"`
	Groups   []storedGroup  `json:"groups"`
	Anon     string         `json:"anonymousGroup,omitempty"`
	Roles    []roleJSON     `json:"roles"`
}

type storedClient struct {
	Name     string `json:"username"`
	ClientID string `json:"clientid,omitempty"`
	texts
	Disabled   bool         `json:"disabled,omitempty"`
	Roles      []memberJSON `json:"roles"`
	Encoded    string       `json:"encoded_password,omitempty"`
	Password   string       `json:"password,omitempty"`
	Salt       string       `json:"salt,omitempty"`
	Iterations int          `json:"iterations,omitempty"`
}

type storedGroup struct {
	Name string `json:"groupname"`
	texts
	Roles   []memberJSON `json:"roles"`
	Clients []memberJSON `json:"clients"`
}

// encode is the file's content.
func (s *state) encode() ([]byte, error) {
	f := stored{Index: s.index, Defaults: s.defaults, Clients: []storedClient{}, Groups: []storedGroup{}, Anon: s.anonymous, Roles: []roleJSON{}}
	for _, name := range slices.Sorted(maps.Keys(s.clients)) {
		c := s.clients[name]
		j := storedClient{Name: name, ClientID: c.clientID, texts: c.texts, Disabled: c.disabled, Roles: membersJSON(c.roles, asRole), Encoded: c.hash}
		if p := strings.Split(c.hash, "$"); len(p) == 5 && p[1] == "7" {
			j.Iterations, _ = strconv.Atoi(p[2]) // it was checked when it was read
			j.Salt, j.Password = p[3], p[4]
		}
		f.Clients = append(f.Clients, j)
	}
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[name]
		f.Groups = append(f.Groups, storedGroup{name, g.texts, membersJSON(g.roles, asRole), membersJSON(g.clients, asUser)})
	}
	for _, name := range slices.Sorted(maps.Keys(s.roles)) {
		f.Roles = append(f.Roles, s.roles[name].json())
	}
	return json.MarshalIndent(f, "", "\t")
}

// decode reads the file's content. Entries that the plugin passes over are told of and left
// out; they are gone with the next change.
func decode(text []byte) (*state, []string, error) {
	s := &state{clients: map[string]*client{}, groups: map[string]*group{}, roles: map[string]*role{}}
	if len(text) == 0 {
		return s, nil, nil
	}
	v, err := parse(text)
	if err != nil {
		return nil, nil, err
	}
	d := &decoder{state: s}
	s.index = int64(v.number("changeIndex", 0))
	if access, ok := v.object("defaultACLAccess"); ok {
		s.defaults = defaults{access.flag(kindNames[send], false), access.flag(kindNames[receive], false), access.flag("subscribe", false), access.flag("unsubscribe", false)}
	}
	d.each(v, "roles", "rolename", func(name string, v fields) { d.role(name, v) })
	d.each(v, "clients", "username", func(name string, v fields) { d.client(name, v) })
	d.each(v, "groups", "groupname", func(name string, v fields) { d.group(name, v) })
	if name, _, _ := v.text("anonymousGroup"); s.groups[name] != nil {
		s.anonymous = name
	}
	return s, d.passed, nil
}

type decoder struct {
	*state
	passed []string // what was left out
}

func (d *decoder) pass(format string, args ...any) {
	const most = 20
	if len(d.passed) < most {
		d.passed = append(d.passed, fmt.Sprintf(format, args...))
	}
}

func (d *decoder) each(v fields, list, key string, read func(name string, v fields)) {
	seen := map[string]bool{}
	for _, e := range v.list(list) {
		v, ok := e.(map[string]any)
		if !ok {
			d.pass("%s has an entry that is none", list)
			continue
		}
		name, _, _ := fields(v).text(key)
		if name == "" || seen[name] {
			d.pass("%s has an entry without a name, or twice: %.100q", list, name)
			continue
		}
		seen[name] = true
		read(name, v)
	}
}

func (v fields) texts() texts {
	var t texts
	if s, has, ok := v.text("textname"); has && ok {
		t.Name = &s
	}
	if s, has, ok := v.text("textdescription"); has && ok {
		t.Description = &s
	}
	return t
}

func (d *decoder) role(name string, v fields) {
	r := &role{name: name, texts: v.texts(), wildcards: v.flag("allowwildcardsubs", true)}
	r.readACLs(v.list("acls"))
	d.roles[name] = r
}

// readACLs adds the ACLs of a list, without what is none.
func (r *role) readACLs(list []any) {
	for _, e := range list {
		m, _ := e.(map[string]any) // no object has no fields
		v := fields(m)
		typ, _, _ := v.text("acltype")
		topic, _, _ := v.text("topic")
		if k, ok := kindOf(typ); ok && topic != "" {
			r.add(k, acl{topic, bounded(v.number("priority", 0)), v.flag("allow", false)})
		}
	}
}

func (d *decoder) client(name string, v fields) {
	c := &client{name: name, texts: v.texts(), disabled: v.flag("disabled", false)}
	c.clientID, _, _ = v.text("clientid")
	if c.hash, _, _ = v.text("encoded_password"); c.hash == "" {
		salt, _, ok1 := v.text("salt")
		sum, has, ok2 := v.text("password")
		if n := v.number("iterations", 0); has && ok1 && ok2 && n > 0 {
			c.hash = fmt.Sprintf("$7$%d$%s$%s", n, salt, sum)
		}
	}
	if c.hash != "" && !usable(c.hash) {
		d.pass("client %.100q has a password that can't be read: it can't log in", name)
		c.hash = ""
	}
	c.roles = d.roleMembers(v.list("roles"), name)
	d.clients[name] = c
}

// roleMembers reads a list of roles.
func (d *decoder) roleMembers(list []any, of string) []member {
	var out []member
	for _, e := range list {
		m, _ := e.(map[string]any) // no object has no fields
		v := fields(m)
		name, _, _ := v.text("rolename")
		if d.roles[name] == nil {
			d.pass("%.100q has the role %.100q, which there is not", of, name)
			continue
		}
		out, _ = insert(out, member{name, bounded(v.number("priority", noPriority))})
	}
	return out
}

func (d *decoder) group(name string, v fields) {
	g := &group{name: name, texts: v.texts(), roles: d.roleMembers(v.list("roles"), name)}
	for _, e := range v.list("clients") {
		m, _ := e.(map[string]any) // no object has no fields
		v := fields(m)
		user, _, _ := v.text("username")
		if d.clients[user] == nil {
			d.pass("group %.100q has the client %.100q, which there is not", name, user)
			continue
		}
		g.clients, _ = insert(g.clients, member{user, bounded(v.number("priority", noPriority))})
	}
	d.groups[name] = g
}
