package broker

import (
	"testing"
	"testing/synctest"
	"time"
)

// Publishers with one message under way each share a commit, and once all that the
// last commit let go on are back nothing is left to wait for.
func TestCommitsWhenEverybodyIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal(NewMemoryStore(), Durable, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
		defer j.shutdown()
		for round, tt := range []struct {
			waiting int
			most    time.Duration // until all are told
			least   time.Duration
		}{
			{50, 3 * settleTime, settleTime}, // nobody knows yet how many there are
			{50, 0, 0},
			{50, 0, 0},
			{49, 3 * settleTime, settleTime}, // one does not come back
			{49, 0, 0},
			{60, 0, 0},
			{manyWaiting, 3 * settleTime, settleTime},
			{manyWaiting, 0, 0},
			{manyWaiting - 1, windowMost, windowLeast}, // too few to be in a hurry
			{manyWaiting - 1, windowMost, windowLeast},
		} {
			began := time.Now()
			waiters := make([]chanWaiter, tt.waiting)
			j.open() // no commit in between
			for i := range waiters {
				j.append(RetainedCleared{Topic: "t"})
				waiters[i] = chanWaiter{make(chan struct{}), began}
				j.notify(waiters[i], true)
			}
			j.close()
			for _, w := range waiters {
				<-w.told
			}
			if took := time.Since(began); took < tt.least || took > tt.most {
				t.Errorf("round %d: %d waited %v, want %v to %v", round, tt.waiting, took, tt.least, tt.most)
			}
			synctest.Wait()
		}
	})
}
