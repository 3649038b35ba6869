package access_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker/access"
	"hearthmq/broker/access/accesstest"
)

func TestMemoryTokens(t *testing.T) {
	accesstest.TestTokens(t, func(testing.TB) (access.TokenRepository, func() int) {
		r := access.NewMemoryRepository()
		return r, func() int {
			list, err := r.Audit(t.Context(), access.AuditQuery{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
	})
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := access.NewMemoryRepository()
		tokens := access.NewTokens(repo)
		ctx := access.WithActor(t.Context(), access.ViaAdmin, "ann")
		made, secret, err := tokens.Create(ctx, " grafana ", access.ScopeRead)
		if err != nil || made.Label != "grafana" || made.CreatedBy != "ann" || len(secret) != len("hmq_")+26 {
			t.Fatalf("%+v, secret of %d characters, %v", made, len(secret), err)
		}
		got, err := tokens.Check(ctx, secret)
		if err != nil || got.ID != made.ID || got.Scope != access.ScopeRead {
			t.Errorf("checked: %+v, %v", got, err)
		}
		for _, wrong := range []string{"", "hmq_", secret + "A", strings.ToLower(secret), secret[4:], "grafana"} {
			if _, err := tokens.Check(ctx, wrong); !errors.Is(err, access.ErrNotFound) {
				t.Errorf("%q: %v", wrong, err)
			}
		}
		first := time.Now()
		time.Sleep(usedSpan / 2)
		if _, err := tokens.Check(ctx, secret); err != nil {
			t.Error(err)
		}
		stored, _ := repo.Tokens(ctx)
		if !stored[0].Used.Equal(first) {
			t.Errorf("stored use %s, want %s: one write an hour", stored[0].Used, first)
		}
		if list, err := tokens.List(ctx); err != nil || !list[0].Used.Equal(time.Now()) {
			t.Errorf("last use %v, %v", list, err)
		}
		time.Sleep(usedSpan / 2)
		if _, err := tokens.Check(ctx, secret); err != nil {
			t.Error(err)
		}
		if stored, _ = repo.Tokens(ctx); !stored[0].Used.Equal(time.Now()) {
			t.Errorf("stored use %s, want %s", stored[0].Used, time.Now())
		}
		audit, _ := repo.Audit(ctx, access.AuditQuery{Limit: 10})
		if len(audit) != 1 || audit[0].Action != "token created" || strings.Contains(fmt.Sprint(audit), secret[4:]) { // case W17
			t.Errorf("audit %+v", audit)
		}
		if err := tokens.Revoke(ctx, made.ID); err != nil {
			t.Error(err)
		}
		if err := tokens.Revoke(ctx, made.ID); !errors.Is(err, access.ErrNotFound) {
			t.Errorf("revoked twice: %v", err)
		}
		if _, err := tokens.Check(ctx, secret); !errors.Is(err, access.ErrNotFound) {
			t.Errorf("a revoked one opens: %v", err)
		}
	})
}

// usedSpan is how precisely the last use is stored.
const usedSpan = time.Hour

func TestTokensAreChecked(t *testing.T) {
	tokens := access.NewTokens(access.NewMemoryRepository())
	for field, ask := range map[string][2]string{
		"label": {"", "read"}, "scope": {"x", "owner"},
	} {
		_, _, err := tokens.Create(t.Context(), ask[0], access.TokenScope(ask[1]))
		if p, _ := errors.AsType[access.Problems](err); p[field] == "" || len(p) != 1 {
			t.Errorf("%s: %v", field, err)
		}
	}
	for i := range access.MaxTokens {
		if _, _, err := tokens.Create(t.Context(), fmt.Sprint("t", i), access.ScopeRead); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := tokens.Create(t.Context(), "t0", access.ScopeRead); err == nil || !strings.Contains(err.Error(), "100 tokens") {
		t.Errorf("one more: %v", err)
	}
}
