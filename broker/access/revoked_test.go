package access_test

import (
	"testing"
	"testing/synctest"

	"hearthmq/broker/access"
	"hearthmq/broker/packet"
)

// case A8: a subscription that went with its right is not back after a restart, though the
// right is; and what waited for it as one of a group goes to the others.
func TestRevokedStaysRevoked(t *testing.T) {
	for _, v := range versions {
		inHouse(t, access.Policy{}, nil, func(h *home) {
			h.user("ann", "allow both #")
			h.user("all", "allow both #")
			c := h.connect(v, "c", "ann", lasting())
			c.Subscribe("home/#", 1)
			if v == packet.V50 {
				c.Subscribe("$share/g/work/#", 1)
			}
			c.Close()
			synctest.Wait()
			all := h.clean(packet.V50, "all", "all")
			all.Publish("work/1", "1", 1, false, 1)
			synctest.Wait()
			all.Subscribe("$share/g/work/#", 1)
			got(all)
			h.become("ann", "allow both other/#")
			if v == packet.V50 {
				h.want(all, "work/1")
			}
			subscribed := func(when string) {
				t.Helper()
				_, subs, err := h.b.Session("c")
				h.must(err)
				if len(subs) > 0 {
					t.Errorf("%v, %s: %+v", v, when, subs)
				}
			}
			subscribed("at once")
			h.stop()
			h.become("ann", "allow both #")
			h.start()
			subscribed("after a restart")
			h.connect(v, "c", "ann", lasting())
			subscribed("once it is back")
		})
	}
}

// case A8: a subscription that is allowed from elsewhere alone goes at once with the right
// here, but not because the client happens to come back here after a restart.
func TestRevokedByPlace(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		inHouse(t, access.Policy{}, nil, func(h *home) {
			h.user("ann", "allow both home/#")
			h.user("all", "allow both #")
			c := h.connect(packet.V50, "c", "ann", lasting())
			c.Subscribe("home/#", 1)
			if stopped {
				h.stop()
			}
			h.become("ann", "allow both home/# listener=elsewhere")
			if stopped {
				h.start()
				c = h.connect(packet.V50, "c", "ann", lasting())
			}
			_, subs, err := h.b.Session("c")
			h.must(err)
			if (len(subs) == 1) != stopped {
				t.Errorf("stopped meanwhile: %v: %d subscriptions", stopped, len(subs))
			}
			h.clean(packet.V50, "all", "all").Publish("home/x", "1", 1, false, 1)
			synctest.Wait()
			h.want(c) // either way nothing comes
		})
	}
}
