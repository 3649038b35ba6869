package sqlite

import (
	"fmt"

	"hearthmq/broker"
)

// plan is what a batch of changes comes to: the final state of everything it
// touches. The order of the changes has done its work when the plan is made.
type plan struct {
	sessions map[string]*sessionPlan
	order    []*sessionPlan // as first touched
	retained latest[string, *broker.Message]
}

// sessionPlan is the part of one session.
type sessionPlan struct {
	clientID string
	row      *storedSession // the session's row before the batch, nil: none
	id       int64          // the session's row after it, given while writing
	gone     bool           // row has to go, with all that belongs to it
	alive    bool           // a session is there in the end

	record   *broker.SessionRecord // to be written
	subs     latest[string, *broker.SubscriptionSaved]
	queue    deliveries
	received latest[uint16, bool] // true: received, false: released
	will     latest[struct{}, *broker.Will]
}

// latest keeps the last value for each key, in the order in which the keys came.
type latest[K comparable, V any] struct {
	index map[K]int
	list  []entry[K, V]
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func (l *latest[K, V]) set(k K, v V) {
	if i, ok := l.index[k]; ok {
		l.list[i].value = v
		return
	}
	if l.index == nil {
		l.index = map[K]int{}
	}
	l.index[k] = len(l.list)
	l.list = append(l.list, entry[K, V]{k, v})
}

// deliveries are the touched deliveries of a session.
type deliveries struct {
	index map[int64]int
	list  []deliveryPlan
}

type deliveryPlan struct {
	seq    int64
	stored bool           // has a row before the batch
	queued *broker.Queued // to be written, over the row if there is one
	sent   *broker.Sent   // new state; of the row or of queued
	done   bool           // no row in the end
}

// at returns the plan of a delivery, to be changed at once: the next call may move it.
func (q *deliveries) at(seq int64, stored bool) *deliveryPlan {
	i, ok := q.index[seq]
	if !ok {
		if q.index == nil {
			q.index = map[int64]int{}
		}
		i = len(q.list)
		q.index[seq] = i
		q.list = append(q.list, deliveryPlan{seq: seq, stored: stored, done: !stored})
	}
	return &q.list[i]
}

func (p *plan) empty() bool {
	if len(p.retained.list) > 0 {
		return false
	}
	for _, sp := range p.order {
		if sp.gone || sp.alive && sp.changed() {
			return false
		}
	}
	return true
}

func (sp *sessionPlan) changed() bool {
	if sp.record != nil || len(sp.subs.list)+len(sp.received.list)+len(sp.will.list) > 0 {
		return true
	}
	for i := range sp.queue.list {
		if sp.queue.list[i].changed() {
			return true
		}
	}
	return false
}

func (d *deliveryPlan) changed() bool {
	if d.done {
		return d.stored
	}
	return d.queued != nil || d.sent != nil
}

// plan reads nothing but what the Store remembers and changes nothing.
func (s *Store) plan(changes []broker.Change) (*plan, error) {
	p := &plan{sessions: map[string]*sessionPlan{}}
	for i, c := range changes {
		if err := broker.CheckChange(c); err != nil {
			return nil, fmt.Errorf("change %d of %d: %w", i+1, len(changes), err)
		}
		switch c := c.(type) {
		case broker.RetainedSet:
			p.retained.set(c.Message.Topic, c.Message)
		case broker.RetainedCleared:
			p.retained.set(c.Topic, nil)
		case broker.SessionSaved:
			p.touch(s, c.Session.ClientID).save(&c.Session)
		case broker.SessionDeleted:
			p.touch(s, c.ClientID).remove()
		default:
			p.change(s, c)
		}
	}
	return p, nil
}

// touch returns the plan of a session, whether there is one or not.
func (p *plan) touch(s *Store, clientID string) *sessionPlan {
	sp := p.sessions[clientID]
	if sp == nil {
		row := s.sessions[clientID]
		sp = &sessionPlan{clientID: clientID, row: row, alive: row != nil}
		p.sessions[clientID] = sp
		p.order = append(p.order, sp)
	}
	return sp
}

// change takes in what belongs to a session, if there is one.
func (p *plan) change(s *Store, c broker.Change) {
	find := func(clientID string) (*sessionPlan, bool) {
		sp := p.touch(s, clientID)
		return sp, sp.alive
	}
	switch c := c.(type) {
	case broker.SubscriptionSaved:
		if sp, ok := find(c.ClientID); ok {
			sp.subs.set(c.Subscription.FullFilter(), &c)
		}
	case broker.SubscriptionDeleted:
		if sp, ok := find(c.ClientID); ok {
			sp.subs.set(c.FullFilter, nil)
		}
	case broker.Queued:
		if sp, ok := find(c.ClientID); ok {
			d := sp.delivery(c.Delivery.Seq)
			d.queued, d.sent, d.done = &c, nil, false
		}
	case broker.Sent:
		if sp, ok := find(c.ClientID); ok {
			if d := sp.delivery(c.Seq); !d.done {
				d.sent = &c
			}
		}
	case broker.Done:
		if sp, ok := find(c.ClientID); ok {
			d := sp.delivery(c.Seq)
			d.queued, d.sent, d.done = nil, nil, true
		}
	case broker.Received:
		if sp, ok := find(c.ClientID); ok {
			sp.received.set(c.PacketID, true)
		}
	case broker.Released:
		if sp, ok := find(c.ClientID); ok {
			sp.received.set(c.PacketID, false)
		}
	case broker.WillSaved:
		if sp, ok := find(c.ClientID); ok {
			sp.will.set(struct{}{}, c.Will)
		}
	case broker.WillDeleted:
		if sp, ok := find(c.ClientID); ok {
			sp.will.set(struct{}{}, nil)
		}
	}
}

func (sp *sessionPlan) save(r *broker.SessionRecord) {
	sp.alive, sp.record = true, r
}

// remove forgets all that the batch has said of the session so far.
func (sp *sessionPlan) remove() {
	*sp = sessionPlan{clientID: sp.clientID, row: sp.row, gone: sp.row != nil}
}

func (sp *sessionPlan) delivery(seq int64) *deliveryPlan {
	_, stored := sp.base()[seq]
	return sp.queue.at(seq, stored)
}

// base is what the database holds of the queue, and keeps unless the plan says otherwise.
func (sp *sessionPlan) base() map[int64]int64 {
	if sp.row == nil || sp.gone {
		return nil
	}
	return sp.row.queue
}
