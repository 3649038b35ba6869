package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// TokenScope says what a token of the API may be used for.
type TokenScope string

const (
	ScopeRead  TokenScope = "read"  // see everything that holds no secret, change nothing
	ScopeAdmin TokenScope = "admin" // what an administrator may
)

// Token is a token of the API without what opens anything.
type Token struct {
	ID        int64
	Label     string
	Scope     TokenScope
	Created   time.Time
	CreatedBy string
	Used      time.Time // last use; zero: never
}

// MaxTokens bounds how many tokens there may be.
const MaxTokens = 100

// tokenPrefix lets people and scanners of secrets see what a token is.
const tokenPrefix = "hmq_"

// usedStep is how precisely the last use is stored: a write an hour, not one per request.
const usedStep = time.Hour

// TokenRepository keeps tokens by the hash of their secret. Every mutation writes its
// audit row in the same transaction. Safe for concurrent use.
type TokenRepository interface {
	// InsertToken stores t. ErrExists when the label is taken.
	InsertToken(ctx context.Context, t Token, hash []byte, a AuditEntry) (id int64, err error)
	// Tokens returns all of them sorted by label.
	Tokens(ctx context.Context) ([]Token, error)
	// FindToken returns the token with this hash. ErrNotFound.
	FindToken(ctx context.Context, hash []byte) (Token, error)
	// TouchToken notes a use. It writes no audit row; a token that is gone is no error.
	TouchToken(ctx context.Context, id int64, at time.Time) error
	// DeleteToken removes a token. ErrNotFound.
	DeleteToken(ctx context.Context, id int64, a AuditEntry) error
}

// Tokens makes, checks and revokes the API's tokens. They are looked up where they
// are stored each time, so that a token that another process makes or revokes counts
// at once. Safe for concurrent use.
type Tokens struct {
	repo TokenRepository

	mu   sync.Mutex
	used map[int64]time.Time // more precise than what is stored
}

// NewTokens returns the service over repo.
func NewTokens(repo TokenRepository) *Tokens {
	return &Tokens{repo: repo, used: make(map[int64]time.Time)}
}

// Create makes a token. secret is what its owner sends, and can't be asked for again.
// What is wrong is a Problems with the keys label and scope.
func (t *Tokens) Create(ctx context.Context, label string, scope TokenScope) (made Token, secret string, err error) {
	p := make(Problems)
	label = strings.TrimSpace(label)
	if text := ValidName(label); text != "" {
		p["label"] = text
	}
	if scope != ScopeRead && scope != ScopeAdmin {
		p["scope"] = fmt.Sprintf("must be %s or %s", ScopeRead, ScopeAdmin)
	}
	if err := p.orNil(); err != nil {
		return Token{}, "", err
	}
	all, err := t.repo.Tokens(ctx)
	if err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	if len(all) >= MaxTokens {
		return Token{}, "", Problems{"label": fmt.Sprintf("there are %d tokens already: revoke one that is not used", MaxTokens)}
	}
	secret = tokenPrefix + GeneratePassword()
	made = Token{Label: label, Scope: scope, Created: now(), CreatedBy: Actor(ctx).String()}
	made.ID, err = t.repo.InsertToken(ctx, made, tokenHash(secret), entry(ctx, "token created", label, "", "scope: "+string(scope)))
	switch {
	case errors.Is(err, ErrExists):
		return Token{}, "", Problems{"label": "exists already"}
	case err != nil:
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	return made, secret, nil
}

// List returns all tokens sorted by label.
func (t *Tokens) List(ctx context.Context) ([]Token, error) {
	list, err := t.repo.Tokens(ctx)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range list {
		if at := t.used[list[i].ID]; at.After(list[i].Used) {
			list[i].Used = at
		}
	}
	return list, nil
}

// Revoke makes a token worthless. ErrNotFound.
func (t *Tokens) Revoke(ctx context.Context, id int64) error {
	all, err := t.repo.Tokens(ctx)
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	for _, token := range all {
		if token.ID != id {
			continue
		}
		if err := t.repo.DeleteToken(ctx, id, entry(ctx, "token revoked", token.Label, "scope: "+string(token.Scope), "")); err != nil {
			return fmt.Errorf("revoke token: %w", err)
		}
		t.mu.Lock()
		delete(t.used, id)
		t.mu.Unlock()
		return nil
	}
	return fmt.Errorf("revoke token: %w", ErrNotFound)
}

// Check returns the token that secret is. ErrNotFound when there is none.
func (t *Tokens) Check(ctx context.Context, secret string) (Token, error) {
	if !strings.HasPrefix(secret, tokenPrefix) {
		return Token{}, fmt.Errorf("check token: %w", ErrNotFound)
	}
	// Looking up the hash of 130 random bits tells a stranger nothing by its time.
	found, err := t.repo.FindToken(ctx, tokenHash(secret))
	if err != nil {
		return Token{}, fmt.Errorf("check token: %w", err)
	}
	at := now()
	t.mu.Lock()
	t.used[found.ID] = at
	t.mu.Unlock()
	if at.Sub(found.Used) >= usedStep {
		// That the use can't be noted must not lock anybody out.
		if t.repo.TouchToken(ctx, found.ID, at) == nil {
			found.Used = at
		}
	}
	return found, nil
}

func tokenHash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}
