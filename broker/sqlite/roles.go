package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"strings"

	"hearthmq/broker/access"
)

// InsertRole implements access.Repository.
func (a accounts) InsertRole(ctx context.Context, r access.Role, entry access.AuditEntry) (id int64, err error) {
	err = a.mutate(ctx, "add role", entry, func(tx *sql.Tx) (err error) {
		id, err = addRole(ctx, tx, r)
		return err
	})
	if err != nil {
		return 0, err
	}
	return id, nil
}

func addRole(ctx context.Context, tx *sql.Tx, r access.Role) (id int64, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO role (id, name, description, builtin, revision)
		VALUES (1 + max((SELECT coalesce(max(id), 0) FROM role), (SELECT coalesce(max(id), 0) FROM deleted WHERE kind = 'role')), ?, ?, ?, 1) RETURNING id`,
		r.Name, r.Description, r.Builtin).Scan(&id)
	if err != nil {
		return 0, named(err)
	}
	return id, writeRules(ctx, tx, `role_id`, id, r.Rules)
}

func insertRole(ctx context.Context, tx *sql.Tx, r access.Role) error {
	_, err := addRole(ctx, tx, r)
	return err
}

// UpdateRole implements access.Repository.
func (a accounts) UpdateRole(ctx context.Context, r access.Role, entry access.AuditEntry) error {
	return a.mutate(ctx, "change role", entry, func(tx *sql.Tx) error { return updateRole(ctx, tx, r) })
}

func updateRole(ctx context.Context, tx *sql.Tx, r access.Role) error {
	res, err := tx.ExecContext(ctx, `UPDATE role SET (name, description, builtin) = (?, ?, ?), revision = revision + 1 WHERE id = ? AND revision = ?`,
		r.Name, r.Description, r.Builtin, r.ID, r.Revision)
	if err != nil {
		return named(err)
	}
	if err := unless(ctx, tx, res, "role", r.ID); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM rule WHERE role_id = ?`, r.ID); err != nil {
		return err
	}
	return writeRules(ctx, tx, `role_id`, r.ID, r.Rules)
}

// DeleteRole implements access.Repository.
func (a accounts) DeleteRole(ctx context.Context, id int64, entry access.AuditEntry) error {
	return a.mutate(ctx, "delete role", entry, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM role WHERE id = ?`, id)
		if err != nil {
			return err
		}
		return unless(ctx, tx, res, "role", id)
	})
}

// roles reads all roles by name. rules are those of each role.
func (a accounts) roles(ctx context.Context, tx *sql.Tx, rules map[int64][]access.Rule) ([]access.Role, error) {
	var roles []access.Role
	err := a.db.each(ctx, tx, "role", `SELECT id, name, description, builtin, revision FROM role ORDER BY name`, func(r *row) error {
		var x access.Role
		if err := r.scan(&x.ID, &x.Name, &x.Description, &x.Builtin, &x.Revision); err != nil {
			return err
		}
		if r.name(x.Name); r.err != nil {
			return r.failed("id", x.ID)
		}
		x.Rules = rules[x.ID]
		roles = append(roles, x)
		return nil
	})
	return roles, err
}

// writeRules writes the rules of a user or role; owner is the column that says whose.
func writeRules(ctx context.Context, tx *sql.Tx, owner string, id int64, rules []access.Rule) error {
	for i, r := range rules {
		network := ""
		if r.Network != (netip.Prefix{}) {
			network = r.Network.String()
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO rule (`+owner+`, position, effect, scope, topic_filter, maximum_qos, retain, listener, network)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, id, i, r.Effect.String(), r.Scope.String(), r.Filter, r.MaxQoS, r.Retain, r.Listener, network)
		if err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	return nil
}

// rules reads all rules in order, by user and by role.
func (a accounts) rules(ctx context.Context, tx *sql.Tx) (ofUser, ofRole map[int64][]access.Rule, err error) {
	ofUser, ofRole = map[int64][]access.Rule{}, map[int64][]access.Rule{}
	err = a.db.each(ctx, tx, "rule", `SELECT id, user_id, role_id, effect, scope, topic_filter, maximum_qos, retain, listener, network
		FROM rule ORDER BY position`, func(r *row) error {
		var user, role sql.NullInt64
		var effect, scope, network string
		var qos, retain int64
		var x access.Rule
		if err := r.scan(&x.ID, &user, &role, &effect, &scope, &x.Filter, &qos, &retain, &x.Listener, &network); err != nil {
			return err
		}
		x.Effect, x.Scope = r.effect(effect), r.scope(scope)
		if x.MaxQoS = int8(qos); int64(x.MaxQoS) != qos {
			r.fail("maximum_qos", qos, "is out of range")
		}
		if x.Retain = access.Tristate(retain); int64(x.Retain) != retain {
			r.fail("retain", retain, "is out of range")
		}
		if network != "" {
			var err error
			x.Network, err = netip.ParsePrefix(network)
			r.check("network", err)
		}
		r.check("rule", x.Validate())
		wrong := error(nil)
		if r.err != nil {
			wrong = r.failed("id", x.ID)
			if effect == access.Allow.String() {
				return wrong
			}
			// Without a rule that denies, others would allow more than the owner
			// wanted: as long as it can't be read, it denies everything.
			id := x.ID
			x = access.NewRule(access.Deny, access.ScopeBoth, "#")
			x.ID = id
		}
		if user.Valid {
			ofUser[user.Int64] = append(ofUser[user.Int64], x)
		} else {
			ofRole[role.Int64] = append(ofRole[role.Int64], x)
		}
		return wrong
	})
	return ofUser, ofRole, err
}

// name checks what a name must hold to that may take the place of %u in a Topic
// Filter. What else people may choose is for package access to say.
func (r *row) name(s string) {
	if s == "" || strings.ContainsAny(s, "+#") {
		r.fail("name", "", "is empty or has a wildcard")
	}
	r.text("name", s)
}

func (r *row) effect(s string) access.Effect {
	for _, e := range []access.Effect{access.Allow, access.Deny} {
		if s == e.String() {
			return e
		}
	}
	r.fail("effect", "", "is not allow or deny")
	return access.Deny
}

func (r *row) scope(s string) access.Scope {
	for _, x := range []access.Scope{access.ScopePublish, access.ScopeSubscribe, access.ScopeBoth} {
		if s == x.String() {
			return x
		}
	}
	r.fail("scope", "", "is not publish, subscribe or both")
	return access.ScopeBoth
}
