package brokertest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Machine watches how much of the processors was left to us while something is
// timed. On a virtual machine whose host is busy, or beside other tests, a figure
// of time says nothing about the program.
type Machine struct {
	began                 time.Time
	total, stolen, stalls float64
}

// WatchMachine begins to watch.
func WatchMachine() *Machine {
	m := &Machine{began: time.Now()}
	m.total, m.stolen = processorTime()
	m.stalls = stalled()
	return m
}

// Timing fails the test because something took too long; when others had the
// processors meanwhile it only says so.
func (m *Machine) Timing(t testing.TB, format string, args ...any) {
	t.Helper()
	if why := m.disturbed(); why != "" {
		t.Logf("NOT JUDGED, %s: %s", why, fmt.Sprintf(format, args...))
		return
	}
	t.Errorf(format, args...)
}

// disturbed says who had the processors, "" when it was us.
func (m *Machine) disturbed() string {
	total, stolen := processorTime()
	if passed := total - m.total; passed > 0 {
		if share := (stolen - m.stolen) / passed; share > 0.05 {
			return fmt.Sprintf("the host took %.0f %% of the processors", 100*share)
		}
	}
	if share := (stalled() - m.stalls) / time.Since(m.began).Seconds(); share > 0.5 {
		return fmt.Sprintf("programs waited for a processor %.0f %% of the time", 100*share)
	}
	return ""
}

// processorTime reads from Linux how many ticks all processors had, and how many
// of them the host gave to others (proc_stat(5)).
func processorTime() (total, stolen float64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line)[1:] {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil || i > 7 { // what guests used is part of the user's time
			break
		}
		total += v
		if i == 7 {
			stolen = v
		}
	}
	return total, stolen
}

// stalled is for how many seconds some program had to wait for a processor.
func stalled() float64 {
	text, err := os.ReadFile("/proc/pressure/cpu")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	_, micros, _ := strings.Cut(line, "total=")
	v, err := strconv.ParseFloat(strings.TrimSpace(micros), 64)
	if err != nil {
		return 0
	}
	return v / 1e6
}
