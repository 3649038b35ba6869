package crashtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

// readyLimit is how long a broker may take after a kill until it answers a client.
const readyLimit = 3 * time.Second

// crowding is how many processes want each of the machine's processors, at least 1:
// so many times longer does everything take.
func crowding() int {
	text, err := os.ReadFile("/proc/loadavg")
	var load float64
	if err == nil {
		_, err = fmt.Sscan(string(text), &load)
	}
	if err != nil {
		return 1
	}
	return max(1, int(load)/runtime.NumCPU())
}

// freshAfter is after how many kills a new folder is begun.
const freshAfter = 100

// TestKill kills the broker at random moments (case S1).
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills brokers")
	}
	rnd := random(t)
	var total tally
	for left := *kills; left > 0 && !t.Failed(); left -= freshAfter {
		n := min(left, freshAfter)
		dir, err := os.MkdirTemp(t.TempDir(), "data")
		if err != nil {
			t.Fatal(err)
		}
		newHome(dir, rnd).live(t, n, &total)
	}
	slices.Sort(total.ready)
	t.Logf("%d kills, %d messages acknowledged, %d deliveries; ready after %v (median), %v (99 of 100), %v (longest)",
		len(total.ready), total.accepted, total.deliveries, total.ready[len(total.ready)/2], total.ready[len(total.ready)*99/100], total.ready[len(total.ready)-1])
}

type tally struct {
	ready                []time.Duration
	accepted, deliveries int
}

// home is a broker's folder with the devices around it.
type home struct {
	settings settings
	rnd      *rand.Rand
	book     *ledger
	pubs     []*publisher
	subs     []*subscriber
	fences   int
	wg       sync.WaitGroup // subscribers that are connected
}

func newHome(dir string, rnd *rand.Rand) *home {
	book := newLedger()
	h := &home{
		settings: settings{Dir: dir, Durability: broker.Durable, MaxInflight: 100, MaxQueued: 1 << 20},
		rnd:      rnd, book: book,
	}
	for _, s := range []*subscriber{
		{name: "away2", version: packet.V50, qos: 2, filters: []string{"load/#", "state/#"}, away: true},
		{name: "away1", version: packet.V311, qos: 1, filters: []string{"load/#"}, away: true},
		{name: "quick2", version: packet.V311, qos: 2, filters: []string{"load/#", "live/#"}},
		{name: "quick1", version: packet.V50, qos: 1, filters: []string{"load/+/q1", "live/+/q1"}},
		{name: "slow2", version: packet.V50, qos: 2, filters: []string{"load/#"}, think: 3 * time.Millisecond, most: 5},
	} {
		h.subs = append(h.subs, s.born(book))
	}
	for i := range 4 {
		v := packet.V311
		if i%2 == 0 {
			v = packet.V50
		}
		h.pubs = append(h.pubs, &publisher{name: fmt.Sprint("p", i), version: v, window: 1 + 3*i, book: book,
			rnd: rand.New(rand.NewPCG(rnd.Uint64(), uint64(i)))})
	}
	return h
}

// live goes through n lives of the broker.
func (h *home) live(t *testing.T, n int, total *tally) {
	c := start(t, h.settings)
	h.arrive(t, c)
	for life := range n {
		h.load(c)
		c = start(t, h.settings)
		ready := h.checkRetained(t, c)
		if ready > readyLimit*time.Duration(crowding()) {
			t.Errorf("ready %v after the kill", ready)
		}
		h.drain(t, c)
		for _, s := range h.subs {
			h.book.checkSubscriber(s)
			total.deliveries += len(s.got)
		}
		total.ready, total.accepted = append(total.ready, ready), total.accepted+len(h.book.accepted)
		if wrong := h.book.complaints(); len(wrong) > 0 {
			for _, w := range wrong {
				t.Error(w)
			}
			t.Fatalf("after life %d; the broker said:\n%s", life+1, c.errors.String())
		}
		h.book.settle(h.subs)
	}
	c.kill()
	h.wg.Wait()
}

// arrive connects the subscribers for the first time.
func (h *home) arrive(t *testing.T, c *child) {
	t.Helper()
	h.connect(t, c)
	h.dismiss()
}

func (h *home) connect(t *testing.T, c *child) {
	t.Helper()
	for _, i := range h.rnd.Perm(len(h.subs)) {
		if err := h.subs[i].connect(c.addr); err != nil {
			t.Fatal(err)
		}
	}
}

// dismiss has those go who are not to be there under load, and the others answer.
func (h *home) dismiss() {
	for _, s := range h.subs {
		if s.away {
			s.link.close()
			continue
		}
		h.wg.Go(func() { s.run(s.think) }) // until the connection ends
	}
}

// load publishes, and kills the broker in the midst of it. All connections end.
func (h *home) load(c *child) {
	var pubs sync.WaitGroup
	for _, p := range h.pubs {
		pubs.Go(func() { p.run(c.addr, false, nil) }) // until the connection ends
	}
	<-time.After(time.Duration(h.rnd.IntN(250)) * time.Millisecond)
	c.kill()
	pubs.Wait()
	for _, s := range h.subs {
		s.link.close()
	}
	h.wg.Wait()
}

// checkRetained is the first to ask a broker that was just started; it returns how
// long that took. Publishers have not been back yet.
func (h *home) checkRetained(t *testing.T, c *child) time.Duration {
	t.Helper()
	l, err := dial(c.addr, "checker", packet.V311, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	ready := time.Since(c.began)
	got := map[string][]byte{}
	// QoS 0 has no window: everything is there before the broker answers PINGREQ.
	err = l.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "state/#"}}}, &packet.Pingreq{})
	for err == nil {
		var p packet.Packet
		if p, err = l.read(); err != nil {
			break
		}
		if m, ok := p.(*packet.Publish); ok {
			got[string(m.Topic)] = m.Payload
		}
		if p.Kind() == packet.TypePingresp {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	h.book.checkRetained(got)
	return ready
}

// drain has publishers complete what was under way and subscribers fetch everything.
func (h *home) drain(t *testing.T, c *child) {
	t.Helper()
	var running sync.WaitGroup
	h.connect(t, c)
	for _, s := range h.subs {
		running.Go(func() { s.run(0) }) // until the connection ends
	}
	var pubs sync.WaitGroup
	failed := make([]error, len(h.pubs))
	for i, p := range h.pubs {
		pubs.Go(func() { failed[i] = p.run(c.addr, true, nil) })
	}
	pubs.Wait()
	if err := errors.Join(failed...); err != nil {
		for _, p := range h.pubs {
			for _, o := range p.flights {
				t.Logf("%s: identifier %d is under way: %+v, released: %v", p.name, o.id, *o.m, o.released)
			}
		}
		t.Fatalf("publishers can't go on: %v\n%s", err, c.errors.String())
	}
	h.fences++
	fence := &message{key: fmt.Sprint(fenceName, "|", h.fences), number: h.fences, topic: "load/fence/q1", qos: 1}
	h.book.send(fence)
	l, err := dial(c.addr, "fence", packet.V311, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if err := l.send((&outgoing{id: 1, m: fence}).packet(false)); err != nil {
		t.Fatal(err)
	}
	for _, s := range h.subs {
		if err := s.waitFence(fence.key); err != nil {
			t.Fatalf("%v\n%s", err, c.errors.String())
		}
	}
	// For the load everybody comes anew, with what is still open between them.
	for _, s := range h.subs {
		s.link.close()
	}
	running.Wait()
	h.connect(t, c)
	h.dismiss()
}
