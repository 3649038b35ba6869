package crashtest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"hearthmq/broker/packet"
)

// latencies are the times from PUBLISH to PUBACK of a load.
type latencies struct {
	took     []time.Duration
	duration time.Duration
}

func (l *latencies) at(share float64) time.Duration {
	slices.Sort(l.took)
	return l.took[min(int(share*float64(len(l.took))), len(l.took)-1)]
}

func (l *latencies) worst() time.Duration { return l.at(1) }

func (l *latencies) rate() float64 { return float64(len(l.took)) / l.duration.Seconds() }

func (l *latencies) String() string {
	return fmt.Sprintf("%d messages, %.0f/s, acknowledged after p50 %.2f, p99 %.2f, at most %.2f ms", len(l.took), l.rate(),
		ms(l.at(0.5)), ms(l.at(0.99)), ms(l.worst()))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// payload of the measurements, 250 bytes.
func filler() []byte { return bytes.Repeat([]byte("hearth"), 50)[:250] }

// closedLoop has n publishers send QoS 1 messages, each the next one when the last
// was acknowledged.
func closedLoop(t testing.TB, c *child, n, messages int) *latencies {
	t.Helper()
	sum := new(latencies)
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	for i := range n {
		l, err := dial(c.addr, fmt.Sprint("pub", i), packet.V311, false, 0)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer l.close()
			took, err := pingPong(l, fmt.Sprintf("load/%d", i), messages)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			sum.took = append(sum.took, took...)
		})
	}
	wg.Wait()
	sum.duration = time.Since(began)
	return sum
}

// pingPong sends messages with one under way. It does by hand what costs a client
// time: the figures are the broker's.
func pingPong(l *link, topic string, messages int) ([]time.Duration, error) {
	p := packet.Publish{Topic: []byte(topic), Payload: filler(), QoS: 1, PacketID: 1}
	out := p.Append(nil, l.version)
	at := packet.PacketIDOffset(l.version, out)
	took := make([]time.Duration, 0, messages)
	if err := l.nc.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	for i := range messages {
		out[at], out[at+1] = byte(i%60000>>8), byte(i%60000)|1
		began := time.Now()
		if _, err := l.nc.Write(out); err != nil {
			return took, err
		}
		f, err := l.in.ReadFrame()
		if err != nil {
			return took, err
		}
		if f.Type() != packet.TypePuback {
			return took, fmt.Errorf("got %s", f.Type())
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// openLoop sends QoS 1 messages at a rate, from several publishers in turn, whether
// acknowledgements come or not.
func openLoop(t testing.TB, c *child, topic string, publishers int, perSecond int, duration time.Duration) *latencies {
	t.Helper()
	sum := &latencies{duration: duration}
	var mu sync.Mutex
	var readers sync.WaitGroup
	links := make([]*link, publishers)
	sent := make([]map[uint16]time.Time, publishers)
	for i := range links {
		var err error
		if links[i], err = dial(c.addr, fmt.Sprint("open", i), packet.V311, false, 0); err != nil {
			t.Fatal(err)
		}
		if err := links[i].nc.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		sent[i] = map[uint16]time.Time{}
		readers.Go(func() { // ends with the connection
			for {
				f, err := links[i].in.ReadFrame()
				if err != nil {
					return
				}
				id, _, err := packet.DecodeAck(packet.V311, f)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				sum.took = append(sum.took, time.Since(sent[i][id]))
				mu.Unlock()
			}
		})
	}
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	count := int(duration.Seconds() * float64(perSecond))
	for n := range count {
		<-tick.C
		i, id := n%publishers, uint16(n/publishers%60000+1)
		mu.Lock()
		sent[i][id] = time.Now()
		mu.Unlock()
		err := links[i].send(&packet.Publish{Topic: fmt.Appendf(nil, topic, i), Payload: filler(), QoS: 1, PacketID: id})
		if err != nil {
			t.Fatal(err)
		}
	}
	limit := time.Now().Add(patience)
	for missing := true; missing && time.Now().Before(limit); {
		<-tick.C
		mu.Lock()
		missing = len(sum.took) < count
		mu.Unlock()
	}
	for _, l := range links {
		l.close()
	}
	readers.Wait()
	if len(sum.took) < count {
		t.Errorf("%d of %d messages were acknowledged", len(sum.took), count)
	}
	return sum
}
