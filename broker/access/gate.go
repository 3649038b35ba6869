package access

import (
	"context"
	"errors"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// errGateFull: more logins wait for their turn than the gate lets wait.
var errGateFull = errors.New("too many logins are waiting to be checked")

// gate bounds how many password hashes are computed at a time, each of which takes
// 19 MiB and a core. Who waits is served first come, first served.
type gate struct {
	slots   *semaphore.Weighted
	queue   int64 // the most that may wait
	waiting atomic.Int64
}

func newGate(slots, queue int) *gate {
	return &gate{slots: semaphore.NewWeighted(int64(slots)), queue: int64(queue)}
}

// enter waits for a slot, which leave gives back. It fails with errGateFull at once,
// or with ctx's error.
func (g *gate) enter(ctx context.Context) error {
	if g.slots.TryAcquire(1) { // fails while others wait
		return nil
	}
	if g.waiting.Add(1) > g.queue {
		g.waiting.Add(-1)
		return errGateFull
	}
	defer g.waiting.Add(-1)
	return g.slots.Acquire(ctx, 1)
}

func (g *gate) leave() { g.slots.Release(1) }
