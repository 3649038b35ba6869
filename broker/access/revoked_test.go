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
			h.become("ann", "allow both home/# listener=wss")
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

// case A8: what a connection remembers of a topic it has published to before does not outlive
// the rules that it was made by: neither who gets it nor that it may be published.
func TestRoutesFollowTheRules(t *testing.T) {
	for _, v := range versions {
		inHouse(t, access.Policy{}, nil, func(h *home) {
			h.user("reader", "allow subscribe home/#")
			h.user("writer", "allow publish home/#")
			reader, writer := h.clean(v, "r", "reader"), h.clean(packet.V50, "w", "writer")
			reader.Subscribe("home/#", 1)
			say := func(what string, comes bool) {
				t.Helper()
				for _, qos := range []byte{0, 1} {
					writer.Publish("home/lock", "1", qos, false, 1)
					synctest.Wait()
					if n := len(got(reader)); (n == 1) != comes || n > 1 {
						t.Errorf("%v, QoS %d, %s: %d messages", v, qos, what, n)
					}
				}
			}
			say("at first", true)
			h.become("reader", "allow subscribe home/#", "deny subscribe home/lock")
			say("the reader may not have it any more", false)
			h.become("reader", "allow subscribe home/#")
			say("it may again", true)
			h.become("writer", "allow publish home/#", "deny publish home/lock")
			say("the writer may not send it any more", false)
			h.become("writer", "allow publish home/#")
			say("it may again", true)
		})
	}
}
