package broker

import (
	"errors"
	"sync"
	"time"

	"hearthmq/broker/packet"
)

// sessions is the registry of all sessions by Client Identifier.
type sessions struct {
	b    *Broker
	mu   sync.Mutex
	byID map[string]*Session
	late map[string]*lateWill // of clients that are gone, by Client Identifier
	most int
	held tally // sessions, by user
}

// attach gives c the session of its Client Identifier: the one that is there, or
// a new one. An older connection of it is taken over [MQTT-3.1.4-3]. accept is
// called before messages can reach c; it may take no lock but c.mu. The error is
// a *Refusal.
func (r *sessions) attach(c *conn, p *packet.Connect, will *Will, accept func(present bool)) (present bool, err error) {
	withBatch(func(bt *batch) { present, err = r.attachWith(bt, c, p, will, accept) })
	if err != nil {
		return present, err
	}
	s := c.sess
	s.mu.Lock()
	restored := s.restored
	s.restored = false
	s.mu.Unlock()
	if restored { // rights may have been taken away while nobody could apply it (case A8)
		r.b.revoke(s, c.id, true)
	}
	return present, nil
}

func (r *sessions) attachWith(bt *batch, c *conn, p *packet.Connect, will *Will, accept func(present bool)) (present bool, err error) {
	b := r.b
	var oldConn *conn
	var oldWill *Will
	var oldID *Identity

	b.journal.open()
	r.mu.Lock()
	s := r.byID[p.ClientID] // [MQTT-3.1.3-2]
	if most := b.cfg().MaxSessions; s == nil && most > 0 && len(r.byID) >= most {
		r.mu.Unlock()
		b.journal.close()
		return false, &Refusal{Reason: ServerFull, Code: packet.ServerBusy, Err: errors.New("no further session")}
	}
	if s != nil && s.user != c.id.User {
		// A session belongs to its user (case A10).
		r.mu.Unlock()
		b.journal.close()
		return false, Refuse(ClientIDInUse, nil)
	}
	if why := r.hoards(c, s); why != nil {
		r.mu.Unlock()
		b.journal.close()
		return false, &Refusal{Reason: ServerFull, Code: packet.QuotaExceeded, Err: why}
	}
	lateWill, lateID := r.comeBack(c.id)
	if s != nil {
		stands, reason := b.review(s.identity.Load())
		orphaned := !stands && reason == UnknownUser // its user is gone, and this one has the same name (case A10)
		s.mu.Lock()
		oldConn, oldID = s.conn.Load(), s.identity.Load()
		// A session that ends with its connection can't be resumed, whoever closes it.
		ends := p.CleanStart || orphaned || oldConn != nil && oldConn.expiry == 0 // [MQTT-3.1.2-4] [MQTT-3.1.4-4] [MQTT3-3.1.2-6]
		due := ends || oldConn != nil && s.will != nil && s.will.Delay == 0
		if b.cfg().LikeMosquitto { // it forgets a Will when the client comes back, where the session goes on or there is a delay
			due = ends && s.will != nil && s.will.Delay == 0
		}
		if s.will != nil && due {
			oldWill = s.will
			if s.willOf != nil {
				oldID = s.willOf
			}
			s.dropWill()
		}
		if ends {
			s.conn.Store(nil)
		}
		s.mu.Unlock()
		if ends {
			r.remove(bt, s)
			s = nil
		}
	}
	present = s != nil // [MQTT-3.1.2-5] [MQTT3-3.1.2-4]
	if s == nil {
		s = newSession(b, c.id, c.now) // [MQTT-3.1.2-6]
		r.byID[p.ClientID] = s
		r.held.add(s.user, 1)
		r.most = max(r.most, len(r.byID))
	}
	s.mu.Lock()
	c.mu.Lock()
	c.sess = s
	c.mu.Unlock()
	accept(present)
	s.connect(c, p, will)
	subscribed := len(s.subs) > 0
	s.mu.Unlock()
	r.mu.Unlock()
	if subscribed {
		b.subs.changed() // what may be delivered depends on the new identity
	}
	tell, tellLate := b.publishWill(bt, oldID, oldWill), b.publishWill(bt, lateID, lateWill)
	b.journal.close()

	if oldConn != nil {
		oldConn.disconnect(packet.SessionTakenOver, "taken over by a new connection")
	}
	tell()
	tellLate()
	return present, nil
}

// settle waits, for a moment, until what the session's connection has sent is acted on:
// a client that says DISCONNECT, closes and comes back at once has left before it comes.
// No lock is held.
func (r *sessions) settle(clientID string) {
	s := r.get(clientID)
	if s == nil {
		return
	}
	old := s.conn.Load()
	if old == nil || old.raw == nil {
		return
	}
	for deadline := time.Now().Add(leaveTime); s.conn.Load() == old && old.raw.pending() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// leaveTime bounds the wait for a reader that has not come to its turn.
const leaveTime = 100 * time.Millisecond

// remove deletes a session with everything that belongs to it. r.mu and the gate are held.
func (r *sessions) remove(bt *batch, s *Session) {
	if r.byID[s.clientID] == s {
		delete(r.byID, s.clientID)
		r.held.add(s.user, -1)
	}
	r.b.subs.removeAll(s)
	r.b.handOver(bt, s, leaving{sent: true})
	s.mu.Lock()
	s.gone = true
	s.epoch++
	stopTimer(&s.timer)
	stopTimer(&s.willTimer)
	if s.persistent {
		r.b.journal.append(SessionDeleted{s.clientID})
	}
	for s.queue.len() > 0 {
		s.pop()
	}
	s.replay = deque[delivery]{}
	s.flights = flights{}
	r.b.unreleased.Add(-int64(len(s.received)))
	s.subs, s.received = nil, nil // [MQTT3-3.1.2-7]
	s.mu.Unlock()
}

// expire ends a session whose time has come, unless it was used since.
func (r *sessions) expire(s *Session, epoch uint64) {
	withBatch(func(bt *batch) { r.expireWith(bt, s, epoch) })
}

func (r *sessions) expireWith(bt *batch, s *Session, epoch uint64) {
	b := r.b
	b.journal.open()
	r.mu.Lock()
	s.mu.Lock()
	if s.epoch != epoch || s.gone || s.conn.Load() != nil { // [MQTT-4.1.0-1] [MQTT-4.1.0-2]
		s.mu.Unlock()
		r.mu.Unlock()
		b.journal.close()
		return
	}
	will, id := s.will, s.willOf
	if will != nil {
		s.dropWill()
	}
	s.mu.Unlock()
	r.remove(bt, s)
	r.mu.Unlock()
	tell := b.publishWill(bt, id, will)
	b.journal.close()
	tell()
	b.stats.expired.Add(1)
	b.event(Expired{At: time.Now(), ClientID: s.clientID})
}

// all returns the sessions as they are, in no order.
func (r *sessions) all() []*Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Session, 0, len(r.byID))
	for _, s := range r.byID {
		list = append(list, s)
	}
	return list
}

func (r *sessions) get(clientID string) *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[clientID]
}

// delete removes the session with this Client Identifier, its connection first.
func (r *sessions) delete(clientID string, code packet.ReasonCode, why string) (err error) {
	withBatch(func(bt *batch) { err = r.deleteWith(bt, clientID, code, why) })
	return err
}

func (r *sessions) deleteWith(bt *batch, clientID string, code packet.ReasonCode, why string) error {
	b := r.b
	b.journal.open()
	r.mu.Lock()
	s := r.byID[clientID]
	var c *conn
	var will *Will
	var id *Identity
	if s != nil {
		s.mu.Lock()
		c, will, id = s.conn.Load(), s.will, s.willOf
		s.will = nil
		s.conn.Store(nil)
		s.mu.Unlock()
		r.remove(bt, s)
	}
	r.mu.Unlock()
	tell := b.publishWill(bt, id, will)
	b.journal.close()
	if s == nil {
		return ErrNotFound
	}
	if c != nil {
		c.disconnect(code, why)
	}
	tell()
	return nil
}

// restore brings stored sessions back. Whoever was connected when the process
// ended counts as disconnected since now.
func (r *sessions) restore(list []StoredSession) {
	now := time.Now()
	restored := make([]*Session, 0, len(list))
	for i := range list {
		restored = append(restored, r.bring(&list[i], now))
	}
	r.most = len(r.byID)
	// Timers whose time has come fire at once: nothing is made after them.
	for _, s := range restored {
		s.mu.Lock()
		if s.will != nil {
			s.armWill()
		}
		s.armExpiry()
		s.mu.Unlock()
	}
}

// bring brings one stored session back, without its timers.
func (r *sessions) bring(st *StoredSession, now time.Time) *Session {
	id := &Identity{ClientID: st.ClientID, User: st.User, Listener: st.Listener, HadAccount: st.Account}
	s := newSession(r.b, id, st.Created)
	s.persistent, s.restored = true, true
	s.listener, s.version, s.expiry = st.Listener, st.Version, st.Expiry
	s.since = st.Disconnected
	if s.since.IsZero() || s.since.After(now) {
		s.since = now
	}
	s.window = int(r.b.cfg().MaxInflight)
	if l, _, known := r.b.limitsNow(id); known {
		id.Limits = &l
	}
	s.limits = r.b.limitsAway(s.listener, id)
	for _, pid := range st.Received {
		if s.received == nil {
			s.received = make(map[uint16]struct{})
		}
		s.received[pid] = struct{}{}
	}
	r.b.unreleased.Add(int64(len(s.received)))
	s.restoreQueue(st.Queue)
	r.byID[s.clientID] = s
	r.held.add(s.user, 1)
	for _, sub := range st.Subscriptions {
		r.b.subs.add(s, sub, false)
	}
	s.will, s.willOf = st.Will, id
	return s
}

// restoreQueue brings the deliveries back in their order. That a QoS 1 message was
// sent is not stored: what comes before a message that was sent is taken as sent, too.
func (s *Session) restoreQueue(list []StoredDelivery) {
	sent := 0
	for i, st := range list {
		if st.State != StateQueued {
			sent = i + 1
			s.flights.reserve(st.PacketID)
		}
	}
	for i, st := range list {
		st.Message.kept = true
		d := delivery{msg: st.Message, subIDs: st.SubIDs, seq: st.Seq, qos: st.QoS, retain: st.Retain, stored: true}
		s.seq = max(s.seq, st.Seq)
		if i >= sent {
			s.push(d)
			continue
		}
		f := s.flights.add(d, st.PacketID)
		if st.State != StateQueued {
			f.state, f.dup = st.State, true
		}
	}
}
