package web

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

// rulesForm is a posted list of rules, as rows or as text.
type rulesForm struct {
	asText bool
	text   string
	rows   []ui.RuleRow
}

// readRules takes the form of ui's rules editor.
func readRules(form url.Values) rulesForm {
	if form.Get("form") == "text" {
		return rulesForm{asText: true, text: form.Get("rules")}
	}
	at := func(name string, i int) string {
		if values := form[name]; i < len(values) {
			return strings.TrimSpace(values[i])
		}
		return ""
	}
	var f rulesForm
	for i := range form["filter"] {
		row := ui.RuleRow{
			Effect: at("effect", i), Scope: at("scope", i), Filter: at("filter", i),
			QoS: at("qos", i), Retain: at("retain", i), Listener: at("listener", i), Network: at("from", i),
		}
		if row.Filter != "" { // an emptied row is a removed rule
			f.rows = append(f.rows, row)
		}
	}
	return f
}

// rules turns the form into rules. The error is access.Problems under "rules",
// naming the line.
func (f rulesForm) rules() ([]access.Rule, error) {
	if f.asText {
		return parseRules(f.text)
	}
	rules := make([]access.Rule, 0, len(f.rows))
	for i, row := range f.rows {
		rule, err := ruleOf(row)
		if err != nil {
			return nil, access.Problems{"rules": fmt.Sprintf("Rule %d: %v", i+1, err)}
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// parseRules reads one rule per line; empty lines are skipped.
func parseRules(text string) ([]access.Rule, error) {
	var rules []access.Rule
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		rule, err := access.ParseRule(line)
		if err != nil {
			return nil, access.Problems{"rules": fmt.Sprintf("Line %d: %v", i+1, err)}
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// ruleOf makes a rule of a row. Topics are taken as they are: no quotes, spaces allowed.
func ruleOf(row ui.RuleRow) (access.Rule, error) {
	rule := access.NewRule(0, 0, row.Filter)
	switch row.Effect {
	case "allow":
		rule.Effect = access.Allow
	case "deny":
		rule.Effect = access.Deny
	}
	switch row.Scope {
	case "publish":
		rule.Scope = access.ScopePublish
	case "subscribe":
		rule.Scope = access.ScopeSubscribe
	case "both":
		rule.Scope = access.ScopeBoth
	}
	if row.QoS != "" {
		n, err := strconv.ParseInt(row.QoS, 10, 8)
		if err != nil {
			return rule, fmt.Errorf("the highest QoS is 0, 1 or 2")
		}
		rule.MaxQoS = int8(n)
	}
	switch row.Retain {
	case "retain":
		rule.Retain = access.Yes
	case "no-retain":
		rule.Retain = access.No
	}
	rule.Listener = row.Listener
	if row.Network != "" {
		prefix, err := netip.ParsePrefix(row.Network)
		if addr, addrErr := netip.ParseAddr(row.Network); addrErr == nil {
			prefix, err = addr.WithZone("").Prefix(addr.BitLen())
		}
		if err != nil {
			return rule, fmt.Errorf("%s is not a network such as 192.168.1.0/24", row.Network)
		}
		rule.Network = prefix
	}
	return rule.Normal()
}

// ruleRow is the inverse of ruleOf.
func ruleRow(r access.Rule) ui.RuleRow {
	row := ui.RuleRow{Effect: r.Effect.String(), Scope: r.Scope.String(), Filter: r.Filter, Listener: r.Listener}
	if r.MaxQoS != access.AnyQoS {
		row.QoS = strconv.Itoa(int(r.MaxQoS))
	}
	switch r.Retain {
	case access.Yes:
		row.Retain = "retain"
	case access.No:
		row.Retain = "no-retain"
	}
	if r.Network.IsValid() {
		row.Network = r.Network.String()
	}
	return row
}

// editor fills the rules editor with stored rules.
func editor(rules []access.Rule) ui.RulesView {
	v := ui.RulesView{Rows: make([]ui.RuleRow, 0, len(rules)), Text: rulesText(rules)}
	for _, r := range rules {
		v.Rows = append(v.Rows, ruleRow(r))
	}
	return v
}

// refill puts back what was posted, with what is wrong about it.
func (f rulesForm) refill(v *ui.RulesView, problem string) {
	v.Problem, v.AsText = problem, f.asText
	if f.asText {
		v.Text = f.text
	} else {
		v.Rows = f.rows
	}
}

func rulesText(rules []access.Rule) string {
	var b strings.Builder
	for _, r := range rules {
		b.WriteString(r.String())
		b.WriteByte('\n')
	}
	return b.String()
}
