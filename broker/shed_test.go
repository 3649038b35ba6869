package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// case R6: what goes first while memory is short is what takes most of it: of ten slow
// readers the one for whom most waits, of ten queues the longest, and of that the older half.
func TestSheddingBeginsWithTheWorst(t *testing.T) {
	const limit, clients, worst, size = 24 << 20, 10, 4, 16 << 10
	for _, v := range []packet.Version{packet.V311, packet.V50} {
		inWorld(t, func(_ *broker.Config, d *broker.Deps) { d.Store = nil }, func(w *world) {
			say := func(topic string, qos byte, n int) {
				for i := range n {
					payload := bytes.Repeat([]byte{byte('0' + i)}, size)
					if err := w.b.Publish(context.Background(), broker.NewMessage(topic, payload, qos, false)); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
			}
			filters := func(i int, kind string) []string {
				if i == worst {
					return []string{kind + "/all", kind + "/worst"}
				}
				return []string{kind + "/all"}
			}
			for i := range clients { // those for whom nothing waits don't count
				w.clean(v, fmt.Sprint("reads", i))
				c := w.deaf(fmt.Sprint("slow", i), v)
				away, _ := w.durable(v, fmt.Sprint("away", i))
				for n, f := range filters(i, "sockets") {
					p := packet.Subscribe{PacketID: uint16(n + 1), Subscriptions: []packet.Subscription{{Filter: f}}}
					if _, err := c.Write(p.Append(nil, v)); err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(c, make([]byte, len((&packet.Suback{PacketID: 1, Codes: make([]packet.ReasonCode, 1)}).Append(nil, v)))); err != nil {
						t.Fatal(err)
					}
				}
				for _, f := range filters(i, "queues") {
					away.Subscribe(f, 1)
				}
				away.Close()
			}
			synctest.Wait()
			w.b.Press(limit, broker.Critical)
			for _, what := range []string{"sockets", "queues"} {
				qos := byte(0)
				if what == "queues" {
					qos = 1
				}
				say(what+"/all", qos, 3)
				say(what+"/worst", qos, 7)
			}
			w.b.Shed()
			synctest.Wait()
			for i := range clients {
				info, _, err := w.b.Session(fmt.Sprint("slow", i))
				if gone := err != nil || !info.Connected; gone != (i == worst) {
					t.Errorf("%v: slow reader %d is gone: %v", v, i, gone)
				}
				info, _, err = w.b.Session(fmt.Sprint("away", i))
				want := 3
				if i == worst {
					want = 5
				}
				if err != nil || info.Queued != want {
					t.Errorf("%v: %d messages are left of queue %d, want %d (%v)", v, info.Queued, i, want, err)
				}
			}
			if n := w.b.Stats().Memory.Shed; n != 1+5 {
				t.Errorf("%v: %d shed", v, n)
			}
			w.b.Press(limit, broker.Calm)
			c, _ := w.durable(v, fmt.Sprint("away", worst))
			if m := brokertest.Get[*packet.Publish](c); m.Payload[0] != '2' {
				t.Errorf("%v: the oldest that is left is number %c", v, m.Payload[0])
			}
		})
	}
}
