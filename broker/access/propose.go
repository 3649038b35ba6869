package access

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// Proposal is the smallest rule that would allow what was denied, and whose it would
// be: a user's own, or, for clients without a user name, one of the role "anonymous".
type Proposal struct {
	User string
	Rule Rule
}

// Proposal returns the smallest rule that would have allowed a denial. ok is false
// where no rule would help: a deny says so on purpose, the topic is the broker's own,
// there is no such user of ours, or what is ours decides nothing.
func (d *Directory) Proposal(n Denial) (p Proposal, ok bool) {
	q := Question{User: n.User, ClientID: n.ClientID, Name: n.Topic, Listener: n.Listener}
	if at, err := netip.ParseAddrPort(n.Remote); err == nil {
		q.Remote = at.Addr()
	}
	switch n.Action {
	case "publish":
		q.Action = broker.Publish
	case "subscribe":
		q.Action = broker.Subscribe
	default:
		return Proposal{}, false
	}
	return d.Propose(q)
}

// Propose is Proposal for a question. What is allowed already, with every QoS and
// retained, needs none.
func (d *Directory) Propose(q Question) (p Proposal, ok bool) {
	scope := ScopePublish
	if q.Action == broker.Subscribe {
		scope = ScopeSubscribe
		if _, rest, shared, err := topic.ParseShare(q.Name); shared && err == nil {
			q.Name = rest // rules are about topics
		}
	}
	if strings.Contains(q.Name, "%") || strings.HasSuffix(q.Name, "…") && len(q.Name) > maxDenialText {
		return Proposal{}, false // %u in a rule is not the text %u; a clipped topic is not the topic
	}
	r, err := NewRule(Allow, scope, q.Name).Normal()
	if err != nil {
		return Proposal{}, false
	}
	s := d.snap.Load()
	var own []Rule
	var roles []string
	switch a := s.accounts[q.User]; {
	case d.policy.Elsewhere:
		return Proposal{}, false
	case q.User == "" && d.policy.Anonymous == AnonymousRestricted && d.policy.anonymousOn(q.Listener) && s.roles[RoleAnonymous] != nil:
		own = s.roles[RoleAnonymous].Rules
	case a == nil || a.System || a.FromSettings || a.Disabled:
		return Proposal{}, false
	default:
		own, roles = a.Rules, a.Roles
	}
	id := &broker.Identity{ClientID: q.ClientID, User: q.User, Listener: q.Listener, Remote: netip.AddrPortFrom(q.Remote, 0)}
	if q.Action == broker.Publish && reserved(q.Name) != "" {
		return Proposal{}, false
	}
	may := func(rules []Rule) bool {
		got := newGrants(q.User, rules, roles, s.roles).done().set(id).decide(q.Action, q.Name)
		return got.Allow && (q.Action == broker.Subscribe || got.Permits(2, true))
	}
	if may(own) || !may(append(slices.Clone(own), r)) {
		return Proposal{}, false
	}
	return Proposal{User: q.User, Rule: r}, true
}

// AddRules gives a user further rules of its own, or the role "anonymous" where user
// is "". Rules that it has are not added again. Problems with the keys name, rules;
// ErrNotFound; ErrConflict when somebody changes the same all the time.
func (a *Accounts) AddRules(ctx context.Context, user string, rules []Rule) error {
	if user == "" {
		return a.AmendRole(ctx, RoleAnonymous, rules, nil)
	}
	return a.AmendRules(ctx, user, rules, nil)
}

// MissingRules returns those of want that are not among have, each once.
func MissingRules(have, want []Rule) []Rule {
	var missing []Rule
	for _, r := range want {
		r.ID = 0
		same := func(h Rule) bool { h.ID = 0; return h == r }
		if !slices.ContainsFunc(have, same) && !slices.ContainsFunc(missing, same) {
			missing = append(missing, r)
		}
	}
	return missing
}
