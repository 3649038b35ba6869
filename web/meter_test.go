package web

import (
	"testing"
	"time"

	"hearthmq/broker"
)

func TestMeter(t *testing.T) {
	start := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	at := func(seconds int, in uint64) broker.Stats {
		return broker.Stats{Started: start, Now: start.Add(time.Duration(seconds) * time.Second), PublishReceived: in, PublishSent: 2 * in}
	}
	m := &meter{}
	for _, c := range []struct {
		seconds int
		in      uint64
		want    float64
	}{
		{0, 0, 0},         // at the start
		{100, 1000, 10},   // first look: the mean since the start
		{103, 1060, 20},   // then between looks
		{104, 1070, 17.5}, // a second look soon after counts from the one before
		{106, 1120, 20},
		{200, 1200, 6}, // nobody looked: the mean since the start again
	} {
		if in, out := m.observe(at(c.seconds, c.in)); in != c.want || out != 2*c.want {
			t.Errorf("after %d s: %v in, %v out, want %v", c.seconds, in, out, c.want)
		}
	}
}
