package accesstest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker/access"
)

func testLearning(t *testing.T, r access.Repository) {
	id := insertUser(t, r, user("kitchen"))
	other := insertUser(t, r, user("other"))
	l := access.Learning{UserID: id, Begun: at, Until: at.Add(time.Hour), Open: true}
	if err := r.StartLearning(t.Context(), access.Learning{UserID: 4711, Begun: at, Until: at}, note("learn")); !errors.Is(err, access.ErrNotFound) {
		t.Errorf("StartLearning of nobody: %v, want ErrNotFound", err)
	}
	for _, l := range []access.Learning{{UserID: other, Begun: at, Until: at.Add(time.Minute)}, l} {
		if err := r.StartLearning(t.Context(), l, note("learn")); err != nil {
			t.Fatalf("StartLearning: %v", err)
		}
	}
	version, err := r.DataVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	facts := func(want string) {
		t.Helper()
		if got, err := r.Facts(t.Context(), id); err != nil || got != want {
			t.Errorf("Facts = %q, %v, want %q", got, err, want)
		}
	}
	facts("")
	if err := r.SaveFacts(t.Context(), id, at, `{"it's": 1}`); err != nil {
		t.Fatalf("SaveFacts: %v", err)
	}
	// Facts of a time that is over don't count for the next one.
	if err := r.SaveFacts(t.Context(), id, at.Add(-time.Minute), "late"); err != nil {
		t.Fatalf("SaveFacts too late: %v", err)
	}
	facts(`{"it's": 1}`)
	if v, err := r.DataVersion(t.Context()); err != nil || v != version {
		t.Errorf("facts changed the data version from %d to %d, %v: everything would be loaded anew", version, v, err)
	}
	want := []access.Learning{l, {UserID: other, Begun: at, Until: at.Add(time.Minute)}}
	if diff := cmp.Diff(want, load(t, r).Learning, loose...); diff != "" {
		t.Errorf("learning (-want +got):\n%s", diff)
	}
	// Beginning again forgets what was seen.
	if err := r.StartLearning(t.Context(), l, note("learn")); err != nil {
		t.Fatalf("StartLearning again: %v", err)
	}
	facts("")
	if err := r.EndLearning(t.Context(), id, note("learnt")); err != nil {
		t.Fatalf("EndLearning: %v", err)
	}
	if err := r.EndLearning(t.Context(), id, note("learnt")); !errors.Is(err, access.ErrNotFound) {
		t.Errorf("EndLearning twice: %v, want ErrNotFound", err)
	}
	if err := r.SaveFacts(t.Context(), id, at, "late"); err != nil {
		t.Errorf("SaveFacts after the end: %v", err)
	}
	facts("")
	if err := r.DeleteUser(t.Context(), other, note("user deleted")); err != nil {
		t.Fatal(err)
	}
	if list := load(t, r).Learning; len(list) != 0 {
		t.Errorf("learning = %+v, want none", list)
	}
}

func testAuditQuery(t *testing.T, r access.Repository) {
	vias := []access.Via{access.ViaAdmin, access.ViaToken, access.ViaCommandLine}
	for i := range 30 {
		e := access.AuditEntry{
			At: at.Add(time.Duration(i) * time.Minute), Via: vias[i%3], Actor: "Ann_%", Action: "role changed",
			Object: "r" + string(rune('a'+i%5)), After: "allow both Home/#",
		}
		if err := r.Note(t.Context(), e); err != nil {
			t.Fatalf("Note: %v", err)
		}
	}
	ask := func(q access.AuditQuery) (ids []int64) {
		t.Helper()
		list, err := r.Audit(t.Context(), q.Normal())
		if err != nil {
			t.Fatalf("Audit(%+v): %v", q, err)
		}
		for i, e := range list {
			if !q.Matches(e) {
				t.Errorf("Audit(%+v) returned %+v", q, e)
			}
			if i > 0 && list[i-1].ID <= e.ID {
				t.Errorf("Audit(%+v) is not in order", q)
			}
			ids = append(ids, e.ID)
		}
		return ids
	}
	all := ask(access.AuditQuery{})
	if len(all) != 30 {
		t.Fatalf("%d entries, want 30", len(all))
	}
	for _, tt := range []struct {
		name string
		q    access.AuditQuery
		want int
	}{
		{"limit", access.AuditQuery{Limit: 7}, 7},
		{"before", access.AuditQuery{Before: all[9]}, 20},
		{"via", access.AuditQuery{Via: access.ViaToken}, 10},
		{"since", access.AuditQuery{Since: at.Add(20 * time.Minute)}, 10},
		{"until", access.AuditQuery{Until: at.Add(20 * time.Minute)}, 20},
		{"object", access.AuditQuery{Text: "RA"}, 6},
		{"text of what it is now", access.AuditQuery{Text: "home/#"}, 30},
		{"no pattern", access.AuditQuery{Text: "ann_%"}, 30},
		{"no pattern matches", access.AuditQuery{Text: "a%n"}, 0},
		{"not across fields", access.AuditQuery{Text: "Ann_%role"}, 0},
		{"all together", access.AuditQuery{Via: access.ViaAdmin, Text: "ra", Since: at, Until: at.Add(time.Hour), Before: all[0]}, 2},
	} {
		if got := ask(tt.q); len(got) != tt.want {
			t.Errorf("%s: %d entries, want %d", tt.name, len(got), tt.want)
		}
	}
}
