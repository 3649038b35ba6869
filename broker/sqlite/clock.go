package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"
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
//   - While the clock is before clockFloor, it is not set. What is stored then is
//     stored as if it had gone on from known.
//
// Times that were read carry a monotonic reading: setting the clock while the broker
// runs changes nothing for them.
type clock struct {
	known  time.Time     // now of the Load when nothing was known
	now    time.Time     // of the Load
	behind time.Duration // added to times before clockFloor that are stored
	noted  time.Time     // when known was written last
}

const (
	clockSetting = "clock"
	// clockInterval is how often the time is written, with a commit that happens anyway.
	clockInterval = time.Minute
	// clockPause is how much of the time HearthMQ was not running counts for sessions.
	clockPause = time.Hour
	// clockLeap is what no home's broker stands still for.
	clockLeap = 365 * 24 * time.Hour
)

// clockFloor is before any HearthMQ was made: a clock that shows less is not set.
var clockFloor = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func readClock(ctx context.Context, tx *sql.Tx, now time.Time) (clock, error) {
	c := clock{known: now, now: now}
	var text string
	err := tx.QueryRowContext(ctx, `SELECT value FROM setting WHERE name = ?`, clockSetting).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read the last known time: %w", err)
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil { // else nothing is known
		c.known = time.UnixMilli(ms)
	}
	if now.Before(clockFloor) && now.Before(c.known) {
		c.behind = c.until(c.known)
	}
	return c, nil
}

// until is the wall time from the Load to t.
func (c *clock) until(t time.Time) time.Duration { return t.Round(0).Sub(c.now.Round(0)) }

// off is how long HearthMQ was not running by the clock.
func (c *clock) off() time.Duration { return -c.until(c.known) }

// disconnected is when a session counts as disconnected since.
func (c *clock) disconnected(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	if t.Before(clockFloor) && c.now.After(clockFloor) {
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

// stored is the wall time that is written for t.
func (c *clock) stored(t time.Time) time.Time {
	if c.behind > 0 && t.Before(clockFloor) {
		return t.Add(c.behind)
	}
	return t
}

// noteTime writes the wall time when the one in the database is too old.
func (w *writing) noteTime() error {
	w.noted = w.s.clock.noted
	now := time.Now()
	if !w.noted.IsZero() && now.Sub(w.noted) < clockInterval {
		return nil
	}
	_, err := w.tx.ExecContext(w.ctx, `INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)`,
		clockSetting, strconv.FormatInt(w.s.clock.stored(now).UnixMilli(), 10))
	if err != nil {
		return fmt.Errorf("note the time: %w", err)
	}
	w.noted = now
	return nil
}
