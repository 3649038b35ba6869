package access

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
)

// maxProven bounds the cache of proven credentials.
const maxProven = 4096

// errThrottled: too many failed attempts from there.
var errThrottled = errors.New("too many failed logins")

// verifier finds out whether a password is right, at a bounded cost: each password
// that takes a slow hash is proven once, by at most one caller at a time, behind a
// gate. Safe for concurrent use.
type verifier struct {
	cost  Cost
	key   []byte // of this process: what the cache holds is of no use to any other
	keep  bool   // hashes stay as they are
	dummy Hash   // for users that don't exist

	mu       sync.Mutex
	proven   *lru[proof, struct{}]
	flights  map[flightKey]*flight
	upgrades map[int64]upgrade // by user ID
}

// proof stands for a user's account at one version and a password. Only that: it
// can't be turned back, not even to be tried out offline without the key.
type proof [sha256.Size]byte

// flightKey: callers who wait for different gates don't wait for each other.
type flightKey struct {
	proof proof
	gate  *gate
}

// flight is one password being checked. done is closed once the rest is set.
type flight struct {
	done    chan struct{}
	decided bool // false: who checked gave up, somebody else has to
	match   bool
}

// upgrade is a better hash of a password that has just been proven.
type upgrade struct {
	user User // as it was
	hash string
}

// maxUpgrades bounds what waits to be stored; the next login brings it again.
const maxUpgrades = 1024

func newVerifier(c Cost) *verifier {
	return &verifier{
		cost:     c,
		key:      randomBytes(32),
		dummy:    Hash{scheme: schemeArgon2id, cost: c, salt: randomBytes(saltBytes), sum: randomBytes(sumBytes)},
		proven:   newLRU[proof, struct{}](maxProven),
		flights:  make(map[flightKey]*flight),
		upgrades: make(map[int64]upgrade),
	}
}

// proofOf makes the key of the caches. The stored hash is part of it, so that a
// user who got the ID and the name of a deleted one has nothing in common with it.
func (v *verifier) proofOf(u *User, password []byte) proof {
	mac := hmac.New(sha256.New, v.key)
	var b [28]byte
	binary.BigEndian.PutUint64(b[0:], uint64(u.ID))
	binary.BigEndian.PutUint64(b[8:], u.Version)
	binary.BigEndian.PutUint32(b[16:], uint32(len(u.Name)))
	binary.BigEndian.PutUint64(b[20:], uint64(len(u.Hash)))
	mac.Write(b[:])
	mac.Write([]byte(u.Name))
	mac.Write([]byte(u.Hash))
	mac.Write(password)
	var p proof
	mac.Sum(p[:0])
	return p
}

// check reports whether password is the one of a. For a user that does not exist, or
// can't log in with a password, a holds the name and no hash: the answer is no, after
// as long as it takes for any other (case A17). others are the sorts of hashes that
// users have, as besides wants them.
//
// may is asked before something expensive is done, perhaps several times. The error is
// errThrottled, errGateFull or ctx's: then nothing is known about the password.
func (v *verifier) check(ctx context.Context, g *gate, a *account, others []Hash, password []byte, may attempt) (bool, error) {
	if a.quick != nil && a.quick(password) {
		return true, nil
	}
	key := flightKey{v.proofOf(&a.User, password), g}
	for {
		f, first, known := v.join(key)
		if known {
			return true, nil
		}
		if first {
			match, err := v.compute(ctx, g, a, others, password, may)
			v.land(key, f, match, err)
			return match, err
		}
		select {
		case <-f.done:
			if f.decided {
				return f.match, nil
			}
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// join looks the proof up and finds the flight that checks it, or starts one.
func (v *verifier) join(key flightKey) (f *flight, first, known bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.proven.get(key.proof); ok {
		return nil, false, true
	}
	if f := v.flights[key]; f != nil {
		return f, false, false
	}
	f = &flight{done: make(chan struct{})}
	v.flights[key] = f
	return f, true, false
}

func (v *verifier) land(key flightKey, f *flight, match bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f.decided, f.match = err == nil, match
	delete(v.flights, key)
	if match {
		v.proven.put(key.proof, struct{}{})
	}
	close(f.done)
}

// compute waits for its turn and does the hashing.
func (v *verifier) compute(ctx context.Context, g *gate, a *account, others []Hash, password []byte, may attempt) (bool, error) {
	if !may.allowed() {
		return false, errThrottled
	}
	if err := g.enter(ctx, may.standing); err != nil {
		return false, err
	}
	defer g.leave()
	// Failures of those who were before us in the queue count by now.
	if !may.allowed() {
		return false, errThrottled
	}
	own := Hash{}
	if a.quick == nil {
		own = a.hash
	}
	if own.scheme != 0 && own.Matches(password) {
		if a.ID > 0 && !v.keep && own.outdated(v.cost) {
			v.upgrade(a.User, newArgon2id(password, v.cost).String())
		}
		return true, nil
	}
	for _, h := range besides(own, v.dummy, others) {
		h.Matches(password)
	}
	return false, nil
}

func (v *verifier) upgrade(u User, hash string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.upgrades) < maxUpgrades {
		v.upgrades[u.ID] = upgrade{u, hash}
	}
}

// takeUpgrades hands over the better hashes that came up since the last call.
func (v *verifier) takeUpgrades() []upgrade {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.upgrades) == 0 {
		return nil
	}
	list := make([]upgrade, 0, len(v.upgrades))
	for _, u := range v.upgrades {
		list = append(list, u)
	}
	clear(v.upgrades)
	return list
}

// hashChosen hashes a new password behind the gate.
func (v *verifier) hashChosen(ctx context.Context, g *gate, password string) (string, error) {
	if err := g.enter(ctx, nil); err != nil {
		return "", err
	}
	defer g.leave()
	return newArgon2id([]byte(password), v.cost).String(), nil
}
