package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"
)

// Revalidator is told that somebody's rights changed; "" stands for everybody.
// *broker.Broker is one.
type Revalidator interface{ Revalidate(user string) }

// Accounts is the only way to change users, roles and rules: it checks what is asked,
// hashes passwords, stores the change with its audit row, puts the Directory's new
// snapshot in place and has sessions looked at again. Safe for concurrent use; changes
// happen one after the other.
type Accounts struct {
	repo Repository
	dir  *Directory
	log  *slog.Logger

	mu          sync.Mutex // held during a change, over calls of the repository
	revalidator Revalidator
	data        *Data // what the Directory's snapshot was made of
	version     int64 // DataVersion before data was loaded
	stale       bool  // data is older than what we stored ourselves

	learner  *learner
	sessions Sessions // of those who are learnt from; nil: nobody's
	follower follower
}

// NewAccounts returns the service; Open or Load has to be called before anything else.
// r may be nil and set later, log may be nil.
func NewAccounts(repo Repository, d *Directory, r Revalidator, log *slog.Logger) *Accounts {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Accounts{repo: repo, dir: d, revalidator: r, log: log, data: new(Data), learner: new(learner)}
}

// SetRevalidator says who is told of changed rights from now on.
func (a *Accounts) SetRevalidator(r Revalidator) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revalidator = r
}

// SetSessions says where the subscriptions and wills are of users that are learnt from.
func (a *Accounts) SetSessions(s Sessions) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions = s
}

// Load reads what is stored and changes nothing: for commands beside a running server,
// which do what they do with the other methods.
func (a *Accounts) Load(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.load(ctx)
}

// Refresh stores what logins brought up (better hashes), watches those who are to be
// learnt from, and reloads when another
// process has changed the data. It is cheap and meant to be called twice a second, by Follow.
// When loading fails the last good snapshot stays (case A13).
func (a *Accounts) Refresh(ctx context.Context) (changed bool, err error) {
	if err := a.storeUpgrades(ctx); err != nil {
		return false, err
	}
	a.mu.Lock()
	changed, err = a.refresh(ctx)
	turned := a.dir.learningTurned()
	if turned {
		a.dir.swap(a.data)
	}
	a.mu.Unlock()
	if changed || turned {
		a.revalidate("")
	}
	return changed, errors.Join(err, a.watch(ctx, false))
}

// refresh reloads when the data is not what it was. a.mu is held.
func (a *Accounts) refresh(ctx context.Context) (changed bool, err error) {
	version, err := a.repo.DataVersion(ctx)
	if err != nil {
		return false, fmt.Errorf("look for changed users: %w", err)
	}
	if version == a.version && !a.stale {
		return false, nil
	}
	old := a.data
	if err := a.load(ctx); err != nil {
		return false, err
	}
	return !reflect.DeepEqual(old, a.data), nil
}

// load reads everything and swaps the snapshot if it is another. a.mu is held.
func (a *Accounts) load(ctx context.Context) error {
	a.stale = true
	// In this order: what is changed in between is loaded again next time.
	version, err := a.repo.DataVersion(ctx)
	if err != nil {
		return fmt.Errorf("load users: %w", err)
	}
	data, err := a.repo.Load(ctx)
	if err != nil {
		return fmt.Errorf("load users: %w", err)
	}
	if a.version, a.stale = version, false; !reflect.DeepEqual(data, a.data) {
		a.data = data
		a.dir.swap(data)
	}
	return nil
}

func (a *Accounts) revalidate(user string) {
	a.mu.Lock()
	r := a.revalidator
	a.mu.Unlock()
	if r != nil {
		r.Revalidate(user)
	}
}

// change runs one change on fresh data, then loads its result. Whom do returns is
// looked at again: a user, or everybody, or nobody.
func (a *Accounts) change(ctx context.Context, do func() (whom string, err error)) error {
	whom, err := a.changeLocked(ctx, do)
	switch whom {
	case nobody:
	case everybody:
		a.revalidate("")
	default:
		a.revalidate(whom)
	}
	return err
}

func (a *Accounts) changeLocked(ctx context.Context, do func() (whom string, err error)) (whom string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	changed, err := a.refresh(ctx)
	if err != nil {
		return nobody, err
	}
	whom, err = do()
	if err == nil {
		// The change is stored: that the caller goes away must not keep it from working.
		err = a.load(context.WithoutCancel(ctx))
	}
	if changed {
		whom = everybody
	}
	return whom, err
}

// Neither is a user's name.
const nobody, everybody = "", "#"

// user finds a stored user. a.mu is held.
func (a *Accounts) user(name string) (User, error) {
	i := slices.IndexFunc(a.data.Users, func(u User) bool { return u.Name == name })
	if i < 0 {
		if u, ok := a.dir.User(name); ok && u.FromSettings {
			return User{}, Problems{"name": "is one of the logins of the settings and is changed there"}
		}
		return User{}, fmt.Errorf("user %q %w", name, ErrNotFound)
	}
	return a.data.Users[i], nil
}

// role finds a role. a.mu is held.
func (a *Accounts) role(name string) (Role, error) {
	i := slices.IndexFunc(a.data.Roles, func(r Role) bool { return r.Name == name })
	if i < 0 {
		return Role{}, fmt.Errorf("role %q %w", name, ErrNotFound)
	}
	return a.data.Roles[i], nil
}

// HasAdmin reports whether some user can log in to the web admin.
func (a *Accounts) HasAdmin() bool {
	return slices.ContainsFunc(a.dir.Users(), isAdmin)
}

func isAdmin(u User) bool { return u.Admin && !u.Disabled && u.Kind != NoPassword }

// lastAdmin reports whether u is the only one who can log in to the admin. a.mu is held.
func (a *Accounts) lastAdmin(u User) bool {
	return isAdmin(u) && !slices.ContainsFunc(a.data.Users, func(o User) bool { return o.ID != u.ID && isAdmin(o) })
}

// SystemPassword returns the clear password of a system user, for the Supervisor
// client alone.
func (a *Accounts) SystemPassword(name string) (password string, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, err := a.user(name)
	if err != nil || !u.System || u.Secret == "" {
		return "", false
	}
	return u.Secret, true
}

// storeUpgrades stores the Argon2id hashes of passwords that were proven against an
// older kind of hash. Nobody has to log in again for it.
func (a *Accounts) storeUpgrades(ctx context.Context) error {
	list := a.dir.verifier.takeUpgrades()
	if len(list) == 0 {
		return nil
	}
	ctx = WithActor(ctx, ViaSelf, "")
	return a.change(ctx, func() (string, error) {
		for _, up := range list {
			u, err := a.user(up.user.Name)
			if err != nil || u.ID != up.user.ID || u.Version != up.user.Version || u.Hash != up.user.Hash {
				continue // changed since: the next login will tell
			}
			u.Hash = up.hash
			if err := a.repo.UpdateUser(ctx, u, entry(ctx, "password hash renewed", u.Name, "", "")); err != nil {
				return "", fmt.Errorf("renew the password hash of %s: %w", u, err)
			}
		}
		return "", nil
	})
}

// now is the time as repositories keep it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
