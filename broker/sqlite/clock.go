package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"hearthmq/broker"
)

// A Raspberry Pi has no clock that runs on: it starts in 1970 or where it was shut
// down, and learns the time a minute later; a clock may also be years ahead. So the
// database holds the last wall time at which something was committed, at most a
// minute old ("known"), and what is stored as wall time is read in its light:
//
//   - The time HearthMQ was not running counts against a Session Expiry Interval for
//     an hour at most, and not at all when the clock went back: clients could not
//     have come back meanwhile. However wrong the clock, no start deletes all sessions.
//   - It counts against Message Expiry Intervals in full: a command to open a door
//     must not be obeyed a day late. Only when the clock can't be right (before known,
//     or more than a year after it) it does not count.
//   - While the clock is before broker.ClockFloor, it is not set. What is stored then is
//     stored as if it had gone on from known.
//
// Times that were read carry a monotonic reading: setting the clock while the broker
// runs changes nothing for them, nor does a machine that slept. So that the next start
// finds them the same, what is stored moves along with the clock: the first commit after
// it was set, and after a Load that did not take the clock at its word, writes all ends
// anew (see shift).
type clock struct {
	known  time.Time                 // now of the Load when nothing was known
	now    time.Time                 // of the Load
	behind time.Duration             // added to times before broker.ClockFloor that are stored
	noted  time.Time                 // when known was written last
	wall   func(time.Time) time.Time // what the clock shows at a time of now

	since  time.Time // since when it went as it should
	frame  time.Time // what was written for since
	missed moved     // what the Load did not count
}

// moved is by how much ends that are stored are to be later.
type moved struct{ sessions, messages time.Duration }

const (
	clockSetting = "clock"
	// clockInterval is how often the time is written, with a commit that happens anyway.
	clockInterval = time.Minute
	// clockPause is how much of the time HearthMQ was not running counts for sessions.
	clockPause = time.Hour
	// clockLeap is what no home's broker stands still for.
	clockLeap = 365 * 24 * time.Hour
	// clockStep is what a clock that goes as it should is never off.
	clockStep = time.Second
)

func readClock(ctx context.Context, tx *sql.Tx, now time.Time, wall func(time.Time) time.Time) (clock, error) {
	c := clock{known: wall(now), now: now, wall: wall}
	var text string
	err := tx.QueryRowContext(ctx, `SELECT value FROM setting WHERE name = ?`, clockSetting).Scan(&text)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return c, fmt.Errorf("read the last known time: %w", err)
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil { // else nothing is known
		c.known = time.UnixMilli(ms)
	}
	if w := wall(now); w.Before(broker.ClockFloor) && w.Before(c.known) {
		c.behind = c.until(c.known)
	}
	if c.behind == 0 { // else what is stored goes on from known, too
		c.missed.sessions = c.off() - min(max(c.off(), 0), clockPause)
		if off := c.off(); off < 0 || off > clockLeap {
			c.missed.messages = off
		}
	}
	c.since, c.frame = now, c.shows(now)
	return c, nil
}

// until is the wall time from the Load to t.
func (c *clock) until(t time.Time) time.Duration { return t.Round(0).Sub(c.wall(c.now)) }

// off is how long HearthMQ was not running by the clock.
func (c *clock) off() time.Duration { return -c.until(c.known) }

// disconnected is when a session counts as disconnected since.
func (c *clock) disconnected(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	if t.Before(broker.ClockFloor) && c.now.After(broker.ClockFloor) {
		return c.now // stored while nobody knew the time
	}
	uncounted := c.off() - min(max(c.off(), 0), clockPause)
	return c.now.Add(c.until(t) + uncounted)
}

// expires is when a message that was stored expires.
func (c *clock) expires(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	left := c.until(t)
	if off := c.off(); off < 0 || off > clockLeap {
		left += off
	}
	return c.now.Add(left)
}

// shows is what is written for now.
func (c *clock) shows(now time.Time) time.Time {
	w := c.wall(now)
	if c.behind > 0 && w.Before(broker.ClockFloor) {
		return w.Add(c.behind)
	}
	return w
}

// stored is what is written now for t. It is reckoned from now, since t may be older than
// what the clock shows now; a time that was read as it stands in the database stays so.
func (c *clock) stored(t, now time.Time) time.Time {
	if c.behind > 0 && !t.Before(broker.ClockFloor) && t == t.Round(0) {
		return t
	}
	return c.shows(now).Add(t.Sub(now))
}

// step is by how much the clock was set since it was last looked at. Small steps add up.
func (c *clock) step(now time.Time) time.Duration {
	d := c.shows(now).Sub(c.frame) - now.Sub(c.since)
	if d.Abs() < clockStep {
		return 0
	}
	return d
}

// setClock brings what is stored in line with a clock that was set, and writes the wall
// time when the one in the database is too old. w writes times of now from then on.
func (w *writing) setClock() error {
	c := &w.s.clock
	step := c.step(w.now)
	w.shifted = step != 0 || c.missed != moved{}
	if w.shifted {
		for _, x := range []struct {
			query string
			by    time.Duration
		}{
			{`UPDATE session SET disconnected = disconnected + ? WHERE disconnected IS NOT NULL`, c.missed.sessions + step},
			{`UPDATE message SET expires = expires + ? WHERE expires IS NOT NULL`, c.missed.messages + step},
			{`UPDATE retained SET expires = expires + ? WHERE expires IS NOT NULL`, c.missed.messages + step},
		} {
			if x.by == 0 {
				continue
			}
			if _, err := w.tx.ExecContext(w.ctx, x.query, x.by.Milliseconds()); err != nil {
				return fmt.Errorf("set the clock: %w", err)
			}
		}
	}
	if !w.shifted && !c.noted.IsZero() && w.now.Sub(c.noted) < clockInterval {
		return nil
	}
	_, err := w.tx.ExecContext(w.ctx, `INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)`,
		clockSetting, strconv.FormatInt(c.shows(w.now).UnixMilli(), 10))
	if err != nil {
		return fmt.Errorf("note the time: %w", err)
	}
	w.noted = true
	return nil
}

// adopt takes over what w has committed.
func (c *clock) adopt(w *writing) {
	if w.noted {
		c.noted = w.now
	}
	if w.shifted {
		c.since, c.frame, c.missed = w.now, c.shows(w.now), moved{}
	}
}
