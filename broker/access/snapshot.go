package access

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// snapshot is everything that the Directory knows at one moment. Immutable.
type snapshot struct {
	generation uint64
	data       *Data
	accounts   map[string]*account
	roles      map[string]*Role
	users      []User // sorted by name, without secrets
	anonymous  *grants
	outsiders  *outsiders
	classes    *topic.Classes
	sorts      []Hash // what a wrong password is verified against; see Hash.amongSorts
	made       time.Time
}

// account is a user ready for questions.
type account struct {
	User
	hash   Hash                // slow to verify; zero: none
	quick  func(p []byte) bool // verifies at once; then hash is not looked at
	grants *grants
	open   string // why the user may do everything for now, "": it may not
}

// newSnapshot compiles data. Users of the settings come on top, where no stored user
// has the name.
func newSnapshot(generation uint64, data *Data, p *Policy, logins []*account, epochs *atomic.Uint64) *snapshot {
	s := &snapshot{
		generation: generation,
		data:       data,
		made:       time.Now().Round(0), // by the clock that people set
		accounts:   make(map[string]*account, len(data.Users)+len(logins)),
		roles:      make(map[string]*Role, len(data.Roles)),
		classes:    topic.NewClasses(epochs),
	}
	for i := range data.Roles {
		s.roles[data.Roles[i].Name] = &data.Roles[i]
	}
	for _, u := range data.Users {
		a := &account{User: u}
		// A hash that can't be read lets nobody in (case A14).
		a.hash, _ = ParseHash(u.Hash)
		switch {
		case u.Kind == NoPassword:
			a.hash = Hash{}
		case a.hash.scheme == schemeSHA256:
			a.quick = a.hash.Matches
		}
		s.learn(a, s.made)
		s.add(a)
	}
	for _, login := range logins {
		if s.accounts[login.Name] == nil {
			a := *login
			s.add(&a)
		}
	}
	slices.SortFunc(s.users, func(a, b User) int { return cmp.Compare(a.Name, b.Name) })
	s.sorts = costliestSorts(s.sorts)
	s.outsiders = &outsiders{roles: s.roles, standard: p.OutsideRoles, cache: newLRU[outsider, *grants](maxOutsiders)}
	s.anonymous = anonymousGrants(p.Anonymous, s.roles)
	return s
}

// learn opens everything to a user who is watched that way, until the time is over.
func (s *snapshot) learn(a *account, now time.Time) {
	for _, l := range s.data.Learning {
		if l.UserID == a.ID && l.Open && l.Running(now) {
			a.open = "learning until " + l.Until.Local().Format("2006-01-02 15:04")
		}
	}
}

// learningTurned reports whether somebody's learning with everything open runs now that
// did not when the snapshot was made, or the other way round.
func (s *snapshot) learningTurned(now time.Time) bool {
	return slices.ContainsFunc(s.data.Learning, func(l Learning) bool { return l.Open && l.Running(now) != l.Running(s.made) })
}

func (s *snapshot) add(a *account) {
	a.grants = newGrants(a.Name, a.Rules, a.Roles, s.roles)
	for _, name := range a.Roles {
		if s.roles[name] == nil { // what it denied can't be known (case A13)
			a.grants.add([]Rule{NewRule(Deny, ScopeBoth, "#")}, "role "+name+", which can't be read")
		}
	}
	if a.open != "" {
		a.grants.add([]Rule{NewRule(Allow, ScopeBoth, "#")}, a.open)
	}
	a.grants.extra = []compiled{readSys}
	if a.Admin {
		a.grants.extra = append(a.grants.extra, readControl)
	}
	a.grants.done()
	s.accounts[a.Name] = a
	s.users = append(s.users, a.public())
	if a.quick == nil && a.hash.scheme != 0 {
		s.sorts = a.hash.amongSorts(s.sorts)
	}
}

// anonymousGrants are the rights of who has no user name; nil: none are let in.
func anonymousGrants(policy string, roles map[string]*Role) *grants {
	switch policy {
	case AnonymousRestricted:
		return newGrants("", nil, []string{RoleAnonymous}, roles).done()
	case AnonymousFull:
		full := NewRule(Allow, ScopeBoth, "#")
		g := &grants{rules: []grant{{full, "anonymous access is full (settings)"}}, extra: []compiled{readSys}}
		return g.done()
	}
	return nil
}

// grantsOf finds the rights of an identity, or says why it has none.
func (s *snapshot) grantsOf(id *broker.Identity) (*grants, string) {
	if id.User == "" {
		if s.anonymous == nil {
			return nil, textAnonymousOff
		}
		return s.anonymous, ""
	}
	a := s.accounts[id.User]
	switch {
	case a == nil:
		if g := s.outsiders.grants(id); g != nil {
			return g, ""
		}
		return nil, textNoUser
	case a.Disabled:
		return nil, textDisabled
	}
	return a.grants, ""
}

func (s *snapshot) roleList() []Role {
	return slices.SortedFunc(func(yield func(Role) bool) {
		for r := range maps.Values(s.roles) {
			if !yield(*r) {
				return
			}
		}
	}, func(a, b Role) int { return cmp.Compare(a.Name, b.Name) })
}

// outsiders caches the rights of users whom another Authenticator let in, such as
// those of Home Assistant.
type outsiders struct {
	roles    map[string]*Role
	standard []string // roles of an identity that names none, as after a restart
	mu       sync.Mutex
	cache    *lru[outsider, *grants]
}

type outsider struct{ user, roles string }

const maxOutsiders = 256

// rolesOf returns nil for an identity that is no outsider's: who had an account of
// ours has a version of it, or had one before the restart.
func (o *outsiders) rolesOf(id *broker.Identity) []string {
	switch {
	case id.Version != 0 || id.HadAccount:
		return nil
	case len(id.Roles) > 0:
		return id.Roles
	}
	return o.standard
}

func (o *outsiders) grants(id *broker.Identity) *grants {
	roles := o.rolesOf(id)
	if len(roles) == 0 {
		return nil
	}
	key := outsider{id.User, roles[0]}
	if len(roles) > 1 {
		key.roles = strings.Join(roles, "\x00")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	g, ok := o.cache.get(key)
	if !ok {
		g = newGrants(id.User, nil, roles, o.roles)
		g.extra = []compiled{readSys}
		g.done()
		o.cache.put(key, g)
	}
	return g
}
