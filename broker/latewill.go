package broker

import "time"

// lateWill is the Will of a session that ended with its connection, while its Will Delay
// Interval lasts. MQTT has it published as soon as the session ends [MQTT-3.1.3-9];
// Mosquitto waits, and forgets it when the client comes back: a device that connects with
// Clean Start and loses its connection for a moment is not reported as gone. It is so
// only for Config.LikeMosquitto.
type lateWill struct {
	will  *Will
	id    *Identity
	timer *time.Timer
}

// mostLate bounds them: nobody counts sessions that have ended. Beyond it MQTT's own rule holds.
const mostLate = 1000

// postpone publishes a Will after its delay. r.mu is held.
func (r *sessions) postpone(id *Identity, will *Will) {
	l := &lateWill{will: will, id: id}
	if r.late == nil {
		r.late = make(map[string]*lateWill)
	}
	r.late[id.ClientID] = l
	l.timer = time.AfterFunc(will.Delay, func() { r.fireLate(l) })
}

// comeBack forgets the late Will of a client that is there again. The Will of somebody
// else's client with the same identifier is returned: it is due. r.mu is held.
func (r *sessions) comeBack(id *Identity) (due *Will, of *Identity) {
	l := r.late[id.ClientID]
	if l == nil {
		return nil, nil
	}
	l.timer.Stop()
	delete(r.late, id.ClientID)
	if l.id.User == id.User {
		return nil, nil
	}
	return l.will, l.id
}

func (r *sessions) fireLate(l *lateWill) {
	withBatch(func(bt *batch) {
		r.b.journal.open()
		r.mu.Lock()
		will := l.will
		if r.late[l.id.ClientID] == l {
			delete(r.late, l.id.ClientID)
		} else {
			will = nil
		}
		r.mu.Unlock()
		tell := r.b.publishWill(bt, l.id, will)
		r.b.journal.close()
		tell()
	})
}

// flushLate publishes what is late when the process ends: nothing would remember it.
func (r *sessions) flushLate() {
	r.mu.Lock()
	list := make([]*lateWill, 0, len(r.late))
	for _, l := range r.late {
		l.timer.Stop()
		list = append(list, l)
	}
	r.mu.Unlock()
	for _, l := range list {
		r.fireLate(l)
	}
}
