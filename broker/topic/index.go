package topic

import (
	"math/bits"
	"math/rand/v2"
)

// index is a hash table from hashes to ids; its user owns the keys and compares
// them itself. Open addressing with linear probing: 8 bytes a slot where a Go map
// with a uint64 key takes 17, and no pointers. newIndex makes it ready.
type index struct {
	slots []slot // a power of two, at most three quarters in use
	used  int
	seed  uint64 // so that no client can choose levels that collide
}

// slot is free when id is 0.
type slot struct{ hash, id uint32 }

func newIndex() index { return index{slots: make([]slot, 8), seed: rand.Uint64()} }

// hash mixes two numbers with the seed.
func (x *index) hash(a, b uint32) uint32 {
	hi, lo := bits.Mul64((uint64(a)<<32|uint64(b))^x.seed, 0x9e3779b97f4a7c15)
	hi, lo = bits.Mul64(hi^lo^x.seed, 0xd6e8feb86659fd93)
	return uint32(hi ^ lo)
}

// start and after walk the slots that may hold hash; the walk ends at a free one.
func (x *index) start(hash uint32) int { return int(hash) & (len(x.slots) - 1) }
func (x *index) after(i int) int       { return (i + 1) & (len(x.slots) - 1) }

// insert adds id, which must not be there already.
func (x *index) insert(hash, id uint32) {
	if (x.used+1)*4 > len(x.slots)*3 {
		x.resize(2 * len(x.slots))
	}
	x.put(slot{hash, id})
	x.used++
}

func (x *index) put(s slot) {
	i := x.start(s.hash)
	for x.slots[i].id != 0 {
		i = x.after(i)
	}
	x.slots[i] = s
}

// remove takes out id, which must be there. What follows it moves up where that
// brings it nearer to its start, so that no marks of removed ids slow down lookups.
func (x *index) remove(hash, id uint32) {
	hole := x.start(hash)
	for x.slots[hole].id != id {
		hole = x.after(hole)
	}
	mask := len(x.slots) - 1
	for i := x.after(hole); x.slots[i].id != 0; i = x.after(i) {
		if fromStart := (i - x.start(x.slots[i].hash)) & mask; fromStart >= (i-hole)&mask {
			x.slots[hole] = x.slots[i]
			hole = i
		}
	}
	x.slots[hole] = slot{}
	x.used--
	if len(x.slots) > 64 && x.used*8 < len(x.slots) {
		x.resize(len(x.slots) / 2)
	}
}

func (x *index) resize(n int) {
	old := x.slots
	x.slots = make([]slot, n)
	for _, s := range old {
		if s.id != 0 {
			x.put(s)
		}
	}
}
