package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

// belongings is what a process holds.
type belongings struct{ goroutines, files, heap int }

func holds(t *testing.T) belongings {
	t.Helper()
	runtime.GC()
	runtime.GC() // what finalizers and pools let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc to count open files in")
	}
	return belongings{runtime.NumGoroutine(), len(fds), int(m.HeapAlloc)}
}

// counted is what a server counts of connections, clients, sessions and subscriptions.
func (s *testServer) counted() string {
	s.tb.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	answer, err := client.Get(s.admin + "/metrics")
	if err != nil {
		s.tb.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.tb.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^hearthmq_(connections|clients|sessions|subscriptions) .*$`).FindAllString(string(text), -1)
	if len(found) != 4 {
		s.tb.Fatalf("the metrics tell %q", found)
	}
	return strings.Join(found, ", ")
}

// case R13: clients that go in the middle of anything, by every door, leave nothing behind: a
// few of each sort, with -flood ten thousand.
func TestFloodAbandoned(t *testing.T) {
	each := 8
	if *flood {
		each = 10_000
	}
	dir, err := os.MkdirTemp("", "hm") //nolint:usetesting // t.TempDir may be too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := newLeakyHouse(newHouse(t), filepath.Join(dir, "mqtt.sock"))
	var number atomic.Int64
	round := func(a *abandonment, n int) {
		t.Helper()
		var wg sync.WaitGroup
		errs := make(chan error, 8)
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < n; i += 8 {
					if err := l.once(a, int(number.Add(1)), w&1 == 0); err != nil && a.read > 0 && a.name != "a session that stays" { // which the next one takes over
						select {
						case errs <- err:
						default:
						}
					}
				}
			})
		}
		wg.Wait()
		select {
		case err := <-errs:
			t.Fatalf("%s: %s: %v", a.door, a.name, err)
		default:
		}
	}
	list := abandonments()
	for i := range list { // what is made once and stays
		round(&list[i], 8)
	}
	// As quiet as it gets: nothing goes on going away.
	before := holds(t)
	for same := 0; same < 10; {
		<-time.After(50 * time.Millisecond)
		now := holds(t)
		if same++; now.goroutines < before.goroutines || now.files < before.files || now.heap < before.heap*99/100 {
			same = 0
		}
		before = now
	}
	ports, shared := l.ports.counted(), l.shared.counted()
	begun := time.Now()
	for i := range list {
		round(&list[i], each)
	}
	lasted := time.Since(begun)
	most := before.heap + before.heap/20 + 2<<20
	begun, m := time.Now(), brokertest.WatchMachine()
	after := holds(t)
	for time.Since(begun) < time.Minute && (after.goroutines > before.goroutines || after.files > before.files || after.heap > most) {
		<-time.After(50 * time.Millisecond)
		after = holds(t)
	}
	took := time.Since(begun)
	t.Logf("R13: %d times each of %d ways to go, in %v: goroutines %d → %d, open files %d → %d, heap %d → %d KiB, %v after the last",
		each, len(list), lasted.Round(time.Millisecond), before.goroutines, after.goroutines, before.files, after.files, before.heap>>10, after.heap>>10, took.Round(time.Millisecond))
	if after.goroutines > before.goroutines || after.files > before.files {
		t.Errorf("more than before: %+v, then %+v", before, after)
	}
	if after.heap > most {
		t.Errorf("the heap grew from %d to %d KiB", before.heap>>10, after.heap>>10)
	}
	for s, counted := range map[*testServer]string{l.ports: ports, l.shared: shared} {
		if now := s.counted(); now != counted || !strings.Contains(now, "hearthmq_connections 0,") {
			t.Errorf("it counted %s, and counts %s", counted, now)
		}
	}
	if took > 10*time.Second {
		m.Timing(t, "it took %v until all was given back", took)
	}
}
