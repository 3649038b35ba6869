package broker

import (
	"time"

	"hearthmq/broker/packet"
)

// A Raspberry Pi starts in 1970 and learns the time while the house is connected already
// (case R12). So how long something lasts is measured on the clock that nobody sets: times
// are kept as time.Time with its monotonic reading, or as elapsed. Wall time decides only
// about what was given as wall time.

// ClockFloor is before any HearthMQ was made: a clock that shows less is not set.
var ClockFloor = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// elapsed is how long after the broker's start t is, for atomic fields.
func (b *Broker) elapsed(t time.Time) int64 { return int64(t.Sub(b.started)) }

// quiet is for how long nothing came.
func (c *conn) quiet() time.Duration {
	return time.Duration(c.b.elapsed(time.Now()) - c.seen.Load())
}

// untilLook is how often it is looked whether a login has ended meanwhile: the clock may
// have been set, and timers stand still while the machine sleeps.
const untilLook = time.Minute

// watchUntil ends the connection with what its client logged in with.
func (c *conn) watchUntil() {
	if c.id.Until.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.id.Until
	c.until = time.AfterFunc(untilNext(until, time.Now()), func() { c.checkUntil(until) })
}

// untilNext is after which time to look, by the wall clock.
func untilNext(until, now time.Time) time.Duration {
	return min(until.Round(0).Sub(now), untilLook)
}

func (c *conn) checkUntil(until time.Time) {
	next := untilNext(until, time.Now())
	if next <= 0 {
		c.disconnect(packet.MaximumConnectTime, "what the client logged in with has ended")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.out.dead { // else nobody would stop it again
		c.until.Reset(next)
	}
}
