package access

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// maxClassFilters bounds what a snapshot knows of its rules' filters, some 120 bytes for
// each. A house has hundreds; more come where rules with %c meet clients that call
// themselves otherwise every time. Beyond it every topic is asked about by itself, until
// the next change of a user or a role.
const maxClassFilters = 1 << 17

// classes tells Topic Names apart as far as any rule does: of two names that the same
// filters match, every client may receive both or neither. It knows the filters of the
// ruleSets that were asked so far; one that was not has decided nothing yet.
type classes struct {
	epochs *atomic.Uint64 // of the Directory: no two states of any classes have the same

	mu    sync.RWMutex
	trie  topic.Trie[uint32] // filter → its number
	epoch uint64             // changes with each new filter

	full atomic.Bool // there are no classes any more
}

func newClasses(epochs *atomic.Uint64) *classes {
	return &classes{epochs: epochs, epoch: epochs.Add(1)}
}

// learn takes in the filters of set, once.
func (c *classes) learn(set *ruleSet) {
	if set.known.Load() || c.full.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, filters := range [][]string{set.subscribe.allowFilters, set.subscribe.denyFilters} {
		for _, f := range filters {
			if _, ok := c.trie.Get(f); ok {
				continue
			}
			if c.full.Load() || c.trie.Len() >= maxClassFilters {
				c.full.Store(true)
				c.trie = topic.Trie[uint32]{}
				return
			}
			c.trie.Set(f, uint32(c.trie.Len()))
			c.epoch = c.epochs.Add(1)
		}
	}
	set.known.Store(true)
}

// append adds to dst what name's class is called.
func (c *classes) append(dst []byte, name string) (class []byte, ok bool) {
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

// AppendClass implements broker.Classifier.
func (d *Directory) AppendClass(dst []byte, name string) (class []byte, ok bool) {
	return d.snap.Load().classes.append(dst, name)
}

var _ broker.Classifier = (*Directory)(nil)
