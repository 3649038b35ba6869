package access

import (
	"context"
	"errors"
	"time"

	"hearthmq/broker"
)

// RefusalTime is how long a refusal takes at least where others than the Directory are
// asked, too. Home Assistant hashes with bcrypt, which is done by then on a slow machine
// as well; what waits longer for an answer, its own MQTT setup among them, has 5 s.
const RefusalTime = 2 * time.Second

// RefuseEvenly has next's refusals that say something about a user name take RefusalTime
// or longer: how long a call outside takes, or fails, differs from how long a hash does, and
// would tell which names are ours (case A17). Who is let in never waits. Nothing is held
// meanwhile but the connection, whose end, like the broker's, ends the wait. What takes
// next longer by itself is not hidden.
func RefuseEvenly(next broker.Authenticator) broker.Authenticator { return &evenly{next} }

type evenly struct{ next broker.Authenticator }

// Authenticate implements broker.Authenticator.
func (e *evenly) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	begun := time.Now()
	id, err := e.next.Authenticate(ctx, c)
	if refusal, ok := errors.AsType[*broker.Refusal](err); ok && c.User != "" {
		switch refusal.Reason {
		case broker.UnknownUser, broker.WrongPassword, broker.UserDisabled, broker.NetworkNotAllowed, broker.TooManyAttempts, broker.BackendUnavailable:
			clear(c.Password) // it is needed no more
			wait := time.NewTimer(RefusalTime - time.Since(begun))
			defer wait.Stop()
			select {
			case <-wait.C:
			case <-ctx.Done():
			}
		}
	}
	return id, err
}
