package access_test

import (
	"testing"
	"time"

	"hearthmq/broker/access"
)

// case R12: a learning that began while the clock was ahead leaves nothing open until that
// time comes again; a clock that is put right by seconds ends none.
func TestLearningClock(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ahead time.Duration // by how much the clock was, when it began
		runs  bool
	}{
		{"right", 0, true},
		{"half a minute ahead", 30 * time.Second, true},
		{"a day ahead", 24 * time.Hour, false},
		{"ten years ahead", 10 * 365 * 24 * time.Hour, false}, // or this one shows 1970, as at a boot
	} {
		t.Run(tt.name, func(t *testing.T) {
			watching(t, func(h *home, pass func(time.Duration)) {
				h.user("z2m")
				h.must(h.accounts.StartLearning(h.Context(), "z2m", time.Hour, true))
				u, _ := h.dir.User("z2m")
				begun := time.Now().Add(tt.ahead).Round(0)
				h.must(h.repo.StartLearning(h.Context(), access.Learning{UserID: u.ID, Begun: begun, Until: begun.Add(time.Hour), Open: true},
					access.AuditEntry{Action: "learning started"}))
				open := func() bool { return h.dir.Check(access.Question{User: "z2m", Name: "door/open"}).Allow }
				pass(time.Second)
				if l, err := h.accounts.Learned(h.Context(), "z2m"); err != nil || l.Running != tt.runs || open() != tt.runs {
					t.Errorf("runs: %v, open: %v, want %v; %v", l.Running, open(), tt.runs, err)
				}
				if tt.ahead > 48*time.Hour {
					return
				}
				// What rested goes on when its time comes, and ends with it.
				pass(tt.ahead)
				if !open() {
					t.Error("rests on in its time")
				}
				pass(time.Hour)
				if open() {
					t.Error("open after its time")
				}
			})
		})
	}
}
