package broker_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// case R1: what connections hold that begin a CONNECT and don't end it is bounded, whatever
// MaxConnections is. The oldest of them go; who says nothing, and holds nothing, stays, and so
// does who was let in.
func TestUnfinishedConnectsAreBounded(t *testing.T) {
	const size, fit = 40_000, 10
	whole := (&packet.Connect{Version: packet.V50, ClientID: "large", CleanStart: true, HasPassword: true,
		Password: []byte(strings.Repeat("x", size))}).Append(nil, packet.V50)
	for _, info := range []broker.ListenerInfo{{Name: "mqtt"}, {Name: "ws", WebSocket: true}, {Name: "mqtts", TLS: true}} {
		t.Run(info.Name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				each := len(whole)
				if info.TLS {
					each += 40 << 10
				}
				w.b.BoundClaims(fit*each + each/2)
				dial := func() net.Conn {
					client, server := brokertest.Pipe()
					go w.b.ServeConn(context.Background(), server, info)
					w.Cleanup(func() { client.Close(); synctest.Wait() })
					synctest.Wait()
					return client
				}
				open := func(c net.Conn) bool {
					_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
					_, err := c.Read(make([]byte, 1))
					ne, ok := err.(net.Error)
					return ok && ne.Timeout()
				}
				in := w.clean(packet.V311, "in")
				silent := dial()
				var begun []net.Conn
				for i := range 2 * fit {
					c := dial()
					if _, err := c.Write(whole[:len(whole)-1]); err != nil {
						t.Fatal(i, err)
					}
					synctest.Wait()
					begun = append(begun, c)
				}
				for i, c := range begun {
					if open(c) != (i >= fit) {
						t.Errorf("connection %d of %d: open %v", i, len(begun), open(c))
					}
				}
				if !open(silent) && !info.TLS || in.Closed() {
					t.Error("one was closed that holds nothing")
				}
				last := begun[len(begun)-1]
				if _, err := last.Write(whole[len(whole)-1:]); err != nil {
					t.Fatal(err)
				}
				answer := make([]byte, 1)
				_ = last.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := last.Read(answer); err != nil || answer[0] != byte(packet.TypeConnack)<<4 {
					t.Errorf("the last one is answered %x, %v", answer, err)
				}
				for _, c := range begun {
					c.Close()
				}
				silent.Close()
				brokertest.Pass(time.Second)
				if n := w.b.Claims(); n != 0 {
					t.Errorf("%d bytes are counted of nobody", n)
				}
			})
		})
	}
	for limit, want := range map[int64]int{0: 64 << 20, 205 << 20: 205 << 20 / 8, 8 << 30: 64 << 20} {
		if got := broker.MostClaims(limit); got != want {
			t.Errorf("with a memory limit of %s: %d bytes, want %d", fmt.Sprint(limit), got, want)
		}
	}
}
