package feed

import (
	"math"
	"time"

	"hearthmq/broker/feed/payload"
)

// sentDetail is what the browser knows of the selection.
type sentDetail struct {
	node    *node
	form    payload.Form
	opened  bool // a history was begun
	due     bool // to be sent in any case
	version uint64
	at      time.Time
	large   bool
	rate    float64
	rateAt  time.Time
}

// largeDetail is the wire size beyond which a Detail goes out once a second only.
const largeDetail = 8 << 10

// newsRate bounds the bytes a second, over some seconds, of what nobody asked for:
// values that change faster are sent less often. What comes into sight costs credit
// but does not wait for it.
const newsRate = 18_000

// collect gathers what is new at now, as much as one frame takes. What does not
// fit is found again the next time.
func (v *View) collect(now time.Time) (*Update, error) {
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return nil, ErrClosed
	}
	asks := v.asks
	v.asks = nil
	v.mu.Unlock()

	u := &Update{}
	for _, what := range asks {
		what(u)
	}
	v.look(now)
	v.makeList(u)
	v.takeMatch(u)
	room := v.takeRows(u, frameBytes-4096)
	v.credit = min(newsRate/4, v.credit+now.Sub(v.creditAt).Seconds()*newsRate)
	v.creditAt = now
	rows := room
	room = v.takeDetail(u, room, now, v.paused) // before the values: it could never squeeze in behind them
	v.credit -= float64(rows - v.takeValues(u, room, now))
	if now.Sub(v.totalsAt) >= time.Second && !v.paused {
		v.totalsAt = now
		t := v.feed.Totals()
		t.Bytes = 0 // changes all the time and is not shown
		if t != v.totals {
			v.totals = t
			u.Totals = &t
		}
	}
	return u, nil
}

// takeValues adds the visible values that changed, or were never sent, and returns
// the room left.
func (v *View) takeValues(u *Update, room int, now time.Time) int {
	ns := now.UnixNano()
	for i := range v.screen.slots {
		s := &v.screen.slots[i]
		e := s.node.entry.Load()
		if e == nil || !s.sent || (v.paused || v.credit <= 0) && s.version != 0 {
			continue
		}
		e.mu.Lock()
		if e.version == s.version || !e.known {
			e.mu.Unlock()
			continue
		}
		val := Value{
			ID: s.node.id, Count: e.count, Age: ageMillis(ns, e.received),
			Retained: e.isRetained(ns), Text: payload.Preview(e.last, previewRunes),
			Rate: e.rate.perSecond(ns, e.first),
		}
		version := e.version
		e.mu.Unlock()
		used := 48 + quotedLen([]byte(val.Text))
		if used > room {
			return room // its turn comes with the next tick
		}
		room -= used
		s.version = version
		u.Values = append(u.Values, val)
	}
	return room
}

// takeDetail adds the selection's Detail, or its rate when only that changed.
func (v *View) takeDetail(u *Update, room int, now time.Time, paused bool) int {
	d := &v.detail
	if d.node == nil || paused && !d.due {
		return room
	}
	ns := now.UnixNano()
	e := d.node.entry.Load()
	if e == nil {
		if d.due {
			v.putDetail(u, room, &Detail{ID: d.node.id, Topic: newText([]byte(d.node.path()))}, now)
		}
		return room
	}
	if !d.opened {
		v.feed.open(e, false)
		d.opened = true
	}
	e.mu.Lock()
	version, rate := e.version, e.rate.perSecond(ns, e.first)
	if !d.due && (version == d.version || v.credit <= 0 || d.large && now.Sub(d.at) < time.Second) {
		e.mu.Unlock()
		if math.Abs(rate-d.rate) > 0.02*d.rate && now.Sub(d.rateAt) >= time.Second {
			d.rate, d.rateAt = rate, now
			u.Rate = &rate
		}
		return room
	}
	full, whole := e.describe(d.node.id, ns)
	e.mu.Unlock()
	full.decode(e.topic, d.form, whole)
	d.version, d.rate, d.rateAt = version, rate, now
	return v.putDetail(u, room, full, now)
}

// putDetail puts full into u, or off to the next frame, and returns the room left.
func (v *View) putDetail(u *Update, room int, full *Detail, now time.Time) int {
	d, size := &v.detail, full.wireLen()
	if d.due = size > room; d.due {
		return room
	}
	d.at, d.large = now, size > largeDetail
	u.Detail = full
	return room - size
}

// describe copies all that a Detail says, and returns the payload as whole as it
// is kept; e.mu is held.
func (e *entry) describe(id uint32, ns int64) (*Detail, []byte) {
	d := &Detail{
		ID: id, Topic: newText([]byte(e.topic)), IsTopic: true,
		Value: newText(append([]byte(nil), e.last...)),
		Size:  e.size, Kept: len(e.last), QoS: e.qos, Retained: e.isRetained(ns),
		Count: e.count, Bytes: e.volume, Age: ageMillis(ns, e.received),
		Rate: e.rate.perSecond(ns, e.first), PrevSize: e.prevSize,
		ClientID: e.publisherID, User: e.publisherUser,
	}
	if e.count > 1 {
		d.Every = float64(e.received-e.first) / 1e9 / float64(e.count-1)
	}
	if p := e.publisher; p != nil {
		d.ClientID, d.User = p.ClientID, p.User
		if p.Remote.IsValid() {
			d.Remote = p.Remote.Addr().Unmap().String()
		}
	}
	d.ClientID, d.User = shortName(d.ClientID), shortName(d.User)
	if e.prevSize >= 0 {
		d.PrevAge = ageMillis(ns, e.prevAt)
		if e.prev != nil && len(e.prev) == e.prevSize || e.prevSize == 0 {
			t := newText(append([]byte(nil), e.prev...))
			d.Previous = &t
		}
	}
	whole := d.Value.Bytes
	if h := e.history; h != nil {
		h.used = ns
		d.History, d.Pinned = len(h.samples), h.pinned
		if n := len(h.samples); n > 0 {
			s := &h.samples[n-1]
			d.Seq, d.Properties = s.Seq, s.Properties
			if len(s.Payload) > len(whole) {
				whole = s.Payload // immutable
			}
		}
	}
	d.Whole = len(whole) == e.size
	return d, whole
}

func ageMillis(now, at int64) int64 { return max(0, (now-at)/1e6) }
