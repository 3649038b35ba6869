//go:build unix

package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// Two sessions with thousands of Shared Subscriptions of one filter: when one of them went
// away, what waited was looked through once for each, and everybody else stood still.
func TestManySharedSubscriptionsLeft(t *testing.T) {
	leave := func(groups int) (took time.Duration) {
		inWorld(t, nil, func(w *world) {
			join := func(id string) *brokertest.Client {
				c, _ := w.durable(packet.V50, id)
				for at := 0; at < groups; at += 1000 {
					s := &packet.Subscribe{PacketID: 1}
					for i := range min(1000, groups-at) {
						s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: fmt.Sprintf("$share/%d/low", at+i), QoS: 1})
					}
					c.Send(s)
				}
				brokertest.Pass(time.Second)
				c.All()
				return c
			}
			one, other := join("one"), join("other")
			w.clean(packet.V311, "low").Publish("low", "x", 1, false, 1)
			brokertest.Pass(time.Second)
			before, _, _ := w.b.Session("one")
			began := usedTime()
			one.Close()
			took = usedTime() - began
			after, _, _ := w.b.Session("one")
			if before.Queued < groups/4 || after.Queued > before.Queued/10 {
				t.Errorf("of %d messages that waited %d still do", before.Queued, after.Queued)
			}
			other.Close()
		})
		return took
	}
	least := func(groups int) time.Duration { return min(leave(groups), leave(groups)) }
	few, many := least(300), least(2400)
	if many > 30*few+50*time.Millisecond { // eight times as many; each against each is 64 times
		t.Errorf("to leave 300 took %v, to leave 2400 %v", few, many)
	}
}

// usedTime is the processor time that this process has used: the clock stands still in a bubble.
func usedTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// To list thousands of long filters for a trace took half a minute, and as many megabytes
// again for each of them.
func TestTraceOfManyFilters(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		trace, err := w.b.Trace("low")
		if err != nil {
			t.Fatal(err)
		}
		defer trace.Stop()
		c := w.clean(packet.V50, "low")
		p := &packet.Subscribe{PacketID: 1}
		for i := range 5000 {
			p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: fmt.Sprint(i, strings.Repeat("x", 1500))})
		}
		began := usedTime()
		c.Send(p)
		brokertest.Pass(time.Second)
		if took := usedTime() - began; took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		list := trace.After(0, 100)
		asked := slices.ContainsFunc(list, func(p broker.TracedPacket) bool { return p.Type == "SUBSCRIBE" && len(p.Detail) > 1000 })
		if !asked {
			t.Errorf("the trace is %+v", list)
		}
	})
}
