package broker

import (
	"sync"
	"time"
)

// Durability says when an acknowledgement may leave. Whatever the mode, what is
// stored is stored with the Store's full care: modes differ only in when a commit
// happens and what waits for it, so that each has an exact bound.
type Durability string

const (
	// Durable: acknowledged means stored, or taken by every receiver.
	Durable Durability = "durable"
	// Balanced: the same for QoS 2 and for messages to sessions that are away;
	// retained changes are stored within a second.
	Balanced Durability = "balanced"
	// SDSaver: commits every five seconds and acknowledges at once.
	SDSaver Durability = "sd_saver"
	// Memory: nothing is stored.
	Memory Durability = "memory"
)

const (
	// lazyCommit is how long changes wait that nobody waits for.
	lazyCommit = time.Second
	// saverCommit is how long they wait with SDSaver.
	saverCommit = 5 * time.Second
	// windowLeast and windowMost bound how long acknowledgements wait so that
	// others can share their commit; between them it is twice what a commit costs.
	windowLeast = 20 * time.Millisecond
	windowMost  = 50 * time.Millisecond
	// strainedWindow and strainedLazy are for when the day's writing is used up.
	strainedWindow = 250 * time.Millisecond
	strainedLazy   = 10 * time.Second

	// dailyBytes and burstBytes are how much may be written to the disk: SD cards
	// wear out. Acknowledgements stay honest beyond it, they only come later.
	dailyBytes = 2 << 30
	burstBytes = 50 << 20
)

// meter is implemented by a Store that knows how much it has written.
type meter interface {
	// Written returns bytes written to the device since the start. It never goes down.
	Written() int64
}

// pace decides how long the journal lets changes come together. Its methods but
// Figures are called by the journal's goroutine.
type pace struct {
	mode  Durability
	meter meter // nil: not measured

	mu      sync.Mutex
	cost    time.Duration // of a commit, moving average
	commits uint64
	tokens  float64 // bytes that may be written now
	written int64
	at      time.Time
}

func newPace(store Store, mode Durability) *pace {
	p := &pace{mode: mode, tokens: burstBytes, at: time.Now()}
	p.meter, _ = store.(meter)
	if p.meter != nil {
		p.written = p.meter.Written()
	}
	return p
}

// committed takes note of a commit and what it cost.
func (p *pace) committed(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commits++
	if p.cost == 0 {
		p.cost = took
	}
	p.cost += (took - p.cost) / 8
	if p.meter == nil {
		return
	}
	now, written := time.Now(), p.meter.Written()
	p.tokens += now.Sub(p.at).Seconds() * dailyBytes / (24 * 60 * 60)
	p.tokens = min(p.tokens-float64(written-p.written), burstBytes)
	p.at, p.written = now, written
}

// strained reports whether more has been written than a day allows.
func (p *pace) strained() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tokens < 0
}

// window is how long an acknowledgement waits for company.
func (p *pace) window() time.Duration {
	if p.strained() {
		return strainedWindow
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return min(max(2*p.cost, windowLeast), windowMost)
}

// lazy is how long changes wait that nobody waits for.
func (p *pace) lazy() time.Duration {
	switch {
	case p.mode == SDSaver:
		return saverCommit
	case p.strained():
		return strainedLazy
	}
	return lazyCommit
}

// StoreFigures tell how the journal fares.
type StoreFigures struct {
	Commits  uint64
	Cost     time.Duration // of a commit, moving average
	Window   time.Duration // how long acknowledgements wait for company
	Written  int64         // bytes written to the device since the start, 0 when not known
	Strained bool          // more was written than a day allows: commits are fewer
}

func (p *pace) figures() StoreFigures {
	w, s := p.window(), p.strained()
	p.mu.Lock()
	defer p.mu.Unlock()
	return StoreFigures{Commits: p.commits, Cost: p.cost, Window: w, Written: p.written, Strained: s}
}
