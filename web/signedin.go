package web

import (
	"context"

	"hearthmq/broker/access"
)

// LoginList knows who is logged in to the direct port.
type LoginList interface {
	// ListLogins returns the logins of user, of everybody when user is "", the last used first.
	ListLogins(ctx context.Context, user string) ([]access.BrowserLogin, error)
	// DeleteLogin ends one of them; one that is gone already is no error.
	DeleteLogin(ctx context.Context, id int64) error
	// LoginID returns the ID of the login with this token, 0 when there is none.
	LoginID(ctx context.Context, token string) (int64, error)
}

// endLogin logs a browser out, in the name of ctx's person.
func (s *Server) endLogin(ctx context.Context, id int64) error {
	list, err := s.cfg.Logins.ListLogins(ctx, "")
	if err != nil {
		return err
	}
	for _, l := range list {
		if l.ID != id {
			continue
		}
		if err := s.cfg.Logins.DeleteLogin(ctx, id); err != nil {
			return err
		}
		return s.cfg.Accounts.Note(context.WithoutCancel(ctx), "login ended", l.User, "", "")
	}
	return access.ErrNotFound
}
