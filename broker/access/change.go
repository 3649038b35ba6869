package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"hearthmq/broker"
)

// NewUser is what CreateUser needs to know. One of Password, Generate and Hash has to
// be given; a user without any password can log in by certificate only, where the
// settings say so, and is asked for with NoPassword.
type NewUser struct {
	Name       string
	Password   string
	Generate   bool   // make a password
	Hash       string // imported, any that ParseHash reads
	NoPassword bool
	Admin      bool
	Disabled   bool // may not log in for now
	Note       string
	Roles      []string
	Rules      []Rule
	Limits     broker.Limits
	Networks   []netip.Prefix // from which it may connect, nil: any
}

// CreateUser adds a user. generated is the password that was made, which can't be
// asked for again. What is wrong with n is a Problems with the keys name, password,
// note, roles, rules, limits, networks.
func (a *Accounts) CreateUser(ctx context.Context, n NewUser) (u User, generated string, err error) {
	rules, networks, p := n.check()
	if err := p.orNil(); err != nil {
		return User{}, "", err
	}
	u = User{
		Name:     n.Name,
		Admin:    n.Admin,
		Disabled: n.Disabled,
		Note:     n.Note,
		Roles:    normalRoles(n.Roles),
		Rules:    rules,
		Limits:   n.Limits,
		Networks: networks,
		Version:  newVersion(),
		Created:  now(),
	}
	u.Changed = u.Created
	switch {
	case n.NoPassword:
	case n.Hash != "":
		u.setHash(n.Hash)
	default:
		if generated, err = a.hashPassword(ctx, &u, n.Password, n.Generate); err != nil {
			return User{}, "", err
		}
	}
	err = a.change(ctx, func() (string, error) {
		if err := a.rolesExist(u.Roles); err != nil {
			return nobody, err
		}
		if other, ok := a.dir.User(u.Name); ok && other.FromSettings {
			return nobody, Problems{"name": "exists already, among the logins of the settings"}
		}
		_, err := a.repo.InsertUser(ctx, u, entry(ctx, "user created", u.Name, "", describeUser(u)))
		if errors.Is(err, ErrExists) {
			return nobody, Problems{"name": "exists already"}
		}
		return u.Name, err // who had the name until now was another Authenticator's user
	})
	if err != nil {
		return User{}, "", err
	}
	a.log.InfoContext(ctx, "user created", "user", u.Name, "actor", Actor(ctx))
	u, _ = a.dir.User(u.Name)
	return u, generated, nil
}

// CheckNewUser says what CreateUser would find wrong with n now, and adds nobody.
func (a *Accounts) CheckNewUser(n NewUser) error {
	_, _, p := n.check()
	if _, ok := a.dir.User(n.Name); ok {
		p["name"] = "exists already"
	}
	if err, ok := a.rolesExist(n.Roles).(Problems); ok {
		maps.Copy(p, err)
	}
	return p.orNil()
}

// check returns what is kept of rules and networks, and all that is wrong with n alone.
func (n *NewUser) check() (rules []Rule, networks []netip.Prefix, p Problems) {
	p = make(Problems)
	if text := ValidName(n.Name); text != "" {
		p["name"] = text
	}
	if text := validText(n.Note); text != "" {
		p["note"] = text
	}
	rules = normalRules(n.Rules, p)
	networks, err := normalNetworks(n.Networks)
	if err != nil {
		p["networks"] = err.Error()
	}
	checkLimits(n.Limits, p)
	n.checkPassword(p)
	return rules, networks, p
}

func (n *NewUser) checkPassword(p Problems) {
	ways := 0
	for _, given := range []bool{n.Password != "", n.Generate, n.Hash != "", n.NoPassword} {
		if given {
			ways++
		}
	}
	switch {
	case ways > 1:
		p["password"] = "either give a password or have one generated"
	case n.Generate, n.NoPassword:
	case n.Hash != "":
		if _, err := ParseHash(n.Hash); err != nil {
			p["password"] = err.Error()
		}
	default:
		if text := ValidPassword(n.Password); text != "" {
			p["password"] = text
		}
	}
}

// hashPassword sets u's password, waiting for a slot to hash in where it takes long.
func (a *Accounts) hashPassword(ctx context.Context, u *User, password string, generate bool) (generated string, err error) {
	if generate {
		generated = GeneratePassword()
		u.Kind, u.Hash = Generated, newSHA256(generated).String()
		return generated, nil
	}
	u.Kind = Chosen
	if u.Hash, err = a.dir.verifier.hashChosen(ctx, a.dir.reserve, password); err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return "", nil
}

// UserChange says what ChangeUser changes: everything that is not nil.
type UserChange struct {
	Revision int64 // of the user that the change was made from; 0: whatever it is
	Note     *string
	Admin    *bool
	Disabled *bool
	Roles    *[]string
	Rules    *[]Rule
	Limits   *broker.Limits // see broker.Broker.Revalidate for what follows at once
	Networks *[]netip.Prefix
}

// ChangeUser changes a user. ErrNotFound; ErrConflict when the user is not at the
// given Revision any more; Problems with the keys name, note, roles, rules, admin,
// disabled, limits, networks. Clients that are connected from elsewhere are disconnected.
func (a *Accounts) ChangeUser(ctx context.Context, name string, c UserChange) error {
	p := make(Problems)
	if c.Note != nil {
		if text := validText(*c.Note); text != "" {
			p["note"] = text
		}
	}
	var rules []Rule
	if c.Rules != nil {
		rules = normalRules(*c.Rules, p)
	}
	if c.Limits != nil {
		checkLimits(*c.Limits, p)
	}
	if c.Networks != nil {
		networks, err := normalNetworks(*c.Networks)
		if err != nil {
			p["networks"] = err.Error()
		}
		c.Networks = &networks
	}
	if err := p.orNil(); err != nil {
		return err
	}
	return a.change(ctx, func() (string, error) {
		old, err := a.changeable(name)
		if err != nil {
			return nobody, err
		}
		if c.Revision != 0 && c.Revision != old.Revision { // case W26
			return nobody, fmt.Errorf("user %q %w", name, ErrConflict)
		}
		u := old
		u.Changed = now()
		set(&u.Note, c.Note)
		set(&u.Admin, c.Admin)
		set(&u.Disabled, c.Disabled)
		set(&u.Limits, c.Limits)
		set(&u.Networks, c.Networks)
		if c.Rules != nil {
			u.Rules = rules
		}
		if c.Roles != nil {
			u.Roles = normalRoles(*c.Roles)
			if err := a.rolesExist(u.Roles); err != nil {
				return nobody, err
			}
		}
		if a.lastAdmin(old) && !isAdmin(u) {
			field := "admin"
			if u.Disabled {
				field = "disabled"
			}
			return nobody, Problems{field: "this is the last user who can use the admin"}
		}
		if u.Admin != old.Admin || u.Disabled != old.Disabled {
			u.Version++
		}
		err = a.repo.UpdateUser(ctx, u, entry(ctx, "user changed", name, describeUser(old), describeUser(u)))
		if err != nil {
			return nobody, err
		}
		a.log.InfoContext(ctx, "user changed", "user", name, "actor", Actor(ctx))
		return name, nil
	})
}

func set[T any](field *T, v *T) {
	if v != nil {
		*field = *v
	}
}

// SetPassword gives a user another password, or makes one, which it returns. Sessions
// that logged in with the old one end. ErrNotFound; Problems with the keys name, password.
func (a *Accounts) SetPassword(ctx context.Context, name, password string, generate bool) (generated string, err error) {
	if generate == (password != "") {
		return "", Problems{"password": "either give a password or have one generated"}
	}
	if !generate {
		if text := ValidPassword(password); text != "" {
			return "", Problems{"password": text}
		}
	}
	var h User
	if generated, err = a.hashPassword(ctx, &h, password, generate); err != nil {
		return "", err
	}
	err = a.change(ctx, func() (string, error) {
		u, err := a.changeable(name)
		if err != nil {
			return nobody, err
		}
		before := string(u.Kind)
		u.Kind, u.Hash = h.Kind, h.Hash
		u.Version++
		u.Changed = now()
		if err := a.repo.UpdateUser(ctx, u, entry(ctx, "password changed", name, before, string(u.Kind))); err != nil {
			return nobody, err
		}
		a.log.InfoContext(ctx, "password changed", "user", name, "actor", Actor(ctx))
		return name, nil
	})
	if err != nil {
		return "", err
	}
	return generated, nil
}

// DeleteUser removes a user; its sessions end. ErrNotFound; Problems with the key name.
func (a *Accounts) DeleteUser(ctx context.Context, name string) error {
	return a.change(ctx, func() (string, error) {
		u, err := a.changeable(name)
		if err != nil {
			return nobody, err
		}
		if a.lastAdmin(u) {
			return nobody, Problems{"name": "this is the last user who can use the admin"}
		}
		if err := a.repo.DeleteUser(ctx, u.ID, entry(ctx, "user deleted", name, describeUser(u), "")); err != nil {
			return nobody, err
		}
		a.log.InfoContext(ctx, "user deleted", "user", name, "actor", Actor(ctx))
		return name, nil
	})
}

// changeable finds a user that people may change. a.mu is held.
func (a *Accounts) changeable(name string) (User, error) {
	u, err := a.user(name)
	if err == nil && u.System {
		return User{}, Problems{"name": "is a system user, which Home Assistant needs as it is"}
	}
	return u, err
}

// rolesExist checks names of roles. a.mu is held.
func (a *Accounts) rolesExist(names []string) error {
	for _, name := range names {
		if _, err := a.role(name); err != nil {
			return Problems{"roles": fmt.Sprintf("there is no role %q", name)}
		}
	}
	return nil
}

// normalRoles sorts names of roles and drops repeated ones.
func normalRoles(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

// normalRules checks rules, with what is wrong under the key "rules".
func normalRules(rules []Rule, p Problems) []Rule {
	if len(rules) > MaxRules {
		p["rules"] = fmt.Sprintf("at most %d rules, these are %d; a role with a wider topic filter may do", MaxRules, len(rules))
		return nil
	}
	normal := make([]Rule, len(rules))
	for i, r := range rules {
		var err error
		if normal[i], err = r.Normal(); err != nil {
			p["rules"] = fmt.Sprintf("rule %d: %s", i+1, err)
			return nil
		}
		if name := normal[i].Listener; name != "" && !slices.Contains(ListenerNames, name) {
			p["rules"] = fmt.Sprintf("rule %d: there is no listener %q, only %s", i+1, name, strings.Join(ListenerNames, ", "))
			return nil
		}
	}
	return normal
}
