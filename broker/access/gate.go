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
// 19 MiB and a core. Who waits is served first come, first served; but who comes from
// where a password was wrong not long ago waits until nobody else does, or a flood of
// guesses from many addresses would keep everybody waiting (case A18).
type gate struct {
	most int // that may wait in each line

	mu    sync.Mutex
	free  int        // slots; while there are any nobody waits
	lines [2][]*turn // those without a blemish, and the others
}

// turn is somebody who waits.
type turn struct {
	spotless func() bool
	come     chan struct{} // closed when it is theirs
}

func newGate(slots, queue int) *gate { return &gate{most: queue, free: slots} }

// enter waits for a slot, which leave gives back. It fails with errGateFull at once,
// or with ctx's error. spotless says whether nobody guesses from there; it is asked
// several times, with the gate locked. nil: nobody does.
func (g *gate) enter(ctx context.Context, spotless func() bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if spotless == nil {
		spotless = func() bool { return true }
	}
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	if len(g.lines[0]) >= g.most {
		g.sort()
	}
	line := &g.lines[0]
	if !spotless() {
		line = &g.lines[1]
	}
	if len(*line) >= g.most {
		g.mu.Unlock()
		return errGateFull
	}
	t := &turn{spotless, make(chan struct{})}
	*line = append(*line, t)
	g.mu.Unlock()
	select {
	case <-t.come:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	before := len(g.lines[0]) + len(g.lines[1])
	for i, line := range g.lines {
		g.lines[i] = slices.DeleteFunc(line, func(x *turn) bool { return x == t })
	}
	waited := len(g.lines[0])+len(g.lines[1]) < before
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
	for len(g.lines[0]) > 0 && !g.lines[0][0].spotless() {
		g.sort() // something was wrong from there while it waited
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

// sort moves those to the second line that belong there by now. g.mu is held.
func (g *gate) sort() {
	g.lines[0] = slices.DeleteFunc(g.lines[0], func(t *turn) bool {
		clean := t.spotless()
		if !clean {
			g.lines[1] = append(g.lines[1], t)
		}
		return !clean
	})
}

// waiting is how many wait in each line.
func (g *gate) waiting() (spotless, others int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.lines[0]), len(g.lines[1])
}
