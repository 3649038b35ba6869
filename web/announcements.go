package web

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"hearthmq/broker"
)

// announcements are the configurations of Home Assistant's discovery and what was made
// of them, so that a page does not read and judge thousands of them again. What was read
// of a configuration holds for as long as the topic's payload is the same: a bridge that
// starts announces everything anew, mostly as it was. The judgement holds for as long as
// all that it rests on is the same; that is asked at each look, so it can't be stale. The
// zero value is empty. Safe for concurrent use.
type announcements struct {
	mu    sync.Mutex
	known map[string]*announcement
	list  []*announcement // those that are there now
	round uint64          // of gather

	verdict *discovery // of what is known, nil before the first
	grounds grounds    // what it rests on beside
}

// announcement is what one configuration says, before anybody judged it.
type announcement struct {
	msg    *broker.Message
	round  uint64 // when it was there
	days   int    // its sender has been gone
	device haDevice
	list   []*entity
}

// discovery is everything that was announced to Home Assistant, judged. It never changes.
type discovery struct {
	devices  []*haDevice
	entities int
	tally
}

// retainer is what is asked for the configurations; a Broker is one.
type retainer interface {
	Retained(filter string) iter.Seq[*broker.Message]
}

// judge finds what is wrong with what is announced now.
func (a *announcements) judge(b retainer, who *presence, last lookup, up time.Duration, now time.Time) *discovery {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gather(b, who, now) || a.verdict == nil || !a.grounds.hold(last, up) {
		a.grounds = groundsOf(last, up)
		a.verdict = a.decide()
	}
	return a.verdict
}

// gather looks through the configurations that are there, reads those that are new and
// forgets those that are gone. It reports whether anything is not as it was last time.
func (a *announcements) gather(b retainer, who *presence, now time.Time) (changed bool) {
	if a.known == nil {
		a.known = make(map[string]*announcement)
	}
	a.round++
	a.list = a.list[:0]
	for _, filter := range discoveryFilters {
		for m := range b.Retained(filter) {
			if m.Expired(now) || len(m.Payload) == 0 {
				continue
			}
			x, same := a.read(m)
			days := int(who.gone(m, now) / (24 * time.Hour))
			changed = changed || !same || days != x.days
			x.days = days
			a.list = append(a.list, x)
		}
	}
	if len(a.list) < len(a.known) {
		changed = true
		for name, x := range a.known {
			if x.round != a.round {
				delete(a.known, name)
			}
		}
	}
	return changed
}

// read is readDiscovery for what is not known yet. It reports whether m is the message
// that was there last time.
func (a *announcements) read(m *broker.Message) (x *announcement, same bool) {
	x = a.known[m.Topic]
	if x == nil || x.msg != m && !bytes.Equal(x.msg.Payload, m.Payload) {
		x = new(announcement)
		x.device, x.list = readDiscovery(m)
		a.known[m.Topic] = x
	}
	same = x.msg == m
	x.msg, x.round = m, a.round
	return x, same
}

// decide judges all that gather found.
func (a *announcements) decide() *discovery {
	all := &discovery{}
	for _, x := range a.list {
		all.entities += len(x.list)
	}
	byKey := make(map[string]*haDevice, len(a.list)/8)
	type identity struct{ component, id string }
	ids := make(map[identity]*entity, all.entities)
	judged := make([]entity, 0, all.entities) // never grows: the devices point into it
	for _, x := range a.list {
		d := byKey[x.device.key]
		if d == nil {
			fresh := x.device
			d = &fresh
			d.lower, d.entities = strings.ToLower(d.name), make([]*entity, 0, len(x.list)+7)
			byKey[d.key] = d
			all.devices = append(all.devices, d)
		}
		for _, found := range x.list {
			judged = append(judged, entity{found.entityConfig, x.msg, slices.Clip(found.reasons)})
			e := &judged[len(judged)-1]
			e.judge(x.days, &a.grounds)
			if e.uniqueID != "" {
				id := identity{e.component, e.uniqueID}
				if other := ids[id]; other != nil && other.msg != e.msg {
					e.add(reasonBroken, "The same unique ID stands in another configuration; Home Assistant takes only one of them")
				}
				ids[id] = e
			}
			if e.reasons != nil {
				d.count(e)
				all.count(e)
			}
			d.entities = append(d.entities, e)
		}
	}
	slices.SortFunc(all.devices, func(a, b *haDevice) int {
		return cmp.Or(a.rank()-b.rank(), strings.Compare(a.lower, b.lower), strings.Compare(a.key, b.key))
	})
	return all
}

// rank puts devices with problems first.
func (d *haDevice) rank() int {
	switch {
	case d.broken > 0:
		return 0
	case d.orphaned > 0:
		return 1
	case d.silent > 0:
		return 2
	}
	return 3
}

// sorted returns the device's entities in order.
func (d *haDevice) sorted() []*entity {
	list := slices.Clone(d.entities)
	slices.SortFunc(list, func(a, b *entity) int {
		return cmp.Or(strings.Compare(a.component, b.component), strings.Compare(a.name, b.name), strings.Compare(a.msg.Topic, b.msg.Topic))
	})
	return list
}
