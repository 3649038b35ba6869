package main

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// case R14
func TestLogFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newSyncBuffer(nil) // timers write as well
		log := slog.New(calm(newLog(out, slog.LevelDebug).Handler())).With("listener", "mqtt")
		const seconds, perSecond = 30, 10_000
		for range seconds {
			for i := range perSecond {
				log.Info("client refused", "client_id", i)
			}
			log.Info("client connected")
			<-time.After(time.Second)
		}
		<-time.After(calmTell)
		synctest.Wait()
		text := out.String()
		refused := strings.Count(text, "client refused  ")
		if most := calmBurst + (seconds+1)*calmRate; refused > most || refused < most/2 {
			t.Errorf("%d lines of a flood, want at most %d", refused, most)
		}
		if n := strings.Count(text, "client connected"); n != seconds {
			t.Errorf("%d of %d lines of another kind", n, seconds)
		}
		told := 0
		for line := range strings.Lines(text) {
			if _, after, ok := strings.Cut(line, "left_out="); ok {
				var n int
				if _, err := fmt.Sscan(after, &n); err != nil {
					t.Fatal(err)
				}
				told += n
			}
		}
		if told+refused != seconds*perSecond {
			t.Errorf("%d logged and %d told of, want %d", refused, told, seconds*perSecond)
		}
		for range 1000 {
			log.Debug("a packet")
		}
		if n := strings.Count(out.String(), "a packet"); n != 1000 {
			t.Errorf("%d of 1000 lines for debugging", n)
		}
	})
}

func TestMemoryShare(t *testing.T) {
	const machine = "MemTotal:        8000000 kB\nMemFree: 1 kB\n"
	for _, tt := range []struct {
		cgroup, machine string
		want            int64
	}{
		{"268435456\n", machine, 268435456 / 10 * 8}, // case R5
		{"max\n", machine, 8000000 * 1024 / 2},
		{"9223372036854771712\n", machine, 8000000 * 1024 / 2}, // no limit, in version 1
		{"99999999999999\n", machine, 8000000 * 1024 / 2},
		{"268435456\n", "", 268435456 / 10 * 8},
		{"", "", 0},
	} {
		if got := memoryShare(tt.cgroup, tt.machine); got != tt.want {
			t.Errorf("cgroup %q, machine %q: %d, want %d", tt.cgroup, tt.machine, got, tt.want)
		}
	}
}
