package access

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"hearthmq/broker"
	"hearthmq/broker/regular"
)

// maxWebTokenBytes bounds a token, which stands where a password stands.
const maxWebTokenBytes = 8 << 10

// tokenAlgorithms are those with a public key: a token whose header names a shared
// secret, or none at all, is not even looked at.
var tokenAlgorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// WebTokenConfig says which JSON Web Tokens (RFC 7519) are taken and what they mean.
type WebTokenConfig struct {
	// KeyFile holds the issuer's public keys: PEM (public keys or certificates) or a JSON
	// Web Key Set (RFC 7517). It is read again when it changes, at most once a minute.
	KeyFile string
	// UserClaim holds the user's name, RolesClaim a list of roles, or one; dots lead into
	// objects, such as realm_access.roles.
	UserClaim, RolesClaim string
	// Issuer and Audience must be those of the token; "" takes any.
	Issuer, Audience string
	Log              *slog.Logger // must not be nil
}

// WebTokens lets in clients whose password is a token. Safe for concurrent use; it calls nobody.
type WebTokens struct {
	cfg WebTokenConfig

	mu       sync.Mutex // guards what follows; held while the file is read, once a minute at most
	keys     *jose.JSONWebKeySet
	looked   time.Time
	modified time.Time
	size     int64
}

// NewWebTokens reads the keys. With an error, which names the file and what is wrong, no
// token is taken until the file can be read.
func NewWebTokens(cfg WebTokenConfig) (*WebTokens, error) {
	t := &WebTokens{cfg: cfg, keys: new(jose.JSONWebKeySet)}
	return t, t.read(time.Now())
}

// read reads the file if it changed; keys that were good stay when it can't be used.
func (t *WebTokens) read(now time.Time) error {
	t.looked = now
	info, err := os.Stat(t.cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("keys of tokens: %w", err)
	}
	if info.ModTime().Equal(t.modified) && info.Size() == t.size {
		return nil
	}
	t.modified, t.size = info.ModTime(), info.Size()
	text, err := regular.Read(t.cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("keys of tokens: %w", err)
	}
	keys, err := parseTokenKeys(text)
	if err != nil {
		return fmt.Errorf("keys of tokens in %s: %w", t.cfg.KeyFile, err)
	}
	t.keys = keys
	return nil
}

func (t *WebTokens) current(now time.Time) *jose.JSONWebKeySet {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.looked) >= time.Minute {
		if err := t.read(now); err != nil {
			t.cfg.Log.Warn("The changed keys of tokens can't be used, the ones before stay", "err", err)
		}
	}
	return t.keys
}

func parseTokenKeys(text []byte) (*jose.JSONWebKeySet, error) {
	set := new(jose.JSONWebKeySet)
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		if err := json.Unmarshal(trimmed, set); err != nil {
			return nil, err
		}
	} else {
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			key, err := parsePublicKey(block)
			if err != nil {
				return nil, err
			}
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: key})
		}
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("there is no key in it")
	}
	for _, k := range set.Keys {
		if !k.IsPublic() || !k.Valid() {
			return nil, errors.New("a key is not a public one: private keys and shared secrets have no place here")
		}
	}
	return set, nil
}

func parsePublicKey(block *pem.Block) (crypto.PublicKey, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return c.PublicKey, nil
	}
	return nil, fmt.Errorf("%q is neither a public key nor a certificate", block.Type)
}

// webTokenUser is what a token says.
type webTokenUser struct {
	name  string
	roles []string
	until time.Time // zero: for ever
}

// errClockNotSet says of a token that is good but for its time that it can't be judged yet: a
// Raspberry Pi starts in 1970, where all that have ended would be good again (case R12).
var errClockNotSet = errors.New("this machine's clock is not set yet, the device tries again by itself")

// verify checks a token.
func (t *WebTokens) verify(text string, now time.Time) (webTokenUser, error) {
	token, err := jwt.ParseSigned(text, tokenAlgorithms)
	if err != nil {
		return webTokenUser{}, err
	}
	var claims jwt.Claims
	var all map[string]any
	if err := t.claims(token, t.current(now), &claims, &all); err != nil {
		return webTokenUser{}, err
	}
	expected := jwt.Expected{Issuer: t.cfg.Issuer, Time: now}
	if t.cfg.Audience != "" {
		expected.AnyAudience = jwt.Audience{t.cfg.Audience}
	}
	if timed := claims.Expiry != nil || claims.NotBefore != nil || claims.IssuedAt != nil; timed && now.Before(broker.ClockFloor) {
		return webTokenUser{}, fmt.Errorf("%w: it shows %s", errClockNotSet, now.Format(time.DateTime))
	}
	switch err := claims.Validate(expected); {
	case errors.Is(err, jwt.ErrExpired):
		return webTokenUser{}, fmt.Errorf("it has ended at %s, and this machine's clock shows %s: the device needs a new one",
			claims.Expiry.Time().UTC().Format(time.DateTime), now.UTC().Format(time.DateTime))
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return webTokenUser{}, fmt.Errorf("it counts from later on only, where this machine's clock shows %s", now.UTC().Format(time.DateTime))
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return webTokenUser{}, fmt.Errorf("it is of the issuer %.100q, and jwt_issuer is another", claims.Issuer)
	case errors.Is(err, jwt.ErrInvalidAudience):
		return webTokenUser{}, errors.New("it is for another audience than jwt_audience")
	case err != nil:
		return webTokenUser{}, err
	}
	u := webTokenUser{}
	if claims.Expiry != nil {
		u.until = claims.Expiry.Time().Add(jwt.DefaultLeeway)
	}
	names := claimTexts(all, t.cfg.UserClaim)
	if len(names) != 1 || ValidName(names[0]) != "" {
		return webTokenUser{}, fmt.Errorf("the claim %s is not the name of a user", t.cfg.UserClaim)
	}
	u.name, u.roles = names[0], claimTexts(all, t.cfg.RolesClaim)
	return u, nil
}

// claims checks the signature with the key that the token names, or with each where it
// names none.
func (t *WebTokens) claims(token *jwt.JSONWebToken, keys *jose.JSONWebKeySet, dest ...any) error {
	try := keys.Keys
	if id := token.Headers[0].KeyID; id != "" {
		if named := keys.Key(id); len(named) > 0 {
			try = named
		}
	}
	for _, k := range try {
		if token.Claims(k.Key, dest...) == nil {
			return nil
		}
	}
	return errors.New("none of the keys in jwt_keys has signed it")
}

// claimTexts returns the texts of a claim: one, or those of a list.
func claimTexts(all map[string]any, path string) []string {
	var v any = all
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, x := range v {
			if s, ok := x.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

// looksLikeToken reports whether a password is a token: three parts, the first an object.
func looksLikeToken(password []byte) bool {
	return len(password) <= maxWebTokenBytes && bytes.HasPrefix(password, []byte("eyJ")) && bytes.Count(password, []byte(".")) == 2
}

// WithWebTokens lets in clients whose password is a token that t takes, and asks next for
// all others. A user name, where the client gives one, must be that of the token; users
// of ours who have a password of their own are asked for that, never for a token. A
// token that names a user of ours stands for that user; any other user has the roles
// of the token, of those that exist here.
func WithWebTokens(d *Directory, t *WebTokens, next broker.Authenticator) broker.Authenticator {
	return &webTokenChain{d, t, next}
}

type webTokenChain struct {
	directory *Directory
	tokens    *WebTokens
	next      broker.Authenticator
}

// Authenticate implements broker.Authenticator.
func (c *webTokenChain) Authenticate(ctx context.Context, cr *broker.Credentials) (*broker.Identity, error) {
	d := c.directory
	own := d.snap.Load().accounts[cr.User]
	switch {
	case cr.TLSName != "" || !looksLikeToken(cr.Password):
		return c.next.Authenticate(ctx, cr)
	case own != nil && own.Kind != NoPassword:
		return d.Authenticate(ctx, cr) // as next does, which for others is not asked either
	}
	from := cr.Remote.Addr()
	if !d.throttle.allowed(from, cr.User) {
		return nil, broker.Refuse(broker.TooManyAttempts, nil)
	}
	id, refusal := c.admit(cr)
	switch {
	case refusal != nil && refusal.Reason == broker.BackendUnavailable:
		return nil, refusal // nobody's fault
	case refusal != nil:
		return nil, broker.Refuse(d.throttle.failed(from, cr.User, refusal.Reason), refusal.Err)
	}
	return id, nil
}

func (c *webTokenChain) admit(cr *broker.Credentials) (*broker.Identity, *broker.Refusal) {
	u, err := c.tokens.verify(string(cr.Password), time.Now())
	switch {
	case errors.Is(err, errClockNotSet):
		return nil, broker.Refuse(broker.BackendUnavailable, fmt.Errorf("token: %w", err))
	case err != nil:
		return nil, broker.Refuse(broker.WrongPassword, fmt.Errorf("token: %w", err))
	case cr.User != "" && cr.User != u.name:
		return nil, broker.Refuse(broker.WrongPassword, fmt.Errorf("the token is that of %q", u.name))
	}
	d := c.directory
	snap := d.snap.Load()
	var id *broker.Identity
	switch own := snap.accounts[u.name]; {
	case own == nil:
		var roles []string
		for _, name := range u.roles {
			if snap.roles[name] != nil {
				roles = append(roles, name)
			}
		}
		if len(roles) == 0 { // and none by default: those are other people's
			return nil, broker.Refuse(broker.UnknownUser, errors.New("the token names no role that exists here"))
		}
		id = identity(cr, &User{Name: u.name, Roles: roles})
	case own.Disabled:
		return nil, broker.Refuse(broker.UserDisabled, nil)
	case own.System:
		return nil, broker.Refuse(broker.WrongPassword, errors.New("no token stands for a system user"))
	case own.Kind != NoPassword:
		return nil, broker.Refuse(broker.WrongPassword, errors.New("the user has a password of its own, for which no token stands"))
	default:
		if refusal := own.keptOut(cr.Remote.Addr()); refusal != nil {
			return nil, refusal
		}
		id = identity(cr, &own.User)
	}
	id.Until = u.until
	return id, nil
}
