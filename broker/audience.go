package broker

import (
	"bytes"
	"encoding/binary"
	"sync"
)

// audience is who gets the messages of all Topic Names that the same filters match, of
// subscriptions as well as of rules: what makes no difference to any filter makes none
// to anybody. Immutable once made, shared by the routes of all publishers.
type audience struct {
	targets []target
	shares  []shareRoute
	noLocal bool   // somebody has subscribed who gets nothing: the publisher, with No Local, or with Mosquitto who may not
	size    int    // in receivers of targetBytes, all that hangs on it included
	subs    uint64 // generations that it was made for
	rules   uint64
}

// audienceCacheSize bounds what is remembered, in receivers of targetBytes.
const (
	audienceCacheSize = 1 << 17
	targetBytes       = 90
)

// audiences remembers those of the present subscriptions and rules, so that a topic's
// first message costs two walks down a trie and not one question for each receiver.
type audiences struct {
	mu          sync.Mutex
	subs, rules uint64 // generations of what is there
	made        map[string]*audience
	size        int
}

func (a *audiences) get(key []byte, subs, rules uint64) *audience {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.subs != subs || a.rules != rules {
		return nil
	}
	return a.made[string(key)]
}

func (a *audiences) put(key []byte, who *audience) {
	size := 2 + len(key)/targetBytes + who.size
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.subs != who.subs || a.rules != who.rules || a.size+size > audienceCacheSize {
		a.subs, a.rules, a.size = who.subs, who.rules, 0
		a.made = make(map[string]*audience)
	}
	if size <= audienceCacheSize {
		a.made[string(key)] = who
		a.size += size
	}
}

// audienceOf finds or makes the audience of a Topic Name for the generations subs and
// rules, which the caller looked up before anything else: what changes meanwhile makes
// it out of date at once. scratch may be nil and is returned for the next time.
func (b *Broker) audienceOf(name string, from *Session, subs, rules uint64, scratch []byte) (*audience, []byte) {
	key, known := b.audienceKey(scratch[:0], name, from)
	if known {
		if a := b.audiences.get(key, subs, rules); a != nil {
			return a, key
		}
	}
	a := b.newAudience(name, from, subs, rules)
	// Asking for the first time may have shown rules that tell names apart which were
	// alike before. Then this one is nobody else's.
	if known {
		if again, ok := b.audienceKey(nil, name, from); ok && bytes.Equal(again, key) {
			b.audiences.put(key, a)
		}
	}
	return a, key
}

// audienceKey appends what an audience depends on; known is false where the Authorizer
// can't tell, or too many filters match. A publisher's session counts only where it may have asked for nothing of its own.
func (b *Broker) audienceKey(key []byte, name string, from *Session) (_ []byte, known bool) {
	c, ok := b.deps.Authorizer.(Classifier)
	if !ok {
		return key, false
	}
	who := ""
	if from != nil && from.noLocal.Load() {
		who = from.clientID
	}
	key = binary.BigEndian.AppendUint32(key, uint32(len(who)))
	key = append(key, who...)
	at := len(key)
	key = binary.BigEndian.AppendUint32(key, 0)
	if key, ok = c.AppendClass(key, name); !ok {
		return key, false
	}
	binary.BigEndian.PutUint32(key[at:], uint32(len(key)-at))
	b.subs.mu.RLock()
	defer b.subs.mu.RUnlock()
	most := len(key) + maxAudienceFilters*8
	b.subs.trie.Match(name, func(set *subscribers) bool {
		key = binary.BigEndian.AppendUint64(key, set.number)
		return len(key) <= most
	})
	return key, len(key) <= most
}

// maxAudienceFilters is how many filters a key names: with more of them the key would take
// as long as the audience, and the memory of both (case R10).
const maxAudienceFilters = 512

// newAudience asks subscriptions and rules.
func (b *Broker) newAudience(name string, from *Session, subs, rules uint64) *audience {
	a := &audience{subs: subs, rules: rules}
	m := merger{a: a, from: from}
	b.subs.mu.RLock()
	b.subs.trie.Match(name, m.add) // [MQTT-3.3.2-3] [MQTT-4.5.0-1] [MQTT-4.7.3-4]
	b.subs.mu.RUnlock()
	// Rights are asked without the lock; receivers without the right drop out.
	asked := len(a.targets) + len(a.shares)
	a.targets = b.admit(name, rules, a.targets)
	a.noLocal = a.noLocal || asked > 0 && b.cfg().LikeMosquitto
	shares := a.shares[:0]
	for _, sh := range a.shares {
		if sh.members = b.admit(name, rules, sh.members); len(sh.members) > 0 {
			shares = append(shares, sh)
		}
	}
	a.shares = shares
	a.measure()
	return a
}

// measure sets size.
func (a *audience) measure() {
	a.size = len(a.targets) + 2*len(a.shares)
	for i := range a.targets {
		a.size += 4 * len(a.targets[i].subIDs) / targetBytes
	}
	for i := range a.shares {
		a.size += len(a.shares[i].members)
	}
}

// admit keeps the receivers that may have messages of that name (cases A3, A8), at
// the QoS that they may have them. rules is the generation of the rules that it notes.
func (b *Broker) admit(name string, rules uint64, list []target) []target {
	keep := list[:0]
	for _, t := range list {
		id := (*Identity)(nil)
		if t.session != nil {
			id = t.session.identity.Load()
		} else if id = t.local.id; id == nil {
			keep = append(keep, t)
			continue
		}
		d := b.deps.Authorizer.Authorize(id, Receive, name)
		if !d.Allow {
			continue
		}
		t.rules = rules
		t.qos = min(t.qos, d.MaxQoS)
		keep = append(keep, t)
	}
	clear(list[len(keep):])
	return keep
}
