package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
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
				if !listens && tt.answer != packet.TypePingresp {
					continue // it does not matter what it has asked
				}
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

// case R6: a subscriber that reads nothing, on every kind of connection. What waits for it is
// bounded, what is beyond is dropped and counted with it, for all and below $SYS; it is cut off
// after the write timeout, by its name; and who reads beside it misses nothing.
func TestReaderOfNothing(t *testing.T) {
	const bound, size, rate = 1 << 20, 4 << 10, 40 // messages in a tenth of a second
	for _, v := range []packet.Version{packet.V311, packet.V50} {
		t.Run(v.String(), func(t *testing.T) {
			seen := &eventLog{}
			inWorld(t, func(_ *broker.Config, d *broker.Deps) { d.Store, d.Observer = nil, seen }, func(w *world) {
				c := w.deaf("deaf", v)
				p := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "flood"}}}
				if _, err := c.Write(p.Append(nil, v)); err != nil {
					t.Fatal(err)
				}
				reader := w.clean(v, "reader")
				reader.Subscribe("flood", 0)
				start := time.Now()
				sent, got, cut := 0, 0, time.Duration(0)
				for time.Since(start) < 24*time.Second {
					for range rate {
						if err := w.b.Publish(t.Context(), broker.NewMessage("flood", make([]byte, size), 0, false)); err != nil {
							t.Fatal(err)
						}
						sent++
					}
					brokertest.Pass(100 * time.Millisecond)
					got += len(reader.All())
					if held := w.b.Stats().Memory.Backlog; held > bound+size {
						t.Fatalf("%d bytes wait for it", held)
					}
					_, _, err := w.b.Session("deaf")
					if err != nil && cut == 0 {
						cut = time.Since(start)
					}
					if err == nil && time.Since(start) > 10*time.Second {
						info, _, _ := w.b.Session("deaf")
						if info.Dropped < uint64(sent)/2 {
							t.Fatalf("%d of %d are counted as dropped", info.Dropped, sent)
						}
					}
				}
				if cut < 19*time.Second || cut > 22*time.Second {
					t.Errorf("cut off after %v", cut)
				}
				if got != sent {
					t.Errorf("%d of %d came to one that reads", got, sent)
				}
				s := w.b.Stats()
				if s.PublishDropped == 0 || s.Memory.Backlog != 0 {
					t.Errorf("%d dropped, %d bytes wait for nobody", s.PublishDropped, s.Memory.Backlog)
				}
				if why := seen.reasonOf("deaf"); why != "slow reader: socket takes nothing for too long" {
					t.Errorf("it ended with %q", why)
				}
				if n := seen.dropsOf("deaf"); n != s.PublishDropped {
					t.Errorf("the owner is told of %d, dropped were %d", n, s.PublishDropped)
				}
				for range 2 {
					brokertest.Pass(10 * time.Second) // until the figures are refreshed
				}
				for m := range w.b.Retained("$SYS/broker/publish/messages/dropped") {
					if string(m.Payload) != fmt.Sprint(s.PublishDropped) {
						t.Errorf("$SYS says %s, want %d", m.Payload, s.PublishDropped)
					}
					return
				}
				t.Error("$SYS says nothing")
			})
		})
	}
}

// case R6: what is being written to a connection that can't tell whether it is taken counts as
// what waits behind it: a large message, which always fits, leaves room for one more at most.
func TestLargeMessageLeavesNoRoom(t *testing.T) {
	const bound, large, size = 64 << 10, 1 << 20, 4 << 10
	inWorld(t, func(c *broker.Config, d *broker.Deps) { c.MaxOutboundBytes, d.Store = bound, nil }, func(w *world) {
		c := w.deaf("deaf", packet.V311)
		p := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "flood"}}}
		if _, err := c.Write(p.Append(nil, packet.V311)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		brokertest.Pass(time.Second)
		publish := func(n int) int64 {
			if err := w.b.Publish(t.Context(), broker.NewMessage("flood", make([]byte, n), 0, false)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return w.b.Stats().Memory.Backlog
		}
		held := publish(large)
		if held < large {
			t.Errorf("%d bytes wait of a message of %d", held, large)
		}
		for range 100 {
			held = publish(size)
		}
		if held > large+2*size {
			t.Errorf("%d bytes wait, want at most %d", held, large+2*size)
		}
		hear(t, c, packet.V311) // once it listens nothing is counted any more
		if held = w.b.Stats().Memory.Backlog; held != 0 {
			t.Errorf("%d bytes wait for one that has read all", held)
		}
	})
}

// eventLog remembers how clients ended and what they did not get.
type eventLog struct {
	mu    sync.Mutex
	ends  map[string]string
	drops map[string]uint64
}

func (l *eventLog) OnPublish(*broker.Message) {}

func (l *eventLog) OnEvent(e broker.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e := e.(type) {
	case broker.Disconnected:
		if l.ends == nil {
			l.ends = map[string]string{}
		}
		l.ends[e.Identity.ClientID] = e.Reason
	case broker.Dropped:
		if l.drops == nil {
			l.drops = map[string]uint64{}
		}
		l.drops[e.ClientID] += e.Count
	}
}

func (l *eventLog) reasonOf(clientID string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ends[clientID]
}

func (l *eventLog) dropsOf(clientID string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drops[clientID]
}
