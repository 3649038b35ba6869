package feed_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/feed"
)

func TestSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{})
		f.OnPublish(message("b", "live"))
		f.Seed(slices.Values([]*broker.Message{retained("a", "stored"), retained("b", "old")}))
		b := look(t, f)
		b.watch(time.Second)
		av, bv := b.values[b.id("a")], b.values[b.id("b")]
		if av.Text != "stored" || av.Count != 0 || !av.Retained || bv.Text != "live" || bv.Count != 1 || !bv.Retained {
			t.Errorf("%+v %+v", av, bv)
		}
	})
}

func TestTopicLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{Topics: 50})
		for i := range 20 {
			f.OnPublish(retained(fmt.Sprintf("kept/%d", i), "r"))
		}
		b := look(t, f)
		b.watch(time.Second)
		for i := range 1000 {
			f.OnPublish(message(fmt.Sprintf("flood/%d/x", i), "v"))
			elapse(time.Millisecond)
		}
		b.watch(3 * time.Second)
		got := b.topics()
		if len(got) > 50 || b.totals.Topics != len(got) || b.totals.Evicted == 0 {
			t.Errorf("%d topics, totals %+v", len(got), b.totals)
		}
		for i := range 20 {
			if !slices.Contains(got, fmt.Sprintf("kept/%d", i)) {
				t.Errorf("retained topic %d was forgotten", i)
			}
		}
		if b.list.Topics != len(got) || b.list.All != len(b.rows) {
			t.Errorf("%+v with %d rows", b.list, len(b.rows))
		}
	})
}

func TestRetainedBeyondLimitAreCounted(t *testing.T) {
	f := feed.New(feed.Limits{Topics: 3})
	for i := range 10 {
		f.OnPublish(retained(fmt.Sprint(i), "r"))
	}
	if got := f.Totals(); got.Topics != 3 || got.Unseen != 7 {
		t.Errorf("%+v", got)
	}
}

// A full picture of retained topics isn't searched at each message, but what is
// cleared is found soon.
func TestRoomComesBack(t *testing.T) {
	f := feed.New(feed.Limits{Topics: 3})
	for _, topic := range []string{"a", "b", "c", "d"} {
		f.OnPublish(retained(topic, "r"))
	}
	for _, topic := range []string{"a", "b", "c"} { // so that any that is looked at will do
		f.Cleared(topic)
	}
	tries := 0
	for f.Totals().Evicted == 0 && tries < 1000 {
		f.OnPublish(message("new", "v"))
		tries++
	}
	if names, _ := f.Top(10); !slices.Contains(names, "new") || tries > 100 {
		t.Errorf("%q after %d messages", names, tries)
	}
}

func TestByteLimit(t *testing.T) {
	f := feed.New(feed.Limits{TotalBytes: 1 << 20})
	for round := range 3 {
		for i := range 100 {
			f.OnPublish(retained(fmt.Sprint("big/", i), strings.Repeat(fmt.Sprint(round), 60_000)))
			if got := f.Totals().Bytes; got > 1<<20 {
				t.Fatalf("%d bytes kept", got)
			}
		}
	}
	if got := f.Totals(); got.Topics != 100 {
		t.Errorf("%+v", got)
	}
}

func TestSlotOfAnotherTopicOrEvicted(t *testing.T) {
	f := feed.New(feed.Limits{Topics: 1})
	var slot broker.Slot
	m := message("a", "1")
	m.Slot = &slot
	f.OnPublish(m)
	f.OnPublish(message("b", "1")) // evicts a
	f.OnPublish(m)                 // and a is back, with the slot it had
	if names, _ := f.Top(10); !slices.Equal(names, []string{"a"}) {
		t.Errorf("top %q", names)
	}
	other := message("c", "1")
	other.Slot = &slot
	f.OnPublish(other)
	if names, _ := f.Top(10); !slices.Equal(names, []string{"c"}) {
		t.Errorf("top %q", names)
	}
}

func TestTooManyViews(t *testing.T) {
	f := feed.New(feed.Limits{Views: 1})
	v, err := f.NewView(feed.ViewOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.NewView(feed.ViewOptions{}); err != feed.ErrTooManyViews {
		t.Errorf("error %v", err)
	}
	v.Close()
	if _, err := v.Next(t.Context()); err != feed.ErrClosed {
		t.Errorf("error %v", err)
	}
	if _, err := f.NewView(feed.ViewOptions{}); err != nil {
		t.Error(err)
	}
}

func TestConcurrentUse(t *testing.T) {
	f := feed.New(feed.Limits{Topics: 200, TotalBytes: 1 << 17})
	var work sync.WaitGroup
	for g := range 4 {
		work.Go(func() {
			for i := range 3000 {
				m := message(fmt.Sprintf("t/%d", (i*7+g)%400), strings.Repeat("x", i%900))
				m.Retain = i%5 == 0
				f.OnPublish(m)
			}
		})
	}
	v, err := f.NewView(feed.ViewOptions{Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			u, err := v.Next(ctx)
			if err != nil {
				return
			}
			if u.List != nil && len(u.List.Rows) > 0 {
				r := u.List.Rows[0]
				v.Show(r.Index, 50)
				v.Fold(r.ID, !r.Open)
				v.Select(r.ID)
			}
			v.Filter([]string{"t/1", "#", ""}[u.AppendJSON(nil)[1]%3])
			v.Seek("1", 3)
		}
	})
	work.Wait()
	cancel()
	reader.Wait()
	v.Close()
}

// What Explainer asks: where a message came last, and whether it is kept.
func TestLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{})
		f.Seed(slices.Values([]*broker.Message{retained("home/a", "old")}))
		elapse(time.Second)
		f.OnPublish(message("home/b", "1"))
		began := time.Now()
		if name, at, kept := f.Latest("home/+"); name != "home/b" || kept || at.After(began) || at.Before(began.Add(-time.Second)) {
			t.Errorf("%q at %v, retained %v", name, at, kept)
		}
		if name, _, kept := f.Latest("home/a"); name != "home/a" || !kept {
			t.Errorf("%q, retained %v", name, kept)
		}
		if name, _, _ := f.Latest("garden/#"); name != "" {
			t.Errorf("%q", name)
		}
		if names := slices.Sorted(f.Names()); !slices.Equal(names, []string{"home/a", "home/b"}) {
			t.Errorf("%q", names)
		}
	})
}
