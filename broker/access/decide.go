package access

import (
	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// Texts of decisions that no stored rule made.
const (
	textNoRule       = "no rule matches"
	textSysReadOnly  = "$SYS is read-only"
	textReserved     = "topics under $CONTROL and $hearthmq are reserved"
	textSystem       = "system users may do everything"
	textNoUser       = "the user does not exist any more"
	textDisabled     = "the user is disabled"
	textNoIdentity   = "nobody is logged in"
	textAnonymousOff = "anonymous access is off"
	textTokenUser    = "a user whose roles came with a token; they are not known since the start"
)

func denied(text string) broker.Decision {
	return broker.Decision{Rule: broker.RuleRef{Text: text}}
}

// reserved reports why nobody may publish to name, "" when somebody may (case A12).
func reserved(name string) string {
	if name == "" || name[0] != '$' {
		return ""
	}
	switch {
	case topic.Match("$SYS/#", name):
		return textSysReadOnly
	case topic.Match("$CONTROL/#", name), topic.Match("$hearthmq/#", name):
		return textReserved
	}
	return ""
}

// decide answers one question. It does not allocate unless a SUBSCRIBE is judged.
func (s *ruleSet) decide(act broker.Action, name string) broker.Decision {
	switch act {
	case broker.Publish:
		return s.publish.name(name)
	case broker.Receive:
		return s.subscribe.name(name)
	case broker.Subscribe:
		return s.subscribe.filter(name)
	}
	return denied(textNoRule)
}

// name judges a Topic Name.
func (s *side) name(name string) broker.Decision {
	var noRetain *compiled
	for i := range s.deny {
		c := &s.deny[i]
		if !topic.Match(c.filter, name) {
			continue
		}
		if c.retain != Yes {
			return broker.Decision{Rule: c.ref}
		}
		noRetain = c
	}
	d := denied(textNoRule)
	for i := range s.allow {
		c := &s.allow[i]
		if topic.Match(c.filter, name) {
			if permit(&d, c); d.MaxQoS == 2 && !d.NoRetain && d.RetainLess == 0 {
				break // further it can't go
			}
		}
	}
	if d.Allow && noRetain != nil && !d.NoRetain {
		d.NoRetain, d.RetainLess = true, 0
		d.Rule.Text += "; " + noRetain.ref.Text
	}
	return d
}

// permit adds what c allows. The rule that goes furthest is the one that is named,
// of equal ones the first.
func permit(d *broker.Decision, c *compiled) {
	noRetain := c.retain == No
	retained := d.Most(true) // that one rule by itself allows
	switch {
	case noRetain:
	case !d.Allow || d.NoRetain:
		retained = c.maxQoS
	default:
		retained = max(retained, c.maxQoS)
	}
	switch {
	case !d.Allow:
		*d = broker.Decision{Allow: true, MaxQoS: c.maxQoS, NoRetain: noRetain, Rule: c.ref}
	case c.maxQoS >= d.MaxQoS && (c.maxQoS > d.MaxQoS || d.NoRetain && !noRetain):
		d.Rule = c.ref
		fallthrough
	default:
		d.MaxQoS = max(d.MaxQoS, c.maxQoS)
		d.NoRetain = d.NoRetain && noRetain
	}
	if d.RetainLess = 0; !d.NoRetain {
		d.RetainLess = d.MaxQoS - retained
	}
}

// filter judges a Topic Filter of a SUBSCRIBE, without its $share part.
func (s *side) filter(filter string) broker.Decision {
	d := denied(textNoRule)
	for i := range s.allow {
		if c := &s.allow[i]; topic.Overlaps(c.filter, filter) {
			permit(&d, c)
		}
	}
	d.NoRetain, d.RetainLess = false, 0
	if !d.Allow {
		for i := range s.deny {
			if c := &s.deny[i]; topic.Covers(c.filter, filter) {
				return broker.Decision{Rule: c.ref}
			}
		}
		return d
	}
	if remains, _ := topic.Remaining(filter, s.allowFilters, s.denyFilters); !remains {
		return broker.Decision{Rule: s.taking(filter)}
	}
	all, _ := topic.FullyAllowed(filter, s.allowFilters, s.denyFilters)
	d.Narrowed = !all
	return d
}

// taking names the deny that is to blame for a filter of which nothing is left.
func (s *side) taking(filter string) broker.RuleRef {
	ref := broker.RuleRef{Text: textNoRule}
	for i := range s.deny {
		c := &s.deny[i]
		if topic.Covers(c.filter, filter) {
			return c.ref
		}
		if ref.ID == 0 && topic.Overlaps(c.filter, filter) {
			ref = c.ref
		}
	}
	return ref
}
