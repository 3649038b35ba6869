package accesstest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker/access"
)

// TestTokens runs the tests that every access.TokenRepository passes. audit returns
// how many entries its audit has.
func TestTokens(t *testing.T, open func(testing.TB) (r access.TokenRepository, audit func() int)) {
	r, audit := open(t)
	ctx := context.Background()
	insert := func(label string, hash string) int64 {
		t.Helper()
		id, err := r.InsertToken(ctx, access.Token{Label: label, Scope: access.ScopeRead, Created: at, CreatedBy: "ann"}, []byte(hash), note("token created"))
		if err != nil || id == 0 {
			t.Fatal(id, err)
		}
		return id
	}
	if list, err := r.Tokens(ctx); err != nil || len(list) != 0 {
		t.Errorf("an empty one has %v, %v", list, err)
	}
	grafana, backup := insert("grafana", "hash-1"), insert("Backup", "hash-2")
	if _, err := r.InsertToken(ctx, access.Token{Label: "grafana", Scope: access.ScopeAdmin}, []byte("hash-3"), note("token created")); !errors.Is(err, access.ErrExists) {
		t.Errorf("a second grafana: %v", err)
	}
	if _, err := r.FindToken(ctx, []byte("hash-3")); !errors.Is(err, access.ErrNotFound) {
		t.Errorf("the refused one: %v", err)
	}
	used := at.Add(3 * time.Hour)
	if err := r.TouchToken(ctx, grafana, used); err != nil {
		t.Error(err)
	}
	want := access.Token{ID: grafana, Label: "grafana", Scope: access.ScopeRead, Created: at, CreatedBy: "ann", Used: used}
	got, err := r.FindToken(ctx, []byte("hash-1"))
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("found (-want +got) %v\n%s", err, d)
	}
	list, err := r.Tokens(ctx)
	if err != nil || len(list) != 2 || list[0].Label != "Backup" || !list[0].Used.IsZero() || !list[1].Used.Equal(used) {
		t.Errorf("list %v, %v", list, err)
	}
	if n := audit(); n != 2 {
		t.Errorf("%d entries in the audit, want 2: a use is none", n)
	}
	if err := r.DeleteToken(ctx, backup, note("token revoked")); err != nil {
		t.Error(err)
	}
	if err := r.DeleteToken(ctx, backup, note("token revoked")); !errors.Is(err, access.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if err := r.TouchToken(ctx, backup, used); err != nil {
		t.Errorf("touch what is gone: %v", err)
	}
	if _, err := r.FindToken(ctx, []byte("hash-2")); !errors.Is(err, access.ErrNotFound) {
		t.Errorf("the deleted one: %v", err)
	}
	if n := audit(); n != 3 {
		t.Errorf("%d entries in the audit, want 3", n)
	}
}
