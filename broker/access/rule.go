package access

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"

	"hearthmq/broker/topic"
)

// Effect is what a rule does when it matches.
type Effect byte

// The zero Effect is none: a rule that was not filled in denies.
const (
	Allow Effect = iota + 1
	Deny
)

func (e Effect) String() string {
	switch e {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	}
	return fmt.Sprintf("effect-%d", byte(e))
}

// Scope is what a rule speaks of.
type Scope byte

const (
	ScopePublish   Scope = iota + 1
	ScopeSubscribe       // and to receive what was subscribed to
	ScopeBoth
)

func (s Scope) String() string {
	switch s {
	case ScopePublish:
		return "publish"
	case ScopeSubscribe:
		return "subscribe"
	case ScopeBoth:
		return "both"
	}
	return fmt.Sprintf("scope-%d", byte(s))
}

// Tristate is yes, no, or no matter.
type Tristate byte

const (
	Any Tristate = iota
	Yes
	No
)

func (t Tristate) String() string {
	switch t {
	case Any:
		return "any"
	case Yes:
		return "yes"
	case No:
		return "no"
	}
	return fmt.Sprintf("tristate-%d", byte(t))
}

// AnyQoS is the MaxQoS of a rule without a limit.
const AnyQoS = -1

// ListenerNames are those that rules and limits can name.
var ListenerNames = []string{"mqtt", "ws", "mqtts", "wss", "unix"}

// Rule allows or denies a set of topics, perhaps under conditions. Make one with
// NewRule or ParseRule: the zero MaxQoS is a limit.
type Rule struct {
	ID     int64 // row; 0: not stored
	Effect Effect
	Scope  Scope
	Filter string // Topic Filter with %u for the user name and %c for the Client Identifier
	// MaxQoS is the highest Quality of Service that is allowed, AnyQoS: no limit. Only of Allow.
	MaxQoS int8
	// Retain restricts what is published: an Allow with No allows messages that are
	// not retained, a Deny with Yes denies retained ones. The other two don't exist.
	Retain   Tristate
	Listener string       // name of the listener the client must have come in by, "": any
	Network  netip.Prefix // the client's address must be in it; zero: any
}

// NewRule returns a rule without conditions. Validate has to judge it.
func NewRule(e Effect, s Scope, filter string) Rule {
	return Rule{Effect: e, Scope: s, Filter: filter, MaxQoS: AnyQoS}
}

// String is the rule as people write it, e.g.
// "allow both sensors/%u/# qos<=1 no-retain listener=mqtts from=192.168.1.0/24".
// ParseRule reads it.
func (r Rule) String() string {
	b := make([]byte, 0, 64)
	b = append(b, r.Effect.String()...)
	b = append(b, ' ')
	b = append(b, r.Scope.String()...)
	b = append(b, ' ')
	b = appendText(b, r.Filter)
	if r.MaxQoS >= 0 && r.MaxQoS < 2 {
		b = append(b, " qos<="...)
		b = strconv.AppendInt(b, int64(r.MaxQoS), 10)
	}
	switch r.Retain {
	case Yes:
		b = append(b, " retain"...)
	case No:
		b = append(b, " no-retain"...)
	}
	if r.Listener != "" {
		b = append(b, " listener="...)
		b = appendText(b, r.Listener)
	}
	if r.Network != (netip.Prefix{}) {
		b = append(b, " from="...)
		b = append(b, r.Network.String()...)
	}
	return string(b)
}

// appendText adds a word, in quotes where it would not be read as one word.
func appendText(b []byte, s string) []byte {
	odd := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar }
	if s == "" || s[0] == '"' || strings.ContainsFunc(s, odd) {
		return strconv.AppendQuote(b, s)
	}
	return append(b, s...)
}

// MaxRuleBytes is the longest text that ParseRule takes.
const MaxRuleBytes = 8192

// ParseRule reads what String writes. Words are separated by spaces; a topic filter
// with spaces stands in double quotes. The rule returned is valid and normal; the
// error is for people.
func ParseRule(s string) (Rule, error) {
	if len(s) > MaxRuleBytes {
		return Rule{}, fmt.Errorf("a rule has at most %d characters", MaxRuleBytes)
	}
	r := NewRule(0, 0, "")
	word, rest, err := nextWord(s)
	if err != nil {
		return Rule{}, err
	}
	switch word {
	case "allow":
		r.Effect = Allow
	case "deny":
		r.Effect = Deny
	case "":
		return Rule{}, errors.New("a rule looks like: allow both sensors/%u/#")
	default:
		return Rule{}, fmt.Errorf("a rule starts with allow or deny, not with %q", word)
	}
	if word, rest, err = nextWord(rest); err != nil {
		return Rule{}, err
	}
	switch word {
	case "publish":
		r.Scope = ScopePublish
	case "subscribe":
		r.Scope = ScopeSubscribe
	case "both":
		r.Scope = ScopeBoth
	default:
		return Rule{}, fmt.Errorf("after %s comes publish, subscribe or both, not %q", r.Effect, word)
	}
	if r.Filter, rest, err = nextWord(rest); err != nil {
		return Rule{}, err
	}
	for {
		if word, rest, err = nextWord(rest); err != nil {
			return Rule{}, err
		}
		if word == "" {
			break
		}
		if err := r.addCondition(word); err != nil {
			return Rule{}, err
		}
	}
	return r.Normal()
}

// nextWord cuts the first word off s, "" at the end. A word may be quoted as in Go,
// and so may the value of listener=.
func nextWord(s string) (word, rest string, err error) {
	s = strings.TrimLeftFunc(s, unicode.IsSpace)
	quote := 0
	if strings.HasPrefix(s, `listener="`) {
		quote = len("listener=")
	}
	if s == "" || s[quote] != '"' {
		end := strings.IndexFunc(s, unicode.IsSpace)
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], nil
	}
	quoted, err := strconv.QuotedPrefix(s[quote:])
	if err != nil {
		return "", "", fmt.Errorf("the quotes in %s don't close", s)
	}
	text, err := strconv.Unquote(quoted)
	if err != nil || text == "" {
		return "", "", fmt.Errorf("there is nothing to read in %s", quoted)
	}
	rest = s[quote+len(quoted):]
	if rest != "" && strings.TrimLeftFunc(rest, unicode.IsSpace) == rest {
		return "", "", fmt.Errorf("a space is missing after %s", quoted)
	}
	return s[:quote] + text, rest, nil
}

func (r *Rule) addCondition(word string) error {
	key, value, _ := strings.Cut(word, "=")
	switch {
	case word == "retain" || word == "no-retain":
		if r.Retain != Any {
			return errors.New("retain or no-retain can stand in a rule once")
		}
		r.Retain = Yes
		if word == "no-retain" {
			r.Retain = No
		}
	case key == "qos<":
		if len(value) != 1 || value[0] < '0' || value[0] > '2' {
			return fmt.Errorf("qos<=%s: the highest QoS is 0, 1 or 2", value)
		}
		if r.MaxQoS != AnyQoS {
			return errors.New("qos<= can stand in a rule once")
		}
		r.MaxQoS = int8(value[0] - '0')
	case key == "listener" && value != "":
		if r.Listener != "" {
			return errors.New("listener= can stand in a rule once")
		}
		r.Listener = value
	case key == "from" && value != "":
		if r.Network != (netip.Prefix{}) {
			return errors.New("from= can stand in a rule once")
		}
		p, err := parseNetwork(value)
		if err != nil {
			return err
		}
		r.Network = p
	default:
		return fmt.Errorf("%q is not a condition (qos<=1, retain, no-retain, listener=mqtts, from=192.168.1.0/24); "+
			"a topic with spaces stands in quotes", word)
	}
	return nil
}

func parseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("from=%s: not a network such as 192.168.1.0/24", s)
	}
	return p, nil
}

// Normal returns the rule with equal ways of writing made one (the network without
// host bits, qos<=2 as no limit), or an error for people when it makes no sense.
func (r Rule) Normal() (Rule, error) {
	if r.MaxQoS >= 2 || r.MaxQoS < 0 {
		r.MaxQoS = AnyQoS
	}
	if r.Network.IsValid() {
		r.Network = normalNetwork(r.Network)
	}
	return r, r.Validate()
}

// normalNetwork makes equal ways of writing a network one.
func normalNetwork(p netip.Prefix) netip.Prefix {
	if addr := p.Addr(); addr.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// Validate says what is wrong with the rule in words for people, nil when nothing is.
func (r Rule) Validate() error {
	switch {
	case r.Effect != Allow && r.Effect != Deny:
		return errors.New("a rule allows or denies")
	case r.Scope < ScopePublish || r.Scope > ScopeBoth:
		return errors.New("a rule is about publish, subscribe or both")
	case r.Filter == "":
		return errors.New("a topic filter is needed; # stands for every topic")
	case len(r.Filter) > MaxRuleBytes/2:
		return fmt.Errorf("a topic filter in a rule has at most %d bytes", MaxRuleBytes/2)
	}
	if _, _, shared, _ := topic.ParseShare(r.Filter); shared {
		return errors.New("rules are about topics: leave out $share/…/, shared subscriptions are judged by their topic filter")
	}
	if err := topic.ValidFilter(r.Filter); err != nil {
		return err
	}
	switch {
	case r.MaxQoS != AnyQoS && (r.MaxQoS < 0 || r.MaxQoS > 2):
		return errors.New("the highest QoS is 0, 1 or 2")
	case r.MaxQoS != AnyQoS && r.Effect == Deny:
		return errors.New("qos<= limits what is allowed, so it belongs to an allow rule")
	case r.Retain > No:
		return errors.New("retain is yes, no or any")
	case r.Retain != Any && r.Scope == ScopeSubscribe:
		return errors.New("retain and no-retain are about publishing; this rule is about subscribe")
	case r.Retain == Yes && r.Effect == Deny && r.Scope == ScopeBoth:
		return errors.New("retain is about publishing; write deny publish … retain")
	case r.Effect == Allow && r.Retain == Yes:
		return errors.New("a rule can't allow retained messages only; leave retain out, or write no-retain to keep messages from being retained")
	case r.Effect == Deny && r.Retain == No:
		return errors.New("a rule can't deny messages for not being retained; write deny … retain to deny retained ones")
	case len(r.Listener) > MaxNameBytes || r.Listener != "" && ValidName(r.Listener) != "":
		return fmt.Errorf("%q is not the name of a listener", r.Listener)
	case r.Network != (netip.Prefix{}) && !r.Network.IsValid():
		return errors.New("the network is not one such as 192.168.1.0/24")
	}
	return nil
}
