package access

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// Sessions is what Explainer asks the running broker. *broker.Broker is one.
type Sessions interface {
	Sessions() []broker.SessionInfo
	Session(clientID string) (broker.SessionInfo, []broker.SubscriptionInfo, error)
	Retained(filter string) iter.Seq[*broker.Message]
	Withheld(m *broker.Message) (rule broker.RuleRef, withheld bool)
	Authorize(id *broker.Identity, act broker.Action, name string) broker.Decision
}

// Explainer answers "why does my device get nothing?". It only reads, and is safe for
// concurrent use.
type Explainer struct {
	Directory *Directory
	Denials   *Denials
	Sessions  Sessions
	Bans      *Bans         // nil: not asked
	Topics    Topics        // nil: not asked
	Ports     func() string // the open ports in words, such as "MQTT 1883"; nil: not told
	// Closed says in a sentence each which ports are closed that should not be; nil: none.
	Closed   func() []string
	Carriers func() []Carrier // the bridges; nil: there are none
}

// Cause is why a device gets nothing: a broker.Reason when it was not let in, or one
// of these.
type Cause string

const (
	PushedOut       Cause = "client identifier used twice"
	NeverSeen       Cause = "never seen"
	NotConnected    Cause = "not connected"
	NoRights        Cause = "no rights"
	NotSubscribed   Cause = "not subscribed"
	MayNotSubscribe Cause = "may not subscribe"
	Narrowed        Cause = "subscription narrowed"
	MayNotPublish   Cause = "may not publish"
	SourceDenied    Cause = "the sender may not publish"
	Withheld        Cause = "retained messages withheld"
	Dropped         Cause = "messages dropped"
	Slowed          Cause = "slowed down"
	Mounted         Cause = "mount point"
	NotCarried      Cause = "bridge not connected"
	NothingSent     Cause = "nothing was published"
	LeftOut         Cause = "not brought in by a bridge"
	QoSLowered      Cause = "QoS lowered"
	PortClosed      Cause = "a port is closed"
	AllWell         Cause = "all well"
)

// Finding is one thing that was found out about a device.
type Finding struct {
	Cause    Cause     `json:"cause"`
	Text     string    `json:"text"`   // what is the matter, one sentence
	Advice   string    `json:"advice"` // what to do about it; may be ""
	ClientID string    `json:"client_id,omitempty"`
	User     string    `json:"user,omitempty"`
	Topic    string    `json:"topic,omitempty"`
	Rule     string    `json:"rule,omitempty"` // what decided
	Count    uint64    `json:"count,omitempty"`
	Last     time.Time `json:"last,omitzero"`
	// Proposal is the rule that would allow it, to be added for ProposalUser; "": none.
	Proposal     string `json:"proposal,omitempty"`
	ProposalUser string `json:"proposal_user,omitempty"`
	// Near is what was probably meant: a filter that the user has a right to, a topic on
	// which messages come, or the name of a user or client; "": nothing looks like it.
	Near string `json:"near,omitempty"`
}

// Explanation is what Why found: the likeliest cause first, never empty.
type Explanation struct {
	About    string    `json:"about"`
	Findings []Finding `json:"findings"`
}

// maxFindings bounds an Explanation.
const maxFindings = 50

// Why tells what keeps a device from getting messages. about is its Client Identifier,
// its user name or its address; where nothing has exactly that name, a part of it.
func (e *Explainer) Why(about string) Explanation {
	about = strings.TrimSpace(about)
	w := &inquiry{Explainer: e, denials: e.Denials.Recent(), pasts: e.Denials.Pasts()}
	for _, exact := range []bool{true, false} {
		w.is = func(name string) bool { return name != "" && name == about }
		if !exact {
			w.is = func(name string) bool {
				return len(about) >= 2 && strings.Contains(strings.ToLower(name), strings.ToLower(about))
			}
		}
		w.look()
		if len(w.found) > 0 {
			break
		}
	}
	if len(w.found) == 0 {
		w.nothing(about)
	}
	if len(w.found) > maxFindings {
		w.found = w.found[:maxFindings]
	}
	return Explanation{About: about, Findings: w.found}
}

// inquiry is one question under way.
type inquiry struct {
	*Explainer
	denials []Denial // newest first
	pasts   []Past   // likewise
	is      func(name string) bool
	carried []Carrier // asked for once
	found   []Finding
	looked  int // at retained messages
}

func (w *inquiry) add(f Finding) { w.found = append(w.found, f) }

// concerns reports whether a name or an address with port is what was asked for.
func (w *inquiry) concerns(clientID, user, remote string) bool {
	if w.is(clientID) || w.is(user) {
		return true
	}
	at, err := netip.ParseAddrPort(remote)
	return err == nil && w.is(at.Addr().Unmap().String())
}

// look gathers what is known, the worst first: who is not let in, who is not allowed,
// who has not asked, and only then what may be as it should.
func (w *inquiry) look() {
	var sessions []broker.SessionInfo
	for _, s := range w.Sessions.Sessions() {
		remote := ""
		if s.Identity != nil {
			remote = s.Identity.Remote.String()
		}
		if w.concerns(s.ClientID, s.User, remote) {
			sessions = append(sessions, s)
		}
	}
	w.refusals(sessions)
	w.lookBack(sessions)
	for _, s := range sessions {
		w.session(s)
	}
	if len(sessions) == 0 {
		w.deniedOf(func(n Denial) bool { return w.concerns(n.ClientID, n.User, n.Remote) })
	}
	w.users(sessions)
	w.carriers()
	if slices.ContainsFunc(w.found, func(f Finding) bool { return f.Cause == NotConnected }) {
		w.closed()
	}
	slices.SortStableFunc(w.found, func(a, b Finding) int { return cmp.Compare(rank(a.Cause), rank(b.Cause)) })
}

// rank sorts causes: what explains silence for sure comes first.
func rank(c Cause) int {
	if i := slices.Index([]Cause{PushedOut, NoRights, MayNotSubscribe, SourceDenied, MayNotPublish, NotConnected, Narrowed, Withheld, Dropped, Slowed, NotSubscribed, Mounted, NotCarried, NothingSent, LeftOut, QoSLowered, PortClosed, NeverSeen, AllWell}, c); i >= 0 {
		return i + 1
	}
	return 0 // not let in
}

// refusals are the logins that failed and were not followed by one that went well.
func (w *inquiry) refusals(sessions []broker.SessionInfo) {
	for _, n := range w.denials {
		if n.Action != "connect" || !w.concerns(n.ClientID, n.User, n.Remote) {
			continue
		}
		if slices.ContainsFunc(sessions, func(s broker.SessionInfo) bool {
			return s.ClientID == n.ClientID && s.User == n.User && s.Connected && s.Since.After(n.Last)
		}) || slices.ContainsFunc(w.pasts, func(p Past) bool {
			return p.ClientID == n.ClientID && p.User == n.User && p.Came.After(n.Last)
		}) {
			continue
		}
		f := Finding{
			Cause: Cause(n.Rule), ClientID: n.ClientID, User: n.User, Count: n.Count, Last: n.Last,
			Text:   fmt.Sprintf("%s was not let in: %s.", w.name(n.ClientID, n.User, n.Remote), n.Why()),
			Advice: w.advice(broker.Reason(n.Rule)),
		}
		over := w.over(n)
		if over != "" {
			f.Text, f.Advice = fmt.Sprintf("%s was not let in: %s; %s.", w.name(n.ClientID, n.User, n.Remote), n.Why(), over), tryAgain
		}
		if n.Rule == string(broker.TooManyAttempts) && n.Detail != "" {
			f.Advice = "It connects more often than it may; no password is wrong. Look why it does, or raise the limit if there is one."
		}
		if n.Rule == string(broker.UnknownUser) && over == "" {
			if f.Near = similar(n.User, w.userNames()); f.Near != "" {
				f.Advice = fmt.Sprintf("There is a user %q: is the name misspelt in the device's settings? Otherwise add a user of that name.", f.Near)
			}
		}
		w.add(f)
	}
}

func (w *inquiry) userNames() (names []string) {
	if w.Directory.Elsewhere() {
		return nil
	}
	for _, u := range w.Directory.Users() {
		names = append(names, u.Name)
	}
	return names
}

func (w *inquiry) name(clientID, user, remote string) string {
	if Assigned(clientID) && (user != "" || remote != "") {
		clientID = "" // new each time: it tells nobody anything
	}
	switch {
	case clientID != "" && user != "":
		return fmt.Sprintf("Client %q of user %q", clientID, user)
	case clientID != "":
		return fmt.Sprintf("Client %q", clientID)
	case user != "":
		return fmt.Sprintf("A client of user %q", user)
	case remote != "":
		return "A client from " + remote
	}
	return "A client"
}

// deniedOf adds the denials that are meant, and reports whether a SUBSCRIBE is among them.
func (w *inquiry) deniedOf(meant func(Denial) bool) (subscribe bool) {
	for _, n := range w.denials {
		if n.Action == "connect" || !meant(n) {
			continue
		}
		f := Finding{Cause: MayNotPublish, ClientID: n.ClientID, User: n.User, Topic: n.Topic, Rule: n.Rule, Count: n.Count, Last: n.Last}
		if n.Action == "subscribe" {
			f.Cause, subscribe = MayNotSubscribe, true
		}
		if w.Directory.AllowedNow(n) {
			if n.Action == "subscribe" {
				f.Text = fmt.Sprintf("%s asked for %s when it was not allowed yet; it is now.", w.name(n.ClientID, n.User, n.Remote), n.Topic)
				f.Advice = "Devices ask when they connect: restart it, if it has not come again since."
				w.add(f)
			}
			continue
		}
		f.Text = fmt.Sprintf("%s may not %s %s: %s.", w.name(n.ClientID, n.User, n.Remote), verbs[n.Action], n.Topic, w.Directory.Reason(n))
		f.Advice = w.onPurpose(n)
		w.proposeFor(&f, n)
		if !w.Directory.Elsewhere() {
			f.Near = w.Directory.nearFilter(n)
		}
		w.add(f)
	}
	return subscribe
}

var verbs = map[string]string{"publish": "publish to", "subscribe": "subscribe to", "receive": "receive"}

// senders are others who may not publish what the client waits for.
func (w *inquiry) senders(base Finding, filter string) {
	for _, n := range w.denials {
		if n.Action != "publish" || n.ClientID == base.ClientID || !topic.Match(filter, n.Topic) || w.Directory.AllowedNow(n) {
			continue
		}
		f := base
		f.Cause, f.Topic, f.Rule, f.Count, f.Last = SourceDenied, n.Topic, n.Rule, n.Count, n.Last
		f.Text = fmt.Sprintf("%s waits for %s, but %s may not publish there: %s.", w.name(base.ClientID, base.User, ""), n.Topic,
			inside(w.name(n.ClientID, n.User, n.Remote)), w.Directory.Reason(n))
		f.Advice = w.onPurpose(n)
		w.proposeFor(&f, n)
		w.add(f)
	}
}

func (w *inquiry) proposeFor(f *Finding, n Denial) {
	if p, ok := w.Directory.Proposal(n); ok {
		f.set(p)
	}
}

func (f *Finding) propose(d *Directory, q Question) {
	// A narrowed filter is granted already: what is proposed is the right to all of it.
	u, ok := d.User(q.User)
	if !ok || u.System || u.FromSettings {
		return
	}
	if r, err := NewRule(Allow, ScopeSubscribe, q.Name).Normal(); err == nil && !strings.Contains(q.Name, "%") {
		s := d.snap.Load()
		with := newGrants(u.Name, append(slices.Clone(u.Rules), r), u.Roles, s.roles).done()
		if got := with.set(&broker.Identity{User: u.Name, ClientID: q.ClientID}).decide(broker.Subscribe, q.Name); got.Allow && !got.Narrowed {
			f.set(Proposal{u.Name, r})
		}
	}
}

func (f *Finding) set(p Proposal) {
	f.Proposal, f.ProposalUser = p.Rule.String(), p.User
	f.Advice = "If that is wanted, add the rule: " + f.Proposal
}

// users are those whose name was asked for.
func (w *inquiry) users(sessions []broker.SessionInfo) {
	if w.Directory.Elsewhere() {
		return
	}
	for _, u := range w.Directory.Users() {
		used := slices.ContainsFunc(sessions, func(s broker.SessionInfo) bool { return s.User == u.Name })
		if !w.is(u.Name) && !used {
			continue
		}
		of := Finding{User: u.Name}
		refused := slices.ContainsFunc(w.found, func(f Finding) bool { return f.User == u.Name && rank(f.Cause) == 0 })
		connected := slices.ContainsFunc(sessions, func(s broker.SessionInfo) bool { return s.User == u.Name })
		switch {
		case u.Disabled && !refused:
			of.Cause, of.Text = Cause(broker.UserDisabled), fmt.Sprintf("User %q is disabled and can't log in.", u.Name)
			of.Advice = refusalAdvice[broker.UserDisabled]
			w.add(of)
		case !u.System && !w.Directory.HasRules(u):
			of.Cause, of.Text = NoRights, fmt.Sprintf("User %q has no rights: no role with rules and no rules of its own.", u.Name)
			of.Advice = "Give it a role or rules, or let HearthMQ learn what the device does."
			w.add(of)
		case !connected && !refused && !slices.ContainsFunc(w.found, func(f Finding) bool { return f.User == u.Name && f.Cause == NotConnected }):
			of.Cause, of.Text = NotConnected, fmt.Sprintf("Nothing is connected as user %q, and nobody was refused under that name.", u.Name)
			of.Advice = "Look at the broker's address and port in the device's settings." + w.ports()
			w.add(of)
		}
	}
}

// nothing is what there is to say of a name that nobody has. A client that TLS turned
// away, or that was refused before it could say who it is, may be the one.
func (w *inquiry) nothing(about string) {
	w.add(Finding{
		Cause: NeverSeen, Text: fmt.Sprintf("HearthMQ has not heard of %q since it started: no client, user or address has that name.", about),
		Advice: "Look at the broker's address and port in the device's settings, and whether both are in the same network." + w.ports(),
	})
	if near := similar(about, w.knownNames()); near != "" {
		w.found[0].Near = near
		w.found[0].Advice = fmt.Sprintf("There is %q, though: was that meant?", near)
	}
	w.closed()
	slices.SortStableFunc(w.found, func(a, b Finding) int { return cmp.Compare(rank(a.Cause), rank(b.Cause)) })
	for _, n := range w.denials {
		if n.Action == "connect" && n.ClientID == "" && n.User == "" {
			w.add(Finding{
				Cause: Cause(n.Rule), Count: n.Count, Last: n.Last, Text: fmt.Sprintf("A client from %s was not let in before it said its name: %s.", n.Remote, n.Why()),
				Advice: w.advice(broker.Reason(n.Rule)),
			})
		}
	}
}
