package bridge

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"hearthmq/broker"
)

// runner is one bridge at work. Its goroutines end with the context of run.
type runner struct {
	m     *Manager
	set   *Settings
	stale []string // filters on the other side that an earlier version asked for
	log   *slog.Logger
	wg    sync.WaitGroup

	in, out traffic
	last    *moment // of the last message; run's own
	fresh   bool    // the local session is new, the other one has to be; run's own
	marks   bool    // would mark itself as a bridge, before MQTT 5; run's own
	private bool    // marks itself as one in this CONNECT; run's own
	older   bool    // speaks MQTT 3.1.1 instead of 5; run's own
	address int     // index of the address that is tried; run's own

	begun chan struct{} // closed when the local session stands, or could not be made at once

	mu     sync.Mutex
	status Status
	next   *Settings // a change that waits for the connection's end; nil: none
	rated  sample
}

// sample is what the rates are reckoned from.
type sample struct {
	at      time.Time
	in, out uint64
}

func newRunner(m *Manager, s *Settings, stale []string) *runner {
	r := &runner{m: m, set: s, stale: stale, begun: make(chan struct{}), log: m.Log.With("bridge", s.Name), marks: s.Private}
	r.status = Status{Name: s.Name, State: Waiting, Since: time.Now()}
	return r
}

// run connects and connects again until ctx ends.
func (r *runner) run(ctx context.Context) {
	defer r.wg.Wait()
	defer r.change(func(s *Status) { s.State = Stopped })
	begun := sync.OnceFunc(func() { close(r.begun) })
	defer begun()
	pause := time.Duration(0)
	r.m.Local.RestartPacketIDs(r.set.localID())
	r.notifyLocal(ctx, "0")
	for !r.primed(ctx, &pause) {
		begun()
		if !r.sleep(ctx, pause) {
			return
		}
	}
	begun()
	for {
		if r.replaced() {
			return
		}
		if r.set.Start == Lazy && !r.awaitWork(ctx) {
			return
		}
		address := r.set.Addresses[r.address]
		r.change(func(s *Status) { s.State, s.Address, s.Since = Connecting, address, time.Now() })
		stood, err := r.carry(ctx, address)
		if ctx.Err() != nil {
			if stood > 0 {
				r.notifyLocal(context.WithoutCancel(ctx), "0")
			}
			return
		}
		if stood > 0 {
			r.notifyLocal(ctx, "0")
		}
		r.lost(err)
		switch {
		case errors.Is(err, errIdle):
			pause = 0
			r.change(func(s *Status) { s.State, s.LastError = Resting, "" })
			continue
		case errors.Is(err, errPrimary):
			r.address = 0
			continue
		case r.set.Start == Once:
			r.change(func(s *Status) { s.State = Ended })
			<-ctx.Done()
			return
		}
		if stood > 0 && stood >= r.set.RestartStable {
			pause = 0
		}
		if r.replaced() {
			return
		}
		if r.address = (r.address + 1) % len(r.set.Addresses); r.address != 0 && stood == 0 {
			continue // the others first
		}
		if !r.set.Rotate && stood > 0 {
			r.address = 0
		}
		pause = r.backoff(pause)
		if !r.sleep(ctx, pause) {
			return
		}
	}
}

// replaced reports whether a changed version is to take over. Whoever runs the bridges
// starts it.
func (r *runner) replaced() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		return false
	}
	go r.m.succeed(r, *r.next) // it waits for this one's end
	return true
}

// replaceLater has a changed version take over when the connection ends, if there is one.
func (r *runner) replaceLater(s *Settings) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s != nil && r.status.State != Connected {
		return false
	}
	r.next = s
	return true
}

// primed reports whether the local session stands.
func (r *runner) primed(ctx context.Context, pause *time.Duration) bool {
	err := r.prime(ctx)
	if err == nil || ctx.Err() != nil {
		*pause = 0
		return err == nil
	}
	r.lost(err)
	*pause = r.backoff(*pause)
	return false
}

// backoff is how long to wait after a failure: a random time that grows, so that many
// bridges to one broker do not come back all at once.
func (r *runner) backoff(last time.Duration) time.Duration {
	least, most := r.set.RestartMin, r.set.RestartMax
	if most <= least {
		return least
	}
	top := min(max(3*last, 2*least), most)
	return least + rand.N(top-least+1) //nolint:gosec // no secret
}

func (r *runner) sleep(ctx context.Context, d time.Duration) bool {
	r.change(func(s *Status) { s.State, s.Since, s.Next = Waiting, time.Now(), time.Now().Add(d) })
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// awaitWork waits until enough messages wait for a lazy bridge.
func (r *runner) awaitWork(ctx context.Context) bool {
	r.change(func(s *Status) { s.State, s.Since = Resting, time.Now() })
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for r.queued() < max(r.set.Threshold, 1) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// queued is how many messages wait for the other side.
func (r *runner) queued() int {
	info, _, err := r.m.Local.Session(r.set.localID())
	if err != nil {
		return 0
	}
	return info.Queued + info.Inflight
}

// secondBest reports whether a better address than the present one may come back.
func (r *runner) secondBest() bool { return r.address > 0 && !r.set.Rotate }

func (r *runner) connected(ctx context.Context) {
	r.change(func(s *Status) { s.State, s.Since, s.LastError, s.Refused = Connected, time.Now(), "", nil })
	r.log.Info("bridge connected", "address", r.set.Addresses[r.address])
	r.notifyLocal(ctx, "1")
}

func (r *runner) lost(err error) {
	if err == nil {
		return
	}
	quiet := errors.Is(err, errIdle) || errors.Is(err, errPrimary)
	level := slog.LevelWarn
	if quiet {
		level = slog.LevelInfo
	}
	r.log.Log(context.Background(), level, "bridge not connected", "err", err)
	r.change(func(s *Status) {
		s.Since = time.Now()
		if !quiet {
			s.LastError, s.ErrorAt = Explain(err), time.Now()
		}
	})
}

func (r *runner) refusedFilters(who string, refused []string) {
	if len(refused) == 0 {
		return
	}
	r.log.Warn("a bridge may not subscribe", "by", who, "filters", refused)
	r.change(func(s *Status) { s.Refused = append(s.Refused, refused...) })
}

// notifyLocal says here whether the bridge stands.
func (r *runner) notifyLocal(ctx context.Context, state string) {
	if !r.set.Notify {
		return
	}
	if err := r.m.Local.Publish(ctx, broker.NewMessage(r.set.stateTopic(), []byte(state), 1, true)); err != nil && ctx.Err() == nil {
		r.log.Warn("can't tell the bridge's state", "err", err)
	}
}

func (r *runner) change(f func(*Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.status)
}

// measure reckons the rates, as moving averages over some ten seconds.
func (r *runner) measure(now time.Time) {
	in, out := r.in.messages.Load(), r.out.messages.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	if seconds := now.Sub(r.rated.at).Seconds(); !r.rated.at.IsZero() && seconds > 0 {
		share := min(seconds/10, 1)
		r.status.InRate += share * (float64(in-r.rated.in)/seconds - r.status.InRate)
		r.status.OutRate += share * (float64(out-r.rated.out)/seconds - r.status.OutRate)
	}
	r.rated = sample{now, in, out}
}

// now returns the status with its counters.
func (r *runner) now() Status {
	r.mu.Lock()
	s := r.status
	s.Refused = append([]string(nil), s.Refused...)
	r.mu.Unlock()
	if s.State != Connected {
		s.InRate, s.OutRate = 0, 0
	}
	s.In, s.Out = r.in.messages.Load(), r.out.messages.Load()
	s.InBytes, s.OutBytes = r.in.bytes.Load(), r.out.bytes.Load()
	s.Dropped = r.in.dropped.Load() + r.out.dropped.Load()
	s.Backlog = r.queued()
	return s
}
