package topic

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// maxClassFilters bounds what Classes know of filters, some 120 bytes for each. A house
// has hundreds; more come where rules for each client meet clients that call themselves
// otherwise every time.
const maxClassFilters = 1 << 17

// Classes tell Topic Names apart as far as some filters do: of two names that the same
// filters match, whoever decides by these filters decides the same. They know the filters
// that they have learnt so far. Safe for concurrent use.
type Classes struct {
	epochs *atomic.Uint64 // no two states of any Classes that share it have the same

	mu    sync.RWMutex
	trie  Trie[uint32] // filter → its number
	epoch uint64       // changes with each new filter

	full atomic.Bool // there are no classes any more

	known sync.Map     // who was learnt for, see LearnFor
	count atomic.Int64 // of them
}

// NewClasses returns Classes that know no filter. What they call a class differs from
// what all others call one with the same epochs.
func NewClasses(epochs *atomic.Uint64) *Classes {
	return &Classes{epochs: epochs, epoch: epochs.Add(1)}
}

// Learn takes in filters, which must not change; false: there are too many, and no
// classes any more.
func (c *Classes) Learn(filters ...[]string) bool {
	if c.full.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, list := range filters {
		for _, f := range list {
			if _, ok := c.trie.Get(f); ok {
				continue
			}
			if c.full.Load() || c.trie.Len() >= maxClassFilters {
				c.full.Store(true)
				c.trie = Trie[uint32]{}
				return false
			}
			c.trie.Set(f, uint32(c.trie.Len()))
			c.epoch = c.epochs.Add(1)
		}
	}
	return true
}

// LearnFor is Learn for somebody whose filters don't change, once: who is a comparable
// value that stands for all that they depend on.
func (c *Classes) LearnFor(who any, filters func() []string) {
	if c.full.Load() {
		return
	}
	if _, known := c.known.Load(who); known {
		return
	}
	if !c.Learn(filters()) {
		c.known.Clear() // it is of no more use
		return
	}
	if c.count.Add(1) > maxClassFilters { // of many without filters; who is forgotten is learnt again
		c.known.Clear()
		c.count.Store(1)
	}
	c.known.Store(who, struct{}{})
}

// Append adds to dst what name's class is called; ok is false where there are none.
func (c *Classes) Append(dst []byte, name string) (class []byte, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.full.Load() {
		return dst, false
	}
	dst = binary.BigEndian.AppendUint64(dst, c.epoch)
	c.trie.Match(name, func(n uint32) bool {
		dst = binary.BigEndian.AppendUint32(dst, n)
		return true
	})
	return dst, true
}
