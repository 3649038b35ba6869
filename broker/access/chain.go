package access

import (
	"context"
	"errors"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

// Pretender is an Authenticator that can make believe to be asked. Pretend waits as
// Authenticate does for a name that it does not know, calls nobody, and returns why it could
// not say anything now, or nil.
type Pretender interface {
	broker.Authenticator
	Pretend(ctx context.Context, c *broker.Credentials) error
}

// Chain asks d for its own users and for clients without a user name, and other for
// everybody else, such as the users of Home Assistant. Names of our own users never
// get to other, failures there count against the same throttle, and that other can't
// be reached is its own refusal, never "wrong password" (case A25). An identity that
// other makes must have no Version; its rights come from its Roles, by default
// Policy.OutsideRoles.
//
// Where other is a Pretender, a wrong password of a user of ours takes as long as one of
// somebody else's, and is answered "unavailable" while other can't say anything: with Home
// Assistant away any other answer would tell which names are ours (case A17). Its Reason
// stays, for the log and for the owner.
func Chain(d *Directory, other broker.Authenticator) broker.Authenticator {
	return &chain{d, other}
}

type chain struct {
	directory *Directory
	other     broker.Authenticator
}

// Authenticate implements broker.Authenticator.
func (c *chain) Authenticate(ctx context.Context, cr *broker.Credentials) (*broker.Identity, error) {
	d := c.directory
	_, ours := d.User(cr.User)
	if ours && cr.TLSName == "" {
		id, err := d.Authenticate(ctx, cr)
		return id, c.alike(ctx, cr, err)
	}
	if cr.User == "" || cr.TLSName != "" {
		return d.Authenticate(ctx, cr)
	}
	if !cr.HasPassword || len(cr.Password) == 0 || len(cr.Password) > MaxPasswordBytes {
		return d.Authenticate(ctx, cr)
	}
	if !d.throttle.allowed(cr.Remote.Addr(), cr.User) {
		return nil, broker.Refuse(broker.TooManyAttempts, nil)
	}
	id, err := c.other.Authenticate(ctx, cr)
	if refusal, ok := errors.AsType[*broker.Refusal](err); ok {
		switch refusal.Reason {
		case broker.UnknownUser, broker.WrongPassword, broker.UserDisabled:
			if d.throttle.failed(cr.Remote.Addr(), cr.User, refusal.Reason) == broker.TooManyAttempts {
				return nil, broker.Refuse(broker.TooManyAttempts, nil)
			}
		}
	}
	if err == nil && len(id.Roles) == 0 {
		own := *id
		own.Roles = d.policy.OutsideRoles
		id = &own
	}
	return id, err
}

// alike makes a refusal of a user of ours look like one of a name that other is asked about.
func (c *chain) alike(ctx context.Context, cr *broker.Credentials, err error) error {
	refusal, ok := errors.AsType[*broker.Refusal](err)
	other, can := c.other.(Pretender)
	if !ok || !can || refusal.Reason != broker.WrongPassword && refusal.Reason != broker.UserDisabled {
		return err
	}
	if other.Pretend(ctx, cr) == nil {
		return err
	}
	hidden := *refusal
	hidden.Code = packet.ServerUnavailable
	return &hidden
}
