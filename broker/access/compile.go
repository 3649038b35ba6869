package access

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// grants are all rules that apply to one user, before anything is known about the
// client. Immutable but for the cache.
type grants struct {
	user  string
	rules []grant
	extra []compiled // allowed to read, whatever the rules say: $SYS

	// What the rules depend on. Where they depend on nothing, fixed is their only set.
	byClient, byListener, byNetwork bool
	fixed                           *ruleSet

	mu    sync.Mutex
	cache *lru[grantKey, *ruleSet]
}

// grant is a rule with the text that names it and where it stands.
type grant struct {
	Rule
	text string
}

// grantKey holds what sets of rules depend on; what they don't depend on is zero.
type grantKey struct {
	clientID, listener string
	addr               netip.Addr
	anywhere           bool // wherever the client may come from
}

// maxSets bounds the cached sets of one user. A shared user has one per client.
const maxSets = 512

// ruleSet holds the rules that apply to one client, everything substituted. Immutable
// but for known: the snapshot's classes have taken it in.
type ruleSet struct {
	publish, subscribe side
	known              atomic.Bool
}

// side is one half of a ruleSet. The filters are there twice, since package topic
// wants to see them all at once.
type side struct {
	allow, deny               []compiled
	allowFilters, denyFilters []string
}

type compiled struct {
	filter string
	maxQoS byte
	retain Tristate
	ref    broker.RuleRef
}

// readControl lets users who may use the admin see what their requests to $CONTROL come to.
var readControl = compiled{filter: "$CONTROL/#", maxQoS: 2, ref: broker.RuleRef{Text: "allow subscribe $CONTROL/# (users of the admin)"}}

// readSys is what every user has besides its rules.
var readSys = compiled{filter: "$SYS/#", maxQoS: 2, ref: broker.RuleRef{Text: "allow subscribe $SYS/# (every user)"}}

// newGrants collects a user's own rules and those of its roles.
func newGrants(user string, own []Rule, roles []string, known map[string]*Role) *grants {
	g := &grants{user: user}
	g.add(own, "user "+user)
	for _, name := range roles {
		if role := known[name]; role != nil {
			g.add(role.Rules, "role "+name)
		}
	}
	return g
}

func (g *grants) add(rules []Rule, whose string) {
	for _, r := range rules {
		text := fmt.Sprintf("%s (%s)", r, whose)
		if err := r.Validate(); err != nil {
			// Only somebody who wrote into the database by hand gets here.
			if r.Effect == Allow {
				continue
			}
			broken := NewRule(Deny, ScopeBoth, r.Filter)
			broken.ID = r.ID
			if broken.Validate() != nil {
				broken.Filter = "#"
			}
			r, text = broken, fmt.Sprintf("%s (not a valid rule, %s)", text, err)
		}
		g.rules = append(g.rules, grant{r, text})
		g.byClient = g.byClient || strings.Contains(r.Filter, "%c")
		g.byListener = g.byListener || r.Listener != ""
		g.byNetwork = g.byNetwork || r.Network.IsValid()
	}
}

// done completes g.
func (g *grants) done() *grants {
	if g.byClient || g.byListener || g.byNetwork {
		g.cache = newLRU[grantKey, *ruleSet](maxSets)
	} else {
		g.fixed = g.compile(grantKey{})
	}
	return g
}

// set returns the rules for one client.
func (g *grants) set(id *broker.Identity) *ruleSet {
	if g.fixed != nil {
		return g.fixed
	}
	var key grantKey
	if g.byClient {
		key.clientID = id.ClientID
	}
	if g.byListener {
		key.listener = id.Listener
	}
	if g.byNetwork {
		key.addr = id.Remote.Addr().Unmap().WithZone("")
	}
	return g.cached(key)
}

// anywhere returns the rules for a client wherever it comes from: what is allowed from
// somewhere is allowed, what is denied there is not denied.
func (g *grants) anywhere(clientID string) *ruleSet {
	if g.fixed != nil {
		return g.fixed
	}
	key := grantKey{anywhere: g.byListener || g.byNetwork}
	if g.byClient {
		key.clientID = clientID
	}
	return g.cached(key)
}

func (g *grants) cached(key grantKey) *ruleSet {
	g.mu.Lock()
	defer g.mu.Unlock()
	set, ok := g.cache.get(key)
	if !ok {
		set = g.compile(key)
		g.cache.put(key, set)
	}
	return set
}

// holds reports whether the conditions of r are met.
func (r *Rule) holds(key grantKey) bool {
	if key.anywhere {
		return r.Effect == Allow || r.Listener == "" && !r.Network.IsValid()
	}
	return (r.Listener == "" || r.Listener == key.listener) && (!r.Network.IsValid() || r.Network.Contains(key.addr))
}

func (g *grants) compile(key grantKey) *ruleSet {
	set := new(ruleSet)
	for _, r := range g.rules {
		if !r.holds(key) {
			continue
		}
		filter, ok := substitute(r.Rule, g.user, key.clientID)
		if !ok || r.Effect == Allow && filter[0] == '$' && r.Filter[0] != '$' || topic.ValidFilter(filter) != nil {
			continue // a client may not name itself into the $ topics either, nor out of a deny
		}
		c := compiled{filter: filter, maxQoS: 2, retain: r.Retain, ref: broker.RuleRef{ID: r.ID, Text: r.text}}
		if r.MaxQoS != AnyQoS {
			c.maxQoS = byte(r.MaxQoS)
		}
		if r.Scope != ScopeSubscribe {
			set.publish.add(r.Effect, c)
		}
		if r.Scope != ScopePublish {
			set.subscribe.add(r.Effect, c)
		}
	}
	for _, c := range g.extra {
		set.subscribe.add(Allow, c)
	}
	return set
}

// substitute puts in who it is about; ok is false when the rule then matches nothing
// (case A1). A value with a slash would widen an allow to levels of others, but must
// not get round a deny.
func substitute(r Rule, user, clientID string) (filter string, ok bool) {
	filter, ok = topic.Substitute(r.Filter, user, clientID)
	if ok || r.Effect != Deny {
		return filter, ok
	}
	for placeholder, value := range map[string]string{"%u": user, "%c": clientID} {
		if strings.Contains(r.Filter, placeholder) && (value == "" || strings.ContainsAny(value, "+#\x00")) {
			return "", false // no topic can have that in it
		}
	}
	if topic.SubstitutedBytes(r.Filter, user, clientID) > topic.MaxBytes {
		return "", false // nor be as long
	}
	return strings.NewReplacer("%u", user, "%c", clientID).Replace(r.Filter), true
}

func (s *side) add(e Effect, c compiled) {
	if e == Allow {
		s.allow = append(s.allow, c)
		s.allowFilters = append(s.allowFilters, c.filter)
		return
	}
	s.deny = append(s.deny, c)
	s.denyFilters = append(s.denyFilters, c.filter)
}
