package access

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"hearthmq/broker"
)

// Authenticate implements broker.Authenticator. It may wait for its turn at the hash
// gate; when the queue is full or ctx ends the answer is "unavailable", never "wrong
// password" (case A19). Who is refused learns the same, after the same time, whether
// or not there is such a user (case A17).
func (d *Directory) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if c.TLSName != "" {
		if a := d.snap.Load().accounts[c.TLSName]; a == nil || !a.System {
			return d.byCertificate(c) // it proves more than a password
		}
		// Whoever signs certificates for devices can't make one of them the house.
		if c.User != c.TLSName {
			return nil, broker.Refuse(broker.WrongPassword, fmt.Errorf("the certificate names %q, a system user, who shows its password too", c.TLSName))
		}
	}
	if c.User == "" {
		if name := c.Listener.Name; !d.policy.anonymousOn(name) {
			return nil, broker.Refuse(broker.AnonymousOff, d.policy.anonymousElsewhere(name))
		}
		return identity(c, &User{}), nil
	}
	var password []byte
	if c.HasPassword {
		password = c.Password
	}
	u, refusal := d.prove(ctx, d.gate, d.throttle, c.Remote.Addr(), c.User, password)
	if refusal == nil {
		refusal = u.keptOut(c.Remote.Addr())
	}
	if refusal != nil {
		return nil, refusal
	}
	return identity(c, u), nil
}

// byCertificate lets in the user that a verified client certificate names.
func (d *Directory) byCertificate(c *broker.Credentials) (*broker.Identity, error) {
	a := d.snap.Load().accounts[c.TLSName]
	switch {
	case a == nil:
		return nil, broker.Refuse(broker.UnknownUser, fmt.Errorf("the certificate names %q", c.TLSName))
	case a.Disabled:
		return nil, broker.Refuse(broker.UserDisabled, fmt.Errorf("the certificate names %q", c.TLSName))
	}
	if refusal := a.keptOut(c.Remote.Addr()); refusal != nil {
		return nil, refusal
	}
	return identity(c, &a.User), nil
}

func identity(c *broker.Credentials, u *User) *broker.Identity {
	var limits *broker.Limits
	if u.Limits != (broker.Limits{}) {
		limits = &u.Limits
	}
	return &broker.Identity{
		Limits:   limits,
		ClientID: c.ClientID,
		User:     u.Name,
		Listener: c.Listener.Name,
		Remote:   c.Remote,
		TLSName:  c.TLSName,
		Roles:    u.Roles,
		Version:  u.Version,
		System:   u.System,
	}
}

// prove returns the user whose password it is. Cheap proofs come before the throttle,
// so that system users and devices with generated passwords are never locked out.
func (d *Directory) prove(ctx context.Context, g *gate, t *throttle, from netip.Addr, name string, password []byte) (*User, *broker.Refusal) {
	s := d.snap.Load()
	try := attempt{t, from, name}
	a := s.accounts[name]
	reason := broker.WrongPassword
	asked := a
	switch {
	case a == nil:
		reason = broker.UnknownUser
		asked = &account{User: User{Name: name}}
	case a.Disabled:
		reason = broker.UserDisabled
		asked = &account{User: User{Name: name}}
	}
	if len(password) == 0 || len(password) > MaxPasswordBytes { // case A22
		if !try.allowed() {
			return nil, broker.Refuse(broker.TooManyAttempts, nil)
		}
		return nil, broker.Refuse(try.failed(reason), fmt.Errorf("a password has 1 to %d bytes", MaxPasswordBytes))
	}
	match, err := d.verifier.check(ctx, g, asked, s.sorts, password, try)
	switch {
	case errors.Is(err, errThrottled):
		return nil, broker.Refuse(broker.TooManyAttempts, nil)
	case err != nil:
		return nil, broker.Refuse(broker.BackendUnavailable, err)
	case !match:
		return nil, broker.Refuse(try.failed(reason), nil)
	}
	try.succeeded()
	// The user may have been changed while we waited (case A9).
	now := d.snap.Load().accounts[name]
	if now == nil || now.ID != a.ID || now.Version != a.Version || now.Disabled {
		return nil, broker.Refuse(broker.BackendUnavailable, errors.New("the user was changed during the login"))
	}
	return &now.User, nil
}

// CheckPassword is the login of the web admin. It has a slot of its own for hashing,
// so that no flood of MQTT logins can keep the owner out, and a throttle of its own by
// the address that WithRemote put into ctx; without one it does not throttle. Whether
// the user may use the admin (User.Admin) is the caller's to look at. The error is a
// *broker.Refusal.
func (d *Directory) CheckPassword(ctx context.Context, user, password string) (User, error) {
	u, refusal := d.prove(ctx, d.reserve, d.doorman, remote(ctx), user, []byte(password))
	if refusal != nil {
		return User{}, refusal
	}
	return u.public(), nil
}

type remoteKey struct{}

// WithRemote notes for CheckPassword where a login comes from.
func WithRemote(ctx context.Context, from netip.Addr) context.Context {
	return context.WithValue(ctx, remoteKey{}, from)
}

func remote(ctx context.Context) netip.Addr {
	from, _ := ctx.Value(remoteKey{}).(netip.Addr)
	return from
}
