package access

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"hearthmq/broker"
)

// issuer makes tokens.
type issuer struct {
	alg  jose.SignatureAlgorithm
	key  crypto.Signer
	kid  string
	text []byte // the public key in PEM
}

func newIssuer(t *testing.T, alg jose.SignatureAlgorithm, kid string) *issuer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{alg, key, kid, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
}

func (i *issuer) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: i.key.Public(), KeyID: i.kid, Algorithm: string(i.alg)}
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	opts := (&jose.SignerOptions{}).WithType("JWT")
	if kid != "" {
		opts = opts.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (i *issuer) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	return sign(t, i.alg, i.key, i.kid, claims)
}

// tokenWorld is a directory where tokens are taken.
func tokenWorld(t *testing.T, text []byte, edit func(*WebTokenConfig)) (*Accounts, *Directory, broker.Authenticator, *WebTokens) {
	t.Helper()
	a, d := open(t, Policy{OutsideRoles: []string{RoleEverything}})
	cfg := WebTokenConfig{KeyFile: filepath.Join(t.TempDir(), "keys"), UserClaim: "sub", RolesClaim: "roles", Log: slog.New(slog.DiscardHandler)}
	if err := os.WriteFile(cfg.KeyFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(&cfg)
	}
	tokens, err := NewWebTokens(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a, d, WithWebTokens(d, tokens, Chain(d, &elsewhere{})), tokens
}

func TestWebTokens(t *testing.T) {
	main, other, second := newIssuer(t, jose.RS256, ""), newIssuer(t, jose.RS256, ""), newIssuer(t, jose.ES256, "")
	a, d, auth, _ := tokenWorld(t, append(slices.Clone(main.text), second.text...), func(c *WebTokenConfig) {
		c.RolesClaim, c.Issuer, c.Audience = "realm.roles", "https://id.example", "mqtt"
	})
	create(t, a, NewUser{Name: "own", Password: "secret"})
	create(t, a, NewUser{Name: "lamp", NoPassword: true})
	create(t, a, NewUser{Name: "off", NoPassword: true})
	check(t, a.ChangeUser(t.Context(), "off", UserChange{Disabled: ptr(true)}))
	now := time.Now()
	claims := func(edit map[string]any) map[string]any {
		c := map[string]any{
			"sub": "anna", "iss": "https://id.example", "aud": []string{"web", "mqtt"}, "exp": now.Add(time.Hour).Unix(),
			"realm": map[string]any{"roles": []string{"no such role", RoleReadOnly}},
		}
		for k, v := range edit {
			if v == nil {
				delete(c, k)
			} else {
				c[k] = v
			}
		}
		return c
	}
	good := main.token(t, claims(nil))
	parts := strings.Split(good, ".")
	secret := bytes.TrimSpace(main.text)
	says := map[string]string{ // what the log and hearthmq why tell of some
		"of a stranger": "none of the keys in jwt_keys has signed it", "ended": "it has ended at ", "not begun": "it counts from later on only",
		"of another issuer": `the issuer "https://evil.example"`, "for somebody else": "another audience than jwt_audience",
	}
	for i, tt := range []struct {
		name, user, token string
		reason            broker.Reason
		want              string // the user
	}{
		{"without a user name", "", good, "", "anna"},
		{"with the token's name", "anna", good, "", "anna"},
		{"with another name", "bob", good, broker.WrongPassword, ""},
		{"of the second key", "", second.token(t, claims(nil)), "", "anna"},
		{"of a stranger", "", other.token(t, claims(nil)), broker.WrongPassword, ""},
		{"with another payload", "", parts[0] + "." + parts[1][:len(parts[1])-4] + "AAAA." + parts[2], broker.WrongPassword, ""},
		{"signed with the public key as a secret", "", sign(t, jose.HS256, secret, "", claims(nil)), broker.WrongPassword, ""},
		{"not signed", "", "eyJhbGciOiJub25lIn0." + parts[1] + ".", broker.WrongPassword, ""},
		{"ended", "", main.token(t, claims(map[string]any{"exp": now.Add(-2 * time.Minute).Unix()})), broker.WrongPassword, ""},
		{"not begun", "", main.token(t, claims(map[string]any{"nbf": now.Add(time.Hour).Unix()})), broker.WrongPassword, ""},
		{"of another issuer", "", main.token(t, claims(map[string]any{"iss": "https://evil.example"})), broker.WrongPassword, ""},
		{"for somebody else", "", main.token(t, claims(map[string]any{"aud": "web"})), broker.WrongPassword, ""},
		{"without a name", "", main.token(t, claims(map[string]any{"sub": nil})), broker.WrongPassword, ""},
		{"with a name that is none", "", main.token(t, claims(map[string]any{"sub": "a/#"})), broker.WrongPassword, ""},
		{"without a role", "", main.token(t, claims(map[string]any{"realm": nil})), broker.UnknownUser, ""},
		{"with roles that don't exist", "", main.token(t, claims(map[string]any{"realm": map[string]any{"roles": "admin"}})), broker.UnknownUser, ""},
		{"of a user of ours", "", main.token(t, claims(map[string]any{"sub": "lamp", "realm": nil})), "", "lamp"},
		{"of a user of ours who has a password", "own", main.token(t, claims(map[string]any{"sub": "own"})), broker.WrongPassword, ""},
		{"of a user of ours who has a password, by nobody's name", "", main.token(t, claims(map[string]any{"sub": "own"})), broker.WrongPassword, ""},
		{"of a user of ours in other letters, who is another", "", main.token(t, claims(map[string]any{"sub": "OWN"})), "", "OWN"},
		{"of a user who is disabled", "", main.token(t, claims(map[string]any{"sub": "off"})), broker.UserDisabled, ""},
		{"of a system user", "", main.token(t, claims(map[string]any{"sub": HomeAssistantUser})), broker.WrongPassword, ""},
		{"no token: another's user", "frank", "x", "", "frank"},
		{"no token: a user of ours", "own", "secret", "", "own"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := credentials(t, tt.user, tt.token, i)
			id, err := auth.Authenticate(context.Background(), c)
			wantReason(t, err, tt.reason)
			if err != nil && !strings.Contains(err.Error(), says[tt.name]) {
				t.Errorf("told %v, want %q", err, says[tt.name])
			}
			if err == nil && id.User != tt.want {
				t.Errorf("user %q, want %q", id.User, tt.want)
			}
		})
	}
	// Rights are those of the roles, of those that exist.
	id, err := auth.Authenticate(context.Background(), credentials(t, "", good, 100))
	wantReason(t, err, "")
	if !slices.Equal(id.Roles, []string{RoleReadOnly}) || id.Until.Sub(now.Add(time.Hour)).Abs() > 2*time.Minute {
		t.Errorf("identity %+v", id)
	}
	if d.Authorize(id, broker.Publish, "t").Allow || !d.Authorize(id, broker.Receive, "t").Allow {
		t.Error("the rights are not those of read-only")
	}
	if stands, _ := d.Review(id); !stands {
		t.Error("does not stand")
	}
}

// credentials come from an address of their own, so that no throttle mixes in.
func credentials(t *testing.T, user, password string, n int) *broker.Credentials {
	t.Helper()
	return &broker.Credentials{
		ClientID: "c", HasUser: user != "", User: user, HasPassword: true, Password: []byte(password),
		Listener: broker.ListenerInfo{Name: "mqtt"}, Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 4000),
	}
}

// Guessing tokens is throttled by the address.
func TestWebTokensThrottled(t *testing.T) {
	i, stranger := newIssuer(t, jose.ES256, ""), newIssuer(t, jose.ES256, "")
	_, _, auth, _ := tokenWorld(t, i.text, nil)
	bad := stranger.token(t, map[string]any{"sub": "anna", "roles": RoleReadOnly})
	for range 5 {
		_, err := auth.Authenticate(context.Background(), credentials(t, "anna", bad, 1))
		wantReason(t, err, broker.WrongPassword)
	}
	good := i.token(t, map[string]any{"sub": "anna", "roles": RoleReadOnly})
	_, err := auth.Authenticate(context.Background(), credentials(t, "anna", good, 1))
	wantReason(t, err, broker.TooManyAttempts)
	_, err = auth.Authenticate(context.Background(), credentials(t, "anna", good, 2))
	wantReason(t, err, "")
}

// A key set names its keys, and is read again when the issuer changes them.
func TestTokenKeySet(t *testing.T) {
	first, second := newIssuer(t, jose.EdDSA, "first"), newIssuer(t, jose.RS256, "second")
	set := func(keys ...jose.JSONWebKey) []byte {
		text, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	_, _, _, tokens := tokenWorld(t, set(first.jwk()), nil)
	claims := map[string]any{"sub": "anna", "roles": RoleReadOnly}
	now := time.Now()
	try := func(i *issuer) error {
		_, err := tokens.verify(i.token(t, claims), now)
		return err
	}
	if try(first) != nil || try(second) == nil {
		t.Errorf("first %v, second %v", try(first), try(second))
	}
	put := func(text []byte) {
		if err := os.WriteFile(tokens.cfg.KeyFile, text, 0o600); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * time.Minute)
	}
	put(set(first.jwk(), second.jwk()))
	if try(first) != nil || try(second) != nil {
		t.Errorf("after a change: first %v, second %v", try(first), try(second))
	}
	put([]byte("{broken"))
	if try(second) != nil {
		t.Error("a broken file took the keys away")
	}
	put(set(second.jwk()))
	if try(first) == nil {
		t.Error("a key that was taken away still counts")
	}
}

func TestTokenKeysRefused(t *testing.T) {
	i := newIssuer(t, jose.ES256, "")
	private, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key}}})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: []byte("shared secret of some bytes")}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"nothing": nil, "no keys": []byte(`{"keys":[]}`), "private": private, "secret": secret, "text": []byte("hello")} {
		if _, err := parseTokenKeys(text); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
