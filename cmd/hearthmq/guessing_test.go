package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

// guesser tries passwords that are none: where from and as whom its i-th try goes.
type guesser struct {
	name   string
	every  time.Duration
	lasts  time.Duration
	from   func(i int) net.IP
	user   func(i int) string
	atOnce int // tries under way at a time, at most
}

// manyHouses are two hundred addresses, oneHouse is one.
func manyHouses(i int) net.IP { return net.IPv4(127, 0, 3, byte(i%200+1)) }
func oneHouse(int) net.IP     { return net.IPv4(127, 0, 0, 66) }

func always(user string) func(int) string { return func(int) string { return user } }

// guess tries passwords over MQTT until its time is over, and returns how many tries came
// to an answer of which sort.
func (g guesser) guess(addr string) (refused, later, failed int64) {
	var counts [3]atomic.Int64
	var wg sync.WaitGroup
	places := make(chan struct{}, g.atOnce)
	tick := time.NewTicker(g.every)
	defer tick.Stop()
	for i, begin := 0, time.Now(); time.Since(begin) < g.lasts; i++ {
		<-tick.C
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			d, err := connectDeviceFrom(g.from(i), addr, fmt.Sprint("guesser", i), g.user(i), fmt.Sprint("guess ", i), true)
			switch {
			case err == nil:
				d.Close()
				panic("a guess was right")
			case !errors.Is(err, errRefused):
				counts[2].Add(1)
			case strings.HasSuffix(err.Error(), " 3"):
				counts[1].Add(1)
			default:
				counts[0].Add(1)
			}
		})
	}
	wg.Wait()
	return counts[0].Load(), counts[1].Load(), counts[2].Load()
}

const guessedPassword = "what nobody guesses"

// case A18: wrong logins keep nobody else out, and take no memory: ten a second from one
// address for a minute, and what else somebody may think of who wants to get in, or to
// keep others out.
func TestFloodGuesses(t *testing.T) {
	const honest = 80
	short := 20 * time.Second
	for _, g := range []guesser{
		{"one name, one address", 100 * time.Millisecond, time.Minute, oneHouse, always("victim"), 1000},
		{"a name that is no user's", 100 * time.Millisecond, short, oneHouse, always("nobody"), 1000},
		{"a user with a generated password", 100 * time.Millisecond, short, oneHouse, always("device"), 1000},
		{"many names, one address", 100 * time.Millisecond, short, oneHouse, func(i int) string { return fmt.Sprint("name", i) }, 1000},
		{"a thousand a second, one address", time.Millisecond, short, oneHouse, func(i int) string { return fmt.Sprint("name", i) }, 1000},
		{"one name, many addresses, a hundred a second", 10 * time.Millisecond, short, manyHouses, always("victim"), 1000},
		{"many names, many addresses, a hundred a second", 10 * time.Millisecond, short, manyHouses, func(i int) string { return fmt.Sprint("name", i) }, 1000},
		{"the names of those who come, many addresses, a thousand a second", time.Millisecond, short, manyHouses, func(i int) string { return fmt.Sprint("honest", i%honest) }, 2000},
	} {
		t.Run(g.name, func(t *testing.T) {
			v := newVictim(t, nil)
			for _, name := range append([]string{"victim"}, names("honest", honest)...) {
				if r := command(t, v.dir, guessedPassword, "user", "add", name, "--password-stdin"); r.code != 0 {
					t.Fatal(r.stderr)
				}
			}
			if r := command(t, v.dir, "", "user", "add", "device", "--generate"); r.code != 0 {
				t.Fatal(r.stderr)
			}
			v.start()
			// What the first logins leave behind is not the flood's.
			for range 3 {
				_, _ = connectDevice(v.mqtt, "first", "victim", "wrong", true)
			}
			before, _ := v.rss()
			m, used := brokertest.WatchMachine(), v.processor()
			stop, ended := make(chan struct{}), make(chan []time.Duration)
			go func() { ended <- comeOneByOne(t, v.mqtt, honest, stop) }()
			refused, later, failed := g.guess(v.mqtt)
			close(stop)
			took := <-ended
			slices.Sort(took)
			used = v.processor() - used
			now, most := v.rss()
			looked := strings.Count(v.log.String(), `reason="wrong password"`) + strings.Count(v.log.String(), `reason="unknown user"`)
			t.Logf("A18: %s for %v: %d refused, %d told to come later, %d broke off; %d guesses were looked at; %d logins of others took p50 %v, worst %v; RSS %s → %s, most %s; %v of the processors",
				g.name, g.lasts, refused, later, failed, looked, len(took), took[len(took)/2], took[len(took)-1], mib(before), mib(now), mib(most), used)
			// From many addresses the first guess of each is looked at before it is known what it
			// is, so that who comes at that moment waits longer; and what a thousand connections
			// at a time take is max_connections' to bound.
			wait := took[len(took)-1]
			if g.from(0).Equal(manyHouses(0)) {
				wait = took[len(took)/2]
			}
			if wait > 2*time.Second {
				m.Timing(t, "others waited %v to log in", wait)
			}
			if g.every >= 100*time.Millisecond && most-before > 64<<20 {
				t.Errorf("RSS grew by %s", mib(most-before))
			}
		})
	}
}

// comeOneByOne has users log in from another address than anybody's, each for the first
// time, one each 750 ms at most, until stop.
func comeOneByOne(t *testing.T, addr string, users int, stop <-chan struct{}) (took []time.Duration) {
	tick := time.NewTicker(750 * time.Millisecond)
	defer tick.Stop()
	for _, name := range names("honest", users) {
		select {
		case <-stop:
			return took
		case <-tick.C:
		}
		begin := time.Now()
		d, err := connectDeviceFrom(net.IPv4(127, 0, 0, 2), addr, name, name, guessedPassword, true)
		if err != nil {
			t.Errorf("%s: %v after %v", name, err, time.Since(begin))
		} else {
			d.Close()
		}
		took = append(took, time.Since(begin))
	}
	<-stop
	return took
}

func names(prefix string, n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(prefix, i))
	}
	return all
}
