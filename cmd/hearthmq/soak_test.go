package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hearthmq/broker/packet"
)

var (
	soak      = flag.Duration("soak", time.Minute, "how long the soak of make flood takes (case R17: 72h)")
	soakKills = flag.Int("soak-kills", -1, "how often the soak kills the broker (default once an hour, 3 times at least)")
)

// belongingsOf is what a process holds, by GET /metrics and the kernel.
type belongingsOf struct {
	at                         time.Time
	rss, heap, database        float64 // MiB
	goroutines, files, clients int
}

func (b belongingsOf) String() string {
	return fmt.Sprintf("RSS %.1f MiB, heap %.1f MiB, %d goroutines, %d files, database %.1f MiB", b.rss, b.heap, b.goroutines, b.files, b.database)
}

// belongs asks for it. The heap is what was in use when it was asked, garbage included.
func (v *victim) belongs() belongingsOf {
	v.t.Helper()
	res, err := http.Get("http://" + v.admin + "/metrics")
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		v.t.Fatalf("GET /metrics: %s, %v", res.Status, err)
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if x, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = x
		}
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", v.cmd.Process.Pid))
	if err != nil {
		v.t.Fatal(err)
	}
	now, _ := v.rss()
	b := belongingsOf{
		at: time.Now(), rss: float64(now) / (1 << 20), heap: values["go_memstats_heap_inuse_bytes"] / (1 << 20),
		goroutines: int(values["go_goroutines"]), files: len(files), clients: int(values["hearthmq_clients"]),
	}
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(filepath.Join(v.dir, databaseName+suffix)); err == nil {
			b.database += float64(info.Size()) / (1 << 20)
		}
	}
	if b.goroutines == 0 || b.heap == 0 {
		v.t.Fatalf("the figures of the process are missing: %v", b)
	}
	return b
}

// floors are the least of each minute: between two collections memory goes up and down.
func floors(all []belongingsOf) (least []belongingsOf) {
	for minute := range slices.Chunk(all, 6) {
		low := minute[0]
		for _, b := range minute {
			low.rss, low.heap = min(low.rss, b.rss), min(low.heap, b.heap)
		}
		least = append(least, low)
	}
	return least
}

// slope is by how much a figure grows a day, by least squares.
func slope(all []belongingsOf, figure func(belongingsOf) float64) float64 {
	var n, sx, sy, sxx, sxy float64
	for _, b := range all {
		x, y := b.at.Sub(all[0].at).Hours()/24, figure(b)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if d := n*sxx - sx*sx; d > 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}

// case R17, as long as -soak says and killed as often as -soak-kills says: 300 clients of
// both versions, 200 messages a second of QoS 1 and 2, each to a session that stays. What
// was acknowledged comes, and with QoS 2 comes once.
func TestFloodSoak(t *testing.T) {
	if *soakKills < 0 {
		*soakKills = max(3, int(*soak/time.Hour)-1)
	}
	v := newVictim(t, options{"max_queued_messages": 100_000})
	v.start()
	const clients, perSecond = 300, 200
	all := make([]*keeper, clients)
	for i := range all {
		k := &keeper{id: fmt.Sprint("c", i), version: packet.V311, topic: fmt.Sprintf("soak/%d/state", i), qos: 1 + byte(i/2%2), window: 1, listen: 2}
		if i%2 == 0 {
			k.version = packet.V50
		}
		if i%3 == 0 {
			k.filters = []string{fmt.Sprintf("soak/%d/#", i), fmt.Sprintf("soak/%d/#", i+1), fmt.Sprintf("soak/%d/#", i+2)}
		}
		all[i] = k
	}
	part := *soak / time.Duration(*soakKills+1)
	var ends []belongingsOf // of the parts
	for round := range *soakKills + 1 {
		stop := make(chan struct{})
		var conversations, senders sync.WaitGroup
		for _, k := range all {
			r, err := k.connect(v.mqtt)
			if err != nil {
				t.Fatal(err)
			}
			conversations.Go(func() { k.answer(r, nil) })
			senders.Go(func() {
				tick := time.NewTicker(clients * time.Second / perSecond)
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
						if k.publish() != nil { // killed
							return
						}
					}
				}
			})
		}
		var samples []belongingsOf
		tick := time.NewTicker(min(10*time.Second, part/20))
		for begin := time.Now(); time.Since(begin) < part; {
			<-tick.C
			samples = append(samples, v.belongs())
		}
		tick.Stop()
		ends = append(ends, samples[len(samples)-1])
		if ends[round].clients != clients {
			t.Errorf("%d clients are connected", ends[round].clients)
		}
		t.Logf("R17: part %d of %v: %v", round+1, part, ends[round])
		if part >= 10*time.Minute { // what grows in less is what fills up
			for i := 0; i < len(samples); i += 6 {
				t.Logf("R17: after %v: %v", samples[i].at.Sub(samples[0].at).Round(time.Second), samples[i])
			}
			warm := floors(samples)
			warm = warm[len(warm)/3:]
			t.Logf("R17: after the first third the floor of RSS grows by %.1f MiB a day, that of the heap by %.1f", slope(warm, func(b belongingsOf) float64 { return b.rss }), slope(warm, func(b belongingsOf) float64 { return b.heap }))
		}
		if round < *soakKills { // under load
			_ = v.cmd.Process.Kill()
			<-v.done
			close(stop)
			senders.Wait()
			conversations.Wait()
			v.start()
			continue
		}
		close(stop)
		senders.Wait()
		eventually(t, "all is acknowledged and has come", func() bool {
			for i, k := range all {
				if k.underWay() > 0 || all[i-i%3].from(k.id).last < k.number {
					return false
				}
			}
			return true
		})
		for _, k := range all {
			k.nc.Close()
		}
		conversations.Wait()
	}
	sent, again := 0, 0
	for i, k := range all {
		came := all[i-i%3].from(k.id)
		sent, again = sent+k.number, again+came.again
		if came.lost > 0 || came.last < k.accepted || k.qos == 2 && came.again > 0 || len(k.wrong) > 0 {
			t.Errorf("%s, QoS %d: %d sent, %d acknowledged, %+v came %v", k.id, k.qos, k.number, k.accepted, came, k.wrong)
		}
	}
	first, last := ends[0], ends[len(ends)-1]
	t.Logf("R17: %d clients, %.0f messages/s for %v with %d kills: %d messages, none lost, %d of QoS 1 came again; the first part ended with %v, the last with %v",
		clients, float64(sent)/soak.Seconds(), *soak, *soakKills, sent, again, first, last)
	if last.rss > first.rss*1.5+8 || last.goroutines > first.goroutines+20 || last.files > first.files+20 || last.database > first.database*1.5+8 {
		t.Errorf("it grew from %v to %v", first, last)
	}
}
