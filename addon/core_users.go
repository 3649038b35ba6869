package addon

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// CoreUser is a user of Home Assistant.
type CoreUser struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`     // for people
	Username string   `json:"username"` // to log in with, "" for those who don't
	Owner    bool     `json:"is_owner"`
	Active   bool     `json:"is_active"`
	System   bool     `json:"system_generated"`
	Groups   []string `json:"group_ids"`
}

// Admin reports whether the user may change everything in Home Assistant.
func (u *CoreUser) Admin() bool {
	return u.Active && (u.Owner || slices.Contains(u.Groups, "system-admin"))
}

// Users returns all users of Home Assistant.
func (c *Core) Users(ctx context.Context) ([]CoreUser, error) {
	var all []CoreUser
	if err := c.Command(ctx, "config/auth/list", nil, &all); err != nil {
		return nil, err
	}
	return all, nil
}

// How long Core's list of users is believed.
const (
	usersTTL   = time.Minute
	usersQuick = 5 * time.Second // after which a user that is not in it is looked for again
	usersRetry = 2 * time.Second // after a failure
)

// CoreAdmins knows who is an administrator of Home Assistant. It asks Core at most
// once a minute; when Core can't be asked nobody is known to be one (case W3). Safe
// for concurrent use.
type CoreAdmins struct {
	users func(ctx context.Context) ([]CoreUser, error)

	turn   chan struct{} // one token: who may ask, and look at what follows
	known  map[string]bool
	asked  time.Time // when known was made, or when asking failed
	failed error
}

// NewCoreAdmins returns a CoreAdmins that asks by users, such as Core.Users.
func NewCoreAdmins(users func(ctx context.Context) ([]CoreUser, error)) *CoreAdmins {
	return &CoreAdmins{users: users, turn: make(chan struct{}, 1)}
}

// IsAdmin reports whether the Home Assistant user with this ID is an administrator. An
// error means that nobody can say.
func (a *CoreAdmins) IsAdmin(ctx context.Context, userID string) (bool, error) {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-a.turn }()
	age := time.Since(a.asked)
	admin, listed := a.known[userID]
	switch {
	case a.asked.IsZero(), a.failed != nil && age >= usersRetry, age >= usersTTL, a.failed == nil && !listed && age >= usersQuick:
		a.refresh(ctx)
		admin = a.known[userID]
	}
	if a.failed != nil {
		return false, fmt.Errorf("who is an administrator: %w", a.failed)
	}
	return admin, nil
}

// refresh asks Core. The turn is held, so that one question serves all who wait. It
// does not end with ctx: a browser that goes away is no reason to doubt the others.
func (a *CoreAdmins) refresh(ctx context.Context) {
	users, err := a.users(context.WithoutCancel(ctx))
	a.known, a.failed, a.asked = nil, err, time.Now()
	if err != nil {
		return
	}
	a.known = make(map[string]bool, len(users))
	for i := range users {
		a.known[users[i].ID] = users[i].Admin()
	}
}
