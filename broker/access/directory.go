package access

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// AccountChanged is the Reason of a session that ends because its user's password or
// standing was changed: logging in again may help.
const AccountChanged broker.Reason = "the user's password or standing was changed"

// reserveQueue bounds the logins to the admin that may wait.
const reserveQueue = 32

// Directory knows all users, roles and rules, and answers the broker: it implements
// broker.Authenticator, broker.Authorizer, broker.AnywhereAuthorizer and broker.Reviewer. What it knows is an
// immutable snapshot; Accounts puts a new one in place after each change. Safe for
// concurrent use, and a question about rights never waits for anything but another
// such question.
type Directory struct {
	policy   Policy
	logins   []*account // of the settings
	warnings []string   // about the logins, for Accounts.Open to log

	verifier *verifier
	gate     *gate // for MQTT
	reserve  *gate // for the admin: a flood of MQTT logins must not keep the owner out
	throttle *throttle
	doorman  *throttle // the admin's

	snap   atomic.Pointer[snapshot]
	epochs atomic.Uint64 // of classes, over all snapshots
	mu     sync.Mutex    // serialises swap
}

var (
	_ broker.Authenticator = (*Directory)(nil)
	_ broker.Authorizer    = (*Directory)(nil)

	_ broker.AnywhereAuthorizer = (*Directory)(nil)

	_ broker.Reviewer = (*Directory)(nil)
)

// NewDirectory returns a Directory that knows the users of the settings and nothing
// else; nobody has a right until Accounts.Open or Accounts.Load has filled it.
func NewDirectory(p Policy) *Directory {
	h := p.Hashing.withDefaults()
	d := &Directory{
		policy:   p,
		verifier: newVerifier(h.Cost),
		gate:     newGate(h.Workers, h.Queue),
		reserve:  newGate(1, reserveQueue),
		throttle: newThrottle(),
		doorman:  newThrottle(),
	}
	d.verifier.keep = p.KeepHashes
	d.logins, d.warnings = compileLogins(p.Logins)
	d.policy.Logins = nil // the clear passwords are needed no more
	d.swap(new(Data))
	return d
}

// swap puts a new snapshot in place. data must not be changed afterwards.
func (d *Directory) swap(data *Data) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var generation uint64 = 1
	if old := d.snap.Load(); old != nil {
		generation = old.generation + 1
	}
	d.snap.Store(newSnapshot(generation, data, &d.policy, d.logins, &d.epochs))
}

// Generation implements broker.Authorizer: it grows with each change of any right.
func (d *Directory) Generation() uint64 { return d.snap.Load().generation }

// Elsewhere reports whether the broker goes by somebody else's users and rights, see Policy.
func (d *Directory) Elsewhere() bool { return d.policy.Elsewhere }

// Authorize implements broker.Authorizer. name is a Topic Name, or with
// broker.Subscribe a Topic Filter without its $share part (case A5). Publish and
// Receive do not allocate once the client's rules are compiled; Subscribe may take some
// milliseconds where rules are many and entangled.
func (d *Directory) Authorize(id *broker.Identity, act broker.Action, name string) broker.Decision {
	if act == broker.Publish {
		if text := reserved(name); text != "" {
			return denied(text)
		}
	}
	if id == nil {
		return denied(textNoIdentity)
	}
	if id.System {
		return broker.Decision{Allow: true, MaxQoS: 2, Rule: broker.RuleRef{Text: textSystem}}
	}
	s := d.snap.Load()
	if id.User == "" && !d.policy.anonymousOn(id.Listener) {
		return denied(d.policy.anonymousOff(id.Listener))
	}
	g, text := s.grantsOf(id)
	if g == nil {
		return denied(text)
	}
	set := g.set(id)
	if act == broker.Receive {
		s.classify(set)
	}
	return set.decide(act, name)
}

// AuthorizeAnywhere implements broker.AnywhereAuthorizer. Rules for single listeners and
// networks count where they allow and not where they deny: the client might come from
// elsewhere. Who is disabled or deleted may nothing; a user of a token whose roles nobody
// knows any more can't be judged, and may.
func (d *Directory) AuthorizeAnywhere(id *broker.Identity, act broker.Action, name string) broker.Decision {
	s := d.snap.Load()
	a := s.accounts[id.User]
	if a == nil && id.System || a != nil && a.System {
		return broker.Decision{Allow: true, MaxQoS: 2, Rule: broker.RuleRef{Text: textSystem}}
	}
	g, text := s.grantsOf(id)
	switch {
	case g != nil:
		return g.anywhere(id.ClientID).decide(act, name)
	case a == nil && d.ofToken(id):
		return broker.Decision{Allow: true, MaxQoS: 2, Rule: broker.RuleRef{Text: textTokenUser}}
	}
	return denied(text)
}

// ofToken reports whether somebody who is none of ours may be a user of a token, of whom
// no roles are known after a restart.
func (d *Directory) ofToken(id *broker.Identity) bool {
	return d.policy.Tokens && id.User != "" && id.Version == 0 && !id.HadAccount
}

// Review implements broker.Reviewer: it reports whether who logged in as id may still
// be here, and if not, why (case A9).
func (d *Directory) Review(id *broker.Identity) (stands bool, reason broker.Reason) {
	s := d.snap.Load()
	a := s.accounts[id.User]
	switch {
	case id.User == "":
		if id.System || d.policy.anonymousOn(id.Listener) {
			return true, ""
		}
		return false, broker.AnonymousOff
	case a == nil:
		if id.System && id.Version == 0 || len(s.outsiders.rolesOf(id)) > 0 || d.ofToken(id) {
			return true, "" // a part of the broker, or somebody else's user
		}
		return false, broker.UnknownUser
	case a.Disabled:
		return false, broker.UserDisabled
	case id.Version == 0 && len(id.Roles) == 0: // restored from the store, not logged in since
	case id.Version != 0 && !sameAccount(id.Version, a.Version):
		return false, broker.UnknownUser // that one was deleted; another has its name
	case id.Version != a.Version: // or somebody else's user whose name is ours now
		return false, AccountChanged
	case !a.mayComeFrom(id.Remote.Addr()):
		return false, broker.NetworkNotAllowed
	}
	return true, ""
}

// LimitsOf is what a user of ours may take now. It implements broker.Limiter.
func (d *Directory) LimitsOf(id *broker.Identity) (l broker.Limits, system, known bool) {
	a := d.snap.Load().accounts[id.User]
	if a == nil || id.User == "" {
		return broker.Limits{}, false, false
	}
	return a.Limits, a.System, true
}

// learningTurned reports whether somebody has rights by learning whose time is over, or
// has them not whose time goes on.
func (d *Directory) learningTurned() bool { return d.snap.Load().learningTurned(time.Now().Round(0)) }

// User returns the user of that name, without secrets.
func (d *Directory) User(name string) (User, bool) {
	a := d.snap.Load().accounts[name]
	if a == nil {
		return User{}, false
	}
	return a.public(), true
}

// Users returns all users by name, without secrets. The slice and the lists in it are
// shared and must not be changed.
func (d *Directory) Users() []User { return slices.Clip(d.snap.Load().users) }

// Role returns the role of that name. Its rules must not be changed.
func (d *Directory) Role(name string) (Role, bool) {
	r := d.snap.Load().roles[name]
	if r == nil {
		return Role{}, false
	}
	return *r, true
}

// HasRules reports whether a user has rules, of its own or by a role.
func (d *Directory) HasRules(u User) bool {
	return len(u.Rules) > 0 || slices.ContainsFunc(u.Roles, func(name string) bool {
		r, ok := d.Role(name)
		return ok && len(r.Rules) > 0
	})
}

// Roles returns all roles by name. Their rules must not be changed.
func (d *Directory) Roles() []Role { return d.snap.Load().roleList() }

// Question is what an owner asks: may this user do that?
type Question struct {
	User     string // "": a client without a user name
	ClientID string
	Action   broker.Action
	Name     string // Topic Name; with Subscribe a Topic Filter, with or without $share/…/
	Listener string
	Remote   netip.Addr
}

// ErrElsewhere is for who asks Check where it has no say (see Policy.Elsewhere).
var ErrElsewhere = errors.New("HearthMQ runs with a mosquitto.conf, whose files say who may do what; its own users and rules decide nothing")

// Check answers as Authorize would for a client that came in like this. It also says
// what is wrong with the question.
func (d *Directory) Check(q Question) broker.Decision {
	id := &broker.Identity{
		ClientID: q.ClientID,
		User:     q.User,
		Listener: q.Listener,
		Remote:   netip.AddrPortFrom(q.Remote, 0),
	}
	if q.User != "" {
		a := d.snap.Load().accounts[q.User]
		if a == nil {
			return denied(fmt.Sprintf("there is no user %q", q.User))
		}
		id.Version, id.System = a.Version, a.System
		switch {
		case a.Disabled:
			return denied(textDisabled)
		case q.Remote.IsValid() && !a.mayComeFrom(q.Remote):
			return denied(a.fromOnly())
		}
	} else if !d.policy.anonymousOn(q.Listener) {
		return denied(d.policy.anonymousOff(q.Listener))
	}
	name, valid := q.Name, topic.ValidName
	if q.Action == broker.Subscribe {
		valid = topic.ValidFilter
		_, filter, shared, err := topic.ParseShare(name)
		switch {
		case err != nil:
			return denied(err.Error())
		case shared:
			name = filter
		}
	}
	if err := valid(name); err != nil {
		return denied(err.Error())
	}
	here := d.Authorize(id, q.Action, name)
	if here.Allow || here.Rule.Text != textNoRule {
		return here
	}
	if there := d.AuthorizeAnywhere(id, q.Action, name); there.Allow {
		return denied(textNoRule + ": " + there.Rule.Text + " needs another listener or network")
	}
	return here
}
