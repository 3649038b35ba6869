package broker

// vouches reports whether the broker itself or its owner stands behind what the identity
// publishes: it is nil, or a part of the broker that acts for no user.
func (id *Identity) vouches() bool { return id == nil || id.System && id.User == "" }

// account reports whether the identity is one of a user with an account here, or was.
func (id *Identity) account() bool { return id.Version != 0 || id.HadAccount }

// author is whom a retained message is from.
type author struct {
	clientID, user string
	account        bool
}

// sources judges the authors of many retained messages. One goroutine uses it.
type sources struct {
	b     *Broker
	known map[author]*Identity // of those who published before the start
}

// stands reports whether new subscriptions get m as far as its author goes.
func (x *sources) stands(m *Message) bool {
	d, judged := x.judge(m)
	return !judged || d.Allow && !d.NoRetain
}

// judge asks the rules about m's author; judged is false where nobody's right counts.
// Messages of unknown origin are the broker's own, and below $SYS no rule says who may:
// what a bridge says of itself there needs none.
func (x *sources) judge(m *Message) (d Decision, judged bool) {
	b := x.b
	if !b.cfg().CheckRetainedSource || m.Vouched || m.PublisherID == "" || reserved(m.Topic) {
		return d, false
	}
	id := m.Publisher
	if id == nil {
		a := author{m.PublisherID, m.PublisherUser, m.PublisherAccount}
		if id = x.known[a]; id == nil {
			if x.known == nil {
				x.known = make(map[author]*Identity)
			}
			id = &Identity{ClientID: a.clientID, User: a.user, HadAccount: a.account}
			x.known[a] = id
		}
	}
	if a, ok := b.deps.Authorizer.(AnywhereAuthorizer); ok {
		return a.AuthorizeAnywhere(id, Publish, m.Topic), true
	}
	return b.mayPublish(id, m.Topic), true
}

// Withheld reports that new subscriptions do not get a retained message because who
// published it may not do so any more (CVE-2018-12546), and the rule that says so. It is
// kept, and delivered again once its author has the right back.
func (b *Broker) Withheld(m *Message) (rule RuleRef, withheld bool) {
	d, judged := (&sources{b: b}).judge(m)
	if !judged || d.Allow && !d.NoRetain {
		return RuleRef{}, false
	}
	return d.Rule, true
}
