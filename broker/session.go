package broker

import (
	"sync"
	"sync/atomic"
	"time"

	"hearthmq/broker/packet"
)

// Session is what the specification calls the Session State: it may outlive its
// Network Connections.
type Session struct {
	b        *Broker
	clientID string
	user     string
	created  time.Time

	conn     atomic.Pointer[conn]     // nil while disconnected; changed with sessions.mu and mu held
	identity atomic.Pointer[Identity] // the latest; never nil

	dropped    atomic.Uint64
	violations atomic.Uint64 // by the client, tolerated
	noLocal    atomic.Bool   // a subscription of it had No Local at some time
	holds      atomic.Bool   // QoS 0 messages are kept for it while it is away

	mu         sync.Mutex
	gone       bool // deleted: nothing may be added any more
	persistent bool // outlives its connection: changes are journaled
	expiry     uint32
	listener   string
	version    packet.Version
	since      time.Time // connected or disconnected since
	epoch      uint64    // counts connections, so that late timers do nothing
	timer      *time.Timer
	will       *Will
	willTimer  *time.Timer
	willOf     *Identity

	subs     map[string]*subscription // by full filter
	nth      uint32                   // given to the latest new one
	received map[uint16]struct{}      // QoS 2 identifiers of the client, not released
	queue    deque[delivery]
	queued   int // payload bytes in queue
	replay   deque[delivery]
	flights  flights
	window   int    // how many flights may be under way
	limits   Limits // of the latest connection
	crammed  crammed
	seq      int64
	behind   bool   // the connection knows that something waits here
	sharing  bool   // it got messages of Shared Subscriptions
	restored bool   // from the store, and nobody has been there since
	told     uint64 // drops that the Dropped event has reported
	telling  bool
}

// delivery is what one session gets of a message.
type delivery struct {
	msg     *Message
	subIDs  []uint32
	seq     int64
	ticket  uint64      // must be committed before it is sent; 0: nothing to wait for
	promise *promise    // told when the client has it; nil: nobody waits
	rules   uint64      // generation of the rules that allowed it
	share   *shareGroup // the Shared Subscription that it came by
	nth     uint32      // of a retained message: the subscription that asked for it
	qos     byte
	retain  bool
	stored  bool
}

func newSession(b *Broker, id *Identity, now time.Time) *Session {
	s := &Session{b: b, clientID: id.ClientID, user: id.User, created: now}
	s.identity.Store(id)
	return s
}

// record is the session's row. s.mu is held.
func (s *Session) record() SessionRecord {
	id := s.identity.Load()
	r := SessionRecord{ClientID: s.clientID, User: s.user, Account: id.account(), Listener: s.listener,
		Version: s.version, Expiry: s.expiry, Created: s.created}
	if s.conn.Load() == nil {
		r.Disconnected = s.since
	}
	return r
}

// connect gives the session a new connection. sessions.mu, s.mu and the journal's gate are held.
func (s *Session) connect(c *conn, p *packet.Connect, will *Will) {
	s.epoch++
	stopTimer(&s.timer)
	stopTimer(&s.willTimer)
	s.become(c.id)
	s.listener, s.version, s.since = c.info.Name, c.version, c.now
	s.expiry = c.expiry
	s.window = c.window(c.limits) // [MQTT-4.9.0-1]
	s.limits = c.limits
	s.behind = false
	s.flights.resend()
	wasPersistent := s.persistent
	s.persistent = c.expiry > 0
	hadWill := s.will != nil
	s.will, s.willOf = will, c.id // [MQTT-3.1.2-7] [MQTT3-3.1.2-8] [MQTT3-3.1.2-12]
	s.conn.Store(c)
	switch {
	case s.persistent:
		s.b.journal.append(SessionSaved{s.record()})
		if will != nil {
			s.b.journal.append(WillSaved{s.clientID, will})
		} else if hadWill {
			s.b.journal.append(WillDeleted{s.clientID})
		}
	case wasPersistent:
		s.b.journal.append(SessionDeleted{s.clientID})
	}
}

func stopTimer(t **time.Timer) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
}

// detach takes the connection away from the session after it has ended, and
// decides what becomes of will and session. A connection that was taken over
// changes nothing.
func (s *Session) detach(c *conn) {
	withBatch(func(bt *batch) { s.detachWith(bt, c) })
}

func (s *Session) detachWith(bt *batch, c *conn) {
	b := s.b
	now := time.Now()
	var will, late *Will
	b.journal.open()
	b.sessions.mu.Lock()
	s.mu.Lock()
	if s.conn.Load() != c {
		s.mu.Unlock()
		b.sessions.mu.Unlock()
		b.journal.close()
		return
	}
	s.conn.Store(nil) // [MQTT-4.1.0-1]
	s.since, s.expiry = now, c.expiry
	if c.discarded && s.will != nil {
		s.dropWill()
	}
	ends := s.expiry == 0
	switch {
	case s.will == nil:
	case ends && s.will.Delay > 0 && c.cfg.LikeMosquitto && len(b.sessions.late) < mostLate:
		late = s.will
		s.dropWill()
	case s.will.Delay == 0 || ends: // [MQTT-3.1.2-8] [MQTT-3.1.3-9]
		will = s.will
		s.dropWill()
	default:
		s.armWill()
	}
	s.dropQueuedQoS0()
	if s.persistent && !ends {
		b.journal.append(SessionSaved{s.record()})
		s.armExpiry()
	}
	id := s.identity.Load()
	s.mu.Unlock()
	if ends {
		b.sessions.remove(bt, s)
		if late != nil {
			b.sessions.postpone(id, late)
		}
	} else {
		b.handOver(bt, s, leaving{sent: true, online: true})
	}
	b.sessions.mu.Unlock()
	tell := b.publishWill(bt, id, will)
	b.journal.close()
	tell()
}

// dropWill forgets the will. s.mu and the gate are held.
func (s *Session) dropWill() {
	s.will = nil
	if s.persistent {
		s.b.journal.append(WillDeleted{s.clientID})
	}
}

// armWill has the will published after its delay, or when the session ends,
// whichever is first [MQTT-3.1.3-9]. s.mu is held.
func (s *Session) armWill() {
	delay := s.will.Delay
	if s.expiry != NeverExpires {
		delay = min(delay, time.Duration(s.expiry)*time.Second)
	}
	epoch := s.epoch
	s.willTimer = time.AfterFunc(delay, func() { s.fireWill(epoch) })
}

func (s *Session) fireWill(epoch uint64) {
	withBatch(func(bt *batch) {
		s.b.journal.open()
		s.mu.Lock()
		will, id := s.will, s.willOf
		if s.epoch != epoch || s.gone {
			will = nil
		}
		if will != nil {
			s.dropWill()
		}
		s.mu.Unlock()
		tell := s.b.publishWill(bt, id, will)
		s.b.journal.close()
		tell()
	})
}

// armExpiry ends the session after its Session Expiry Interval. s.mu is held.
func (s *Session) armExpiry() {
	if s.expiry == NeverExpires {
		return
	}
	epoch := s.epoch
	left := time.Duration(s.expiry)*time.Second - time.Since(s.since)
	s.timer = time.AfterFunc(max(left, 0), func() { s.b.sessions.expire(s, epoch) })
}

// addReceived notes a QoS 2 Packet Identifier of the client; ok is false when it
// is known already [MQTT-4.3.3-10]. The error ends the connection. The gate is held.
func (s *Session) addReceived(c *conn, id uint16) (ticket uint64, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.received[id]; known || s.conn.Load() != c {
		return 0, false, nil
	}
	if s.hoardsUnreleased(c) {
		return 0, false, errUnreleased
	}
	if s.received == nil {
		s.received = make(map[uint16]struct{})
	}
	s.received[id] = struct{}{}
	if s.persistent {
		ticket = s.b.journal.append(Received{s.clientID, id})
	}
	s.b.unreleased.Add(1)
	return ticket, true, nil
}

// release forgets it after PUBREL; ok is false when it was not known, which may be
// because an earlier connection released it a moment ago. The gate is held.
func (s *Session) release(c *conn, id uint16) (ticket uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.received[id]; !known || s.conn.Load() != c {
		return s.settled(), false
	}
	delete(s.received, id) // [MQTT-4.3.3-12]
	s.b.unreleased.Add(-1)
	if s.persistent {
		ticket = s.b.journal.append(Released{s.clientID, id})
	}
	return ticket, true
}

// settled is the ticket of an answer that changes nothing: what it goes by must be
// stored. s.mu is held.
func (s *Session) settled() uint64 {
	if !s.persistent {
		return 0
	}
	return s.b.journal.lastTicket()
}

// drop counts a message that does not reach the session and has the owner told.
// s.mu is held.
func (s *Session) drop(why string) {
	s.dropped.Add(1)
	s.b.stats.dropped.Add(1)
	if s.telling {
		return
	}
	s.telling = true
	time.AfterFunc(time.Second, func() {
		s.mu.Lock()
		s.telling = false
		total := s.dropped.Load()
		n := total - s.told
		s.told = total
		s.mu.Unlock()
		s.b.event(Dropped{At: time.Now(), ClientID: s.clientID, Count: n, Why: why})
	})
}
