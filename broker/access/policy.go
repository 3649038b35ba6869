package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// Values of Policy.Anonymous.
const (
	AnonymousOff        = "off"        // also ""
	AnonymousRestricted = "restricted" // what the role "anonymous" allows
	AnonymousFull       = "full"       // everything
)

// Policy is what the settings say about access. It holds while the process runs.
type Policy struct {
	// Anonymous says what happens to clients without a user name: off, restricted, full.
	Anonymous string
	// AnonymousListeners names the listeners that let them in; empty: all (case A21).
	AnonymousListeners []string
	// OutsideRoles are the roles of users whom another Authenticator lets in, such as
	// those of Home Assistant (see Chain); nil: there are no such users.
	OutsideRoles []string
	// Tokens says that tokens may name users who are not known here (see WebTokens).
	Tokens bool
	// Logins are users that live in the settings.
	Logins []Login
	// KeepHashes leaves password hashes as they are, whatever kind they are of: they
	// belong to a file that others read, too.
	KeepHashes bool
	// Elsewhere says that the broker goes by somebody else's users and rights, such as those
	// of Mosquitto's files: who has the name of a user of ours is not that user.
	Elsewhere bool
	// Hashing bounds what checking passwords may cost.
	Hashing Hashing
}

// anonymousOn reports whether clients without a user name may come by a listener. "" is
// one that is not known, as of a session that was imported: there may be one for it.
func (p *Policy) anonymousOn(listener string) bool {
	return p.anonymousSomewhere() && (len(p.AnonymousListeners) == 0 || listener == "" || slices.Contains(p.AnonymousListeners, listener))
}

func (p *Policy) anonymousSomewhere() bool {
	return p.Anonymous == AnonymousRestricted || p.Anonymous == AnonymousFull
}

// anonymousOff says that clients without a user name may not come by a listener.
func (p *Policy) anonymousOff(listener string) string {
	if at := p.anonymousElsewhere(listener); at != nil {
		return textAnonymousOff + ": " + at.Error()
	}
	return textAnonymousOff
}

// anonymousElsewhere says by which listeners they may come instead, nil: by none.
func (p *Policy) anonymousElsewhere(listener string) error {
	if !p.anonymousSomewhere() {
		return nil
	}
	return fmt.Errorf("it came by %s, and anonymous_listeners has %s alone", listener, strings.Join(p.AnonymousListeners, ", "))
}

// Login is a user of the settings, with the role "everything", as Mosquitto's app has it.
type Login struct {
	Username  string
	Password  string // in clear, or a hash that ParseHash reads when PreHashed
	PreHashed bool
}

// Hashing bounds what checking passwords may cost. Zero fields mean the defaults.
type Hashing struct {
	Workers int // hashes at a time, at most 2: as many as there are cores
	Queue   int // logins that may wait: 1000
	Cost    Cost
}

func (h Hashing) withDefaults() Hashing {
	if h.Workers <= 0 {
		h.Workers = runtime.GOMAXPROCS(0)
	}
	h.Workers = min(max(h.Workers, 1), 2)
	if h.Queue <= 0 {
		h.Queue = 1000
	}
	if h.Cost == (Cost{}) {
		h.Cost = DefaultCost
	}
	return h
}

// compileLogins makes accounts of the settings' logins. A clear password is kept as
// its HMAC under a key of this process: it stands in the settings anyway, and checking
// it so takes no time. warnings tell which logins are left out, and why; no secret in them.
func compileLogins(logins []Login) (accounts []*account, warnings []string) {
	key := randomBytes(32)
	sign := func(password []byte) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write(password)
		return mac.Sum(nil)
	}
	taken := make(map[string]bool)
	for i, l := range logins {
		a := &account{User: User{
			ID:           -int64(i) - 1,
			Name:         l.Username,
			Kind:         Chosen,
			FromSettings: true,
			Roles:        []string{RoleEverything},
			Version:      newVersion(),
		}}
		problem := ValidName(l.Username)
		switch {
		case problem != "":
		case slices.Contains([]string{HomeAssistantUser, AddonsUser}, l.Username):
			problem = "the name is reserved for a system user"
		case taken[l.Username]:
			problem = "the user stands there twice"
		case l.PreHashed:
			var err error
			if a.hash, err = ParseHash(l.Password); err != nil {
				problem = "password: " + err.Error()
			}
			a.Hash = a.hash.String()
			if a.hash.scheme == schemeSHA256 {
				a.quick = a.hash.Matches
			}
		default:
			problem = ValidJSONPassword(l.Password)
			want := sign([]byte(l.Password))
			a.quick = func(password []byte) bool { return hmac.Equal(sign(password), want) }
		}
		if problem != "" { // case A14
			warnings = append(warnings, fmt.Sprintf("logins: user %q is left out: %s", l.Username, problem))
			continue
		}
		taken[l.Username] = true
		accounts = append(accounts, a)
	}
	return accounts, warnings
}
