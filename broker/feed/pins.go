package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hearthmq/broker/topic"
)

// HistoryStore keeps the histories of pinned topics across restarts.
type HistoryStore interface {
	// Pinned returns the pinned topics with their samples, oldest first.
	Pinned(ctx context.Context) ([]Pinned, error)
	Pin(ctx context.Context, topicName string) error
	Unpin(ctx context.Context, topicName string) error
	// AddSamples appends to a pinned topic and forgets what lies before Seq first.
	// A topic that is not pinned (any more) is passed over.
	AddSamples(ctx context.Context, topicName string, first uint64, samples []Sample) error
}

// Pinned is a topic whose history is kept.
type Pinned struct {
	Topic   string
	Samples []Sample
}

// keepEvery is how often new samples go into the store: what a power cut may take.
const keepEvery = 30 * time.Second

// LoadPins takes over the pinned topics of a store, which Pin, Unpin and Keep use
// from then on. It is called once, before Keep.
func (f *Feed) LoadPins(ctx context.Context, store HistoryStore) error {
	f.pinsMu.Lock()
	defer f.pinsMu.Unlock()
	f.store = store
	pins, err := store.Pinned(ctx)
	if err != nil {
		return fmt.Errorf("load pinned topics: %w", err)
	}
	for _, p := range pins {
		e := f.lookup(p.Topic)
		if e == nil {
			e = f.add(p.Topic)
		}
		if e == nil {
			continue // no room; the store keeps it for another time
		}
		f.open(e, true)
		e.restore(p.Samples, &f.histories)
	}
	return nil
}

// restore puts stored samples before what has come since the start.
func (e *entry) restore(samples []Sample, all *histories) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.history
	if h == nil || len(samples) == 0 {
		return
	}
	since := h.samples
	before := h.bytes
	*h = history{pinned: h.pinned, used: h.used}
	h.seq = samples[0].Seq - 1
	for _, s := range samples {
		h.seq = max(h.seq, s.Seq-1)
		h.add(s)
	}
	h.stored = h.seq
	newest := samples[len(samples)-1].At
	for _, s := range since {
		if s.At.After(newest.Add(time.Millisecond)) { // a retained message is the one that was stored
			h.add(s)
		}
	}
	all.bytes.Add(int64(h.bytes - before))
}

// Pins returns the pinned topics, sorted.
func (f *Feed) Pins() []string {
	var names []string
	f.mu.RLock()
	for e := range f.histories.entries {
		e.mu.Lock()
		if e.history != nil && e.history.pinned {
			names = append(names, e.topic)
		}
		e.mu.Unlock()
	}
	f.mu.RUnlock()
	slices.Sort(names)
	return names
}

// Pin keeps the history of a topic from now on, also across restarts where there
// is a store. It may be a topic that no message came for yet.
func (f *Feed) Pin(ctx context.Context, topicName string) error {
	if err := topic.ValidName(topicName); err != nil {
		return err
	}
	topicName = strings.Clone(topicName)
	f.pinsMu.Lock()
	defer f.pinsMu.Unlock()
	pins := f.Pins()
	if slices.Contains(pins, topicName) {
		return nil
	}
	if len(pins) >= MaxPins {
		return ErrTooManyPins
	}
	e := f.lookup(topicName)
	if e == nil {
		e = f.add(topicName)
	}
	if e == nil {
		return ErrNoTopic
	}
	if f.store != nil {
		if err := f.store.Pin(ctx, topicName); err != nil {
			return fmt.Errorf("pin a topic: %w", err)
		}
	}
	f.open(e, true)
	e.touch()
	return nil
}

// Unpin forgets what the store has of a topic; its history is an opened topic's again.
func (f *Feed) Unpin(ctx context.Context, topicName string) error {
	f.pinsMu.Lock()
	defer f.pinsMu.Unlock()
	if f.store != nil {
		if err := f.store.Unpin(ctx, topicName); err != nil {
			return fmt.Errorf("unpin a topic: %w", err)
		}
	}
	e := f.lookup(topicName)
	if e == nil {
		return nil
	}
	e.mu.Lock()
	if e.history != nil {
		e.history.pinned, e.history.stored = false, 0
	}
	e.mu.Unlock()
	e.touch()
	return nil
}

// touch makes views look at e again.
func (e *entry) touch() {
	e.mu.Lock()
	e.version++
	e.mu.Unlock()
}

// Keep stores what is new of pinned topics until ctx ends, and once more then. A
// failure is given to failed; its samples are tried again.
func (f *Feed) Keep(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			if err := f.keep(last); err != nil {
				failed(err)
			}
			return
		case <-tick.C:
		}
		if err := f.keep(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
	}
}

func (f *Feed) keep(ctx context.Context) error {
	f.pinsMu.Lock()
	defer f.pinsMu.Unlock()
	if f.store == nil {
		return nil
	}
	var errs []error
	for _, name := range f.Pins() {
		e := f.lookup(name)
		if e == nil {
			continue
		}
		e.mu.Lock()
		h := e.history
		if h == nil || !h.pinned || h.stored == h.seq || len(h.samples) == 0 {
			e.mu.Unlock()
			continue
		}
		at, _ := slices.BinarySearchFunc(h.samples, h.stored+1, func(s Sample, seq uint64) int { return int(int64(s.Seq) - int64(seq)) })
		fresh := slices.Clone(h.samples[at:])
		first, seq := h.samples[0].Seq, h.seq
		e.mu.Unlock()
		if err := f.store.AddSamples(ctx, name, first, fresh); err != nil {
			errs = append(errs, fmt.Errorf("store the history of a topic: %w", err))
			continue
		}
		e.mu.Lock()
		if e.history == h && h.pinned {
			h.stored = seq
		}
		e.mu.Unlock()
	}
	return errors.Join(errs...)
}
