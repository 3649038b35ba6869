package access

import (
	"context"
	"fmt"
	"slices"
)

// Import is what comes from another broker at once: all of it or nothing.
type Import struct {
	Roles []Role // Name, Description and Rules count
	Users []NewUser
	// Anonymous are the rules of the role "anonymous", nil: as they are.
	Anonymous []Rule
	Source    string // what it came from, for the audit
}

// Imported tells what an Import came to. What was there already stays as it is, so
// that twice is the same as once.
type Imported struct {
	Users, UsersThere []string
	Roles, RolesThere []string
	Anonymous         bool // the role "anonymous" got its rules
	AnonymousKept     bool // it has other rules, which stay
}

// Import adds users and roles in one transaction. A user that exists is left alone,
// and so is a role with the same rules. Problems have the key of CreateUser or
// CreateRole, with the name in the text; nothing is imported then. A user without any
// password is refused.
func (a *Accounts) Import(ctx context.Context, im Import) (Imported, error) {
	roles, err := im.checkRoles()
	if err != nil {
		return Imported{}, err
	}
	users, err := a.prepareUsers(ctx, im.Users)
	if err != nil {
		return Imported{}, err
	}
	var done Imported
	err = a.change(ctx, func() (string, error) {
		done = Imported{}
		var newRoles []Role
		for _, r := range roles {
			if there, err := a.role(r.Name); err != nil {
				newRoles = append(newRoles, r)
				done.Roles = append(done.Roles, r.Name)
			} else if SameRules(there.Rules, r.Rules) {
				done.RolesThere = append(done.RolesThere, r.Name)
			} else {
				return nobody, Problems{"roles": fmt.Sprintf("there is a role %q with other rules", r.Name)}
			}
		}
		if im.Anonymous != nil {
			r, err := a.role(RoleAnonymous)
			switch {
			case err != nil:
				return nobody, err
			case SameRules(r.Rules, im.Anonymous):
			case len(r.Rules) > 0:
				done.AnonymousKept = true
			default:
				r.Rules, done.Anonymous = im.Anonymous, true
				newRoles = append(newRoles, r)
			}
		}
		var newUsers []User
		for _, u := range users {
			if _, ok := a.dir.User(u.Name); ok {
				done.UsersThere = append(done.UsersThere, u.Name)
				continue
			}
			for _, name := range u.Roles {
				if _, err := a.role(name); err != nil && !slices.Contains(done.Roles, name) {
					return nobody, Problems{"roles": fmt.Sprintf("user %q: there is no role %q", u.Name, name)}
				}
			}
			newUsers = append(newUsers, u)
			done.Users = append(done.Users, u.Name)
		}
		if len(newUsers)+len(newRoles) == 0 {
			return nobody, nil
		}
		e := entry(ctx, "accounts imported", im.Source, "", fmt.Sprintf("users: %s; roles: %s", list(done.Users), list(done.Roles)))
		if err := a.repo.ImportAccounts(ctx, newUsers, newRoles, e); err != nil {
			return nobody, err
		}
		a.log.InfoContext(ctx, "accounts imported", "users", len(newUsers), "roles", len(newRoles), "actor", Actor(ctx))
		return everybody, nil
	})
	if err != nil {
		return Imported{}, err
	}
	return done, nil
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d (%q)", len(names), names)
}

// checkRoles returns the roles with their rules in normal form, and brings those of
// Anonymous into it.
func (im *Import) checkRoles() ([]Role, error) {
	roles := make([]Role, 0, len(im.Roles))
	for _, r := range im.Roles {
		p := make(Problems)
		r = Role{Name: r.Name, Description: r.Description, Rules: normalRules(r.Rules, p)}
		if text := ValidName(r.Name); text != "" {
			p["name"] = text
		}
		if text := validText(r.Description); text != "" {
			p["description"] = text
		}
		if slices.ContainsFunc(roles, func(o Role) bool { return o.Name == r.Name }) {
			p["name"] = "stands there twice"
		}
		if err := p.orNil(); err != nil {
			return nil, p.of("role", r.Name)
		}
		roles = append(roles, r)
	}
	if im.Anonymous != nil {
		p := make(Problems)
		if im.Anonymous = normalRules(im.Anonymous, p); len(p) > 0 {
			return nil, p.of("role", RoleAnonymous)
		}
	}
	return roles, nil
}

// prepareUsers checks users and hashes their passwords, but for those that exist.
func (a *Accounts) prepareUsers(ctx context.Context, list []NewUser) ([]User, error) {
	users := make([]User, 0, len(list))
	seen := make(map[string]bool, len(list))
	for _, n := range list {
		p := make(Problems)
		u := User{Name: n.Name, Admin: n.Admin, Disabled: n.Disabled, Note: n.Note, Roles: normalRoles(n.Roles), Rules: normalRules(n.Rules, p), Version: newVersion(), Created: now()}
		u.Changed = u.Created
		if text := ValidName(n.Name); text != "" {
			p["name"] = text
		}
		if text := validText(n.Note); text != "" {
			p["note"] = text
		}
		if n.checkPassword(p); n.NoPassword || n.Generate {
			p["password"] = "an imported user needs its password"
		}
		if seen[n.Name] {
			p["name"] = "stands there twice"
		}
		seen[n.Name] = true
		if len(p) > 0 {
			return nil, p.of("user", n.Name)
		}
		if n.Hash != "" {
			u.setHash(n.Hash)
		} else if _, there := a.dir.User(n.Name); !there {
			if _, err := a.hashPassword(ctx, &u, n.Password, false); err != nil {
				return nil, err
			}
		}
		users = append(users, u)
	}
	return users, nil
}

// setHash takes over a hash that ParseHash reads.
func (u *User) setHash(text string) {
	h, _ := ParseHash(text) // was checked
	u.Hash, u.Kind = h.String(), Chosen
	if h.scheme == schemeSHA256 {
		u.Kind = Generated
	}
}

// of says whose problems they are.
func (p Problems) of(what, name string) error {
	for key, text := range p {
		p[key] = fmt.Sprintf("%s %q: %s", what, name, text)
	}
	return p
}

// SameRules reports whether two lists hold the same rules in the same order.
func SameRules(a, b []Rule) bool {
	return slices.EqualFunc(a, b, func(x, y Rule) bool { x.ID, y.ID = 0, 0; return x == y })
}

// ImportAccounts implements Repository.
func (m *MemoryRepository) ImportAccounts(_ context.Context, users []User, roles []Role, e AuditEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make(map[string]bool)
	for _, r := range roles {
		old, ok := m.roles[r.ID]
		switch {
		case r.ID == 0 && (m.roleNamed(r.Name) != 0 || names[r.Name]):
			return fmt.Errorf("role %q %w", r.Name, ErrExists)
		case r.ID == 0:
			names[r.Name] = true
		case !ok:
			return fmt.Errorf("role %q %w", r.Name, ErrNotFound)
		case old.Revision != r.Revision:
			return fmt.Errorf("role %q %w", r.Name, ErrConflict)
		}
	}
	taken := make(map[string]bool)
	for _, u := range users {
		if m.userNamed(u.Name) != 0 || taken[u.Name] {
			return fmt.Errorf("user %q %w", u.Name, ErrExists)
		}
		taken[u.Name] = true
		for _, name := range u.Roles {
			if err := m.rolesExist([]string{name}); err != nil && !names[name] {
				return err
			}
		}
	}
	for _, r := range roles {
		if r.Revision++; r.ID == 0 {
			r.ID, r.Revision = m.nextID(), 1
		}
		r.Rules = m.number(r.Rules)
		m.roles[r.ID] = r
	}
	for _, u := range users {
		u.ID, u.Revision = m.nextID(), 1
		m.putUser(u)
	}
	m.note(e)
	return nil
}
