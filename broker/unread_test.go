package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// deaf logs in a client that sends and does not listen: between the two are a few bytes.
// What it sends from then on fails when the broker has not taken it within a second.
func (w *world) deaf(id string, v packet.Version) net.Conn {
	w.Helper()
	client, server := brokertest.PipeSize(1 << 10)
	go w.b.ServeConn(context.Background(), server, broker.ListenerInfo{Name: "mqtt"})
	p := packet.Connect{Version: v, ClientID: id, CleanStart: true}
	for _, f := range []func() error{
		func() error { _, err := client.Write(p.Append(nil, v)); return err },
		func() error {
			head := make([]byte, 2) // of CONNACK
			_, err := io.ReadFull(client, head)
			if err == nil {
				_, err = io.ReadFull(client, make([]byte, head[1]))
			}
			return err
		},
	} {
		if err := f(); err != nil {
			w.Fatal(err)
		}
	}
	w.Cleanup(func() { client.Close(); synctest.Wait() })
	return client
}

// hear reads packets from c until no more come for a second.
func hear(t *testing.T, c net.Conn, v packet.Version) (frames []packet.Frame) {
	t.Helper()
	var got []byte
	b := make([]byte, 64<<10)
	for {
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(b)
		got = append(got, b[:n]...)
		if err != nil {
			break
		}
	}
	for len(got) > 0 {
		f, n, _, err := packet.Split(got, 1<<28)
		if err != nil || n == 0 {
			t.Fatalf("%d bytes left: %v", len(got), err)
		}
		frames, got = append(frames, f), got[n:]
	}
	return frames
}

func count(frames []packet.Frame, t packet.Type) (n int) {
	for _, f := range frames {
		if f.Type() == t {
			n++
		}
	}
	return n
}

// case R6: who asks and does not listen to the answers is not asked for more questions. What
// it has asked is answered once it listens, and who never does is cut off.
func TestAnswersToNobodyAreBounded(t *testing.T) {
	const bound = 64 << 10
	const pub = "\x32\x06\x00\x01t\x00\x01x" // acknowledged by four bytes for its eight
	for _, tt := range []struct {
		name, asks string
		answer     packet.Type
		size       int // of an answer
	}{
		{"PINGREQ", "\xc0\x00", packet.TypePingresp, 2},
		{"SUBSCRIBE", "\x82\x06\x00\x01\x00\x01t\x00", packet.TypeSuback, 5},
		{"UNSUBSCRIBE", "\xa2\x05\x00\x01\x00\x01t", packet.TypeUnsuback, 4},
		{"PUBLISH", pub, packet.TypePuback, 4},
		{"PUBREL of what is not there", "\x62\x02\x00\x07", packet.TypePubcomp, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, listens := range []bool{true, false} {
				inWorld(t, func(c *broker.Config, d *broker.Deps) { c.MaxOutboundBytes, d.Store = bound, nil }, func(w *world) {
					c := w.deaf("deaf", packet.V311)
					batch := bytes.Repeat([]byte(tt.asks), 512)
					asked := 0
					var err error
					for err == nil && asked < 8*bound {
						_ = c.SetWriteDeadline(time.Now().Add(time.Second))
						var n int
						n, err = c.Write(batch)
						asked += n
					}
					// Two reads of 64 KiB more are under way at most.
					most := 3*bound + 3*(64<<10)
					if answers := asked / len(tt.asks) * tt.size; err == nil || answers > most {
						t.Fatalf("took questions with %d bytes of answers, want at most %d", answers, most)
					}
					if !listens {
						start := time.Now()
						for w.b.Stats().Connections > 0 && time.Since(start) < time.Minute {
							brokertest.Pass(time.Second)
						}
						if took := time.Since(start); took > 21*time.Second {
							t.Errorf("cut off after %v", took)
						}
						return
					}
					got := count(hear(t, c, packet.V311), tt.answer)
					if want := asked / len(tt.asks); got != want {
						t.Errorf("%d answers to %d questions", got, want)
					}
				})
			}
		})
	}
}

// case R6: retained messages wait for a slow reader in bounds, however often it asks for
// them, and what is left out is counted and shown.
func TestReplaysToSlowReader(t *testing.T) {
	const kept, asked, queue = 100, 1000, 50
	for _, v := range []packet.Version{packet.V311, packet.V50} {
		for _, qos := range []byte{0, 1} {
			t.Run(fmt.Sprintf("%s QoS %d", v, qos), func(t *testing.T) {
				mod := func(c *broker.Config, d *broker.Deps) { c.MaxQueuedMessages, c.SysInterval, d.Store = queue, -1, nil }
				inWorld(t, mod, func(w *world) {
					for i := range kept {
						if err := w.b.Publish(t.Context(), broker.NewMessage(fmt.Sprint("kept/", i), bytes.Repeat([]byte("x"), 8<<10), 1, true)); err != nil {
							t.Fatal(err)
						}
					}
					c := w.deaf("deaf", v)
					p := packet.Subscribe{PacketID: 1}
					for range asked {
						p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: "kept/#", QoS: qos})
					}
					if _, err := c.Write(p.Append(nil, v)); err != nil {
						t.Fatal(err)
					}
					brokertest.Pass(time.Second)
					info, _, err := w.b.Session("deaf")
					if err != nil {
						t.Fatal(err)
					}
					got := count(hear(t, c, v), packet.TypePublish)
					window := 0
					if qos == 1 {
						window = 20
					}
					if most := 4*kept + queue; qos == 0 && (got < kept || got > most) || qos == 1 && got != window {
						t.Errorf("%d retained messages came", got)
					}
					if info.Dropped == 0 || w.b.Stats().PublishDropped < info.Dropped {
						t.Errorf("%d dropped of the client, %d of all", info.Dropped, w.b.Stats().PublishDropped)
					}
					// Who asks once, and listens, gets all there is.
					reader := w.clean(v, "reader")
					reader.Subscribe("kept/#", 0)
					if all := reader.All(); len(all) != kept {
						t.Errorf("a reader got %d", len(all))
					}
				})
			})
		}
	}
}
