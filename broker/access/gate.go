package access

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// errGateFull: more logins wait for their turn than the gate lets wait.
var errGateFull = errors.New("too many logins are waiting to be checked")

// gate bounds how many password hashes are computed at a time, each of which takes
// 19 MiB and a core. Who waits is served first come, first served, but of each standing
// only while nobody of a better one waits: or a flood of guesses from many addresses would
// keep everybody waiting (case A18).
type gate struct {
	most int // that may wait in each line

	mu    sync.Mutex
	free  int                // slots; while there are any nobody waits
	lines [standings][]*turn // by standing
}

// turn is somebody who waits.
type turn struct {
	standing func() standing
	come     chan struct{} // closed when it is theirs
}

func newGate(slots, queue int) *gate { return &gate{most: queue, free: slots} }

// enter waits for a slot, which leave gives back. It fails with errGateFull at once,
// or with ctx's error. of says what standing who comes has; it is asked several times,
// with the gate locked. nil: the best.
func (g *gate) enter(ctx context.Context, of func() standing) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if of == nil {
		of = func() standing { return welcome }
	}
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	line := &g.lines[of()]
	if len(*line) >= g.most {
		g.sort()
	}
	if len(*line) >= g.most {
		g.mu.Unlock()
		return errGateFull
	}
	t := &turn{of, make(chan struct{})}
	*line = append(*line, t)
	g.mu.Unlock()
	select {
	case <-t.come:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	waited := false
	for i, line := range g.lines {
		g.lines[i] = slices.DeleteFunc(line, func(x *turn) bool { return x == t })
		waited = waited || len(g.lines[i]) < len(line)
	}
	g.mu.Unlock()
	if !waited { // the turn came meanwhile
		g.leave()
	}
	return ctx.Err()
}

// leave passes the slot on.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pass()
}

// pass is leave with g.mu held.
func (g *gate) pass() {
	for i, line := range g.lines {
		if len(line) > 0 && line[0].standing() != standing(i) {
			g.sort() // something was right or wrong from there while it waited
			break
		}
	}
	for i, line := range g.lines {
		if len(line) > 0 {
			close(line[0].come)
			g.lines[i] = slices.Delete(line, 0, 1)
			return
		}
	}
	g.free++
}

// sort moves those whose standing has changed, behind those who wait there. g.mu is held.
func (g *gate) sort() {
	var moved [standings][]*turn
	for i, line := range g.lines {
		g.lines[i] = slices.DeleteFunc(line, func(t *turn) bool {
			of := t.standing()
			if of != standing(i) {
				moved[of] = append(moved[of], t)
			}
			return of != standing(i)
		})
	}
	for i := range g.lines {
		g.lines[i] = append(g.lines[i], moved[i]...)
	}
}

// waiting is how many wait in each line.
func (g *gate) waiting() (n [standings]int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, line := range g.lines {
		n[i] = len(line)
	}
	return n
}
