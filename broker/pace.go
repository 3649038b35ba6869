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
	// patienceMost is how long changes wait at most that no promise stands behind.
	patienceMost = time.Minute

	// dailyBytes is how much may be written to the disk in a day on average: SD cards
	// wear out. Up to burstBytes of what was not used are saved up, so that a busy hour
	// is no slower than others. Acknowledgements stay honest beyond it, they only come
	// later.
	dailyBytes = 2 << 30
	burstBytes = 1 << 30
	// quietBytes is how much may be written in a day while nobody waits for it. Beyond
	// it retained messages of QoS 0 come together for up to patienceMost.
	quietBytes = 150 << 20
	quietBurst = 8 << 20
	quietRate  = float64(quietBytes) / (24 * 60 * 60)
)

// meter is implemented by a Store that knows how much it has written.
type meter interface {
	// Written returns bytes written to the device since the start. It never goes down.
	Written() int64
}

// pace decides how long the journal lets changes come together. Its methods but
// figures are called by the journal's goroutine.
type pace struct {
	mode  Durability
	meter meter // nil: not measured

	mu      sync.Mutex
	cost    time.Duration // of a commit, moving average
	commits uint64
	tokens  float64 // bytes that may be written now
	quiet   float64 // the same of quietBytes
	written int64
	at      time.Time // of the last look at meter

	hours [24]int64 // written in each of the last hours
	hour  time.Time // when the latest began
}

func newPace(store Store, mode Durability) *pace {
	now := time.Now()
	p := &pace{mode: mode, tokens: burstBytes, quiet: quietBurst, at: now, hour: now}
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
	p.look()
}

// look reads the meter. p.mu is held.
func (p *pace) look() {
	if p.meter == nil {
		return
	}
	now, written := time.Now(), p.meter.Written()
	grown := written - p.written
	p.tokens = p.left(now) - float64(grown)
	p.quiet = max(p.quietLeft(now)-float64(grown), -patienceMost.Seconds()*quietRate)
	p.at, p.written = now, written
	for range min(int(now.Sub(p.hour)/time.Hour), len(p.hours)) {
		copy(p.hours[1:], p.hours[:])
		p.hours[0] = 0
	}
	p.hour = p.hour.Add(now.Sub(p.hour).Truncate(time.Hour))
	p.hours[0] += grown
}

// left is how many bytes may be written; negative: too many were. p.mu is held.
func (p *pace) left(now time.Time) float64 {
	return min(p.tokens+now.Sub(p.at).Seconds()*dailyBytes/(24*60*60), burstBytes)
}

// quietLeft is left for what nobody waits for. p.mu is held.
func (p *pace) quietLeft(now time.Time) float64 {
	return min(p.quiet+now.Sub(p.at).Seconds()*quietRate, quietBurst)
}

// strained reports whether more has been written than a day allows.
func (p *pace) strained() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.meter != nil && p.left(time.Now()) < 0
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

// patience is how long changes wait that no promise stands behind.
func (p *pace) patience() time.Duration {
	least := p.lazy()
	if p.mode == SDSaver {
		return least
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.meter == nil {
		return least
	}
	return max(least, time.Duration(-p.quietLeft(time.Now())/quietRate*float64(time.Second)))
}

// StoreFigures tell how the journal fares.
type StoreFigures struct {
	Commits uint64
	Cost    time.Duration // of a commit, moving average
	Window  time.Duration // how long acknowledgements wait for company: longer on a slow disk

	// What is written to the device, in bytes; 0 where it is not known.
	Written int64 // since the start
	LastDay int64 // in the last 24 hours, or since the start
	Budget  int64 // that a day allows
	Left    int64 // that may be written before commits become fewer; negative once they are
	// Strained: more was written than a day allows, and commits are fewer.
	Strained bool
}

func (p *pace) figures() StoreFigures {
	w, s := p.window(), p.strained()
	p.mu.Lock()
	defer p.mu.Unlock()
	f := StoreFigures{Commits: p.commits, Cost: p.cost, Window: w, Strained: s}
	if p.meter == nil {
		return f
	}
	p.look()
	f.Written, f.Budget, f.Left = p.written, dailyBytes, int64(p.tokens)
	for _, n := range p.hours {
		f.LastDay += n
	}
	return f
}
