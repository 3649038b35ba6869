package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"hearthmq/broker"
)

// Store implements broker.Store. Like every Store it is used by one goroutine.
//
// Apply first works out in memory what a batch comes to (plan.go) and writes only
// that: a delivery that is queued and done in the same batch, or all but the last
// value of a retained topic, never reach the disk. Of what is stored it remembers
// the keys (session rows, sequence numbers, message ids), so that it never has to
// ask the database before it writes.
type Store struct {
	db         *DB
	statements [statementCount]*sql.Stmt

	loaded      bool
	generation  int64                     // of the DB's connections that statements and the rest belong to
	wall        func(time.Time) time.Time // what the clock that people set shows; tests set it
	clock       clock
	sessions    map[string]*storedSession // by ClientID
	nextSession int64
	// messages has the rows that deliveries refer to, garbage the others.
	messages map[int64]messageRow
	garbage  garbage

	written, estimated atomic.Int64 // see Written
}

// storedSession is what the database holds of a session.
type storedSession struct {
	id    int64
	queue map[int64]int64 // Seq → message id
}

type messageRow struct {
	refs int // deliveries
	size int // bytes
}

var _ broker.Store = (*Store)(nil)

// Store returns the broker's view of the database. There must be only one in use,
// in all processes.
func (db *DB) Store() broker.Store {
	return &Store{db: db, wall: func(t time.Time) time.Time { return t.Round(0) }}
}

// Close implements broker.Store. The DB stays open.
func (s *Store) Close() error {
	var errs []error
	for i, st := range s.statements {
		if st != nil {
			errs = append(errs, st.Close())
			s.statements[i] = nil
		}
	}
	return errors.Join(errs...)
}

// prepare readies the statements that Apply runs. They are of the pool, not of a
// transaction, and outlive a connection that is replaced.
func (s *Store) prepare(ctx context.Context) error {
	s.db.pools.RLock()
	defer s.db.pools.RUnlock()
	if s.db.writer == nil {
		return errClosed
	}
	if now := s.db.generation.Load(); now != s.generation {
		if err := s.Close(); err != nil { // of connections that are gone
			s.db.log.Debug("statements of a failed connection", "err", err)
		}
		s.generation = now
	}
	for i, text := range statementText {
		if s.statements[i] != nil {
			continue
		}
		st, err := s.db.writer.PrepareContext(ctx, text)
		if err != nil {
			return fmt.Errorf("prepare %q: %w", text, err)
		}
		s.statements[i] = st
	}
	return nil
}

var errNotLoaded = errors.New("store: Apply before Load")

// Apply implements broker.Store. ctx can keep it from beginning; once begun it is
// carried through, since half an answer would leave the caller in doubt.
func (s *Store) Apply(ctx context.Context, changes []broker.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.loaded {
		return errNotLoaded
	}
	if err := s.refresh(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	p, err := s.plan(changes)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if p.empty() {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	var w *writing
	err = s.db.update(ctx, func(tx *sql.Tx) error { // runs a second time when there had to be made room
		w = &writing{ctx: ctx, s: s, tx: tx, now: time.Now(), refs: map[int64]int{}, fresh: map[int64]int{}, nextSession: s.nextSession, squeeze: w != nil}
		return w.write(p)
	})
	if err != nil {
		return fmt.Errorf("store %d changes: %w", len(changes), err)
	}
	s.adopt(p, w)
	s.clock.adopt(w)
	s.estimated.Add(estimatedCommit + int64(w.rows)*estimatedRow)
	return nil
}

// refresh reads again what the Store remembers, when the connections were made
// anew after a failure: the database may hold less than was thought.
func (s *Store) refresh(ctx context.Context) error {
	if err := s.db.mend(ctx); err != nil {
		return err
	}
	if s.generation == s.db.generation.Load() {
		return nil
	}
	_, err := s.load(context.WithoutCancel(ctx))
	return err
}

// adopt brings what the Store remembers in line with what has been committed.
func (s *Store) adopt(p *plan, w *writing) {
	s.nextSession = w.nextSession
	for _, sp := range p.order {
		if sp.gone {
			delete(s.sessions, sp.clientID)
		}
		if !sp.alive {
			continue
		}
		row := s.sessions[sp.clientID]
		if row == nil {
			row = &storedSession{id: sp.id, queue: map[int64]int64{}}
			s.sessions[sp.clientID] = row
		}
		for _, d := range sp.queue.list {
			switch {
			case d.done:
				delete(row.queue, d.seq)
			case d.queued != nil:
				row.queue[d.seq] = d.queued.MessageID
			}
		}
	}
	before := s.garbage
	if w.collected {
		s.garbage = garbage{}
	}
	for id, n := range w.refs {
		row := s.messages[id]
		if size, ok := w.fresh[id]; ok {
			row.size = size
		} else if size, ok := before.sizes[id]; ok {
			row.size = size
			s.garbage.take(id)
		}
		row.refs += n
		if row.refs > 0 {
			s.messages[id] = row
		} else {
			delete(s.messages, id)
			s.garbage.add(id, row.size)
		}
	}
}
