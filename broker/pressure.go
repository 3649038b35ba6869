package broker

import (
	"cmp"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"time"

	"hearthmq/broker/packet"
)

// Pressure is how short memory is.
type Pressure int32

const (
	Calm Pressure = iota
	// High: queues and buffers get smaller shares, no new topic is retained.
	High
	// Critical: the slowest readers are disconnected, the longest queues cut, and
	// nobody but the system users is let in.
	Critical
)

func (p Pressure) String() string { return [...]string{"calm", "high", "critical"}[p] }

// Shares of Config.MemoryLimit. What lives on the heap may be twice as much for a
// moment before the garbage collector has been by, hence nothing near the whole.
const (
	highPercent     = 55
	criticalPercent = 70
	// backlogPart of the limit may wait for slow sockets before everybody's share of
	// that is bounded; queuePart may wait in queues while memory is short.
	backlogPart = 8
	queuePart   = 3
	leastShare  = 4 << 10
	watchEvery  = 200 * time.Millisecond
	shedEvery   = time.Second
)

// pressure keeps the process within Config.MemoryLimit: it sheds load instead of dying
// (cases R5, R6). Without a limit it does nothing.
type pressure struct {
	limit   int64
	level   atomic.Int32
	live    atomic.Int64
	backlog atomic.Int64 // bytes that wait for sockets that don't take them
	// Shares of one connection and of one session, while they count.
	socketShare, queueShare atomic.Int64
	shed                    atomic.Uint64 // connections ended and messages dropped for lack of memory
}

func (p *pressure) high() bool { return p.level.Load() >= int32(High) }

// room is how many of most bytes may wait for one socket now.
func (p *pressure) room(most int) int {
	share := int(p.socketShare.Load())
	if share > 0 && (p.backlog.Load() > p.limit/backlogPart || p.high()) {
		return min(most, share)
	}
	return most
}

// queue is how many of most bytes may wait in one session's queue now.
func (p *pressure) queue(most int) int {
	if p.high() {
		return min(most, int(p.queueShare.Load()))
	}
	return most
}

// hold counts n bytes that were given to a socket that does not take them. c.mu is held.
func (c *conn) hold(n int) {
	c.out.held += n
	c.b.pressure.backlog.Add(int64(n))
}

// unhold counts n bytes as written, or all when n is below 0. c.mu is held.
func (c *conn) unhold(n int) {
	if n < 0 || n > c.out.held {
		n = c.out.held
	}
	c.out.held -= n
	c.b.pressure.backlog.Add(-int64(n))
}

// watchMemory runs until the broker is shut down.
func (b *Broker) watchMemory() {
	p := &b.pressure
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	b.share()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var last time.Time
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(samples)
		p.live.Store(int64(samples[0].Value.Uint64() + samples[1].Value.Uint64()))
		b.share()
		level := p.judge()
		if old := Pressure(p.level.Swap(int32(level))); old != level {
			b.log.Warn("memory: "+level.String(), "live", p.live.Load(), "limit", p.limit)
		}
		if now := time.Now(); level == Critical && now.Sub(last) >= shedEvery {
			last = now
			b.shedLoad()
			runtime.GC() // or the next look would not see what it brought
		}
	}
}

// judge keeps a level until there is clearly less.
func (p *pressure) judge() Pressure {
	percent := p.live.Load() * 100 / p.limit
	now := Pressure(p.level.Load())
	switch {
	case percent >= criticalPercent, now == Critical && percent >= criticalPercent-5:
		return Critical
	case percent >= highPercent, now >= High && percent >= highPercent-5:
		return High
	}
	return Calm
}

// share divides what there is.
func (b *Broker) share() {
	p := &b.pressure
	b.connsMu.Lock()
	conns := len(b.conns)
	b.connsMu.Unlock()
	p.socketShare.Store(max(leastShare, p.limit/backlogPart/int64(max(conns, 1))))
	queues := 1
	if p.high() {
		queues = 0
		for _, s := range b.sessions.all() {
			s.mu.Lock()
			if s.queue.len() > 0 || s.replay.len() > 0 {
				queues++
			}
			s.mu.Unlock()
		}
	}
	p.queueShare.Store(max(leastShare, p.limit/queuePart/int64(max(queues, 1))))
}

// shedLoad ends the connections with the most bytes waiting, to be read by their clients
// or for the rest of a packet, a tenth of those that have any, and halves the longest queues of as many sessions.
func (b *Broker) shedLoad() {
	type slow struct {
		c     *conn
		bytes int
	}
	var readers []slow
	b.connsMu.Lock()
	for g := range b.conns {
		if g.conn != nil {
			readers = append(readers, slow{c: g.conn})
		}
	}
	b.connsMu.Unlock()
	for i := range readers {
		c := readers[i].c
		c.mu.Lock()
		bytes, s := c.out.held, c.sess
		c.mu.Unlock()
		readers[i].bytes = bytes + s.replayBytes() + int(c.unfinished.Load())
	}
	readers = slices.DeleteFunc(readers, func(r slow) bool { return r.bytes == 0 })
	slices.SortFunc(readers, func(x, y slow) int { return cmp.Compare(y.bytes, x.bytes) })
	for _, r := range readers[:(len(readers)+9)/10] {
		b.pressure.shed.Add(1)
		r.c.abandon(packet.QuotaExceeded, "slow reader or sender, and memory is short")
	}
	b.cutQueues()
}

// replayBytes is what the retained messages that wait take beside themselves.
func (s *Session) replayBytes() int {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replay.len() * deliverySize
}

// cutQueues halves the longest queues, the older half goes.
func (b *Broker) cutQueues() {
	type long struct {
		s     *Session
		bytes int
	}
	var queues []long
	for _, s := range b.sessions.all() {
		s.mu.Lock()
		if s.queued > leastShare {
			queues = append(queues, long{s, s.queued})
		}
		s.mu.Unlock()
	}
	slices.SortFunc(queues, func(x, y long) int { return cmp.Compare(y.bytes, x.bytes) })
	for _, q := range queues[:(len(queues)+9)/10] {
		b.journal.open()
		q.s.mu.Lock()
		for n := q.s.queue.len() / 2; n > 0; n-- {
			d := q.s.pop()
			q.s.done(&d)
			q.s.drop("memory is short")
			b.pressure.shed.Add(1)
		}
		q.s.mu.Unlock()
		b.journal.close()
	}
}

// abandon ends a connection without what waits for it: its socket takes nothing.
func (c *conn) abandon(code packet.ReasonCode, reason string) {
	c.endWith(code, reason)
	c.stopped.Store(true)
	c.giveUp()
}

// MemoryFigures tell how memory fares. Limit is 0 where there is none; then nothing is measured.
type MemoryFigures struct {
	Limit, Live int64
	Backlog     int64 // bytes that wait for sockets that don't take them
	Pressure    Pressure
	Shed        uint64 // connections ended and messages dropped for lack of memory
}

func (p *pressure) figures() MemoryFigures {
	return MemoryFigures{
		Limit: p.limit, Live: p.live.Load(), Backlog: p.backlog.Load(), Pressure: Pressure(p.level.Load()), Shed: p.shed.Load(),
	}
}
