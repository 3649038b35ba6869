package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// amendTries is how often a change is made again of what somebody else has just changed:
// what is added or taken away is meant whatever else there is. A crowd of scripts gets
// through with far fewer.
const amendTries = 100

// amend calls change until it is not about an old revision.
func amend(change func() error) (err error) {
	for range amendTries {
		if err = change(); !errors.Is(err, ErrConflict) {
			break
		}
	}
	return err
}

// AmendRules adds rules to a user's own and takes others away, in one change. Rules that
// it has are not added again. Problems with the keys name, rules, the latter also for one
// to be taken away that is not there; ErrNotFound; ErrConflict when somebody changes the
// same all the time.
func (a *Accounts) AmendRules(ctx context.Context, user string, add, remove []Rule) error {
	return amend(func() error {
		u, ok := a.dir.User(user)
		if !ok {
			return fmt.Errorf("user %q %w", user, ErrNotFound)
		}
		rules, err := amended(u.Rules, add, remove)
		if err != nil {
			return err
		}
		return a.ChangeUser(ctx, user, UserChange{Revision: u.Revision, Rules: &rules})
	})
}

// AmendRole is AmendRules for a role.
func (a *Accounts) AmendRole(ctx context.Context, role string, add, remove []Rule) error {
	return amend(func() error {
		r, ok := a.dir.Role(role)
		if !ok {
			return fmt.Errorf("role %q %w", role, ErrNotFound)
		}
		rules, err := amended(r.Rules, add, remove)
		if err != nil {
			return err
		}
		return a.ChangeRole(ctx, role, r.Revision, r.Description, rules)
	})
}

// AmendRoles gives a user roles and takes others away, in one change. Those that it has
// are not given again. Problems with the keys name, roles, the latter also for one to be
// taken away that it has not; ErrNotFound; ErrConflict as of AmendRules.
func (a *Accounts) AmendRoles(ctx context.Context, user string, add, remove []string) error {
	return amend(func() error {
		u, ok := a.dir.User(user)
		if !ok {
			return fmt.Errorf("user %q %w", user, ErrNotFound)
		}
		roles := slices.Clone(u.Roles)
		for _, name := range remove {
			i := slices.Index(roles, name)
			if i < 0 {
				return Problems{"roles": fmt.Sprintf("user %s has no role %q", user, name)}
			}
			roles = slices.Delete(roles, i, i+1)
		}
		roles = append(roles, add...)
		return a.ChangeUser(ctx, user, UserChange{Revision: u.Revision, Roles: &roles})
	})
}

// amended returns rules without those of remove, then those of add that it lacks.
func amended(have, add, remove []Rule) ([]Rule, error) {
	rules := slices.Clone(have)
	for _, r := range remove {
		kept := slices.DeleteFunc(slices.Clone(rules), func(h Rule) bool { h.ID = 0; return h == r })
		if len(kept) == len(rules) {
			return nil, Problems{"rules": fmt.Sprintf("there is no such rule to take away: %s", r)}
		}
		rules = kept
	}
	return append(rules, MissingRules(rules, add)...), nil
}
