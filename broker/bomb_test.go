package broker_test

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// bombs are ten thousand filters of a client each, which all match one name of 14 levels.
var bombs = []struct {
	name   string
	filter func(i int) string
}{
	{"+/+/+", func(i int) string { return bombLevels(i, 14) }},
	{"shared", func(i int) string { return fmt.Sprintf("$share/%d/a/+", i) }},
	{"mixed with #", func(i int) string {
		if i%4 == 0 {
			return bombLevels(i, 14)
		}
		return bombLevels(i, 13) + "/#"
	}},
}

func bombLevels(i, n int) string {
	levels := make([]string, n)
	for bit := range levels {
		levels[bit] = []string{"+", "a"}[i>>bit&1]
	}
	return strings.Join(levels, "/")
}

// bombName is what all of them match.
var bombName = strings.Repeat("a/", 13) + "a"

// case R10: a client subscribes to ten thousand filters that are hard to match, in a few
// packets, ends them, has them again, and goes: what that costs, and what others notice of it.
func TestSubscriptionBomb(t *testing.T) {
	const filters = 10_000
	cost := make(map[string]map[string]time.Duration)
	machine := brokertest.WatchMachine()
	for _, bomb := range bombs {
		names := make([]string, 0, filters+1)
		for i := range filters + 1 {
			names = append(names, bomb.filter(i))
		}
		slices.Sort(names)
		for names = slices.Compact(names); len(names) <= filters; {
			names = append(names, fmt.Sprintf("%s/%d", bombName, len(names)))
		}
		t.Run(bomb.name, func(t *testing.T) { cost[bomb.name] = throwBomb(t, names[:filters], names[filters]) })
	}
	limit := 3 * time.Millisecond // of which matching takes one at most: topic.TestSubscriptionBomb
	if instrumented > 1 {
		limit *= 20
	}
	if cost["+/+/+"]["publish"] > limit || cost["mixed with #"]["publish"] > limit {
		machine.Timing(t, "a message to ten thousand filters takes %v and %v", cost["+/+/+"]["publish"], cost["mixed with #"]["publish"])
	}
	// They are as many filters each: none takes much longer than the others.
	for stage, took := range cost["+/+/+"] {
		for name, of := range cost {
			if of[stage] > 8*took && of[stage] > 50*time.Millisecond {
				machine.Timing(t, "%s: %s takes %v, with others %v", name, stage, of[stage], took)
			}
		}
	}
}

// throwBomb returns what each stage of a client with these filters takes at best of a few times,
// as the machine has other things to do. beyond is one filter more than it may have.
func throwBomb(t *testing.T, filters []string, beyond string) map[string]time.Duration {
	b, err := broker.New(broker.DefaultConfig(), broker.Deps{
		Authenticator: brokertest.Everything{}, Authorizer: brokertest.Everything{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.Serve(t.Context(), ln, broker.ListenerInfo{Name: "mqtt"}) }()
	defer func() { ln.Close(); <-served }()
	g := &bomber{T: t, addr: ln.Addr().String()}
	churn, others := g.connect("churn"), g.bystanders()
	g.one(churn, "nobody/+")
	const before = 2 // subscriptions
	best := make(map[string]time.Duration)
	note := func(stage string, took time.Duration) {
		if old, ok := best[stage]; !ok || took < old {
			best[stage] = took
		}
	}
	for range 4 - instrumented {
		c := g.connect("bomber")
		note("subscribe", g.subscribe(c, filters, 5000))
		if n := b.Stats().Subscriptions; n != before+len(filters) {
			t.Errorf("%d subscriptions", n)
		}
		if code := g.one(c, beyond); code != packet.QuotaExceeded {
			t.Errorf("one more than it may have: %v", code)
		}
		if !strings.HasPrefix(filters[0], "$share/") { // of which it gets a message for each
			note("publish", g.publish(b, c, churn))
		}
		note("subscribe again", g.subscribe(c, filters, 5000))
		note("unsubscribe", g.unsubscribe(c, filters, 5000))
		if n := b.Stats().Subscriptions; n != before {
			t.Errorf("%d subscriptions are left", n)
		}
		g.subscribe(c, filters, 5000)
		begun := time.Now()
		c.Close()
		for b.Stats().Subscriptions != before {
			<-time.After(100 * time.Microsecond)
		}
		note("go", time.Since(begun))
	}
	p50, worst := others.end()
	t.Logf("R10: %v; others' messages p50 %v, worst %v", best, p50, worst)
	return best
}

// bomber makes clients of one broker.
type bomber struct {
	*testing.T
	addr string
}

// wired is a client that reads packets.
type wired struct {
	net.Conn
	r *packet.Reader
}

func (g *bomber) connect(id string) wired {
	g.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	w := wired{c, packet.NewReader(c, 1<<20)}
	g.send(w, &packet.Connect{Version: packet.V50, ClientID: id, CleanStart: true})
	g.frame(w, packet.TypeConnack)
	return w
}

func (g *bomber) send(c wired, p packet.Packet) {
	g.Helper()
	if _, err := c.Write(p.Append(nil, packet.V50)); err != nil {
		g.Fatal(err)
	}
}

// frame reads one packet, which must be of a type.
func (g *bomber) frame(c wired, want packet.Type) packet.Frame {
	g.Helper()
	f, err := c.r.ReadFrame()
	if err != nil || f.Type() != want {
		g.Fatalf("%v, %v, want %v", f.Type(), err, want)
	}
	return f
}

// subscribe asks for filters, so many in a packet, and expects to get them.
func (g *bomber) subscribe(c wired, filters []string, each int) time.Duration {
	g.Helper()
	begun := time.Now()
	for some := range slices.Chunk(filters, each) {
		p := packet.Subscribe{PacketID: 1}
		for _, f := range some {
			p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: f})
		}
		g.send(c, &p)
		var ack packet.Suback
		if err := ack.Decode(packet.V50, g.frame(c, packet.TypeSuback)); err != nil || slices.Max(ack.Codes) > 2 || len(ack.Codes) != len(some) {
			g.Fatalf("%d answers, %v", len(ack.Codes), err)
		}
	}
	return time.Since(begun)
}

func (g *bomber) unsubscribe(c wired, filters []string, each int) time.Duration {
	g.Helper()
	begun := time.Now()
	for some := range slices.Chunk(filters, each) {
		g.send(c, &packet.Unsubscribe{PacketID: 1, Filters: some})
		var ack packet.Unsuback
		if err := ack.Decode(packet.V50, g.frame(c, packet.TypeUnsuback)); err != nil || slices.Max(ack.Codes) > 0 || len(ack.Codes) != len(some) {
			g.Fatalf("%d answers, %v", len(ack.Codes), err)
		}
	}
	return time.Since(begun)
}

// publish sends what all filters of c match, after other has changed what there is to match,
// and returns how long one takes at best.
func (g *bomber) publish(b *broker.Broker, c, other wired) time.Duration {
	g.Helper()
	best := time.Hour
	for range 8 {
		m := broker.NewMessage(bombName, []byte("x"), 0, false)
		begun := time.Now()
		if err := b.Publish(g.Context(), m); err != nil {
			g.Fatal(err)
		}
		best = min(best, time.Since(begun))
		g.frame(c, packet.TypePublish)
		g.one(other, "nobody/+") // what was remembered is out of date
	}
	return best
}

// one asks for one filter and returns the code.
func (g *bomber) one(c wired, filter string) packet.ReasonCode {
	g.Helper()
	g.send(c, &packet.Subscribe{PacketID: 2, Subscriptions: []packet.Subscription{{Filter: filter}}})
	var ack packet.Suback
	if err := ack.Decode(packet.V50, g.frame(c, packet.TypeSuback)); err != nil {
		g.Fatal(err)
	}
	return ack.Codes[0]
}

// bystanders are two clients of which one sends to the other, a message a millisecond.
type bystanders struct {
	stop chan struct{}
	done chan []time.Duration
}

func (g *bomber) bystanders() *bystanders {
	g.Helper()
	from, to := g.connect("from"), g.connect("to")
	g.subscribe(to, []string{"home/lamp"}, 1)
	o := &bystanders{make(chan struct{}), make(chan []time.Duration)}
	go func() {
		var took []time.Duration
		defer func() { o.done <- took }()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		p := packet.Publish{Topic: []byte("home/lamp"), Payload: []byte("on")}
		for {
			select {
			case <-o.stop:
				return
			case <-tick.C:
			}
			begun := time.Now()
			if _, err := from.Write(p.Append(nil, packet.V50)); err != nil {
				g.Error(err)
				return
			}
			if _, err := to.r.ReadFrame(); err != nil {
				g.Error(err)
				return
			}
			took = append(took, time.Since(begun))
		}
	}()
	return o
}

func (o *bystanders) end() (p50, worst time.Duration) {
	close(o.stop)
	took := <-o.done
	slices.Sort(took)
	return took[len(took)/2], took[len(took)-1]
}
