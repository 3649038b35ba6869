package feed_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/feed"
)

func TestOnPublishAllocatesNothing(t *testing.T) {
	f := feed.New(feed.Limits{})
	var slot broker.Slot
	id := &broker.Identity{ClientID: "c"}
	m := message("home/kitchen/temperature", `{"temperature":21.5,"humidity":40,"battery":100}`)
	m.Publisher = id
	for _, s := range []*broker.Slot{&slot, nil} {
		m.Slot = s
		f.OnPublish(m)
		f.OnPublish(m) // the second buffer, of the previous value
		if n := testing.AllocsPerRun(1000, func() { f.OnPublish(m) }); n != 0 {
			t.Errorf("with slot %v: %v allocations", s != nil, n)
		}
	}
}

func BenchmarkOnPublish(b *testing.B) {
	for _, size := range []int{20, 300} {
		for _, c := range []struct {
			name string
			slot *broker.Slot
		}{{"slot", new(broker.Slot)}, {"lookup", nil}} {
			b.Run(fmt.Sprintf("%s/%dB", c.name, size), func(b *testing.B) {
				f := feed.New(feed.Limits{})
				for i := range 10_000 {
					f.OnPublish(message(fmt.Sprintf("home/room%d/device%d/state", i%50, i), "1"))
				}
				m := message("home/room7/device7/state", string(make([]byte, size)))
				m.Publisher, m.Slot = &broker.Identity{}, c.slot
				b.ReportAllocs()
				for b.Loop() {
					f.OnPublish(m)
				}
			})
		}
	}
}

// BenchmarkViewTick is one tick of a browser that sees 50 of 10,000 topics, all
// of which changed, and has one selected; the frame is encoded too.
func BenchmarkViewTick(b *testing.B) {
	f := feed.New(feed.Limits{})
	msgs := make([]*broker.Message, 10_000)
	for i := range msgs {
		msgs[i] = message(fmt.Sprintf("home/room%d/device%d/state", i%50, i), `{"temperature":21.5,"humidity":40}`)
		msgs[i].Slot = new(broker.Slot)
		f.OnPublish(msgs[i])
	}
	v, err := f.NewView(feed.ViewOptions{Rate: int(time.Second)})
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	v.Show(0, 50)
	v.Filter("#")
	u, err := v.Next(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range u.List.Rows {
		if r.Topic {
			v.Select(r.ID)
		}
	}
	var wire []byte
	bytes, frames := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		for _, m := range msgs[:400] { // 2,000 messages a second, five ticks
			f.OnPublish(m)
		}
		u, err := v.Next(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		wire = u.AppendJSON(wire[:0])
		bytes += len(wire)
		frames++
	}
	b.ReportMetric(float64(bytes)/float64(frames), "wire-B/frame")
}

// BenchmarkList is how long it takes to list 100,000 topics for a browser, and how
// many bytes it gets: at first, and with everything open after a new topic.
func BenchmarkList(b *testing.B) {
	f := feed.New(feed.Limits{})
	for i := range 100_000 {
		f.OnPublish(message(fmt.Sprintf("home/room%d/device%d/state", i%50, i/4*4), "1"))
		f.OnPublish(message(fmt.Sprintf("home/room%d/device%d/state%d", i%50, i/4*4, i), "1"))
	}
	for _, open := range []bool{false, true} {
		b.Run(fmt.Sprintf("open=%v", open), func(b *testing.B) {
			v, err := f.NewView(feed.ViewOptions{Rate: int(time.Second)})
			if err != nil {
				b.Fatal(err)
			}
			defer v.Close()
			if open {
				v.Filter("#")
			}
			var wire []byte
			i, bytes, all := 0, 0, 0
			for b.Loop() {
				i++
				if open {
					f.OnPublish(message(fmt.Sprint("new/", b.N, i), "1"))
				}
				v.Show(i%2, 100)
				u, err := v.Next(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				wire = u.AppendJSON(wire[:0])
				bytes += len(wire)
				if u.List != nil {
					all = u.List.All
				}
			}
			b.ReportMetric(float64(bytes)/float64(i), "wire-B")
			b.ReportMetric(float64(all), "rows")
		})
	}
}

// BenchmarkNewTopics is what topics cost that were never seen before, as when a house
// starts: each message has another one.
func BenchmarkNewTopics(b *testing.B) {
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprintf("home/room%d/device%d/state", i%50, i)
	}
	m := message("", `{"temperature":21.5}`)
	b.ReportAllocs()
	i, f := 0, feed.New(feed.Limits{})
	for b.Loop() {
		if i == len(names) {
			i, f = 0, feed.New(feed.Limits{})
		}
		m.Topic, m.Slot = names[i], nil
		f.OnPublish(m)
		i++
	}
}

// BenchmarkNoRoom is what a topic costs that finds no room among retained ones.
func BenchmarkNoRoom(b *testing.B) {
	f := feed.New(feed.Limits{Topics: 10_000})
	for i := range 10_000 {
		f.OnPublish(retained(fmt.Sprintf("home/room%d/device%d/state", i%50, i), "21.5"))
	}
	m := message("home/room1/other/state", `{"temperature":21.5}`)
	b.ReportAllocs()
	for b.Loop() {
		f.OnPublish(m)
	}
}
