package broker_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// What was counted by nobody, or could be got past who counts: each of these grew a running
// broker without bound from one account with few rights.

// Whoever may log in may say by a retained message below $SYS whether its bridge is
// connected. For these there was no limit, of anything: 16 MB for each Client Identifier.
func TestStateOfBridgesIsLimited(t *testing.T) {
	insiders(t, nil, func(w *world) {
		say := func(id string, size int) packet.ReasonCode {
			c, _ := w.login(packet.V50, packet.Connect{ClientID: id, CleanStart: true, HasUserName: true, UserName: "low"})
			defer c.Close()
			c.Publish("$SYS/broker/connection/"+id+"/state", strings.Repeat("1", size), 1, true, 1)
			return brokertest.Get[*packet.Ack](c).Code
		}
		for i := range 30 {
			say(fmt.Sprint("low", i), 400_000)
		}
		bytes := 0
		for m := range w.b.Retained("$SYS/broker/connection/#") {
			bytes += m.Size()
		}
		if most := insiderLimit / 4 / 2; bytes == 0 || bytes > most {
			t.Errorf("one user has %d bytes below $SYS, more than %d", bytes, most)
		}
		if code := say("low0", 0); code.Failed() {
			t.Errorf("a removal: %v", code)
		}
		if code := say("low99", 1); code.Failed() {
			t.Errorf("with room again: %v", code)
		}
	})
}

// A session that ends with its connection is not bound; when a connection that stays took it
// over it was not looked at again.
func TestUserHoardsSessionsTakenOver(t *testing.T) {
	insiders(t, nil, func(w *world) {
		kept := 0
		for i := range 1010 {
			id := fmt.Sprint("low", i)
			p := packet.Connect{ClientID: id, HasUserName: true, UserName: "low"}
			var passing *brokertest.Client
			if i >= 980 { // those before count all the same
				passing, _ = w.login(packet.V50, p)
			}
			p.Properties.SetSessionExpiry(broker.NeverExpires)
			p.Version = packet.V50
			c := w.dial(packet.V50)
			c.Send(&p)
			switch code := brokertest.Get[*packet.Connack](c).Code; code {
			case packet.Success:
				kept++
			case packet.QuotaExceeded:
				if passing.Closed() {
					t.Fatal("the connection that was there has ended")
				}
			default:
				t.Fatalf("refused with %v", code)
			}
			c.Close()
			if passing != nil {
				passing.Close()
			}
		}
		if kept != 1000 {
			t.Errorf("one user has %d sessions that stay", kept)
		}
	})
}

// Packet Identifiers of QoS 2 messages that are never released: 65,535 for each session, in
// memory and on disk.
func TestUserHoardsUnreleased(t *testing.T) {
	const limit = 1 << 20
	for _, v := range []packet.Version{packet.V311, packet.V50} {
		t.Run(v.String(), func(t *testing.T) {
			inWorld(t, func(cfg *broker.Config, _ *broker.Deps) { cfg.ReceiveMaximum = 100 }, func(w *world) {
				synctest.Wait() // nobody reads the limit now
				w.b.Press(limit, broker.Calm)
				// send brings messages with new identifiers until the connection ends.
				send := func(id string, from, n int) (c *brokertest.Client, sent int) {
					c, _ = w.durable(v, id)
					for sent < n {
						c.Publish("low", "x", 2, false, uint16(from+sent))
						if c.Closed() {
							return c, sent
						}
						sent++
					}
					return c, sent
				}
				total := 0
				for i := range 30 { // each comes back for more: with MQTT 5 one connection has its Receive Maximum
					for round := range 2 {
						c, n := send(fmt.Sprint("low", i), 1+100*round, 100)
						total += n
						c.Close()
					}
				}
				if most := limit>>10 + 30*100; total > most || total < limit>>10 {
					t.Errorf("%d identifiers wait to be released, at most %d may", total, most)
				}
				c, n := send("honest", 1, 100)
				if n != 100 {
					t.Errorf("who keeps to Receive Maximum sent %d of 100", n)
				}
				for i := range 100 {
					c.Send(ack(packet.TypePubrel, uint16(i+1)))
				}
				if _, n = send("honest", 1, 100); n != 100 {
					t.Errorf("and %d of 100 after they were released", n)
				}
			})
		})
	}
}

// stuckStore takes nothing.
type stuckStore struct {
	broker.Store
	stuck atomic.Bool
}

func (s *stuckStore) Apply(ctx context.Context, changes []broker.Change) error {
	if s.stuck.Load() {
		return errors.New("no disk")
	}
	return s.Store.Apply(ctx, changes)
}

// While changes come together, or the disk is slow, every value that one retained topic had
// in the meantime was held, and every message that a full queue had dropped again.
func TestJournalHoldsWhatIsOfUse(t *testing.T) {
	const size, rounds = 64 << 10, 160
	for _, tt := range []struct {
		name string
		send func(c *brokertest.Client, i int)
	}{
		{"retained", func(c *brokertest.Client, i int) {
			c.Publish("low", fmt.Sprint(i)+strings.Repeat("x", size), 0, true, 0)
		}},
		{"queued", func(c *brokertest.Client, i int) {
			c.Publish("queued", fmt.Sprint(i)+strings.Repeat("x", size), 1, false, uint16(i+1))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := &stuckStore{Store: broker.NewMemoryStore()}
			inWorld(t, func(cfg *broker.Config, deps *broker.Deps) {
				cfg.MaxQueuedMessages = 4
				deps.Store = store
			}, func(w *world) {
				away, _ := w.durable(packet.V50, "away")
				away.Subscribe("queued", 1)
				away.Close()
				c := w.clean(packet.V311, "low")
				brokertest.Pass(time.Minute)
				store.stuck.Store(true)
				for i := range rounds {
					tt.send(c, i)
				}
				synctest.Wait()
				if most, bytes := rounds*size/2, w.b.Pending(); bytes > most || bytes < size {
					t.Errorf("%d bytes wait to be stored, of %d that came", bytes, rounds*size)
				}
				store.stuck.Store(false)
				brokertest.Pass(time.Minute)
				w.restart()
				for m := range w.b.Retained("low") {
					if !strings.HasPrefix(string(m.Payload), fmt.Sprint(rounds-1)) {
						t.Errorf("what is stored begins with %q", m.Payload[:4])
					}
				}
				if list, _ := w.b.Waiting("away", 10); tt.name == "queued" && len(list) != 4 {
					t.Errorf("%d messages wait after a restart", len(list))
				}
			})
		})
	}
}

// Bounds that counted subscriptions and retained messages took no notice of how long a Topic
// Filter is, nor of the levels of a Topic Name, each of which takes memory of its own.
func TestUserHoardsLongAndDeep(t *testing.T) {
	insiders(t, nil, func(w *world) {
		c, _ := w.login(packet.V50, packet.Connect{ClientID: "low", CleanStart: true, HasUserName: true, UserName: "low"})
		granted := 0
		for i := range 300 {
			if !c.Subscribe(fmt.Sprintf("low/%d/%s", i, strings.Repeat("x", 60_000)), 0).Failed() {
				granted++
			}
		}
		if most := 10_000 * 1024 / 60_000; granted > most || granted < most/2 {
			t.Errorf("%d long filters were granted, %d take what one user may", granted, most)
		}
		kept := 0
		for i := range 1200 {
			c.Publish(fmt.Sprintf("low/%d/%s", i, strings.Repeat("/", 190)), "x", 1, true, 1)
			if !brokertest.Get[*packet.Ack](c).Code.Failed() {
				kept++
			}
		}
		if most := insiderLimit / 8 / (190 * 48); kept > most+100 || kept < most/2 {
			t.Errorf("%d deep topics are retained, %d take what one user may", kept, most)
		}
		// Everything is given back.
		c.Close()
		for m := range w.b.Retained("low/#") {
			if _, err := w.b.DropRetained(w.Context(), []string{m.Topic}, false); err != nil {
				t.Fatal(err)
			}
		}
		if subs, retained := w.b.Weights("low"); subs != 0 || retained != 0 {
			t.Errorf("subscriptions of weight %d and retained messages of weight %d are left", subs, retained)
		}
	})
}

// Wills that wait after their sessions have ended, as with Mosquitto, were bounded by nothing.
func TestLateWillsAreBounded(t *testing.T) {
	inWorld(t, func(cfg *broker.Config, _ *broker.Deps) { cfg.LikeMosquitto = true }, func(w *world) {
		watcher := w.clean(packet.V311, "watcher")
		watcher.Subscribe("low/#", 0)
		const clients = 1020
		for i := range clients {
			p := packet.Connect{ClientID: fmt.Sprint("low", i), CleanStart: true, Will: &packet.Will{Topic: fmt.Sprint("low/", i)}}
			p.Will.Properties.SetWillDelay(3600)
			c, _ := w.login(packet.V50, p)
			c.Close()
		}
		if n := len(watcher.All()); n != clients-1000 {
			t.Errorf("%d wills came at once, want those beyond the first 1000", n)
		}
		brokertest.Pass(time.Hour + time.Second)
		if n := len(watcher.All()); n != 1000 {
			t.Errorf("%d wills came after their delay", n)
		}
	})
}

// Who comes again and again is remembered by its Client Identifier before anybody knows who
// it is: as long as a packet, with LikeMosquitto, 4096 of them took 256 MB.
func TestStrangersAreRememberedBriefly(t *testing.T) {
	inWorld(t, func(cfg *broker.Config, _ *broker.Deps) { cfg.LikeMosquitto = true }, func(w *world) {
		for i := range 3 {
			nc, far := brokertest.PipeFrom("192.0.2.1:1000")
			go w.b.ServeConn(context.Background(), far, broker.ListenerInfo{Name: "mqtt"})
			c := brokertest.NewClient(w.T, nc, packet.V311)
			c.Send(&packet.Connect{Version: packet.V311, CleanStart: true, ClientID: fmt.Sprint(i) + strings.Repeat("x", 60_000)})
			if a := brokertest.Get[*packet.Connack](c); a.ReturnCode != 0 {
				t.Fatal(a.ReturnCode)
			}
			c.Close()
		}
		if clients, bytes := w.b.Remembered(); clients != 3 || bytes > 3*256 {
			t.Errorf("%d bytes are kept of %d clients", bytes, clients)
		}
	})
}

// Each topic that a connection published to kept the receivers that its messages once had:
// 1,000 receivers and 1,000 topics come to 64 MB for a connection, if somebody subscribes now and then.
func TestFormerReceiversAreForgotten(t *testing.T) {
	insiders(t, nil, func(w *world) {
		for i := range 500 { // who is away isn't sent anything at QoS 0, and a receiver all the same
			c, _ := w.durable(packet.V311, fmt.Sprint("r", i))
			c.Subscribe("#", 0)
			c.Close()
		}
		p := w.clean(packet.V311, "p")
		heap := func() uint64 {
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		for i := range 600 {
			p.Publish(fmt.Sprint("t", i), "", 0, false, 0)
			p.Subscribe("else", byte(i)&1)
		}
		if after := heap(); after > before+4<<20 {
			t.Errorf("600 topics leave %d bytes behind", after-before)
		}
	})
}
