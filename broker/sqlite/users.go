package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"hearthmq/broker/access"
)

// InsertUser implements access.Repository.
func (a accounts) InsertUser(ctx context.Context, u access.User, entry access.AuditEntry) (id int64, err error) {
	err = a.mutate(ctx, "add user", entry, func(tx *sql.Tx) (err error) {
		id, err = insertUser(ctx, tx, u)
		return err
	})
	if err != nil {
		return 0, err
	}
	return id, nil
}

func insertUser(ctx context.Context, tx *sql.Tx, u access.User) (id int64, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO user (id, name, password_kind, password_hash, secret, disabled, admin, system, from_settings, note, limits, networks, version, created, changed, revision)
		VALUES (1 + max((SELECT coalesce(max(id), 0) FROM user), (SELECT coalesce(max(id), 0) FROM deleted WHERE kind = 'user')), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) RETURNING id`, append(userColumns(u), u.Created.UnixMilli(), u.Changed.UnixMilli())...).Scan(&id)
	if err != nil {
		return 0, named(err)
	}
	return id, writeBelongings(ctx, tx, id, u)
}

func userColumns(u access.User) []any {
	return []any{u.Name, string(u.Kind), u.Hash, u.Secret, u.Disabled, u.Admin, u.System, u.FromSettings, u.Note, access.FormatLimits(u.Limits), access.FormatNetworks(u.Networks), int64(u.Version)}
}

// UpdateUser implements access.Repository.
func (a accounts) UpdateUser(ctx context.Context, u access.User, entry access.AuditEntry) error {
	return a.mutate(ctx, "change user", entry, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE user SET (name, password_kind, password_hash, secret, disabled, admin, system, from_settings, note, limits, networks, version, changed)
			= (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?), revision = revision + 1 WHERE id = ? AND revision = ?`,
			append(userColumns(u), u.Changed.UnixMilli(), u.ID, u.Revision)...)
		if err != nil {
			return named(err)
		}
		if err := unless(ctx, tx, res, "user", u.ID); err != nil {
			return err
		}
		for _, q := range []string{`DELETE FROM user_role WHERE user_id = ?`, `DELETE FROM rule WHERE user_id = ?`} {
			if _, err := tx.ExecContext(ctx, q, u.ID); err != nil {
				return err
			}
		}
		return writeBelongings(ctx, tx, u.ID, u)
	})
}

// writeBelongings writes a user's roles and rules, of which there are none yet.
func writeBelongings(ctx context.Context, tx *sql.Tx, id int64, u access.User) error {
	for _, name := range slices.Compact(slices.Sorted(slices.Values(u.Roles))) {
		res, err := tx.ExecContext(ctx, `INSERT INTO user_role (user_id, role_id) SELECT ?, id FROM role WHERE name = ?`, id, name)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(fmt.Errorf("role %q: %w", name, access.ErrNotFound), err)
		}
	}
	return writeRules(ctx, tx, `user_id`, id, u.Rules)
}

// DeleteUser implements access.Repository.
func (a accounts) DeleteUser(ctx context.Context, id int64, entry access.AuditEntry) error {
	return a.mutate(ctx, "delete user", entry, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM user WHERE id = ?`, id)
		if err != nil {
			return err
		}
		return unless(ctx, tx, res, "user", id)
	})
}

// users reads all users by name. rules are those of each user.
func (a accounts) users(ctx context.Context, tx *sql.Tx, rules map[int64][]access.Rule) ([]access.User, error) {
	roles := map[int64][]string{}
	err := a.db.each(ctx, tx, "user_role", `SELECT user_id, role.name FROM user_role JOIN role ON role.id = role_id ORDER BY role.name`, func(r *row) error {
		var user int64
		var role string
		if err := r.scan(&user, &role); err != nil {
			return err
		}
		roles[user] = append(roles[user], role)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var users []access.User
	err = a.db.each(ctx, tx, "user", `SELECT id, name, password_kind, password_hash, secret, disabled, admin, system, from_settings, note, limits, networks, version, revision, created, changed
		FROM user ORDER BY name`, func(r *row) error {
		var u access.User
		var version, created, changed int64
		var limits, networks string
		err := r.scan(&u.ID, &u.Name, &u.Kind, &u.Hash, &u.Secret, &u.Disabled, &u.Admin, &u.System, &u.FromSettings, &u.Note, &limits, &networks, &version, &u.Revision, &created, &changed)
		if err != nil {
			return err
		}
		r.name(u.Name)
		switch u.Kind {
		case access.NoPassword, access.Chosen, access.Generated:
		default:
			r.fail("password_kind", "", "is not known")
		}
		if u.Limits, err = access.ParseLimits(limits); err != nil {
			r.fail("limits", "", err.Error())
		}
		if u.Networks, err = access.ParseNetworks(networks); err != nil {
			r.fail("networks", "", err.Error())
		}
		if r.err != nil {
			return r.failed("id", u.ID)
		}
		u.Version, u.Created, u.Changed = uint64(version), fromMillis(created), fromMillis(changed)
		u.Roles, u.Rules = roles[u.ID], rules[u.ID]
		users = append(users, u)
		return nil
	})
	return users, err
}
