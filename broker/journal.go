package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// hurryAt commits at once when there are this many changes.
	hurryAt = 5000
	// crowdAt is how many pending changes make a publisher wait whose own
	// acknowledgements are among what is waited for.
	crowdAt = 20_000
	// manyWaiting is how many waiters make the journal look whether all that could
	// come has come: then waiting longer would save nothing.
	manyWaiting = 8
	// settleTime is how long nothing new must have come for that.
	settleTime = time.Millisecond
	// retryFirst and retryMost bound the pause after a failed commit.
	retryFirst = 100 * time.Millisecond
	retryMost  = 10 * time.Second
)

// journal collects changes in the order in which they happened and stores them
// in groups, from one goroutine. A ticket is the number of a change: once
// committed has reached it, the change is stored.
//
// A journal without a Store gives ticket 0 to everything: nothing to wait for.
type journal struct {
	store   Store
	pace    *pace
	relaxed bool        // acknowledge at once (SDSaver)
	fail    func(error) // told of a failure, and with nil of its end

	// gate is held for reading while one thing's changes are appended, and for
	// writing while the batch is cut: a group never falls into two transactions.
	gate sync.RWMutex

	mu        sync.Mutex // leaf
	pending   []Change
	size      int      // about what pending keeps in memory
	sizeMost  int      // beyond which it is compacted
	sized     *Message // counted last: many deliveries share one
	last      uint64
	waiters   []waiter
	firm      int       // how many of them wait for nothing but the store
	released  int       // how many of those the last commit let go on
	pressing  time.Time // since when something is pending that should be stored soon
	err       error
	easing    chan struct{} // closed and made anew at each commit
	committed atomic.Uint64

	fresh chan struct{} // changes are pending
	wake  chan struct{} // somebody waits
	hurry chan struct{} // too much is pending
	stop  chan struct{}
	done  chan struct{}
}

// waiter is told, without locks held, that tickets have been committed.
type waiter interface {
	committed()
	// since is when what it waits for began to wait; zero when nothing waits any
	// more: the receivers of a message have acknowledged it (promise).
	since() time.Time
}

func newJournal(store Store, mode Durability, fail func(error)) *journal {
	j := &journal{
		store: store, fail: fail, sizeMost: sizeMost, pace: newPace(store, mode), relaxed: mode == SDSaver,
		easing: make(chan struct{}), fresh: make(chan struct{}, 1), wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	if store != nil {
		go j.run()
	} else {
		close(j.done)
	}
	return j
}

// open begins a group of changes that belong together; close ends it.
func (j *journal) open() {
	if j.store != nil {
		j.gate.RLock()
	}
}

func (j *journal) close() {
	if j.store != nil {
		j.gate.RUnlock()
	}
}

// settled waits until no group is open that was when it was called, and returns the
// ticket of everything that was appended by then.
func (j *journal) settled() uint64 {
	j.gate.Lock()
	defer j.gate.Unlock()
	return j.lastTicket()
}

// append adds a change to the group and returns its ticket. The caller holds
// gate for reading.
func (j *journal) append(c Change) uint64 {
	if j.store == nil {
		return 0
	}
	j.mu.Lock()
	j.pending = append(j.pending, c)
	n := len(j.pending)
	if j.weigh(c); j.size > j.sizeMost {
		j.compactPending()
	}
	presses := j.pressing.IsZero() && !j.patient(c)
	if presses {
		j.pressing = time.Now()
	}
	j.last++
	seq := j.last
	j.mu.Unlock()
	if n == 1 || presses {
		signal(j.fresh)
	} else if n == hurryAt {
		signal(j.hurry)
	}
	if j.relaxed {
		return 0
	}
	return seq
}

// patient reports whether nothing is lost that anybody was promised when the change
// is stored late: retained messages of QoS 0, and acknowledgements, without which the
// message comes again. What is queued has somebody who waits, or is done soon.
func (j *journal) patient(c Change) bool {
	switch c := c.(type) {
	case RetainedSet:
		return c.Message.QoS == 0
	case Done:
		return true
	case Queued:
		return j.pace.mode == Durable
	}
	return false
}

// stored reports whether a ticket has been committed.
func (j *journal) stored(ticket uint64) bool { return ticket <= j.committed.Load() }

// notify has w told at the next commit, or before, when nothing waits any more. It
// may be told without need. firm: it waits for nothing but the store.
func (j *journal) notify(w waiter, firm bool) {
	j.mu.Lock()
	j.waiters = append(j.waiters, w)
	j.mu.Unlock()
	if firm {
		j.insist()
		return
	}
	signal(j.wake)
}

// insist says that a waiter waits for nothing but the store, which notify did not know.
func (j *journal) insist() {
	j.mu.Lock()
	j.firm++
	j.mu.Unlock()
	signal(j.wake)
}

// oldest is when the first of those that still wait began to; zero: nobody does.
// Those for whom nothing is left to wait are told so.
func (j *journal) oldest() (first time.Time) {
	j.mu.Lock()
	list := j.waiters
	j.waiters = nil
	j.mu.Unlock()
	var idle []waiter
	keep := make([]waiter, 0, len(list))
	for _, w := range list {
		at := w.since()
		if at.IsZero() {
			idle = append(idle, w)
			continue
		}
		keep = append(keep, w)
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	j.mu.Lock()
	j.waiters = append(keep, j.waiters...) // those that came meanwhile have just begun
	j.mu.Unlock()
	for _, w := range idle {
		w.committed()
	}
	return first
}

// wait blocks until the ticket is committed.
func (j *journal) wait(ctx context.Context, ticket uint64) error {
	for !j.stored(ticket) {
		w := chanWaiter{make(chan struct{}), time.Now()}
		j.notify(w, true)
		select {
		case <-w.told:
		case <-ctx.Done():
			return ctx.Err()
		case <-j.done:
			return j.failure()
		}
	}
	return nil
}

type chanWaiter struct {
	told chan struct{}
	at   time.Time
}

func (c chanWaiter) committed()       { close(c.told) }
func (c chanWaiter) since() time.Time { return c.at }

// lastTicket is the ticket of everything that was appended up to now.
func (j *journal) lastTicket() uint64 {
	if j.relaxed {
		return 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

func (j *journal) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// backlog is how many changes are pending.
func (j *journal) backlog() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.pending)
}

// returned reports whether as many wait again, for nothing but the store, as the last
// commit let go on: of publishers that have one message under way nobody is missing.
func (j *journal) returned() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.released >= manyWaiting && j.firm >= j.released
}

// demand is how many wait, how many of them firmly, and since when something presses.
func (j *journal) demand() (waiters, firm int, pressing time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.waiters), j.firm, j.pressing
}

// shutdown stores what is pending and ends the goroutine. Nothing may be
// appended afterwards.
func (j *journal) shutdown() {
	if j.store == nil {
		return
	}
	close(j.stop)
	<-j.done
}

// run ends after shutdown, once everything is stored or the store failed again.
func (j *journal) run() {
	defer close(j.done)
	for {
		select {
		case <-j.fresh:
		case <-j.wake:
		case <-j.hurry:
		case <-j.stop:
			j.commit(false)
			return
		}
		if !j.gather() {
			j.commit(false)
			return
		}
		if !j.commit(true) {
			return
		}
	}
}

// gather lets changes come together until it is time to commit them: when the first
// of those that wait has done so for a window, or soon after many have come that
// wait for nothing but the store, or when nobody waits and it has been a while.
// false: the journal is being shut down.
func (j *journal) gather() bool {
	began := time.Now()
	var urgent time.Time // since when somebody waits; zero: nobody does as far as is known
	var settle <-chan time.Time
	seen := 0
	due := func() time.Time {
		waiters, firm, pressing := j.demand()
		at := began.Add(j.pace.patience())
		if !pressing.IsZero() {
			at = earlier(at, pressing.Add(j.pace.lazy()))
		}
		if waiters > 0 && urgent.IsZero() {
			urgent = time.Now()
		}
		if !urgent.IsZero() {
			at = earlier(at, urgent.Add(j.pace.window()))
		}
		if firm >= manyWaiting && settle == nil {
			seen, settle = j.backlog(), time.After(settleTime)
		}
		return at
	}
	timer := time.NewTimer(time.Until(due()))
	defer timer.Stop()
	for {
		if j.returned() && !j.pace.strained() {
			return true
		}
		select {
		case <-j.fresh:
		case <-j.wake:
		case <-j.hurry:
			return true
		case <-timer.C:
			if !urgent.IsZero() {
				urgent = j.oldest()
			}
			if !time.Now().Before(due()) {
				return true
			}
		case <-settle:
			if j.backlog() == seen && !j.pace.strained() {
				return true
			}
			settle = nil
		case <-j.stop:
			return false
		}
		timer.Reset(time.Until(due()))
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// cut takes what is pending, behind what a failed commit left.
func (j *journal) cut(left []Change) (batch []Change, last uint64, waiters []waiter) {
	j.gate.Lock()
	defer j.gate.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	batch, last, waiters = j.pending, j.last, j.waiters
	if len(left) > 0 {
		batch = append(left, batch...)
	}
	j.released = j.firm
	j.pending, j.waiters, j.firm, j.pressing = nil, nil, 0, time.Time{}
	j.size, j.sizeMost, j.sized = 0, sizeMost, nil
	return batch, last, waiters
}

// commit stores one batch. With retry it goes on until the store takes it or the
// journal is shut down; it reports whether the journal goes on.
func (j *journal) commit(retry bool) bool {
	batch, last, waiters := j.cut(nil)
	for pause := retryFirst; len(batch) > 0; pause = min(2*pause, retryMost) {
		began := time.Now()
		err := j.store.Apply(context.Background(), batch)
		if j.setFailure(err); err == nil {
			j.pace.committed(time.Since(began))
			break
		}
		if !retry {
			return false
		}
		select {
		case <-time.After(pause):
		case <-j.stop:
			retry = false
		}
		// What came meanwhile goes along, without what it made needless: a store
		// that stays away must not fill the memory with old retained values.
		var more []waiter
		batch, last, more = j.cut(batch)
		waiters = append(waiters, more...)
		batch = compact(batch)
	}
	j.committed.Store(last)
	j.eased()
	for _, w := range waiters {
		w.committed()
	}
	return true
}

func (j *journal) setFailure(err error) {
	j.mu.Lock()
	before := j.err
	j.err = err
	j.mu.Unlock()
	if (err == nil) != (before == nil) {
		j.fail(err)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
