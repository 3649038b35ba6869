package broker_test

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// case R9: what a user may have retained is counted over all its clients, whatever version and
// QoS they speak, and counts on after a restart. MQTT 5 is told so with 0x97, of QoS 1 by
// PUBACK, of QoS 2 by PUBREC; to the others the message is delivered and not kept.
func TestRetainedQuotaOfUser(t *testing.T) {
	const quota = 4
	mod := func(_ *broker.Config, deps *broker.Deps) {
		deps.Authenticator = guests{broker.Limits{RetainedMessages: quota}}
	}
	inWorld(t, mod, func(w *world) {
		client := func(v packet.Version, id, user string) *brokertest.Client {
			c, _ := w.login(v, packet.Connect{ClientID: id, CleanStart: true, HasUserName: true, UserName: user})
			return c
		}
		kept := func(filter string) (n int) {
			for range w.b.Retained(filter) {
				n++
			}
			return n
		}
		// answer is what a client is told of a retained message.
		answer := func(c *brokertest.Client, topic string, qos byte) packet.ReasonCode {
			c.Publish(topic, "x", qos, true, 9)
			switch qos {
			case 0:
				c.Nothing()
				return packet.Success
			case 1:
				return w.expectAck(c, packet.TypePuback, 9).Code
			}
			code := w.expectAck(c, packet.TypePubrec, 9).Code
			if !code.Failed() {
				c.Send(ack(packet.TypePubrel, 9))
				w.expectAck(c, packet.TypePubcomp, 9)
			}
			return code
		}
		reader := client(packet.V50, "reader", "homeassistant")
		reader.Subscribe("lamp/#", 0)

		// Four clients of one user, each with one.
		for i, v := range []packet.Version{packet.V31, packet.V311, packet.V50, packet.V50} {
			c := client(v, fmt.Sprint("first", i), "lamp")
			if code := answer(c, fmt.Sprintf("lamp/%d", i), byte(i%3)); code != packet.Success {
				t.Fatalf("message %d: %v", i, code)
			}
			c.Close() // what it has retained stays, and counts
		}
		beyond := func(when string) {
			refused := w.b.Stats().RetainedRefused
			reader.All()
			n := 0
			for _, v := range []packet.Version{packet.V31, packet.V311, packet.V50} {
				for qos := range byte(3) {
					n++
					name := fmt.Sprintf("lamp/more/%s/%d", v, qos)
					code := answer(client(v, fmt.Sprint(when, v, qos), "lamp"), name, qos)
					want := packet.Success
					if v == packet.V50 && qos > 0 {
						want = packet.QuotaExceeded
					}
					if code != want {
						t.Errorf("%s: %s QoS %d is answered %v, want %v", when, v, qos, code, want)
					}
					if want == packet.Success {
						w.expectPublish(reader, name, "x", 0, false)
					} else {
						reader.Nothing()
					}
				}
			}
			if kept("lamp/#") != quota {
				t.Errorf("%s: %d retained, want %d", when, kept("lamp/#"), quota)
			}
			if got := w.b.Stats().RetainedRefused - refused; got != uint64(n) {
				t.Errorf("%s: %d counted as refused, want %d", when, got, n)
			}
		}
		beyond("full")
		w.restart()
		reader = client(packet.V50, "reader", "homeassistant")
		reader.Subscribe("lamp/#", 0)
		beyond("after a restart")

		if code := answer(client(packet.V50, "door", "door"), "door/1", 1); code.Failed() {
			t.Errorf("another user: %v", code)
		}
		// Another user takes a topic over: it is that one's now, and there is room.
		if code := answer(client(packet.V50, "door", "door"), "lamp/0", 1); code.Failed() {
			t.Errorf("a topic of another: %v", code)
		}
		if code := answer(client(packet.V50, "lamp", "lamp"), "lamp/new", 2); code.Failed() {
			t.Errorf("in the place of what another has now: %v", code)
		}
	})
}

// A user's bytes of retained messages are bounded also where their number is not: what it
// rewrites counts once. The house has no such bound.
func TestRetainedBytesOfUser(t *testing.T) {
	mod := func(_ *broker.Config, deps *broker.Deps) {
		deps.Authenticator = guests{broker.Limits{RetainedBytes: 300}}
	}
	inWorld(t, mod, func(w *world) {
		retain := func(user, topic string, size int, want packet.ReasonCode) {
			t.Helper()
			c, _ := w.login(packet.V50, packet.Connect{ClientID: user, CleanStart: true, HasUserName: true, UserName: user})
			c.Publish(topic, strings.Repeat("x", size-len(topic)), 1, true, 9)
			if code := w.expectAck(c, packet.TypePuback, 9).Code; code.Failed() != want.Failed() {
				t.Errorf("%d bytes of %s to %s: %v", size, user, topic, code)
			}
			c.Close()
			synctest.Wait()
		}
		const full = packet.QuotaExceeded
		for _, topic := range []string{"a", "b", "c"} {
			retain("lamp", topic, 100, packet.Success)
		}
		retain("lamp", "d", 2, full)
		retain("lamp", "a", 100, packet.Success)
		retain("lamp", "a", 101, full)
		retain("lamp", "a", 50, packet.Success)
		retain("lamp", "d", 51, full)
		retain("lamp", "d", 50, packet.Success)
		retain("homeassistant", "house", 1000, packet.Success)
	})
}

// Half of what may be retained and what a listener allows bind users, not Home Assistant: it
// would lose what all others have told it.
func TestRetainedQuotaOfHomeAssistant(t *testing.T) {
	for _, tt := range []struct {
		what string
		mod  func(*broker.Config)
		most int // of a user
	}{
		{"half of all", func(cfg *broker.Config) { cfg.RetainedMaxMessages = 20 }, 10},
		{"a listener's", func(cfg *broker.Config) {
			cfg.ListenerLimits = map[string]broker.Limits{"mqtt": {RetainedMessages: 4}}
		}, 4},
	} {
		inWorld(t, func(cfg *broker.Config, deps *broker.Deps) { deps.Authenticator = guests{}; tt.mod(cfg) }, func(w *world) {
			synctest.Wait()
			w.b.Press(1<<40, broker.Calm) // a user's half is that of the memory
			retain := func(user string, n int) (kept int) {
				c, _ := w.login(packet.V50, packet.Connect{ClientID: user, CleanStart: true, HasUserName: true, UserName: user})
				for i := range n {
					c.Publish(fmt.Sprint(user, "/", i), "x", 1, true, 1)
					if !w.expectAck(c, packet.TypePuback, 1).Code.Failed() {
						kept++
					}
				}
				return kept
			}
			if n := retain("homeassistant", 12); n != 12 {
				t.Errorf("%s: Home Assistant has %d of 12", tt.what, n)
			}
			if _, err := w.b.DropRetained(w.Context(), slices.Collect(names(w.b)), false); err != nil {
				t.Fatal(err)
			}
			if n := retain("lamp", 12); n != tt.most {
				t.Errorf("%s: a user has %d, want %d", tt.what, n, tt.most)
			}
		})
	}
}

// names are the topics that have a retained message, but for the broker's own.
func names(b *broker.Broker) iter.Seq[string] {
	return func(yield func(string) bool) {
		for m := range b.Retained("#") {
			if !yield(m.Topic) {
				return
			}
		}
	}
}
