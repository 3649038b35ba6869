package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hearthmq/broker"
)

type statement int

const (
	insertSession statement = iota
	updateSession
	deleteSession
	saveSubscription
	deleteSubscription
	insertMessage
	deleteMessages
	saveOutbound
	updateOutbound
	deleteOutbound
	insertInbound
	deleteInbound
	saveWill
	deleteWill
	saveRetained
	deleteRetained
	statementCount
)

// What is written anew replaces a row that Load could not read and that still has the key.
var statementText = [statementCount]string{
	insertSession: `INSERT OR REPLACE INTO session (client_id, user_name, listener, protocol_version, session_expiry, disconnected, created, account, id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	updateSession: `UPDATE session SET (client_id, user_name, listener, protocol_version, session_expiry, disconnected, created, account) = (?, ?, ?, ?, ?, ?, ?, ?)
		WHERE id = ?`,
	deleteSession: `DELETE FROM session WHERE id = ?`,
	saveSubscription: `INSERT OR REPLACE INTO subscription (session_id, share_name, topic_filter, maximum_qos, no_local, retain_as_published, retain_handling, subscription_id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
	deleteSubscription: `DELETE FROM subscription WHERE session_id = ? AND share_name = ? AND topic_filter = ?`,
	insertMessage: `INSERT OR REPLACE INTO message (id, topic_name, payload, properties, qos, retain, expires, received, publisher_client_id, publisher_user)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	deleteMessages: `DELETE FROM message WHERE id BETWEEN ? AND ?`,
	saveOutbound: `INSERT OR REPLACE INTO outbound (session_id, seq, message_id, qos, retain, subscription_ids, state, packet_id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
	updateOutbound: `UPDATE outbound SET (state, packet_id) = (?, ?) WHERE session_id = ? AND seq = ?`,
	deleteOutbound: `DELETE FROM outbound WHERE session_id = ? AND seq = ?`,
	insertInbound:  `INSERT OR IGNORE INTO inbound_qos2 (session_id, packet_id) VALUES (?, ?)`,
	deleteInbound:  `DELETE FROM inbound_qos2 WHERE session_id = ? AND packet_id = ?`,
	saveWill: `INSERT OR REPLACE INTO will (session_id, topic_name, payload, properties, qos, retain, message_expiry, delay, received, publisher_client_id, publisher_user)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	deleteWill: `DELETE FROM will WHERE session_id = ?`,
	// Devices repeat what is retained already, by the hundred at each start: a write
	// that changes nothing but the time is left out.
	saveRetained: `INSERT INTO retained (topic_name, payload, properties, qos, expires, received, publisher_client_id, publisher_user, publisher_account, vouched)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (topic_name) DO UPDATE SET (payload, properties, qos, expires, received, publisher_client_id, publisher_user, publisher_account, vouched)
			= (excluded.payload, excluded.properties, excluded.qos, excluded.expires, excluded.received, excluded.publisher_client_id, excluded.publisher_user, excluded.publisher_account, excluded.vouched)
		WHERE (payload, properties, qos, expires, publisher_client_id, publisher_user, publisher_account, vouched)
			IS NOT (excluded.payload, excluded.properties, excluded.qos, excluded.expires, excluded.publisher_client_id, excluded.publisher_user, excluded.publisher_account, excluded.vouched)`,
	deleteRetained: `DELETE FROM retained WHERE topic_name = ?`,
}

// writing is one transaction of a Store.
type writing struct {
	ctx         context.Context
	s           *Store
	tx          *sql.Tx
	bound       [statementCount]*sql.Stmt
	refs        map[int64]int // message id → change of its number of deliveries
	fresh       map[int64]int // messages written → bytes
	nextSession int64
	rows        int
	collected   bool
	squeeze     bool // the disk is full: collect garbage whatever there is of it
	now         time.Time
	noted       bool // the clock was written
	shifted     bool // and what is stored brought in line with it
}

func (w *writing) exec(st statement, args ...any) error {
	if w.bound[st] == nil {
		w.bound[st] = w.tx.StmtContext(w.ctx, w.s.statements[st])
	}
	w.rows++
	_, err := w.bound[st].ExecContext(w.ctx, args...)
	return err
}

// write writes the plan.
func (w *writing) write(p *plan) error {
	if err := w.setClock(); err != nil { // before anything of now
		return err
	}
	for _, sp := range p.order {
		if err := w.session(sp); err != nil {
			return fmt.Errorf("session %q: %w", sp.clientID, err)
		}
	}
	for _, r := range p.retained.list {
		if err := w.retained(r.key, r.value); err != nil {
			return fmt.Errorf("retained message of %q: %w", r.key, err)
		}
	}
	return w.collect()
}

func (w *writing) session(sp *sessionPlan) error {
	if sp.gone {
		for _, message := range sp.row.queue {
			w.refs[message]--
		}
		if err := w.exec(deleteSession, sp.row.id); err != nil {
			return err
		}
	}
	if !sp.alive {
		return nil
	}
	if err := w.record(sp); err != nil {
		return err
	}
	for _, e := range sp.subs.list {
		if err := w.subscription(sp.id, e.key, e.value); err != nil {
			return err
		}
	}
	for i := range sp.queue.list {
		if err := w.delivery(sp, &sp.queue.list[i]); err != nil {
			return err
		}
	}
	for _, e := range sp.received.list {
		st := deleteInbound
		if e.value {
			st = insertInbound
		}
		if err := w.exec(st, sp.id, e.key); err != nil {
			return err
		}
	}
	for _, e := range sp.will.list {
		if err := w.will(sp.id, e.value); err != nil {
			return err
		}
	}
	return nil
}

func (w *writing) record(sp *sessionPlan) error {
	st := updateSession
	if sp.row != nil && !sp.gone {
		sp.id = sp.row.id
	} else {
		st, sp.id = insertSession, w.nextSession
		w.nextSession++
	}
	if r := sp.record; r != nil {
		return w.exec(st, r.ClientID, r.User, r.Listener, r.Version, r.Expiry, w.orNull(r.Disconnected), w.s.clock.stored(r.Created, w.now).UnixMilli(), r.Account, sp.id)
	}
	return nil
}

func (w *writing) subscription(session int64, fullFilter string, c *broker.SubscriptionSaved) error {
	if c == nil {
		share, filter := splitFilter(fullFilter)
		return w.exec(deleteSubscription, session, share, filter)
	}
	s := &c.Subscription
	return w.exec(saveSubscription, session, s.Share, s.Filter, s.QoS, s.NoLocal, s.RetainAsPublished, s.RetainHandling, s.ID)
}

// splitFilter is the inverse of Subscription.FullFilter.
func splitFilter(full string) (share, filter string) {
	if rest, ok := strings.CutPrefix(full, "$share/"); ok {
		if share, filter, ok := strings.Cut(rest, "/"); ok {
			return share, filter
		}
	}
	return "", full
}

func (w *writing) delivery(sp *sessionPlan, d *deliveryPlan) error {
	if d.stored && (d.done || d.queued != nil) {
		w.refs[sp.row.queue[d.seq]]--
	}
	switch {
	case d.done && !d.stored:
		return nil
	case d.done:
		return w.exec(deleteOutbound, sp.id, d.seq)
	case d.queued == nil && d.sent == nil:
		return nil
	case d.queued == nil:
		return w.exec(updateOutbound, d.sent.State, d.sent.PacketID, sp.id, d.seq)
	}
	id, q := d.queued.MessageID, &d.queued.Delivery
	if err := w.message(id, q.Message); err != nil {
		return err
	}
	w.refs[id]++
	state, packetID := q.State, q.PacketID
	if d.sent != nil {
		state, packetID = d.sent.State, d.sent.PacketID
	}
	return w.exec(saveOutbound, sp.id, d.seq, id, q.QoS, q.Retain, formatIDs(q.SubIDs), state, packetID)
}

// message writes a message unless it is there.
func (w *writing) message(id int64, m *broker.Message) error {
	if _, ok := w.fresh[id]; ok || w.s.messages[id].refs > 0 || w.s.garbage.has(id) {
		return nil
	}
	w.fresh[id] = m.Size()
	client, user := publisher(m)
	return w.exec(insertMessage, id, m.Topic, blob(m.Payload), blob(m.Properties), m.QoS, m.Retain,
		w.orNull(m.Expires), w.orNull(m.Received), client, user)
}

func (w *writing) will(session int64, will *broker.Will) error {
	if will == nil {
		return w.exec(deleteWill, session)
	}
	m := will.Message
	client, user := publisher(m)
	return w.exec(saveWill, session, m.Topic, blob(m.Payload), blob(m.Properties), m.QoS, m.Retain,
		will.Expiry, will.Delay.Milliseconds(), w.orNull(m.Received), client, user)
}

func (w *writing) retained(topicName string, m *broker.Message) error {
	if m == nil {
		return w.exec(deleteRetained, topicName)
	}
	client, user := publisher(m)
	return w.exec(saveRetained, topicName, blob(m.Payload), blob(m.Properties), m.QoS, w.orNull(m.Expires), w.orNull(m.Received), client, user, m.PublisherAccount, m.Vouched)
}

// collect removes garbage when there is enough of it.
func (w *writing) collect() error {
	if !w.s.garbage.due() && !(w.squeeze && len(w.s.garbage.sizes) > 0) {
		return nil
	}
	w.collected = true
	used := func(id int64) bool {
		_, fresh := w.fresh[id]
		return fresh || w.refs[id] > 0 || w.s.messages[id].refs > 0
	}
	for _, span := range w.s.garbage.spans(used) {
		if err := w.exec(deleteMessages, span[0], span[1]); err != nil {
			return fmt.Errorf("remove delivered messages: %w", err)
		}
	}
	return nil
}

func publisher(m *broker.Message) (clientID, user string) {
	if m.PublisherID == "" && m.PublisherUser == "" && m.Publisher != nil {
		return m.Publisher.ClientID, m.Publisher.User
	}
	return m.PublisherID, m.PublisherUser
}

// blob makes nil empty: the columns are NOT NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// orNull is the time in Unix milliseconds, NULL for the zero time.
func (w *writing) orNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return w.s.clock.stored(t, w.now).UnixMilli()
}

func formatIDs(ids []uint32) string {
	if len(ids) == 0 {
		return ""
	}
	b := make([]byte, 0, 16)
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(id), 10)
	}
	return string(b)
}
