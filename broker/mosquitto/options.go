package mosquitto

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"

	"hearthmq/broker/access"
)

// Options are those of the Mosquitto app of Home Assistant.
type Options struct {
	File               string
	Logins             []OptionsLogin
	LogDest            []string
	LogType            []string
	RequireCertificate bool
	CertFile           string
	CAFile             string
	KeyFile            string
	CustomizeActive    bool
	CustomizeFolder    string
	Debug              bool
	lines              map[string]int // of the keys at the top
}

// OptionsLogin is one of the logins. Password is a clear one unless PreHashed.
type OptionsLogin struct {
	Username  string
	Password  string
	PreHashed bool
	Line      int
}

// String names the login, so that no %v shows its password.
func (l OptionsLogin) String() string { return "login " + l.Username }

// maxOptions bounds the options, in bytes; maxLogins the logins in them.
const (
	maxOptions = 1 << 20
	maxLogins  = 1000
)

// ReadOptions reads the app's options, as JSON (data/options.json) or as the YAML that
// Home Assistant shows. A login that gives no account with a password is left out, with
// a Notice.
func ReadOptions(file string, r io.Reader) (*Options, []Notice) {
	n := &notices{file: file}
	b, err := readAll(r, maxOptions)
	if err != nil {
		n.add(0, Broken, "", "can't be read: %v", err)
		return nil, n.all()
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	var root *node
	if t := bytes.TrimSpace(b); len(t) > 0 && t[0] == '{' {
		root = jsonTree(n, b)
	} else {
		root = yamlTree(n, b)
	}
	if Worst(n.list) == Broken {
		return nil, n.all()
	}
	o := &optionsReader{notices: n, out: &Options{
		File: file, CertFile: "fullchain.pem", KeyFile: "privkey.pem", CustomizeFolder: "mosquitto", lines: map[string]int{},
	}}
	o.read(root)
	if Worst(n.list) == Broken {
		return nil, n.all()
	}
	return o.out, n.all()
}

// node is a value of JSON or YAML with its line: a map, a list or a text.
type node struct {
	line   int
	kind   byte // 'm', 'l', 's'
	text   string
	quoted bool
	keys   []string
	values []*node // of a map in the order of keys, or of a list
}

// get returns the value of a key, nil when there is none.
func (v *node) get(key string) *node {
	if v == nil || v.kind != 'm' {
		return nil
	}
	for i, k := range v.keys {
		if k == key {
			return v.values[i]
		}
	}
	return nil
}

// jsonTree reads JSON into nodes.
func jsonTree(n *notices, b []byte) *node {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	root, err := jsonNode(d, b, 0)
	if err == nil && d.More() {
		n.add(lineAt(b, d.InputOffset()), Broken, "", "something follows after the end")
	}
	if err != nil {
		line, problem := jsonProblem(b, d, err)
		n.add(line, Broken, "", "%s", problem)
	}
	return root
}

func jsonNode(d *json.Decoder, b []byte, depth int) (*node, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	v := &node{line: lineAt(b, d.InputOffset()), kind: 's', quoted: true}
	switch t := t.(type) {
	case string:
		v.text = t
	case json.Number:
		v.text = t.String()
	case bool:
		v.quoted = false
		if v.text = "false"; t {
			v.text = "true"
		}
	case json.Delim:
		if depth > 8 {
			return nil, errDeep
		}
		v.kind = 'l'
		if t == '{' {
			v.kind = 'm'
		}
		for d.More() {
			if v.kind == 'm' {
				k, err := d.Token()
				if err != nil {
					return nil, err
				}
				v.keys = append(v.keys, k.(string)) // keys of objects are strings
			}
			child, err := jsonNode(d, b, depth+1)
			if err != nil {
				return nil, err
			}
			v.values = append(v.values, child)
		}
		_, err = d.Token()
		return v, err
	default: // null
		v.quoted = false
	}
	return v, nil
}

// optionsReader picks the options out of a tree.
type optionsReader struct {
	*notices
	out *Options
}

func (o *optionsReader) read(root *node) {
	if root == nil || root.kind != 'm' {
		o.add(0, Broken, "", "these are not the options of the Mosquitto app")
		return
	}
	known := 0
	for i, key := range root.keys {
		v := root.values[i]
		o.out.lines[key] = v.line
		if _, again := o.seen(root.keys[:i], key); again {
			o.add(v.line, Broken, key, "the key stands there twice")
			return
		}
		known++
		switch key {
		case "logins":
			o.logins(v)
		case "log_dest":
			o.out.LogDest = o.list(key, v)
		case "log_type":
			o.out.LogType = o.list(key, v)
		case "require_certificate":
			o.out.RequireCertificate = o.bool(key, v)
		case "certfile":
			o.out.CertFile = o.string(key, v)
		case "cafile":
			o.out.CAFile = o.string(key, v)
		case "keyfile":
			o.out.KeyFile = o.string(key, v)
		case "customize":
			for j, k := range v.keys {
				switch k {
				case "active":
					o.out.CustomizeActive = o.bool(key, v.values[j])
				case "folder":
					o.out.CustomizeFolder = o.string(key, v.values[j])
				}
			}
		case "debug":
			o.out.Debug = o.bool(key, v)
		default:
			known--
			o.add(v.line, Left, "", "%s is not an option that is known", unknown(key))
		}
	}
	if known == 0 {
		o.add(root.line, Broken, "", "these are not the options of the Mosquitto app")
	}
}

func (o *optionsReader) seen(keys []string, key string) (int, bool) {
	for i, k := range keys {
		if k == key {
			return i, true
		}
	}
	return 0, false
}

func (o *optionsReader) string(key string, v *node) string {
	if v.kind != 's' {
		o.add(v.line, Broken, key, "one value is expected")
	}
	return v.text
}

func (o *optionsReader) bool(key string, v *node) bool {
	switch s := o.string(key, v); strings.ToLower(s) {
	case "true", "yes", "on":
		return true
	case "false", "no", "off", "", "null", "~":
		return false
	}
	o.add(v.line, Broken, key, "true or false is expected")
	return false
}

func (o *optionsReader) list(key string, v *node) []string {
	var list []string
	if v.kind == 's' && v.text == "" {
		return nil
	}
	if v.kind != 'l' {
		o.add(v.line, Broken, key, "a list is expected")
		return nil
	}
	for _, x := range v.values {
		list = append(list, o.string(key, x))
	}
	return list
}

// reservedUsers are users that the app makes itself.
var reservedUsers = []string{access.HomeAssistantUser, access.AddonsUser}

func (o *optionsReader) logins(v *node) {
	if v.kind == 's' && v.text == "" {
		return
	}
	if v.kind != 'l' {
		o.add(v.line, Broken, "logins", "a list is expected")
		return
	}
	first := map[string]int{}
	for _, x := range v.values {
		l := OptionsLogin{Line: x.line}
		if name := x.get("username"); name != nil {
			l.Username = o.string("username", name)
		}
		if password := x.get("password"); password != nil {
			l.Password = o.string("password", password)
		}
		if hashed := x.get("password_pre_hashed"); hashed != nil {
			l.PreHashed = o.bool("password_pre_hashed", hashed)
		}
		problem := access.ValidName(l.Username)
		switch {
		case problem != "":
			problem = "the name is not possible in HearthMQ: " + problem
		case l.Username == reservedUsers[0] || l.Username == reservedUsers[1]:
			problem = "HearthMQ has a system user of this name"
		case first[l.Username] > 0:
			problem = "it stands there twice"
		case l.PreHashed:
			problem = hashProblem(l.Password)
		default:
			problem = access.ValidJSONPassword(l.Password)
		}
		if first[l.Username] == 0 {
			first[l.Username] = x.line
		}
		switch {
		case problem != "":
			o.add(x.line, Left, "logins", "user %s is left out: %s", quote(l.Username), problem)
		case len(o.out.Logins) == maxLogins:
			o.add(x.line, Broken, "logins", "there are more than %d", maxLogins)
			return
		default:
			o.out.Logins = append(o.out.Logins, l)
		}
	}
}
