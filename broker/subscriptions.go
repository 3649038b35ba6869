package broker

import (
	"sync"
	"sync/atomic"

	"hearthmq/broker/topic"
)

// subscription is a Subscription in the trie.
type subscription struct {
	Subscription
	session  *Session
	local    *LocalClient // instead of session
	narrowed bool
	nth      uint32 // its number in the session, that of the one whose place it took
	at       int    // index in its subscribers' list
}

// subscribers are all subscriptions with one Topic Filter.
type subscribers struct {
	number uint64 // names them in keys of audiences
	list   []*subscription
	shares []*shareGroup
	named  map[string]*shareGroup // the same, by Share Name (case R10)
}

// shareGroup is a Shared Subscription: one Share Name and Topic Filter [MQTT-4.8.2-1].
type shareGroup struct {
	name    string
	filter  string
	members []*subscription
	at      int // index in subscribers' shares
	turn    atomic.Uint32
}

// subscriptions holds every subscription. gen changes with each change of what a
// message may reach; routing tables remember the one they were made for.
type subscriptions struct {
	mu     sync.RWMutex
	trie   topic.Trie[*subscribers]
	gen    atomic.Uint64
	count  int
	shared int
	last   uint64 // number given to subscribers
	held   tally  // weight of sessions', by user
}

func (ss *subscriptions) changed() { ss.gen.Add(1) }

// add puts a subscription of s into the trie, in place of one with the same full
// filter; fresh tells that there was none [MQTT-3.8.4-3].
func (ss *subscriptions) add(s *Session, sub Subscription, narrowed bool) (n *subscription, fresh bool) {
	n = &subscription{Subscription: sub, session: s, narrowed: narrowed}
	full := sub.FullFilter()
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s.mu.Lock()
	if s.gone {
		s.mu.Unlock()
		return n, false
	}
	old := s.subs[full]
	if s.subs == nil {
		s.subs = make(map[string]*subscription)
	}
	s.subs[full] = n
	if old != nil {
		n.nth = old.nth
	} else {
		s.nth++
		n.nth = s.nth
	}
	if sub.NoLocal {
		s.noLocal.Store(true)
	}
	s.mu.Unlock()
	if old != nil {
		ss.unlink(old)
	}
	ss.link(n)
	ss.changed()
	return n, old == nil
}

// link and unlink are called with mu held.
func (ss *subscriptions) link(n *subscription) {
	set, ok := ss.trie.Get(n.Filter)
	if !ok {
		ss.last++
		set = &subscribers{number: ss.last}
		ss.trie.Set(n.Filter, set)
	}
	ss.count++
	if n.session != nil {
		ss.held.add(n.session.user, n.weight())
	}
	list := &set.list
	if n.Share != "" {
		ss.shared++
		g := set.group(n.Share)
		if g == nil {
			g = &shareGroup{name: n.Share, filter: n.Filter}
			set.addGroup(g)
		}
		list = &g.members
	}
	n.at = len(*list)
	*list = append(*list, n)
}

func (ss *subscriptions) unlink(n *subscription) {
	set, ok := ss.trie.Get(n.Filter)
	if !ok {
		return
	}
	ss.count--
	if n.session != nil {
		ss.held.add(n.session.user, -n.weight())
	}
	list := &set.list
	var g *shareGroup
	if n.Share != "" {
		ss.shared--
		if g = set.group(n.Share); g == nil {
			return
		}
		list = &g.members
	}
	last := len(*list) - 1
	(*list)[n.at] = (*list)[last]
	(*list)[n.at].at = n.at
	(*list)[last] = nil
	*list = (*list)[:last]
	if g != nil && last == 0 {
		set.removeGroup(g)
	}
	if len(set.list) == 0 && len(set.shares) == 0 {
		ss.trie.Delete(n.Filter)
	}
}

func (set *subscribers) group(name string) *shareGroup { return set.named[name] }

func (set *subscribers) addGroup(g *shareGroup) {
	if set.named == nil {
		set.named = make(map[string]*shareGroup)
	}
	g.at = len(set.shares)
	set.shares, set.named[g.name] = append(set.shares, g), g
}

func (set *subscribers) removeGroup(g *shareGroup) {
	last := len(set.shares) - 1
	set.shares[g.at] = set.shares[last]
	set.shares[g.at].at = g.at
	set.shares[last] = nil
	set.shares = set.shares[:last]
	delete(set.named, g.name)
}

// remove takes one subscription of s away and reports whether it was there.
func (ss *subscriptions) remove(s *Session, full string) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s.mu.Lock()
	n := s.subs[full] // [MQTT-3.10.4-1]
	delete(s.subs, full)
	s.mu.Unlock()
	if n == nil {
		return false
	}
	ss.unlink(n)
	ss.changed()
	return true
}

// removePiece is how many subscriptions removeAll takes away before others have a turn.
const removePiece = 256

// removeAll takes all subscriptions of s away. Messages may come in between: thousands of
// filters keep nobody's waiting (case R10).
func (ss *subscriptions) removeAll(s *Session) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s.mu.Lock()
	subs := s.subs
	s.subs = nil
	s.mu.Unlock()
	i := 0
	for _, n := range subs {
		if i++; i%removePiece == 0 {
			ss.changed()
			ss.mu.Unlock()
			ss.mu.Lock()
		}
		ss.unlink(n) // [MQTT-3.10.4-2]
	}
	if len(subs) > 0 {
		ss.changed()
	}
}

// addLocal and removeLocal are add and remove for a part of the broker itself.
func (ss *subscriptions) addLocal(l *LocalClient, sub Subscription) *subscription {
	n := &subscription{Subscription: sub, local: l}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.link(n)
	ss.changed()
	return n
}

func (ss *subscriptions) removeLocal(n *subscription) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.unlink(n)
	ss.changed()
}

// counts returns how many subscriptions there are, and how many of them are shared.
func (ss *subscriptions) counts() (all, shared int) {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	return ss.count, ss.shared
}
