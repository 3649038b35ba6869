package web

import (
	"bytes"
	"slices"
	"sync"

	"hearthmq/broker"
)

// announcements are configurations of Home Assistant's discovery that were read
// already, so that a page does not read thousands of them again. What was read
// holds for as long as the topic's payload is the same: a bridge that starts
// announces everything anew, mostly as it was. The zero value is empty. Safe for
// concurrent use; one caller at a time is between begin and end.
type announcements struct {
	mu    sync.Mutex
	known map[string]*announcement
	round uint64 // of begin
	asked int    // since begin
	// What of hands out, made in pieces.
	entities []entity
	pointers []*entity
}

// announcement is what one configuration says, before anybody judged it.
type announcement struct {
	msg    *broker.Message
	round  uint64 // when it was asked for
	device haDevice
	list   []*entity
}

func (a *announcements) begin() {
	a.mu.Lock()
	a.round++
	a.asked = 0
	if a.known == nil {
		a.known = make(map[string]*announcement)
	}
}

// end forgets what was not asked for since begin.
func (a *announcements) end() {
	if a.asked < len(a.known) {
		for name, x := range a.known {
			if x.round != a.round {
				delete(a.known, name)
			}
		}
	}
	a.entities, a.pointers = nil, nil
	a.mu.Unlock()
}

// of is readDiscovery; the caller may add to the reasons of what it gets.
func (a *announcements) of(m *broker.Message) (haDevice, []*entity) {
	x := a.known[m.Topic]
	if x == nil || x.msg != m && !bytes.Equal(x.msg.Payload, m.Payload) {
		x = new(announcement)
		x.device, x.list = readDiscovery(m)
		a.known[m.Topic] = x
	}
	x.msg, x.round = m, a.round
	a.asked++
	n := len(x.list)
	if len(a.entities) < n {
		a.entities, a.pointers = make([]entity, max(n, 256)), make([]*entity, max(n, 256))
	}
	fresh, list := a.entities[:n], a.pointers[:n:n]
	a.entities, a.pointers = a.entities[n:], a.pointers[n:]
	for i, e := range x.list {
		fresh[i] = entity{e.entityConfig, m, slices.Clip(e.reasons)}
		list[i] = &fresh[i]
	}
	return x.device, list
}
