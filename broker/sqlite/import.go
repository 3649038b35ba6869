package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"hearthmq/broker/access"
)

// ImportAccounts implements access.Repository.
func (a accounts) ImportAccounts(ctx context.Context, users []access.User, roles []access.Role, entry access.AuditEntry) error {
	return a.mutate(ctx, "import users and roles", entry, func(tx *sql.Tx) error {
		for _, r := range roles {
			write := insertRole
			if r.ID != 0 {
				write = updateRole
			}
			if err := write(ctx, tx, r); err != nil {
				return fmt.Errorf("role %q: %w", r.Name, err)
			}
		}
		for _, u := range users {
			if _, err := insertUser(ctx, tx, u); err != nil {
				return fmt.Errorf("user %q: %w", u.Name, err)
			}
		}
		return nil
	})
}
