package broker_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// Mosquitto counts Shared Subscriptions apart from the others.
func TestSysSubscriptions(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c := w.clean(packet.V50, "dev")
		for _, filter := range []string{"a", "b/#", "$share/g/a", "$SYS/broker/subscriptions/count", "$SYS/broker/shared_subscriptions/count"} {
			c.Subscribe(filter, 0)
		}
		c.All()
		brokertest.Pass(11 * time.Second)
		got := map[string]string{}
		for _, p := range c.All() {
			if m, ok := p.(*packet.Publish); ok {
				got[string(m.Topic)] = string(m.Payload)
			}
		}
		if got["$SYS/broker/subscriptions/count"] != "4" || got["$SYS/broker/shared_subscriptions/count"] != "1" {
			w.Error(got)
		}
	})
}

// What a socket does not take is counted while it waits.
func TestPacketsWaiting(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		client, server := net.Pipe() // takes nothing unless it is read
		go w.b.ServeConn(context.Background(), server, broker.ListenerInfo{Name: "mqtt"})
		connect := packet.Connect{Version: packet.V311, ClientID: "slow", CleanStart: true}
		if _, err := client.Write(connect.Append(nil, packet.V311)); err != nil {
			w.Fatal(err)
		}
		synctest.Wait()
		if s := w.b.Stats(); s.PacketsWaiting != 1 {
			w.Errorf("%d packets wait, want 1", s.PacketsWaiting)
		}
		if _, err := client.Write([]byte{0xC0, 0, 0xC0, 0}); err != nil {
			w.Fatal(err)
		}
		synctest.Wait()
		if s := w.b.Stats(); s.PacketsWaiting != 3 || s.BytesWaiting == 0 {
			w.Errorf("%d packets, %d bytes wait, want 3 packets", s.PacketsWaiting, s.BytesWaiting)
		}
		if _, err := client.Read(make([]byte, 100)); err != nil {
			w.Fatal(err)
		}
		if _, err := client.Read(make([]byte, 100)); err != nil {
			w.Fatal(err)
		}
		synctest.Wait()
		if s := w.b.Stats(); s.PacketsWaiting+s.BytesWaiting != 0 {
			w.Errorf("%d packets, %d bytes wait, want none", s.PacketsWaiting, s.BytesWaiting)
		}
		client.Close()
		synctest.Wait()
	})
}
