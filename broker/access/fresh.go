package access

import (
	"context"
	"errors"
	"sync"
	"time"

	"hearthmq/broker"
)

// Bounds of what it costs to know of another process's changes.
const (
	// freshPatience is how long a login waits at most to know whether somebody was changed:
	// a disk that does not answer keeps nobody out whom we know.
	freshPatience = time.Second
	// After a look the database is left alone for restPart times as long as it took, and
	// for leastRest at least: a flood of logins shares few looks, and they take a tenth of
	// the time at most. mostRest is well below freshPatience.
	restPart  = 9
	leastRest = time.Millisecond
	mostRest  = 50 * time.Millisecond
)

// follower is the part of Accounts that looks for what other processes changed. mu is a leaf.
type follower struct {
	mu   sync.Mutex
	asks chan struct{} // one place; nil: nobody follows
	next chan struct{} // closed once the look is done that has not begun yet; nil: nobody waits
}

// Follow takes over what other processes change until ctx ends: every so often it does all
// that Refresh does, and when a login asks (Fresh) it looks whether something is new. tell
// is called after each of them, by the same goroutine.
func (a *Accounts) Follow(ctx context.Context, every time.Duration, tell func(changed bool, err error)) {
	f := &a.follower
	asks := make(chan struct{}, 1)
	f.mu.Lock()
	f.asks = asks
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.asks = nil
		f.mu.Unlock()
		f.begin()() // who waits need not any more
	}()
	tick, rest := time.NewTicker(every), time.NewTimer(0)
	defer tick.Stop()
	defer rest.Stop()
	rested := false
	for {
		asked := asks
		if !rested {
			asked = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-rest.C:
			rested = true
		case <-tick.C:
			changed, err := a.Refresh(ctx)
			tell(changed, err)
		case <-asked:
			begun := time.Now()
			changed, err := a.look(ctx)
			rested = false
			rest.Reset(min(max(restPart*time.Since(begun), leastRest), mostRest))
			if changed {
				a.revalidate("")
			}
			tell(changed, err)
		}
	}
}

// look reloads what another process changed, for all that wait, whom to learn from too.
func (a *Accounts) look(ctx context.Context) (changed bool, err error) {
	defer a.follower.begin()()
	a.mu.Lock()
	changed, err = a.refresh(ctx)
	a.mu.Unlock()
	if changed {
		err = errors.Join(err, a.watch(ctx, false))
	}
	return changed, err
}

// begin is called before a look, and what it returns after it: whoever comes in between
// waits for the next one.
func (f *follower) begin() (done func()) {
	f.mu.Lock()
	next := f.next
	f.next = nil
	f.mu.Unlock()
	return func() {
		if next != nil {
			close(next)
		}
	}
}

// Fresh returns once all is known that was stored before the call, by whatever process. It
// waits no longer than freshPatience, and not at all where nobody follows.
func (a *Accounts) Fresh(ctx context.Context) {
	f := &a.follower
	f.mu.Lock()
	if f.asks == nil {
		f.mu.Unlock()
		return
	}
	if f.next == nil {
		f.next = make(chan struct{})
		select {
		case f.asks <- struct{}{}:
		default: // the last ask was not heard yet: it will do
		}
	}
	next := f.next
	f.mu.Unlock()
	patience := time.NewTimer(freshPatience)
	defer patience.Stop()
	select {
	case <-next:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// Freshly has next know of all changes that were stored before a client came: who was added
// on the command line may log in with the next line of the same script, and who was removed
// may not. Every login asks, whatever its name: who does not exist waits no longer (case A17).
func (a *Accounts) Freshly(next broker.Authenticator) broker.Authenticator { return freshly{a, next} }

type freshly struct {
	accounts *Accounts
	next     broker.Authenticator
}

// Authenticate implements broker.Authenticator.
func (f freshly) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	f.accounts.Fresh(ctx)
	return f.next.Authenticate(ctx, c)
}
