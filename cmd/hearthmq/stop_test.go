package main

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hearthmq/broker/packet"
)

// crowd is a house at full rate that is stopped: publishers of both versions and QoS,
// sessions that stay, readers that don't read, and Wills.
type crowd struct {
	publishers, watchers, dying, slow []*keeper
}

const crowdPublishers, crowdWatchers, crowdSlow = 100, 4, 20

// willDelay is long enough for a start in between, and short enough to wait for.
const willDelay = 4

func newCrowd() *crowd {
	c := new(crowd)
	versions := []packet.Version{packet.V311, packet.V50}
	for i := range crowdPublishers {
		c.publishers = append(c.publishers, &keeper{
			id: fmt.Sprint("pub", i), version: versions[i%2], topic: fmt.Sprintf("stop/%d/%d", i%crowdWatchers, i), qos: 1 + byte(i/2%2), window: 10,
			will: &packet.Will{Topic: "wills/now", QoS: 2, Payload: fmt.Appendf(nil, "pub%d-gone", i)},
		})
	}
	for i := range crowdWatchers { // each is there for a quarter of them, and for all Wills
		c.watchers = append(c.watchers, &keeper{
			id: fmt.Sprint("watch", i), version: versions[i%2], filters: []string{fmt.Sprintf("stop/%d/#", i), "wills/#"}, listen: 2,
		})
	}
	for i, id := range []string{"returns", "stays-away"} {
		k := &keeper{id: id, version: packet.V50, will: &packet.Will{Topic: "wills/late", QoS: 1, Payload: []byte(id + "-gone")}}
		k.will.Properties.SetWillDelay(willDelay * (1 + 900*uint32(1-i))) // an hour for whom comes back
		c.dying = append(c.dying, k)
	}
	for i := range crowdSlow {
		c.slow = append(c.slow, &keeper{id: fmt.Sprint("slow", i), version: versions[i%2], filters: []string{"noise"}, clean: true})
	}
	return c
}

// come connects everybody and lets the publishers go.
func (c *crowd) come(t *testing.T, v *victim, wg *sync.WaitGroup) {
	t.Helper()
	enter := func(k *keeper) *packet.Reader {
		t.Helper()
		r, err := k.connect(v.mqtt)
		if err != nil {
			t.Fatalf("%s: %v", k.id, err)
		}
		return r
	}
	for _, k := range append(append([]*keeper{}, c.watchers...), c.dying...) {
		r := enter(k)
		wg.Go(func() { k.answer(r, nil) })
	}
	for _, k := range c.slow {
		enter(k)
		_ = k.nc.(*net.TCPConn).SetReadBuffer(4096)
		t.Cleanup(func() { k.nc.Close() })
	}
	noise, err := connectDevice(v.mqtt, "noise", e2eUser, e2ePassword, true)
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { // ends with the broker
		defer noise.Close()
		loud := bytes.Repeat(publishBytes("noise", strings.Repeat("x", 8<<10)), 4)
		for {
			if _, err := noise.Write(loud); err != nil {
				return
			}
			<-time.After(5 * time.Millisecond)
		}
	})
	for _, k := range c.publishers {
		r := enter(k)
		wg.Go(func() { k.answer(r, k.publish) })
		if err := k.publish(); err != nil {
			t.Fatal(err)
		}
	}
}

// accepted is what the broker has taken over of all messages.
func (c *crowd) accepted() (n int) {
	for _, k := range c.publishers {
		k.mu.Lock()
		n += k.accepted
		k.mu.Unlock()
	}
	return n
}

// settle brings everybody back, who publish no more, and waits until all that was
// acknowledged or is under way has come.
func (c *crowd) settle(t *testing.T, v *victim, orderly bool) {
	t.Helper()
	var wg sync.WaitGroup
	for _, k := range append(append(append([]*keeper{}, c.watchers...), c.publishers...), c.dying[0]) {
		r, err := k.connect(v.mqtt)
		if err != nil {
			t.Fatalf("%s: %v", k.id, err)
		}
		wg.Go(func() { k.answer(r, nil) })
	}
	defer func() {
		for _, k := range append(append([]*keeper{}, c.watchers...), c.publishers...) {
			k.nc.Close()
		}
		c.dying[0].nc.Close()
		wg.Wait()
	}()
	for end := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		if missing := c.missing(orderly); missing == "" {
			return
		} else if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", missing)
		}
	}
}

// missing says what has not come yet.
func (c *crowd) missing(orderly bool) string {
	for i, k := range c.publishers {
		if n, last := k.underWay(), c.watchers[i%crowdWatchers].from(k.id).last; n > 0 || last < k.number {
			return fmt.Sprintf("%s: QoS %d, %d sent, the last that came %d, %d under way", k.id, k.qos, k.number, last, n)
		}
	}
	if orderly && c.watchers[0].from("stays-away-gone").again == 0 {
		return "the Will of who stayed away"
	}
	return ""
}

// judge says what is wrong with what has come.
func (c *crowd) judge(t *testing.T) (again int) {
	t.Helper()
	for i, k := range c.publishers {
		came := c.watchers[i%crowdWatchers].from(k.id)
		if again += came.again; came.lost > 0 || came.last < k.accepted || k.qos == 2 && came.again > 0 || len(k.wrong) > 0 {
			t.Errorf("%s, QoS %d: %d sent, %d acknowledged, %+v came %v", k.id, k.qos, k.number, k.accepted, came, k.wrong)
		}
	}
	return again
}

// case R16: SIGTERM under load. The process ends in less than 10 s, MQTT 5 clients are told
// why, what was acknowledged is there afterwards and QoS 2 not twice, and the Wills of those
// who were there are published, those with a delay when it is over and nobody came back.
func TestFloodStop(t *testing.T) {
	for _, tt := range []struct {
		name, shell string
		kill        bool // and kill -9 in the middle
		fails       bool // nothing can be stored in the end
	}{
		{name: "full rate"},
		{name: "a slow disk", shell: "strace -f -qq -o /dev/null -e signal=none -e trace=fsync,fdatasync -e inject=fsync,fdatasync:delay_enter=300000 -p $$ & " +
			"until grep -q 'TracerPid:.[1-9]' /proc/$$/status; do sleep 0.01; done; "},
		{name: "a full disk", shell: "ulimit -f 4096; ", fails: true},
		{name: "killed in the middle", kill: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVictim(t, options{"max_queued_messages": 1_000_000, "max_queued_bytes": "1GB", "max_inflight": 5000})
			if strings.HasPrefix(tt.shell, "strace") {
				if _, err := exec.LookPath("strace"); err != nil {
					t.Skip("needs strace")
				}
			}
			rounds := 1
			if tt.kill {
				rounds = 6
			}
			c := newCrowd()
			again := 0
			for round := range rounds {
				v.shell = tt.shell
				v.start()
				var wg sync.WaitGroup
				c.come(t, v, &wg)
				<-time.After(3 * time.Second)
				before, begin := c.accepted(), time.Now()
				if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				if tt.kill {
					<-time.After(time.Duration(round*round) * 10 * time.Millisecond)
					_ = v.cmd.Process.Kill()
				}
				<-v.done
				took := time.Since(begin)
				wg.Wait()
				told, version5, sent, underWay := 0, 0, 0, 0
				for _, k := range append(append(append([]*keeper{}, c.publishers...), c.watchers...), c.dying...) {
					if k.version == packet.V50 {
						version5++
						if k.bye == packet.ServerShuttingDown {
							told++
						}
					}
					sent, underWay = sent+k.number, underWay+len(k.flights)
				}
				t.Logf("R16, %s: ended in %v, exit %d; %d of %d MQTT 5 clients were told; %d messages sent, %d acknowledged when it was asked to stop and %d in the end, %d are under way",
					tt.name, took.Round(time.Millisecond), v.cmd.ProcessState.ExitCode(), told, version5, sent, before, c.accepted(), underWay)
				if took >= 10*time.Second {
					t.Errorf("it took %v to stop", took)
				}
				if !tt.kill && told < version5 {
					t.Errorf("%d of %d MQTT 5 clients were told that the server shuts down", told, version5)
				}
				if !tt.kill && !tt.fails && v.cmd.ProcessState.ExitCode() != 0 {
					t.Errorf("exit %d", v.cmd.ProcessState.ExitCode())
				}
			}
			if before := c.accepted(); before < 100 {
				t.Fatalf("%d messages are no load", before)
			}
			v.shell = ""
			v.start()
			c.settle(t, v, !tt.kill && !tt.fails)
			again = c.judge(t)
			t.Logf("R16, %s: after the start all was there, %d messages of QoS 1 came again", tt.name, again)
			if tt.kill || tt.fails {
				return
			}
			for _, w := range c.watchers {
				for _, k := range c.publishers {
					if x := w.from(k.id + "-gone"); x.again != 1 {
						t.Errorf("%s got the Will of %s %d times", w.id, k.id, x.again)
					}
				}
				if x := w.from("stays-away-gone"); x.again != 1 {
					t.Errorf("%s got the Will of who stayed away %d times", w.id, x.again)
				}
				if x := w.from("returns-gone"); x.again != 0 {
					t.Errorf("%s got the Will of who came back in time", w.id)
				}
			}
		})
	}
}
