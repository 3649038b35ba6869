package broker

import (
	"fmt"
	"time"

	"hearthmq/broker/packet"
)

// rates are what a connection, or all of one address, may send per second.
type rates struct{ messages, bytes allowance }

// of sets the bounds; 0: none. What is owed stays owed.
func (r *rates) of(messages, bytes float64) {
	r.messages.rate, r.messages.most = messages, max(1, messages)
	r.bytes.rate, r.bytes.most = bytes, max(1, bytes)
}

// wait returns how long the reader has to rest after what it has read, and whether it is
// the bytes that were too many.
func (r *rates) wait(messages, bytes float64, now time.Time) (d time.Duration, byBytes bool) {
	if r.messages.rate > 0 {
		d = r.messages.spend(messages, now)
	}
	if r.bytes.rate > 0 {
		if w := r.bytes.spend(bytes, now); w > d {
			d, byBytes = w, true
		}
	}
	return d, byBytes
}

// crowded reports whether addresses have bounds of their own for what they send.
func (c *Config) crowded() bool { return c.MessageRatePerAddress > 0 || c.ByteRatePerAddress > 0 }

// pace sets what the reader keeps to: of the connection, and of its address.
func (c *conn) pace(l Limits) {
	c.rates = rates{}
	c.rates.of(l.MessageRate, l.ByteRate)
	c.crowd = nil
	if c.place != nil && c.cfg.crowded() && !c.id.System {
		c.crowd = &c.place.crowd
	}
	c.paced = l.MessageRate > 0 || l.ByteRate > 0 || c.crowd != nil
}

// rest keeps the reader from reading faster than the connection may send: the sender
// finds its socket full, and nothing is lost. Meanwhile it counts as alive.
func (c *conn) rest(t packet.Type, bytes int) {
	messages := 0.0
	if t == packet.TypePublish {
		messages = 1
	}
	now := time.Now()
	wait, byBytes := c.rates.wait(messages, float64(bytes), now)
	byCrowd := false
	if c.crowd != nil {
		if w, b := c.crowd.wait(c.cfg, messages, float64(bytes), now); w > wait {
			wait, byBytes, byCrowd = w, b, true
		}
	}
	if wait <= 0 {
		return
	}
	c.b.stats.slowed.Add(1)
	c.noteSlow(now, byBytes, byCrowd)
	c.bt.flush() // what came so far goes out
	c.seen.Store(c.b.elapsed(now.Add(wait)))
	alive := c.lifetime()
	for wait > 0 && alive.Err() == nil && c.relimited.Load() == nil {
		c.pause(min(wait, time.Second)) // a new limit is not waited for
		wait -= time.Second
	}
	c.now = time.Now()
	c.bt.now = c.now
}

// slowing is what an owner is told of a client that is read more slowly. conn.mu guards it.
type slowing struct {
	count    uint64
	by       string // the limit
	bytes    bool
	crowd    bool
	at, told time.Time // by and the log line are from then
}

// slowTell is how often the log tells of the same connection.
const slowTell = time.Minute

// noteSlow remembers which limit slows the client down, for its page, and tells the log.
func (c *conn) noteSlow(now time.Time, byBytes, byCrowd bool) {
	c.mu.Lock()
	s := &c.slow
	s.count++
	if s.by == "" || s.bytes != byBytes || s.crowd != byCrowd || now.Sub(s.at) >= time.Second {
		s.by, s.bytes, s.crowd, s.at = c.slowBy(byBytes, byCrowd), byBytes, byCrowd, now
	}
	by, tell := s.by, s.told.IsZero() || now.Sub(s.told) >= slowTell
	if tell {
		s.told = now
	}
	c.mu.Unlock()
	if tell {
		c.b.log.Info("client slowed down", "client_id", c.id.ClientID, "user", c.id.User, "remote", c.address(),
			"listener", c.info.Name, "limit", by)
	}
}

// slowBy says which limit it is, in words.
func (c *conn) slowBy(byBytes, byCrowd bool) string {
	what, setting := "message", "max_message_rate"
	rate, shared := c.limits.MessageRate, c.cfg.MessageRatePerAddress
	of := func(l *Limits) float64 { return l.MessageRate }
	if byBytes {
		what, setting = "byte", "max_byte_rate"
		rate, shared = c.limits.ByteRate, c.cfg.ByteRatePerAddress
		of = func(l *Limits) float64 { return l.ByteRate }
	}
	if byCrowd {
		return fmt.Sprintf("more than %.10g %s a second of all from %s (%s_per_address)", shared, nouns(shared, what), c.remote.Addr(), setting)
	}
	return fmt.Sprintf("more than %.10g %s a second (%s)", rate, nouns(rate, what), c.base.whose(c.info.Name, c.id, setting, rate, of))
}
