package crashtest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

// TestSlowDisk delays every fsync: acknowledgements come later and all come (case S18).
func TestSlowDisk(t *testing.T) {
	needStrace(t)
	for _, delay := range []time.Duration{10 * time.Millisecond, 30 * time.Millisecond, 500 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			s := settings{Dir: t.TempDir(), Durability: broker.Durable, MaxQueued: 1 << 20}
			c := start(t, s, slowDisk(t, fmt.Sprintf("fsync:delay_exit=%d", delay.Microseconds()))...)
			awaySession(t, c)
			took := closedLoop(t, c, 20, 5)
			// A commit is one fsync, a checkpoint two; a message may have to wait for
			// the commit under way and then for its own.
			limit := max(time.Second, 5*delay) * time.Duration(crowding())
			if worst := took.worst(); worst > limit {
				t.Errorf("an acknowledgement took %v, want at most %v", worst, limit)
			}
			t.Log(took)
		})
	}
}

// awaySession makes a session that nobody takes anything out of.
func awaySession(t testing.TB, c *child) {
	t.Helper()
	l, err := dial(c.addr, "away", packet.V311, true, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.subscribe(1, "load/#"); err != nil {
		t.Fatal(err)
	}
	l.close()
}

// TestFailingFsync has fsync report an I/O error: once in a while, and from some
// moment on for ever. What is acknowledged must be there in every image; what an
// fsync has failed on counts as not written, whatever a later one says (case S8).
func TestFailingFsync(t *testing.T) {
	needStrace(t)
	tests := []struct {
		name  string
		when  string
		stuck bool
	}{
		// strace counts for each thread; a start alone takes two dozen, most of
		// them for the migrations.
		{"once in a while", "when=32+4", false},
		{"for ever", "when=32+", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rnd := random(t)
			past := recording{durability: broker.Durable, messages: 3000, limit: 10 * time.Second, stuck: tt.stuck, processors: 1,
				inject: []string{"fsync:error=EIO:" + tt.when}}.record(t, rnd)
			if past.failures == 0 {
				t.Error("no fsync failed")
			}
			t.Log(ptr(past.cut(t, 100, rand.New(rand.NewPCG(rnd.Uint64(), 1)), true)))
		})
	}
}

func ptr[T any](v T) *T { return &v }
