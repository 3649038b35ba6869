package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	"hearthmq/broker"
)

// Load implements broker.Store. Rows that make no sense are logged and passed
// over, and stay where they are: a later HearthMQ may know better.
func (s *Store) Load(ctx context.Context) (*broker.State, error) {
	state, err := s.load(ctx)
	if c := conditionOf(err); c == Damaged || c == IOError {
		// The look at the start is short and does not find everything.
		if err := s.db.judge(err); s.db.mend(ctx) != nil {
			return nil, err
		}
		state, err = s.load(ctx)
	}
	return state, err
}

func (s *Store) load(ctx context.Context) (*broker.State, error) {
	s.loaded = false
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	var state *broker.State
	err := s.db.readAll(ctx, func(tx *sql.Tx) (err error) {
		l := &loading{ctx: ctx, s: s, tx: tx, sessions: map[int64]*broker.StoredSession{}, messages: map[int64]*broker.Message{}}
		s.sessions, s.messages, s.garbage, s.nextSession = map[string]*storedSession{}, map[int64]messageRow{}, garbage{}, 1
		if s.clock.known.IsZero() {
			if s.clock, err = readClock(ctx, tx, time.Now(), s.wall); err != nil {
				return err
			}
		}
		state, err = l.state()
		return err
	})
	if err != nil {
		return nil, err
	}
	s.loaded = true
	return state, nil
}

// loading is one Load.
type loading struct {
	ctx      context.Context
	s        *Store
	tx       *sql.Tx
	sessions map[int64]*broker.StoredSession // by session.id
	messages map[int64]*broker.Message
	next     int64 // broker.State.NextMessage
}

func (l *loading) state() (*broker.State, error) {
	var retained []*broker.Message
	l.next = 1
	for _, step := range []func() error{
		l.readSessions, l.readSubscriptions, l.countDeliveries, l.readMessages, l.readQueues, l.readReceived, l.readWills,
		func() (err error) { retained, err = l.readRetained(); return err },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	state := &broker.State{Retained: retained, NextMessage: l.next}
	for _, x := range slices.SortedFunc(maps.Values(l.sessions), func(a, b *broker.StoredSession) int { return cmp.Compare(a.ClientID, b.ClientID) }) {
		state.Sessions = append(state.Sessions, *x)
	}
	return state, nil
}

func (l *loading) each(table, query string, f func(r *row) error) error {
	return l.s.db.each(l.ctx, l.tx, table, query, f)
}

func (l *loading) readSessions() error {
	return l.each("session", `SELECT id, client_id, user_name, listener, protocol_version, session_expiry, disconnected, created, account FROM session`,
		func(r *row) error {
			var id, version, expiry, created int64
			var disconnected sql.NullInt64
			var x broker.StoredSession
			if err := r.scan(&id, &x.ClientID, &x.User, &x.Listener, &version, &expiry, &disconnected, &created, &x.Account); err != nil {
				return err
			}
			l.s.nextSession = max(l.s.nextSession, id+1)
			x.Version, x.Expiry = r.version(version), number[uint32](r, "session_expiry", expiry)
			x.Disconnected, x.Created = l.s.clock.disconnected(fromNull(disconnected)), fromMillis(created)
			r.text("client_id", x.ClientID)
			r.text("user_name", x.User)
			if r.err != nil {
				return r.failed("id", id)
			}
			l.sessions[id] = &x
			l.s.sessions[x.ClientID] = &storedSession{id: id, queue: map[int64]int64{}}
			return nil
		})
}

// session finds the session that a row belongs to; nil when that one was passed over.
func (l *loading) session(r *row, id int64) *broker.StoredSession {
	x := l.sessions[id]
	if x == nil {
		r.fail("session_id", id, "belongs to no session")
	}
	return x
}

func (l *loading) readSubscriptions() error {
	return l.each("subscription", `SELECT session_id, share_name, topic_filter, maximum_qos, no_local, retain_as_published, retain_handling, subscription_id
		FROM subscription ORDER BY session_id, share_name, topic_filter`,
		func(r *row) error {
			var session, qos, handling, id int64
			var x broker.Subscription
			if err := r.scan(&session, &x.Share, &x.Filter, &qos, &x.NoLocal, &x.RetainAsPublished, &handling, &id); err != nil {
				return err
			}
			x.QoS, x.RetainHandling, x.ID = r.upTo2("maximum_qos", qos), r.upTo2("retain_handling", handling), number[uint32](r, "subscription_id", id)
			r.filter(&x)
			to := l.session(r, session)
			if r.err != nil {
				return r.failed("session_id", session)
			}
			to.Subscriptions = append(to.Subscriptions, x)
			return nil
		})
}

// countDeliveries notes which messages are needed, by deliveries that can't be
// decoded as well, so that nothing is taken for garbage that has a row.
func (l *loading) countDeliveries() error {
	rows := map[int64]*storedSession{}
	for id, x := range l.sessions {
		rows[id] = l.s.sessions[x.ClientID]
	}
	return l.each("outbound", `SELECT session_id, seq, message_id FROM outbound`, func(r *row) error {
		var session, seq, message int64
		if err := r.scan(&session, &seq, &message); err != nil {
			return err
		}
		l.next = max(l.next, message+1)
		m := l.s.messages[message]
		m.refs++
		l.s.messages[message] = m
		if x := rows[session]; x != nil {
			x.queue[seq] = message
		}
		return nil
	})
}

func (l *loading) readMessages() error {
	return l.each("message", `SELECT id, topic_name, payload, properties, qos, retain, expires, received, publisher_client_id, publisher_user FROM message`,
		func(r *row) error {
			var id, qos int64
			var m broker.Message
			var expires, received sql.NullInt64
			err := r.scan(&id, &m.Topic, &m.Payload, &m.Properties, &qos, &m.Retain, &expires, &received, &m.PublisherID, &m.PublisherUser)
			if err != nil {
				return err
			}
			l.next = max(l.next, id+1)
			row, needed := l.s.messages[id]
			if !needed {
				l.s.garbage.add(id, m.Size())
				return nil
			}
			row.size = m.Size()
			l.s.messages[id] = row
			m.QoS, m.Expires, m.Received = r.upTo2("qos", qos), l.s.clock.expires(fromNull(expires)), fromNull(received)
			r.message(&m)
			if r.err != nil {
				return r.failed("id", id)
			}
			l.messages[id] = &m
			return nil
		})
}

func (l *loading) readQueues() error {
	return l.each("outbound", `SELECT session_id, seq, message_id, qos, retain, subscription_ids, state, packet_id FROM outbound ORDER BY session_id, seq`,
		func(r *row) error {
			var session, message, qos, state, packetID int64
			var ids string
			var d broker.StoredDelivery
			if err := r.scan(&session, &d.Seq, &message, &qos, &d.Retain, &ids, &state, &packetID); err != nil {
				return err
			}
			d.QoS, d.State, d.SubIDs = r.upTo2("qos", qos), broker.DeliveryState(r.upTo2("state", state)), r.ids(ids)
			d.PacketID = number[uint16](r, "packet_id", packetID)
			if (d.State == broker.StateQueued) != (d.PacketID == 0) {
				r.fail("packet_id", packetID, "does not go with the state")
			}
			if d.Message = l.messages[message]; d.Message == nil {
				r.fail("message_id", message, "no such message")
			}
			to := l.session(r, session)
			if r.err != nil {
				return r.failed("seq", d.Seq)
			}
			to.Queue = append(to.Queue, d)
			return nil
		})
}

func (l *loading) readReceived() error {
	return l.each("inbound_qos2", `SELECT session_id, packet_id FROM inbound_qos2 ORDER BY session_id, packet_id`, func(r *row) error {
		var session, id int64
		if err := r.scan(&session, &id); err != nil {
			return err
		}
		packetID, to := number[uint16](r, "packet_id", id), l.session(r, session)
		if packetID == 0 {
			r.fail("packet_id", id, "is not a Packet Identifier")
		}
		if r.err != nil {
			return r.failed("session_id", session)
		}
		to.Received = append(to.Received, packetID)
		return nil
	})
}

func (l *loading) readWills() error {
	return l.each("will", `SELECT session_id, topic_name, payload, properties, qos, retain, message_expiry, delay, received, publisher_client_id, publisher_user FROM will`,
		func(r *row) error {
			var session, qos, expiry, delay int64
			var m broker.Message
			var received sql.NullInt64
			err := r.scan(&session, &m.Topic, &m.Payload, &m.Properties, &qos, &m.Retain, &expiry, &delay, &received, &m.PublisherID, &m.PublisherUser)
			if err != nil {
				return err
			}
			m.QoS, m.Received = r.upTo2("qos", qos), fromNull(received)
			r.message(&m)
			will := &broker.Will{Message: &m, Expiry: number[uint32](r, "message_expiry", expiry), Delay: r.delay(delay)}
			to := l.session(r, session)
			if r.err != nil {
				return r.failed("session_id", session)
			}
			to.Will = will
			return nil
		})
}

func (l *loading) readRetained() ([]*broker.Message, error) {
	var out []*broker.Message
	err := l.each("retained", `SELECT rowid, topic_name, payload, properties, qos, expires, received, publisher_client_id, publisher_user, publisher_account, vouched FROM retained`,
		func(r *row) error {
			var id, qos int64
			var expires, received sql.NullInt64
			m := broker.Message{Retain: true}
			if err := r.scan(&id, &m.Topic, &m.Payload, &m.Properties, &qos, &expires, &received, &m.PublisherID, &m.PublisherUser, &m.PublisherAccount, &m.Vouched); err != nil {
				return err
			}
			m.QoS, m.Expires, m.Received = r.upTo2("qos", qos), l.s.clock.expires(fromNull(expires)), fromNull(received)
			r.message(&m)
			if r.err != nil {
				return r.failed("rowid", id)
			}
			out = append(out, &m)
			return nil
		})
	return out, err
}
