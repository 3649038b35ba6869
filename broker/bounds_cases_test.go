package broker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// case R2: a CONNECT that drips in has the time of one that comes at once, not more with each
// of its bytes.
func TestSlowConnect(t *testing.T) {
	for _, info := range []broker.ListenerInfo{{Name: "mqtt"}, {Name: "ws", WebSocket: true}, {Name: "mqtts", TLS: true}} {
		t.Run(info.Name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				client, server := brokertest.PipeFrom("192.0.2.1:1")
				go w.b.ServeConn(context.Background(), server, info)
				start := time.Now()
				go func() {
					p := packet.Connect{Version: packet.V311, ClientID: strings.Repeat("x", 100), CleanStart: true}
					for _, b := range p.Append(nil, packet.V311) {
						if _, err := client.Write([]byte{b}); err != nil {
							return
						}
						<-time.After(4 * time.Second)
					}
				}()
				n, err := client.Read(make([]byte, 1))
				took := time.Since(start)
				want := 5 * time.Second
				if info.TLS {
					want = 10 * time.Second // the handshake is within it
				}
				if err == nil || n > 0 || took > want {
					t.Errorf("closed after %v (%d bytes, %v), want %v", took, n, err, want)
				}
				client.Close()
				brokertest.Pass(4 * time.Second) // until the writer has noticed
			})
		})
	}
}

// case R9: however many topics clients retain, the broker keeps as many as the settings
// allow: MQTT 5 is told so, to others the message is delivered and not kept. What is kept
// can be changed, and what is removed makes room.
func TestRetainedLimitOfAll(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(cfg *broker.Config)
	}{
		{"messages", func(cfg *broker.Config) { cfg.RetainedMaxMessages = 100 }},
		{"bytes", func(cfg *broker.Config) {
			cfg.RetainedMaxBytes = 100 * int64(broker.NewMessage("topic/000", []byte("x"), 1, true).Size())
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(cfg *broker.Config, _ *broker.Deps) { tt.set(cfg) }, func(w *world) {
				c := w.clean(packet.V50, "five")
				reader := w.clean(packet.V50, "reader")
				reader.Subscribe("topic/#", 0)
				send := func(topic, payload string) packet.ReasonCode {
					c.Publish(topic, payload, 1, true, 1)
					return brokertest.Get[*packet.Ack](c).Code
				}
				kept := func() (n int) {
					for range w.b.Retained("topic/#") {
						n++
					}
					return n
				}
				refused := 0
				for i := range 1000 {
					if send(fmt.Sprintf("topic/%03d", i), "x") == packet.QuotaExceeded {
						refused++
					}
				}
				if kept() != 100 || refused != 900 {
					t.Errorf("%d kept, %d refused", kept(), refused)
				}
				if code := send("topic/000", "y"); code.Failed() {
					t.Errorf("a change of what is kept: %v", code)
				}
				if code := send("topic/001", ""); code.Failed() {
					t.Errorf("a removal: %v", code)
				}
				if code := send("topic/999", "z"); code.Failed() || kept() != 100 {
					t.Errorf("in the place of what was removed: %v, %d kept", code, kept())
				}
				if code := send("topic/002", "some more"); code.Failed() {
					t.Errorf("a value that is longer than the one before: %v", code)
				}
				if code, want := send("topic/003", strings.Repeat("x", 100_000)), tt.name == "bytes"; code.Failed() != want {
					t.Errorf("a value that is far longer: %v, want refused %v", code, want)
				}
				if figures := len(slices.Collect(w.b.Retained("$SYS/#"))); figures < 20 {
					t.Errorf("%d figures below $SYS, which no limit is for", figures)
				}
				reader.All()
				old := w.clean(packet.V311, "three")
				old.Publish("topic/old", "x", 1, true, 7)
				w.expectAck(old, packet.TypePuback, 7)
				w.expectPublish(reader, "topic/old", "x", 0, false)
				if kept() != 100 {
					t.Errorf("%d kept", kept())
				}
			})
		})
	}
}
