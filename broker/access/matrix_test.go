package access_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// TestDecisions reads testdata/*.txt: rules, questions, answers, and the rule that decides.
func TestDecisions(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 6 {
		t.Fatalf("testdata: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range parseMatrix(t, file, string(text)) {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+c.name, c.run)
		}
	}
}

// matrix is one case of a file.
type matrix struct {
	name, anonymous string
	rules           map[string][]string // "role x", "user x" → rules
	asked           []asked
}

type asked struct {
	where        string // file:line
	words        []string
	answer, rule string
}

func parseMatrix(t *testing.T, file, text string) []*matrix {
	t.Helper()
	var cases []*matrix
	var part string
	for i, line := range strings.Split(text, "\n") {
		where := fmt.Sprintf("%s:%d", file, i+1)
		line = strings.TrimSpace(line)
		name, isCase := strings.CutPrefix(line, "case: ")
		switch {
		case line == "" || strings.HasPrefix(line, "# ") && part == "":
		case isCase:
			cases = append(cases, &matrix{name: name, rules: map[string][]string{"role test": nil}})
			part = "case"
		case strings.HasPrefix(line, "anonymous: "):
			cases[len(cases)-1].anonymous = strings.TrimPrefix(line, "anonymous: ")
		case line == "rules:" || line == "asked:":
			part = line
		case part == "rules:":
			whose, rule, ok := strings.Cut(line, ": ")
			if !ok {
				whose, rule = "role test", line
			}
			c := cases[len(cases)-1]
			c.rules[whose] = append(c.rules[whose], strings.TrimSpace(rule))
		case part == "asked:":
			question, rest, ok1 := strings.Cut(line, "->")
			answer, rule, ok2 := strings.Cut(rest, "|")
			if !ok1 || !ok2 {
				t.Fatalf("%s: not a question: %s", where, line)
			}
			c := cases[len(cases)-1]
			c.asked = append(c.asked, asked{where, strings.Fields(question), strings.TrimSpace(answer), strings.TrimSpace(rule)})
		default:
			t.Fatalf("%s: what is %q?", where, line)
		}
	}
	return cases
}

func (c *matrix) run(t *testing.T) {
	d := c.directory(t)
	for _, q := range c.asked {
		question := parseQuestion(t, q)
		got := d.Check(question)
		if text := answerText(got); text != q.answer || got.Rule.Text != q.rule {
			t.Errorf("%s: %s\n got: %s | %s\nwant: %s | %s", q.where, strings.Join(q.words, " "), text, got.Rule.Text, q.answer, q.rule)
		}
	}
}

// directory makes the users ann, bob and whoever is asked about, with all roles named.
func (c *matrix) directory(t *testing.T) *access.Directory {
	t.Helper()
	d := access.NewDirectory(access.Policy{Anonymous: c.anonymous})
	a := access.NewAccounts(access.NewMemoryRepository(), d, nil, nil)
	ctx := t.Context()
	must(t, a.Open(ctx))
	var roles []string
	own := make(map[string][]access.Rule)
	for whose, texts := range c.rules {
		var rules []access.Rule
		for _, text := range texts {
			r, err := access.ParseRule(text)
			if err != nil {
				t.Fatalf("%s: rule %q: %v", c.name, text, err)
			}
			rules = append(rules, r)
		}
		kind, name, _ := strings.Cut(whose, " ")
		switch {
		case kind == "user":
			own[name] = rules
		case name == access.RoleAnonymous:
			must(t, a.ChangeRole(ctx, name, 0, "", rules))
		default:
			must(t, a.CreateRole(ctx, name, "", rules))
			roles = append(roles, name)
		}
	}
	names := []string{"ann", "bob"}
	for _, q := range c.asked {
		if name := q.words[0]; !slices.Contains([]string{"-", "ghost", "homeassistant", "addons"}, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		_, _, err := a.CreateUser(ctx, access.NewUser{Name: name, Generate: true, Roles: roles, Rules: own[name]})
		must(t, err)
	}
	return d
}

func parseQuestion(t *testing.T, q asked) access.Question {
	t.Helper()
	var question access.Question
	if q.words[0] != "-" {
		question.User = q.words[0]
	}
	words := q.words[1:]
	for len(words) > 2 {
		key, value, _ := strings.Cut(words[0], "=")
		switch key {
		case "client":
			question.ClientID = value
		case "listener":
			question.Listener = value
		case "from":
			question.Remote = netip.MustParseAddr(value)
		default:
			t.Fatalf("%s: what is %q?", q.where, words[0])
		}
		words = words[1:]
	}
	actions := map[string]broker.Action{"publish": broker.Publish, "subscribe": broker.Subscribe, "receive": broker.Receive}
	action, ok := actions[words[0]]
	if !ok {
		t.Fatalf("%s: what is %q?", q.where, words[0])
	}
	question.Action, question.Name = action, words[1]
	return question
}

func answerText(d broker.Decision) string {
	if !d.Allow {
		return "deny"
	}
	text := "allow"
	if d.Narrowed {
		text += " narrowed"
	}
	if d.MaxQoS < 2 {
		text += fmt.Sprintf(" qos<=%d", d.MaxQoS)
	}
	if d.NoRetain {
		text += " no-retain"
	}
	if d.RetainLess > 0 {
		text += fmt.Sprintf(" retained qos<=%d", d.Most(true))
	}
	return text
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
