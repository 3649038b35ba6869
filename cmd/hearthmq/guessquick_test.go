package main

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

// case A18, the short of TestFloodGuesses: a burst from one address takes two workers and
// twenty hashes, and somebody from another address comes in past it.
func TestGuessesKeepNobodyOut(t *testing.T) {
	s := start(t, nil)
	for _, name := range []string{"victim", "honest"} {
		if r := command(t, s.dir, guessedPassword, "user", "add", name, "--password-stdin"); r.code != 0 {
			t.Fatal(r.stderr)
		}
	}
	eventually(t, "the server knows both", func() bool { return strings.Count(s.log.String(), "changed by another process") > 0 })
	m := brokertest.WatchMachine()
	var workers atomic.Int64 // the most at a time
	stop := make(chan struct{})
	var watching, guessing sync.WaitGroup
	watching.Go(func() {
		text := make([]byte, 1<<20)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				n := int64(strings.Count(string(text[:runtime.Stack(text, true)]), "argon2.deriveKey("))
				workers.Store(max(n, workers.Load()))
			}
		}
	})
	const guesses = 60
	var looked, put, other atomic.Int64
	first := time.Now()
	for i := range guesses {
		guessing.Go(func() {
			user := []string{"victim", "nobody", fmt.Sprint("name", i)}[i%3]
			_, err := connectDeviceFrom(net.IPv4(127, 0, 0, 66), s.mqtt, fmt.Sprint("guesser", i), user, fmt.Sprint("guess", i), true)
			switch {
			case errors.Is(err, errRefused) && strings.HasSuffix(err.Error(), " 5"):
				looked.Add(1)
			case errors.Is(err, errRefused) && strings.HasSuffix(err.Error(), " 3"):
				put.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	eventually(t, "the first guesses are looked at", func() bool { return looked.Load() > 0 })
	begin := time.Now()
	d, err := connectDeviceFrom(net.IPv4(127, 0, 0, 2), s.mqtt, "honest", "honest", guessedPassword, true)
	took := time.Since(begin)
	if err != nil {
		t.Errorf("somebody else: %v", err)
	} else {
		d.Close()
	}
	guessing.Wait()
	all := time.Since(first)
	close(stop)
	watching.Wait()
	t.Logf("A18: %d guesses at once from one address: %d looked at, %d put off; %d workers at most; somebody else came in after %v", guesses, looked.Load(), put.Load(), workers.Load(), took)
	if took > 2*time.Second {
		m.Timing(t, "somebody else waited %v", took)
	}
	if n := looked.Load(); n < 20 || n > 24+int64(all.Seconds()) || other.Load() > 0 {
		t.Errorf("%d guesses were looked at, want 20 and one each second; %d went wrong", n, other.Load())
	}
	if n := workers.Load(); n < 1 || n > 2 {
		t.Errorf("%d workers at a time, want 1 or 2", n)
	}
}
