package access

import (
	"context"
	"errors"
	"fmt"
)

// CreateRole adds a role. Problems with the keys name, description, rules.
func (a *Accounts) CreateRole(ctx context.Context, name, description string, rules []Rule) error {
	p := make(Problems)
	if text := ValidName(name); text != "" {
		p["name"] = text
	}
	r := Role{Name: name, Description: description, Rules: normalRules(rules, p)}
	if text := validText(description); text != "" {
		p["description"] = text
	}
	if err := p.orNil(); err != nil {
		return err
	}
	return a.change(ctx, func() (string, error) {
		_, err := a.repo.InsertRole(ctx, r, entry(ctx, "role created", name, "", describeRole(r)))
		switch {
		case errors.Is(err, ErrExists):
			return nobody, Problems{"name": "exists already"}
		case err != nil:
			return nobody, err
		}
		a.log.InfoContext(ctx, "role created", "role", name, "actor", Actor(ctx))
		return nobody, nil
	})
}

// ChangeRole gives a role another description and other rules. revision is that of the
// role the change was made from; 0: whatever it is. ErrNotFound; ErrConflict; Problems
// with the keys name, description, rules. Of the built-in roles only "anonymous" can
// be changed.
func (a *Accounts) ChangeRole(ctx context.Context, name string, revision int64, description string, rules []Rule) error {
	p := make(Problems)
	rules = normalRules(rules, p)
	if text := validText(description); text != "" {
		p["description"] = text
	}
	if err := p.orNil(); err != nil {
		return err
	}
	return a.change(ctx, func() (string, error) {
		old, err := a.role(name)
		switch {
		case err != nil:
			return nobody, err
		case old.Builtin && name != RoleAnonymous:
			return nobody, Problems{"name": "is a built-in role and stays as it is; make another one"}
		case revision != 0 && revision != old.Revision: // case W26
			return nobody, fmt.Errorf("role %q %w", name, ErrConflict)
		}
		r := old
		r.Description, r.Rules = description, rules
		if err := a.repo.UpdateRole(ctx, r, entry(ctx, "role changed", name, describeRole(old), describeRole(r))); err != nil {
			return nobody, err
		}
		a.log.InfoContext(ctx, "role changed", "role", name, "actor", Actor(ctx))
		return everybody, nil
	})
}

// DeleteRole removes a role, also from the users who have it. ErrNotFound; Problems
// with the key name for a built-in one.
func (a *Accounts) DeleteRole(ctx context.Context, name string) error {
	return a.change(ctx, func() (string, error) {
		r, err := a.role(name)
		switch {
		case err != nil:
			return nobody, err
		case r.Builtin:
			return nobody, Problems{"name": "is a built-in role and can't be deleted"}
		}
		if err := a.repo.DeleteRole(ctx, r.ID, entry(ctx, "role deleted", name, describeRole(r), "")); err != nil {
			return nobody, err
		}
		a.log.InfoContext(ctx, "role deleted", "role", name, "actor", Actor(ctx))
		return everybody, nil
	})
}
