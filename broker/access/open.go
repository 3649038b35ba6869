package access

import (
	"context"
	"errors"
	"fmt"
)

// builtinRoles are there from the first start on.
func builtinRoles() []Role {
	return []Role{
		{
			Name: RoleEverything, Builtin: true, Description: "May publish and subscribe to every topic.",
			Rules: []Rule{NewRule(Allow, ScopeBoth, "#")},
		},
		{
			Name: RoleReadOnly, Builtin: true, Description: "May subscribe to every topic and publish to none.",
			Rules: []Rule{NewRule(Allow, ScopeSubscribe, "#")},
		},
		{
			Name: RoleAnonymous, Builtin: true,
			Description: "What clients without a user name may do while anonymous access is restricted.",
		},
	}
}

// Open loads everything and makes what has to be there: the built-in roles and the
// system users with passwords that stay the same for ever. It logs which logins of the
// settings are left out. Another process may do the same at the same time.
func (a *Accounts) Open(ctx context.Context) error {
	ctx = WithActor(ctx, ViaSelf, "")
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.load(ctx); err != nil {
		return err
	}
	for _, r := range builtinRoles() {
		if _, err := a.role(r.Name); err == nil {
			continue
		}
		if _, err := a.repo.InsertRole(ctx, r, entry(ctx, "role created", r.Name, "", describeRole(r))); err != nil && !errors.Is(err, ErrExists) {
			return fmt.Errorf("create the role %q: %w", r.Name, err)
		}
	}
	for _, name := range []string{HomeAssistantUser, AddonsUser} {
		if err := a.ensureSystemUser(ctx, name); err != nil {
			return err
		}
	}
	if err := a.load(ctx); err != nil {
		return err
	}
	for _, w := range a.dir.warnings {
		a.log.WarnContext(ctx, w)
	}
	for _, login := range a.dir.logins {
		if u, err := a.user(login.Name); err == nil {
			a.log.WarnContext(ctx, "logins: the user of this name that was made in the admin counts, the one of the settings does not",
				"user", u.Name)
		}
	}
	return nil
}

// ensureSystemUser makes the system user, or repairs it. a.mu is held.
func (a *Accounts) ensureSystemUser(ctx context.Context, name string) error {
	u, err := a.user(name)
	exists := err == nil
	if exists && u.System && !u.Disabled && u.Secret != "" {
		if h, err := ParseHash(u.Hash); err == nil && h.Matches([]byte(u.Secret)) {
			return nil
		}
	}
	if !exists {
		u = User{Name: name, Created: now(), Version: newVersion()}
	}
	before := describeUser(u)
	u.System, u.Disabled, u.Admin = true, false, false
	u.Kind = Generated
	if u.Secret == "" {
		u.Secret = GeneratePassword()
	}
	u.Hash = newSHA256(u.Secret).String()
	u.Version++
	u.Changed = now()
	u.Note = "Home Assistant itself logs in with this user."
	if name == AddonsUser {
		u.Note = "Home Assistant's apps log in with this user."
	}
	if exists {
		err = a.repo.UpdateUser(ctx, u, entry(ctx, "system user repaired", name, before, describeUser(u)))
	} else {
		_, err = a.repo.InsertUser(ctx, u, entry(ctx, "system user created", name, "", ""))
	}
	if err != nil && !errors.Is(err, ErrExists) && !errors.Is(err, ErrConflict) {
		return fmt.Errorf("set up the system user %q: %w", name, err)
	}
	return nil
}
