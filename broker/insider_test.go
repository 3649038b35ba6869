package broker_test

import (
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

// What somebody with one account and few rights can do to everybody else. Each of these
// was done to a running broker first.

const insiderLimit = 64 << 20

func insiders(t *testing.T, change func(*broker.Config), f func(w *world)) {
	for range 2 { // what other tests have left counts for the limit; pools empty at the second
		runtime.GC()
	}
	inWorld(t, func(cfg *broker.Config, _ *broker.Deps) {
		cfg.MemoryLimit = insiderLimit
		if change != nil {
			change(cfg)
		}
	}, f)
}

// A client that asks again and again for retained messages and reads none of them grew the
// process by gigabytes within seconds, whatever the memory limit, and nobody else was let in.
func TestRetainedAskedForAgainAndAgain(t *testing.T) {
	const topics, rounds = 300, 300
	for _, tt := range []struct {
		name string
		ask  func(c *brokertest.Client, i int)
		ends bool
	}{
		{"the same filter", func(c *brokertest.Client, i int) {
			c.Send(&packet.Subscribe{PacketID: uint16(i), Subscriptions: []packet.Subscription{{Filter: "low/#", QoS: 1}}})
		}, false},
		{"other filters", func(c *brokertest.Client, i int) {
			c.Send(&packet.Subscribe{PacketID: uint16(i), Subscriptions: []packet.Subscription{{Filter: "low/#", QoS: 1}}},
				&packet.Unsubscribe{PacketID: uint16(i), Filters: []string{"low/#"}})
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			insiders(t, nil, func(w *world) {
				p := w.clean(packet.V311, "publisher")
				for i := range topics {
					p.Publish(fmt.Sprintf("low/%d", i), "x", 1, true, uint16(i+1))
				}
				brokertest.Pass(time.Second)
				c := w.clean(packet.V50, "hoarder") // acknowledges nothing, so most has to wait
				waits, gone := 0, false
				for i := 1; i <= rounds && !gone; i++ {
					tt.ask(c, i)
					synctest.Wait()
					in, _, err := w.b.Session("hoarder")
					gone = err != nil
					waits = max(waits, in.Queued)
				}
				if gone != tt.ends {
					t.Errorf("the connection has ended: %v, want %v", gone, tt.ends)
				}
				if most := 4*(topics+100) + 1<<13; waits > most || waits < topics/2 { // and the figures below $SYS
					t.Errorf("%d retained messages waited for one client, of %d there are", waits, topics)
				}
				if _, ack := w.login(packet.V311, packet.Connect{ClientID: "other", CleanStart: true}); ack.ReturnCode != 0 {
					t.Errorf("another client is told %d", ack.ReturnCode)
				}
			})
		})
	}
}

// Retained messages that were asked for anew are those of now, each once, and those of
// another subscription still come.
func TestRetainedAskedForAnew(t *testing.T) {
	insiders(t, nil, func(w *world) {
		p := w.clean(packet.V311, "publisher")
		for i := range 60 {
			p.Publish(fmt.Sprintf("low/%d", i), "x", 1, true, uint16(i+1))
		}
		brokertest.Pass(time.Second)
		c := w.clean(packet.V50, "c")
		for id, filter := range []string{"low/+", "low/#", "low/+"} {
			s := &packet.Subscribe{PacketID: uint16(id + 1), Subscriptions: []packet.Subscription{{Filter: filter, QoS: 1}}}
			c.Send(s)
		}
		n := 0
		for range 500 {
			for _, x := range c.All() {
				if m, ok := x.(*packet.Publish); ok {
					n++
					c.Send(ack(packet.TypePuback, m.PacketID))
				}
			}
		}
		if window := int(w.cfg.MaxInflight); n < 120 || n > 120+window { // what was under way comes twice
			t.Errorf("%d messages came, want 120 and at most the %d that were under way", n, window)
		}
	})
}

// One account with sessions that never end, full of subscriptions, kept everybody out for
// good: nothing of it was ever shed, and all of it came back after a restart.
func TestUserHoardsSubscriptions(t *testing.T) {
	insiders(t, func(cfg *broker.Config) { cfg.MaxSubscriptions = 500 }, func(w *world) {
		granted := 0
		bomb := func(user string, sessions int) (granted int) {
			for i := range sessions {
				p := packet.Connect{ClientID: fmt.Sprintf("%s-%d", user, i), HasUserName: true, UserName: user}
				p.Properties.SetSessionExpiry(broker.NeverExpires)
				c, _ := w.login(packet.V50, p)
				s := &packet.Subscribe{PacketID: 1}
				for k := range 500 {
					s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: fmt.Sprintf("low/%d/%d", i, k)})
				}
				c.Send(s)
				for _, code := range brokertest.Get[*packet.Suback](c).Codes {
					if !code.Failed() {
						granted++
					} else if code != packet.QuotaExceeded {
						t.Fatalf("refused with %v", code)
					}
				}
				c.Close()
			}
			return granted
		}
		granted = bomb("low", 12)
		if want := insiderLimit >> 14; granted != want {
			t.Errorf("%d subscriptions granted to one user, want %d", granted, want)
		}
		if got := bomb("ann", 1); got != 500 {
			t.Errorf("another user got %d", got)
		}
		// It counts after a restart, what is there may be made anew, and room comes back.
		w.restart()
		if got := bomb("low", 1); got != 500 {
			t.Errorf("%d of its own made anew", got)
		}
		if got := bomb("low-", 0); got != 0 {
			t.Fatal(got)
		}
		c, _ := w.login(packet.V50, packet.Connect{ClientID: "low-new", CleanStart: true, HasUserName: true, UserName: "low"})
		if code := c.Subscribe("low/new", 0); code != packet.QuotaExceeded {
			t.Errorf("one more: %v", code)
		}
		if err := w.b.DeleteSession("low-1"); err != nil {
			t.Fatal(err)
		}
		if code := c.Subscribe("low/new", 0); code.Failed() {
			t.Errorf("with room again: %v", code)
		}
	})
}

// The same with sessions that hold nothing, but a Will perhaps.
func TestUserHoardsSessions(t *testing.T) {
	insiders(t, nil, func(w *world) {
		enter := func(user, id string, keep bool) packet.ReasonCode {
			p := packet.Connect{ClientID: id, HasUserName: true, UserName: user}
			if keep {
				p.Properties.SetSessionExpiry(broker.NeverExpires)
			}
			p.Version = packet.V50
			c := w.dial(packet.V50)
			c.Send(&p)
			defer c.Close()
			return brokertest.Get[*packet.Connack](c).Code
		}
		in := 0
		for i := range 1100 {
			switch code := enter("low", fmt.Sprint("low", i), true); code {
			case packet.Success:
				in++
			case packet.QuotaExceeded:
			default:
				t.Fatalf("refused with %v", code)
			}
		}
		if in != 1000 {
			t.Errorf("one user has %d sessions", in)
		}
		for _, tt := range []struct {
			user, id string
			keep     bool
			want     packet.ReasonCode
		}{
			{"low", "low1", true, packet.Success}, // its own
			{"low", "passing", false, packet.Success},
			{"low", "another", true, packet.QuotaExceeded},
			{"ann", "ann", true, packet.Success},
		} {
			if code := enter(tt.user, tt.id, tt.keep); code != tt.want {
				t.Errorf("%+v: %v", tt, code)
			}
		}
		w.restart()
		if code := enter("low", "later", true); code != packet.QuotaExceeded {
			t.Errorf("after a restart: %v", code)
		}
	})
}

// toilsomeRules take their time over what a client asks to subscribe to.
type toilsomeRules struct {
	brokertest.Everything
	takes atomic.Int64 // nanoseconds
	asked atomic.Int64
}

func (r *toilsomeRules) Authorize(id *broker.Identity, act broker.Action, name string) broker.Decision {
	if act == broker.Subscribe {
		r.asked.Add(1)
		time.Sleep(time.Duration(r.takes.Load())) // in the bubble
	}
	return r.Everything.Authorize(id, act, name)
}

// One SUBSCRIBE with thousands of filters that are hard to decide held up all that is
// stored, of everybody: for more than two minutes with 500 rules.
func TestSubscribeThatIsHardToDecide(t *testing.T) {
	rules := new(toilsomeRules)
	rules.takes.Store(int64(100 * time.Millisecond))
	inWorld(t, func(_ *broker.Config, deps *broker.Deps) { deps.Authorizer = rules }, func(w *world) {
		c, victim := w.clean(packet.V50, "attacker"), w.clean(packet.V311, "victim")
		s := &packet.Subscribe{PacketID: 1}
		for i := range 600 {
			s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: fmt.Sprintf("+/%d/#", i)})
		}
		c.Write(s.Append(nil, packet.V50))
		for i := range 20 {
			began := time.Now()
			victim.Publish("v", fmt.Sprint(i), 1, true, uint16(i+1))
			for !victim.Take(func(p packet.Packet) bool { a, ok := p.(*packet.Ack); return ok && a.PacketID == uint16(i+1) }) {
				brokertest.Pass(10 * time.Millisecond)
				if time.Since(began) > 5*time.Second {
					t.Fatalf("message %d waits for another's SUBSCRIBE, of which %d filters are decided", i, rules.asked.Load())
				}
			}
		}
		if n := rules.asked.Load(); n == 0 || n >= 600 {
			t.Fatalf("%d of 600 filters were decided meanwhile: this shows nothing", n)
		}
		brokertest.Pass(time.Minute)
		synctest.Wait()
		if n := len(brokertest.Get[*packet.Suback](c).Codes); n != 600 {
			t.Errorf("%d answers", n)
		}
	})
}

// Values that grow went beyond the memory limit and stayed there, on disk: nobody but the
// system users could log in any more, after a restart either.
func TestUserHoardsRetained(t *testing.T) {
	insiders(t, func(cfg *broker.Config) { cfg.RetainedMaxMessages = 1000 }, func(w *world) {
		enter := func(user string) func(topic string, size int) packet.ReasonCode {
			c, _ := w.login(packet.V50, packet.Connect{ClientID: user, CleanStart: true, HasUserName: true, UserName: user})
			return func(topic string, size int) packet.ReasonCode {
				c.Publish(topic, strings.Repeat("x", size), 1, true, 1)
				return brokertest.Get[*packet.Ack](c).Code
			}
		}
		kept := func(filter string) (n, bytes int) {
			for m := range w.b.Retained(filter) {
				n++
				bytes += m.Size()
			}
			return n, bytes
		}
		low, ann := enter("low"), enter("ann")
		for i := range 600 {
			if code, want := low(fmt.Sprintf("low/%d", i), 1), i >= 500; (code == packet.QuotaExceeded) != want {
				t.Fatalf("message %d: %v", i, code)
			}
		}
		refused := 0
		for i := range 500 {
			if low(fmt.Sprintf("low/%d", i), 100_000).Failed() {
				refused++
			}
		}
		const half = insiderLimit / 4 / 2
		if n, bytes := kept("low/#"); n != 500 || bytes > half || bytes < half-200_000 || refused < 400 {
			t.Errorf("one user has %d retained messages of %d bytes, %d were refused; %d bytes is its part", n, bytes, refused, half)
		}
		if code := ann("ann/1", 1000); code.Failed() {
			t.Errorf("another user: %v", code)
		}
		if code := low("low/0", 50_000); code.Failed() {
			t.Errorf("a value that gets smaller: %v", code)
		}
		if code := low("low/1", 0); code.Failed() {
			t.Errorf("a removal: %v", code)
		}
		w.restart()
		low = enter("low")
		if code := low("low/499", 300_000); code != packet.QuotaExceeded {
			t.Errorf("after a restart: %v", code)
		}
	})
}

// Packets that never end took all the memory, and when it was short others had to go.
func TestUnfinishedPacketsAreShedFirst(t *testing.T) {
	insiders(t, nil, func(w *world) {
		idle := w.clean(packet.V311, "idle")
		half := (&packet.Publish{Topic: []byte("low"), Payload: make([]byte, 1<<20)}).Append(nil, packet.V50)
		c, done := w.clean(packet.V50, "attacker"), w.clean(packet.V50, "finished")
		go c.Write(half[:1<<19])
		done.Write(half)
		brokertest.Pass(time.Second)
		for range 3 {
			w.b.Shed()
			synctest.Wait()
		}
		if !c.Closed() || idle.Closed() || done.Closed() {
			t.Errorf("closed: attacker %v, idle %v, finished %v", c.Closed(), idle.Closed(), done.Closed())
		}
	})
}

// Long topics that nobody may publish to were remembered, each, for whoever tried: 1.2 GB
// for one connection.
func TestLongTopicsAreNotRemembered(t *testing.T) {
	insiders(t, nil, func(w *world) {
		c := w.clean(packet.V311, "c")
		heap := func() uint64 {
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		long := strings.Repeat("z", 60_000)
		for i := range 1000 {
			c.Publish(fmt.Sprintf("%s/%d", long, i), "", 0, false, 0)
		}
		if after := heap(); after > before+20<<20 {
			t.Errorf("60 MB of topics leave %d bytes behind", after-before)
		}
	})
}
