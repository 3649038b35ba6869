package broker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker/packet"
)

// case R16: what was taken over when the broker is asked to stop is acknowledged before
// the connection ends, and nothing new is taken meanwhile.
func TestShutdownAcknowledgesFirst(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		away, _ := w.durable(v, "away")
		away.Subscribe("t/#", 2)
		away.Close()
		dev, _ := w.durable(v, "dev")
		dev.Publish("t/1", "one", 1, false, 1)
		dev.Publish("t/2", "two", 2, false, 2)
		synctest.Wait() // taken, and not stored yet
		if p, ok := dev.Peek(); ok {
			w.Fatalf("%s before it was stored", p.Kind())
		}
		w.stop()
		w.expectAck(dev, packet.TypePuback, 1)
		w.expectAck(dev, packet.TypePubrec, 2)
		if v == packet.V50 {
			w.expectBye(dev, packet.ServerShuttingDown)
		}
		dev.Nothing()
		if !dev.Closed() {
			w.Error("open")
		}
		w.start()
		away, _ = w.durable(v, "away")
		w.expectPublish(away, "t/1", "one", 1, false)
		w.expectPublish(away, "t/2", "two", 2, false)
		away.Nothing()
		away.Close()
	})
}

// What waits for a client with QoS 2 comes by the window, and not one message with each
// commit: their Packet Identifiers are stored together.
func TestQueuedQoS2ComesTogether(t *testing.T) {
	versions(t, nil, func(w *world, v packet.Version) {
		away, _ := w.durable(v, "away")
		away.Subscribe("t/#", 2)
		away.Close()
		dev := w.clean(v, "dev")
		const n = 15
		for i := range uint16(n) {
			dev.Publish("t/2", string('a'+byte(i)), 2, false, i+1)
		}
		dev.Publish("t/1", "last", 1, false, n+1)
		dev.All()
		away, _ = w.durable(v, "away")
		begin := time.Now()
		for i := range n {
			w.expectPublish(away, "t/2", string('a'+byte(i)), 2, false)
		}
		w.expectPublish(away, "t/1", "last", 1, false) // nothing overtakes what waits
		if took := time.Since(begin); took > time.Second/4 {
			w.Errorf("%d messages took %v", n, took)
		}
		away.Close()
		dev.Close()
	})
}
