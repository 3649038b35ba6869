package difftest

import (
	"strings"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// holding is a subscription that a client has, as far as the script tells.
type holding struct {
	packet.Subscription // as the last SUBSCRIBE said
	share               string
	plain               string // filter without the share
	// an earlier SUBSCRIBE said otherwise
	otherLocal, otherRetain bool
}

// subscriptions replays the script up to and without a step and returns what a
// client is subscribed to. A session that may have ended counts as going on:
// rules would rather know too many subscriptions than too few.
func (x *findings) subscriptions(before, client int) map[string]holding {
	held := make(map[string]holding)
	earlier := make(map[string][]packet.Subscription)
	for _, st := range x.s.steps {
		if st.n >= before {
			break
		}
		if st.client != client {
			continue
		}
		switch a := st.do.(type) {
		case *connect:
			if a.clean && !a.noID { // without an identifier it is another session
				clear(held)
			}
		case *subscribe:
			for _, s := range a.subs {
				if h, ok := hold(s, earlier[s.Filter]); ok {
					held[s.Filter] = h
				}
				earlier[s.Filter] = append(earlier[s.Filter], s)
			}
		case *unsubscribe:
			for _, f := range a.filters {
				delete(held, f)
			}
		}
	}
	return held
}

// hold makes a holding of a subscription, unless its filter is wrong.
func hold(s packet.Subscription, earlier []packet.Subscription) (h holding, ok bool) {
	share, plain, _, err := topic.ParseShare(s.Filter)
	if err != nil || topic.ValidFilter(plain) != nil {
		return holding{}, false
	}
	h = holding{Subscription: s, share: share, plain: plain}
	for _, e := range earlier {
		h.otherLocal = h.otherLocal || e.NoLocal != s.NoLocal
		h.otherRetain = h.otherRetain || e.RetainAsPublished != s.RetainAsPublished
	}
	return h, true
}

// matching returns those of a client's subscriptions that match a topic.
func (x *findings) matching(before, client int, name string) (list []holding) {
	for _, h := range x.subscriptions(before, client) {
		if topic.Match(h.plain, name) {
			list = append(list, h)
		}
	}
	return list
}

// published returns the step that sent the message with this payload.
func (x *findings) published(label string) (st step, ok bool) {
	parts := strings.Split(label, ".")
	if len(parts) != 3 {
		return step{}, false
	}
	for _, st := range x.s.steps {
		if parts[0] == clientName(st.client) && parts[1] == itoa(st.n) {
			return st, true
		}
	}
	return step{}, false
}

// connection returns the connect action that made the connection a client has in a
// step, nil when it has none.
func (x *findings) connection(at cell) (c *connect) {
	for _, st := range x.s.steps {
		if st.n > at.step {
			break
		}
		if st.client != at.client {
			continue
		}
		switch a := st.do.(type) {
		case *connect:
			c = a
		case *disconnect, *drop:
			c = nil
		}
	}
	return c
}

// window is how many messages may be under way to a client.
func (x *findings) window(at cell) int {
	if c := x.connection(at); c != nil && c.window > 0 && c.version == packet.V50 {
		return int(c.window)
	}
	return window
}
