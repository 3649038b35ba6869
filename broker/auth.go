package broker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"hearthmq/broker/packet"
)

// Action is what a client wants to do with a topic.
type Action byte

const (
	// Publish is sending a message to a Topic Name, a Will included.
	Publish Action = iota
	// Subscribe is asking for a Topic Filter.
	Subscribe
	// Receive is one message on its way to a subscriber; the name is a Topic Name.
	Receive
)

func (a Action) String() string {
	switch a {
	case Publish:
		return "publish"
	case Subscribe:
		return "subscribe"
	case Receive:
		return "receive"
	}
	return fmt.Sprintf("action %d", byte(a))
}

// Identity is who a session acts for. It is made by an Authenticator, immutable
// from then on and safe for concurrent use.
type Identity struct {
	ClientID string
	User     string         // "" for anonymous clients
	Listener string         // name of the listener the client came in by
	Remote   netip.AddrPort // the client's address, behind trusted proxies the real one
	TLSName  string         // whom the verified client certificate names, or ""
	Roles    []string
	// Version counts changes of the user's account. A credential proven
	// for an older version is worth nothing.
	Version uint64
	// HadAccount says of an identity without a Version that it had one once: it stands for
	// a session that was brought back from the store, until the client logs in again, or for
	// the author of what is retained.
	HadAccount bool
	// System marks the broker's own parts and the system users, who may do everything.
	System bool
	// Limits are those of the user, nil: none. They hold as long as the connection.
	Limits *Limits
	// Until is when what the client proved itself with ends, and its connection with it;
	// zero: it does not.
	Until time.Time
}

// Credentials are what a client says of itself in CONNECT.
type Credentials struct {
	ClientID    string
	HasUser     bool
	User        string
	HasPassword bool
	// Password is overwritten by the broker once Authenticate has returned.
	Password []byte
	Listener ListenerInfo
	Remote   netip.AddrPort
	TLSName  string // whom the verified client certificate names, "" where none does
	Version  packet.Version
}

// Authenticator decides who a client is. Authenticate may block (hashing, a
// call to Home Assistant); ctx ends with the connection or its CONNECT deadline.
// A refusal is a *Refusal; any other error is answered as "server unavailable".
type Authenticator interface {
	Authenticate(ctx context.Context, c *Credentials) (*Identity, error)
}

// EnhancedAuthenticator is implemented by an Authenticator that knows Authentication
// Methods (MQTT 5, section 4.12). StartAuth is called for each CONNECT and each
// re-authentication that names one; c.Password is overwritten once it has returned.
// A method that is not known is a *Refusal with BadMethod.
type EnhancedAuthenticator interface {
	StartAuth(ctx context.Context, method string, c *Credentials) (AuthExchange, error)
}

// AuthExchange is one such authentication. Step gets the client's Authentication
// Data, nil when CONNECT brought none, and returns what goes back to it. A nil id
// without an error asks for more; with an id the client is let in. It is called by
// one goroutine, must not block for long, and its errors are those of Authenticate.
type AuthExchange interface {
	Step(data []byte) (reply []byte, id *Identity, err error)
}

// RuleRef names the rule that decided, for people.
type RuleRef struct {
	ID   int64  // row of the rule; 0 when no stored rule decided
	Text string // e.g. "allow publish sensors/%u/# (role sensors)" or "no rule matches"
}

// Decision is the answer to "may this identity do that?", with the reason.
type Decision struct {
	Allow bool
	// Narrowed says of a granted SUBSCRIBE that not everything the filter
	// matches is allowed: each message is checked at delivery.
	Narrowed bool
	// MaxQoS caps the Quality of Service of what was allowed.
	MaxQoS byte
	// NoRetain says that the message may be published, but not retained.
	NoRetain bool
	// RetainLess is by how much MaxQoS is lower for a message that is retained.
	RetainLess byte
	Rule       RuleRef
}

// Permits reports whether a message of that QoS may be published.
func (d *Decision) Permits(qos byte, retain bool) bool {
	return d.Allow && qos <= d.Most(retain) && !(retain && d.NoRetain)
}

// Most is the highest QoS of a message that is retained, or is not.
func (d *Decision) Most(retain bool) byte {
	if retain {
		return d.MaxQoS - d.RetainLess
	}
	return d.MaxQoS
}

// Authorizer decides what an identity may do. Authorize does no I/O and holds
// no lock for long: it is called on the way of every first message of a topic.
// Generation changes whenever an earlier decision might be answered otherwise.
type Authorizer interface {
	Authorize(id *Identity, act Action, name string) Decision
	Generation() uint64
}

// UnsubscribeAuthorizer is implemented by an Authorizer that keeps clients from ending some
// of their subscriptions. Filter stands without a share.
type UnsubscribeAuthorizer interface {
	MayUnsubscribe(id *Identity, filter string) bool
}

// AnywhereAuthorizer is implemented by an Authorizer that can tell what an identity may do
// wherever it comes from: what is allowed from somewhere is. It is asked about who retained
// a message once, or subscribed. Of id only User and ClientID are sure to be known, and the
// Roles of who was here since the start. It is called like Authorize.
type AnywhereAuthorizer interface {
	AuthorizeAnywhere(id *Identity, act Action, name string) Decision
}

// Classifier is implemented by an Authorizer that can tell Topic Names apart as far as
// its rules do, so that what was decided for one name holds for others too. AppendClass
// adds to dst what the name's class is called. Where two names' classes were called the
// same after an identity was last asked, the decisions on Receive are the same for both,
// as long as the Generation stays; ok is false where nothing can be said. It takes about
// the time of one decision.
type Classifier interface {
	AppendClass(dst []byte, name string) (class []byte, ok bool)
}

// Reason tells apart, for owners, why a client was refused. On the wire a
// client learns only "not authorised" or "unavailable" (design: words in CONNACK).
type Reason string

const (
	UnknownUser         Reason = "unknown user"
	WrongPassword       Reason = "wrong password"
	UserDisabled        Reason = "user disabled"
	CertificateInvalid  Reason = "certificate not trusted"
	CertificateRequired Reason = "certificate required"
	NetworkNotAllowed   Reason = "not allowed from this network"
	TooManyAttempts     Reason = "too many attempts"
	ClientIDInUse       Reason = "client identifier in use by another user"
	ServerFull          Reason = "server full"
	BackendUnavailable  Reason = "backend not reachable, retry"
	AnonymousOff        Reason = "no user name, and anonymous access is off"
	BadClientID         Reason = "client identifier not valid"
	BadProtocol         Reason = "protocol error in CONNECT"
	WillNotAllowed      Reason = "will not allowed"
	BadMethod           Reason = "authentication method not offered"
	Blocked             Reason = "blocked by an administrator"
	WrongDoor           Reason = "wrong port or encryption"
	UnknownProxy        Reason = "proxy not known"
	ServerNotTrusted    Reason = "the device does not trust this server's certificate"
	OriginNotAllowed    Reason = "web page of another origin"
)

// Refusal is the error of an Authenticator that said no.
type Refusal struct {
	Reason Reason
	Code   packet.ReasonCode // what goes on the wire
	Err    error             // what lies behind it, for the log; may be nil
}

func (r *Refusal) Error() string {
	if r.Err != nil {
		return string(r.Reason) + ": " + r.Err.Error()
	}
	return string(r.Reason)
}

func (r *Refusal) Unwrap() error { return r.Err }

// Refuse makes a Refusal with the Reason Code that fits the reason.
func Refuse(reason Reason, err error) *Refusal {
	code := packet.NotAuthorized
	switch reason {
	case TooManyAttempts, ServerFull, BackendUnavailable:
		code = packet.ServerUnavailable
	case ClientIDInUse, BadClientID:
		code = packet.ClientIDNotValid
	case BadMethod:
		code = packet.BadAuthenticationMethod
	case Blocked:
		code = packet.Banned
	}
	return &Refusal{Reason: reason, Code: code, Err: err}
}

// ErrNotFound is returned by calls that name a session or message that does not exist.
var ErrNotFound = errors.New("not found")
