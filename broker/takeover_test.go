package broker_test

import (
	"sync"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// slowRules take their time with one topic's first message.
type slowRules struct {
	brokertest.Everything
	once sync.Once
	hold chan struct{}
}

func (r *slowRules) Authorize(id *broker.Identity, act broker.Action, name string) broker.Decision {
	if act == broker.Publish && name == "r" {
		r.once.Do(func() { <-r.hold })
	}
	return r.Everything.Authorize(id, act, name)
}

// A message of a connection that was taken over while it was handled does not come
// after those of the new one: the client sends it again itself (case S3).
func TestTakenOverWhilePublishing(t *testing.T) {
	rules := &slowRules{}
	inWorld(t, func(_ *broker.Config, d *broker.Deps) { rules.hold, d.Authorizer = make(chan struct{}), rules }, func(w *world) {
		old, _ := w.durable(packet.V311, "c")
		old.Publish("r", "late", 1, true, 1)
		old.Nothing()
		c, _ := w.durable(packet.V311, "c")
		c.Publish("q", "x", 1, true, 2)
		w.expectAck(c, packet.TypePuback, 2)
		close(rules.hold)
		c.Nothing()
		sub := w.clean(packet.V311, "sub")
		sub.Subscribe("r", 0)
		sub.Nothing()
	})
}
