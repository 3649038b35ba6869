package broker_test

import (
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// atPublish is an Authorizer that calls f when it is asked about publishing.
type atPublish struct {
	brokertest.Everything
	f func(name string)
}

func (a *atPublish) Authorize(id *broker.Identity, act broker.Action, name string) broker.Decision {
	if act == broker.Publish {
		a.f(name)
	}
	return a.Everything.Authorize(id, act, name)
}

// A will is taken from its session and published in one transaction: a power cut finds
// the one or the other.
func TestWillInOneGroup(t *testing.T) {
	for _, tt := range []struct {
		name          string
		delay, expiry uint32
		end           func(w *world, c *brokertest.Client)
	}{
		{"link lost", 0, 100, func(_ *world, c *brokertest.Client) { c.Close() }},
		{"link lost, session ends", 0, 0, func(_ *world, c *brokertest.Client) { c.Close() }},
		{"delay over", 10, 100, func(_ *world, c *brokertest.Client) { c.Close(); brokertest.Pass(11 * time.Second) }},
		{"session expired", 100, 10, func(_ *world, c *brokertest.Client) { c.Close(); brokertest.Pass(11 * time.Second) }},
		{"taken over", 0, 100, func(w *world, _ *brokertest.Client) { w.durable(packet.V50, "dev") }},
		{"replaced", 10, 100, func(w *world, c *brokertest.Client) { c.Close(); w.clean(packet.V50, "dev") }},
		{"session deleted", 10, 100, func(w *world, c *brokertest.Client) {
			if err := w.b.DeleteSession("dev"); err != nil {
				w.Error(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked, outside := 0, 0
			auth := &atPublish{f: func(string) {}}
			inWorld(t, func(_ *broker.Config, d *broker.Deps) { d.Authorizer = auth }, func(w *world) {
				sub := w.clean(packet.V50, "sub")
				sub.Subscribe("w", 1)
				connect := packet.Connect{ClientID: "dev", Will: &packet.Will{Topic: "w", Payload: []byte("gone"), QoS: 1, Retain: true}}
				connect.Will.Properties.SetWillDelay(tt.delay)
				connect.Properties.SetSessionExpiry(tt.expiry)
				c, _ := w.login(packet.V50, connect)
				auth.f = func(name string) {
					asked++
					if name != "w" || !w.b.InGroup() {
						outside++
					}
				}
				tt.end(w, c)
				w.expectPublish(sub, "w", "gone", 1, false)
			})
			if asked == 0 || outside > 0 {
				t.Errorf("asked %d times about the will, %d of them outside the journal's group", asked, outside)
			}
		})
	}
}

// What is left of a will's Message Expiry Interval is never more than was set, however
// long the rules take [MQTT-3.3.2-6].
func TestWillExpiryIsNotProlonged(t *testing.T) {
	auth := &atPublish{f: func(string) {}}
	inWorld(t, func(c *broker.Config, d *broker.Deps) { c.Durability, d.Authorizer = broker.Memory, auth }, func(w *world) {
		sub := w.clean(packet.V50, "sub")
		sub.Subscribe("w", 0)
		connect := packet.Connect{ClientID: "dev", CleanStart: true, Will: &packet.Will{Topic: "w", Payload: []byte("gone")}}
		connect.Will.Properties.SetMessageExpiry(10)
		c, _ := w.login(packet.V50, connect)
		auth.f = func(string) { time.Sleep(300 * time.Millisecond) }
		c.Close()
		time.Sleep(time.Second)
		if got := w.expectPublish(sub, "w", "gone", 0, false).MessageExpiry; got != 10 {
			w.Errorf("Message Expiry Interval %d, want 10", got)
		}
	})
}
