package access

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"hearthmq/broker/topic"
)

// Template is what is known of a product that speaks MQTT: which rights it needs and
// where its settings are. The files in templates/ hold one each; TEMPLATES.md there
// tells how to write one.
type Template struct {
	ID    string   `json:"-"` // name of the file, for the command line and paths of pages
	Name  string   `json:"name"`
	About string   `json:"about"` // what the product is for, in a few words
	User  string   `json:"user"`  // the user name that is proposed; may hold {key}
	Keys  []Key    `json:"fields"`
	Rules []string `json:"rules"` // as ParseRule reads them, with {key}
	Setup []Setup  `json:"setup"`
	QR    *QR      `json:"qr"` // nil: the code holds mqtt://user:password@host:port
	Notes []string `json:"notes"`
}

// Key is something that differs between instances of a product.
type Key struct {
	Key     string `json:"key"`
	Label   string `json:"label"`
	Hint    string `json:"hint"`
	Default string `json:"default"` // may be {user}
	Kind    string `json:"kind"`    // "level": a single topic level; "": a topic
}

// OfUser reports whether the value is the user's name unless another is given.
func (k Key) OfUser() bool { return k.Default == "{user}" }

// begins reports whether the value that is proposed has to be completed.
func (k Key) begins() bool {
	return strings.HasSuffix(k.Default, "-") || strings.HasSuffix(k.Default, "/")
}

// Setup is one place where a product's settings go.
type Setup struct {
	Title  string   `json:"title"` // where in the product that is
	Format string   `json:"format"`
	Lines  []string `json:"lines"`
}

// QR is a code that the product's app reads by itself.
type QR struct {
	Prefix   string   `json:"prefix"`
	Encoding string   `json:"encoding"` // "base64" or ""
	Format   string   `json:"format"`
	Lines    []string `json:"lines"`
}

//go:embed templates/*.json
var templateFiles embed.FS

// Templates returns all templates by name, the one for "something else" last. The
// slice is the caller's, what is in it is shared and must not be changed.
func Templates() []*Template { return slices.Clone(loadTemplates()) }

// otherTemplate is for what no template knows.
const otherTemplate = "other"

// FindTemplate returns the template with that ID, or ErrNotFound.
func FindTemplate(id string) (*Template, error) {
	for _, t := range loadTemplates() {
		if t.ID == id {
			return t, nil
		}
	}
	return nil, fmt.Errorf("template %q %w", id, ErrNotFound)
}

// loadTemplates reads the embedded files. A test reads all of them first, hence the panic.
var loadTemplates = sync.OnceValue(func() []*Template {
	list, err := readTemplates(templateFiles)
	if err != nil {
		panic(err)
	}
	return list
})

func readTemplates(files fs.FS) ([]*Template, error) {
	names, err := fs.Glob(files, "templates/*.json")
	if err != nil {
		return nil, err
	}
	var list []*Template
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		t := &Template{ID: strings.TrimSuffix(path.Base(name), ".json")}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(t); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *Template) int {
		if (a.ID == otherTemplate) != (b.ID == otherTemplate) {
			return map[bool]int{true: 1, false: -1}[a.ID == otherTemplate]
		}
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return list, nil
}

// Defaults are the values of the keys that nobody has filled in yet, for a user of
// that name; user "" stands for the one that is proposed.
func (t *Template) Defaults(user string) (name string, values map[string]string) {
	values = make(map[string]string, len(t.Keys))
	for _, k := range t.Keys {
		values[k.Key] = k.Default
	}
	if user == "" {
		user = plain.fill(t.User, values)
	}
	for _, k := range t.Keys {
		values[k.Key] = plain.fill(k.Default, map[string]string{"user": user})
	}
	return user, values
}

// UserName is the user name that is proposed for an instance with these values.
func (t *Template) UserName(values map[string]string) string {
	_, all := t.Defaults("")
	for key, value := range values {
		if value != "" {
			all[key] = value
		}
	}
	return plain.fill(t.User, all)
}

// NamedBy is the key that the proposed user name is, where that begins only and says
// nothing before it is completed.
func (t *Template) NamedBy() (k Key, ok bool) {
	for _, k := range t.Keys {
		if k.begins() && t.User == "{"+k.Key+"}" {
			return k, true
		}
	}
	return Key{}, false
}

// Fill returns the rules of an instance of the product. Values that are missing are
// the defaults for this user. Problems have the keys of the template, and "template"
// for a value that it does not ask for.
func (t *Template) Fill(user string, values map[string]string) (rules []Rule, all map[string]string, err error) {
	p := make(Problems)
	_, all = t.Defaults(user)
	for key, value := range values {
		if _, ok := all[key]; !ok {
			p["template"] = fmt.Sprintf("%s has no %q, only %s", t.Name, key, t.keyNames())
			continue
		}
		if value != "" {
			all[key] = value
		}
	}
	for _, k := range t.Keys {
		if text := k.problem(all[k.Key]); text != "" {
			p[k.Key] = text
		}
	}
	if err := p.orNil(); err != nil {
		return nil, nil, err
	}
	for _, text := range t.Rules {
		r, err := ParseRule(inRule(text, all))
		if err != nil {
			return nil, nil, Problems{"template": err.Error()}
		}
		if !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
	}
	return rules, all, nil
}

func (t *Template) keyNames() string {
	names := make([]string, len(t.Keys))
	for i, k := range t.Keys {
		names[i] = k.Key
	}
	return orNone(strings.Join(names, ", "))
}

// problem says what keeps a value from standing in a rule: it is a part of a topic
// and nothing that would widen it.
func (k Key) problem(value string) string {
	switch {
	case value == "":
		return "is needed"
	case k.begins() && value == k.Default:
		return fmt.Sprintf("%q is only how it begins. %s", value, k.Hint)
	case len(value) > MaxNameBytes:
		return fmt.Sprintf("at most %d bytes, this has %d", MaxNameBytes, len(value))
	case strings.ContainsAny(value, "+#"):
		return "+ and # are wildcards and would give rights to more than this device's topics"
	case strings.Contains(value, "%"):
		return "% has a meaning of its own in rules and can't stand here"
	case strings.HasPrefix(value, "$"):
		return "topics that begin with $ belong to the broker"
	case k.Kind == "level" && strings.Contains(value, "/"):
		return "this is one level of a topic, without /"
	case strings.HasPrefix(value, "/"), strings.HasSuffix(value, "/"):
		return "without / at the start and the end"
	case strings.ContainsFunc(value, invisible):
		return "contains a control character or an invisible one"
	}
	if err := topic.ValidName(value); err != nil {
		return err.Error()
	}
	return ""
}

// inRule fills a rule's text; its filter goes in quotes where a value needs them.
func inRule(text string, values map[string]string) string {
	words := strings.SplitN(text, " ", 4)
	if len(words) < 3 {
		return text
	}
	words[2] = string(appendText(nil, plain.fill(words[2], values)))
	return strings.Join(words, " ")
}
