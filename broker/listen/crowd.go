package listen

import (
	"container/list"
	"net"
	"sync"
)

// crowd are the connections of one port that have not said yet, or not to its end, what
// comes before MQTT. Where there are as many as may be, the one that has waited longest
// makes room: however many say nothing or half of it, who comes and speaks gets in (case R1).
// The zero value is empty. Safe for concurrent use.
type crowd struct {
	mu    sync.Mutex
	order list.List // of net.Conn, the oldest first
	at    map[net.Conn]*list.Element
}

// enter takes one in.
func (w *crowd) enter(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at == nil {
		w.at = make(map[net.Conn]*list.Element)
	}
	if w.order.Len() >= maxHandshakes {
		oldest := w.order.Front()
		o := oldest.Value.(net.Conn)
		w.order.Remove(oldest)
		delete(w.at, o)
		go o.Close() // which says goodbye where there is TLS, and may take a moment
	}
	w.at[c] = w.order.PushBack(c)
}

// leave takes it out again, if it was not made to go.
func (w *crowd) leave(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.at[c]; e != nil {
		w.order.Remove(e)
		delete(w.at, c)
	}
}
