package mosquitto

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"hearthmq/broker/access"
	"hearthmq/broker/topic"
)

// Dynsec is a dynamic-security.json, of Mosquitto 2.0 or 2.1.
type Dynsec struct {
	File     string
	Defaults DynsecDefaults
	Clients  []DynsecClient
	Groups   []DynsecGroup
	Roles    []DynsecRole
	// AnonymousGroup is the group of clients without a user name, "": they may do nothing.
	AnonymousGroup string
}

// DynsecDefaults say what happens where no ACL matches.
type DynsecDefaults struct {
	PublishClientSend    bool `json:"publishClientSend"`
	PublishClientReceive bool `json:"publishClientReceive"`
	Subscribe            bool `json:"subscribe"`
	Unsubscribe          bool `json:"unsubscribe"`
}

// DynsecClient is a user.
type DynsecClient struct {
	Username    string `json:"username"`
	ClientID    string `json:"clientid"`
	Name        string `json:"textname"`
	Description string `json:"textdescription"`
	Disabled    bool   `json:"disabled"`
	Roles       []DynsecMember
	Hash        string `json:"-"` // any that access.ParseHash reads, "": no password
	Line        int    `json:"-"`

	Encoded    string `json:"encoded_password"`
	Password   string `json:"password"`
	Salt       string `json:"salt"`
	Iterations int    `json:"iterations"`
}

// DynsecGroup gives roles to several clients.
type DynsecGroup struct {
	Name    string `json:"groupname"`
	Roles   []DynsecMember
	Clients []DynsecMember
	Line    int `json:"-"`
}

// DynsecMember is a role or a client with its priority in a list; -1 when none is given.
type DynsecMember struct {
	Rolename string `json:"rolename"`
	Username string `json:"username"`
	Priority *int   `json:"priority"`
}

// DynsecRole is a list of ACLs.
type DynsecRole struct {
	Name              string `json:"rolename"`
	Description       string `json:"textdescription"`
	AllowWildcardSubs *bool  `json:"allowwildcardsubs"`
	ACLs              []DynsecACL
	Line              int `json:"-"`
}

// DynsecACL is one rule of a role.
type DynsecACL struct {
	Type     string `json:"acltype"`
	Topic    string `json:"topic"`
	Priority int    `json:"priority"`
	Allow    bool   `json:"allow"`
}

// Limits of a dynamic-security.json.
const (
	maxDynsec        = 64 << 20
	maxDynsecEntries = 100_000
)

// ReadDynsec reads a dynamic-security.json. What is not JSON as Mosquitto writes it is
// Broken.
func ReadDynsec(file string, r io.Reader) (*Dynsec, []Notice) {
	n := &notices{file: file}
	text, err := readAll(r, maxDynsec)
	if err != nil {
		n.add(0, Broken, "", "can't be read: %v", err)
		return nil, n.all()
	}
	d := &dynsecReader{notices: n, text: text, json: json.NewDecoder(bytes.NewReader(text)), out: &Dynsec{File: file}}
	d.out.Defaults = DynsecDefaults{PublishClientReceive: true, Unsubscribe: true}
	if err := jsonObject(d.json, d.member); err != nil {
		line, problem := jsonProblem(text, d.json, err)
		n.add(line, Broken, "", "%s", problem)
		return nil, n.all()
	}
	return d.out, n.all()
}

type dynsecReader struct {
	*notices
	text []byte
	json *json.Decoder
	out  *Dynsec
}

// line is that of the next value.
func (d *dynsecReader) line() int {
	at := d.json.InputOffset()
	for at < int64(len(d.text)) && strings.IndexByte(" \t\r\n,:", d.text[at]) >= 0 {
		at++
	}
	return lineAt(d.text, at)
}

func (d *dynsecReader) member(key string) error {
	switch key {
	case "defaultACLAccess":
		return d.json.Decode(&d.out.Defaults)
	case "anonymousGroup":
		return d.json.Decode(&d.out.AnonymousGroup)
	case "clients":
		return readList(d, &d.out.Clients, func(c *DynsecClient, line int) string { c.Line = line; c.hash(); return c.Username })
	case "groups":
		return readList(d, &d.out.Groups, func(g *DynsecGroup, line int) string { g.Line = line; return g.Name })
	case "roles":
		return readList(d, &d.out.Roles, func(r *DynsecRole, line int) string { r.Line = line; d.checkACLs(r); return r.Name })
	}
	var ignored json.RawMessage
	return d.json.Decode(&ignored)
}

// readList reads clients, groups or roles. As with Mosquitto, the first of a name counts.
func readList[T any](d *dynsecReader, list *[]T, done func(v *T, line int) (name string)) error {
	first := map[string]int{}
	return jsonArray(d.json, func() error {
		line := d.line()
		var v T
		if err := d.json.Decode(&v); err != nil {
			return err
		}
		switch name := done(&v, line); {
		case name == "":
			d.add(line, Left, "", "an entry without a name is left out")
		case first[name] > 0:
			d.add(line, Left, "", "%s stands in line %d already: this one is left out", quote(name), first[name])
		case len(*list) == maxDynsecEntries:
			d.add(line, Broken, "", "there are more than %d entries in a list", maxDynsecEntries)
		default:
			first[name] = line
			*list = append(*list, v)
		}
		return nil
	})
}

// hash brings the two ways of writing a password together.
func (c *DynsecClient) hash() {
	c.Hash = c.Encoded
	if c.Hash == "" && c.Password != "" && c.Salt != "" {
		c.Hash = "$7$" + strconv.Itoa(c.Iterations) + "$" + c.Salt + "$" + c.Password
	}
	c.Encoded, c.Password, c.Salt = "", "", ""
}

var dynsecTypes = []string{
	"publishClientSend", "publishClientReceive", "subscribeLiteral", "subscribePattern", "unsubscribeLiteral", "unsubscribePattern",
}

// checkACLs brings a role's ACLs in the order in which they are asked, without what
// Mosquitto passes over.
func (d *dynsecReader) checkACLs(r *DynsecRole) {
	seen := map[[2]string]bool{}
	kept := r.ACLs[:0]
	for _, a := range r.ACLs {
		i := slices.IndexFunc(dynsecTypes, func(t string) bool { return strings.EqualFold(t, a.Type) })
		key := [2]string{strings.ToLower(a.Type), a.Topic}
		switch {
		case i < 0:
			d.add(r.Line, Broken, "acltype", "role %s: %s is not a kind of ACL", quote(r.Name), quote(a.Type))
			continue
		case topic.ValidFilter(a.Topic) != nil:
			d.add(r.Line, Broken, dynsecTypes[i], "role %s: %s is not a topic filter", quote(r.Name), quote(a.Topic))
			continue
		case seen[key]:
			continue
		}
		seen[key] = true
		a.Type = dynsecTypes[i]
		a.Priority = min(max(a.Priority, -100_000), 100_000)
		kept = append(kept, a)
	}
	r.ACLs = kept
	slices.SortStableFunc(r.ACLs, func(a, b DynsecACL) int { return cmp.Compare(b.Priority, a.Priority) })
}

func byPriority(list []DynsecMember) []DynsecMember {
	priority := func(m DynsecMember) int {
		if m.Priority == nil {
			return -1
		}
		return min(max(*m.Priority, -100_000), 100_000)
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b DynsecMember) int { return cmp.Compare(priority(b), priority(a)) })
	return list
}

// account says in words why a client can't become a user, "" when it can.
func (c *DynsecClient) account() string {
	if text := access.ValidName(c.Username); text != "" {
		return "the name is not possible in HearthMQ: " + text
	}
	return hashProblem(c.Hash)
}
