package feed_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/feed"
)

func message(topicName, value string) *broker.Message {
	return &broker.Message{Topic: topicName, Payload: []byte(value), Received: time.Now()}
}

func retained(topicName, value string) *broker.Message {
	m := message(topicName, value)
	m.Retain = true
	return m
}

// elapse lets the clock of a synctest bubble go on.
func elapse(d time.Duration) { <-time.After(d) }

// browser is what a browser knows after the updates it got.
type browser struct {
	t      *testing.T
	view   *feed.View
	rows   map[uint32]feed.Row
	values map[uint32]feed.Value
	detail *feed.Detail
	match  map[uint32]bool
	done   bool
	totals feed.Totals
	more   bool
	frames int
	bytes  int
}

func look(t *testing.T, f *feed.Feed) *browser {
	t.Helper()
	v, err := f.NewView(feed.ViewOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return &browser{t: t, view: v, rows: map[uint32]feed.Row{}, values: map[uint32]feed.Value{}, match: map[uint32]bool{}}
}

func (b *browser) take(u *feed.Update) {
	b.t.Helper()
	b.frames++
	wire := u.AppendJSON(nil)
	if len(wire) >= 256_000 {
		b.t.Errorf("frame of %d bytes", len(wire))
	}
	if !json.Valid(wire) {
		b.t.Errorf("not JSON: %.200s", wire)
	}
	b.bytes += len(wire)
	if u.Reset {
		clear(b.rows)
	}
	for _, r := range u.Rows {
		if _, ok := b.rows[r.Parent]; r.Parent != 0 && !ok {
			b.t.Errorf("row %v comes before its parent", r)
		}
		b.rows[r.ID] = r
	}
	for _, id := range u.Gone {
		delete(b.rows, id)
	}
	for _, v := range u.Values {
		b.values[v.ID] = v
	}
	if u.Detail != nil {
		b.detail = u.Detail
	}
	if u.Match != nil {
		if u.Match.First {
			clear(b.match)
		}
		for _, id := range u.Match.IDs {
			b.match[id] = true
		}
		b.done = u.Match.Done
	}
	if u.Totals != nil {
		b.totals = *u.Totals
	}
	b.more = u.More
}

// watch takes all updates of a span.
func (b *browser) watch(span time.Duration) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), span)
	defer cancel()
	for {
		u, err := b.view.Next(ctx)
		if err != nil {
			return
		}
		b.take(u)
	}
}

func (b *browser) path(id uint32) string {
	var levels []string
	for id != 0 {
		r := b.rows[id]
		levels = append(levels, r.Name)
		id = r.Parent
	}
	slices.Reverse(levels)
	return strings.Join(levels, "/")
}

func (b *browser) id(path string) uint32 {
	for id := range b.rows {
		if b.path(id) == path {
			return id
		}
	}
	b.t.Fatalf("no row %q among %d", path, len(b.rows))
	return 0
}

func (b *browser) topics() []string {
	var names []string
	for id, r := range b.rows {
		if r.Topic {
			names = append(names, b.path(id))
		}
	}
	slices.Sort(names)
	return names
}

func TestViewShowsTreeAndVisibleValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{})
		f.OnPublish(message("a/b/c", "1"))
		f.OnPublish(message("a", "x"))
		f.OnPublish(message("a//", "empty levels"))
		f.OnPublish(message("/", "only a slash"))
		b := look(t, f)
		b.watch(time.Second)
		want := []string{"/", "a", "a//", "a/b/c"}
		if got := b.topics(); !slices.Equal(got, want) {
			t.Fatalf("topics %q, want %q", got, want)
		}
		if b.rows[b.id("a/b")].Topic {
			t.Error("a/b is a folder only")
		}
		if len(b.values) != 0 {
			t.Errorf("values of rows that nobody sees: %v", b.values)
		}
		id := b.id("a/b/c")
		b.view.Show([]uint32{id, b.id("a/b"), 999})
		b.watch(time.Second)
		if len(b.values) != 1 || b.values[id].Text != "1" || b.values[id].Count != 1 {
			t.Fatalf("values %+v", b.values)
		}
		f.OnPublish(message("a/b/c", "2"))
		f.OnPublish(message("a/b", "folder and topic"))
		b.watch(time.Second)
		if b.values[id].Text != "2" || b.values[id].Count != 2 || b.values[b.id("a/b")].Text != "folder and topic" {
			t.Errorf("values %+v", b.values)
		}
		if !b.rows[b.id("a/b")].Topic {
			t.Error("a/b has become a topic")
		}
	})
}

func TestViewConflates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{})
		f.OnPublish(message("x", "0"))
		b := look(t, f)
		b.watch(time.Second)
		b.view.Show([]uint32{b.id("x")})
		b.watch(time.Second)
		stop := make(chan struct{})
		go func() {
			for i := range 10_000 {
				f.OnPublish(message("x", fmt.Sprint(i)))
				elapse(time.Millisecond)
			}
			close(stop)
		}()
		b.frames = 0
		b.watch(10 * time.Second)
		<-stop
		if b.frames < 45 || b.frames > 51 {
			t.Errorf("%d frames in 10 s, want 50", b.frames)
		}
		// A browser that takes nothing costs nothing: the next frame is the latest state.
		for i := range 1000 {
			f.OnPublish(message("x", fmt.Sprint("late ", i)))
		}
		b.frames = 0
		b.watch(time.Second)
		if b.frames != 1 || b.values[b.id("x")].Text != "late 999" {
			t.Errorf("%d frames, value %q", b.frames, b.values[b.id("x")].Text)
		}
	})
}

func TestViewPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{})
		f.OnPublish(message("x", "1"))
		f.OnPublish(message("y", "1"))
		b := look(t, f)
		b.watch(time.Second)
		x, y := b.id("x"), b.id("y")
		b.view.Show([]uint32{x})
		b.watch(time.Second)
		b.view.Pause(true)
		f.OnPublish(message("x", "2"))
		f.OnPublish(message("z", "new"))
		b.watch(time.Second)
		if b.values[x].Text != "1" || len(b.rows) != 2 {
			t.Errorf("changed while paused: %+v %v", b.values, b.rows)
		}
		b.view.Show([]uint32{x, y})
		b.view.Select(y)
		b.watch(time.Second)
		if b.values[y].Text != "1" || b.detail == nil || string(b.detail.Value.Bytes) != "1" || b.values[x].Text != "1" {
			t.Errorf("what comes into sight while paused is shown: %+v", b.values)
		}
		b.view.Pause(false)
		b.watch(time.Second)
		if b.values[x].Text != "2" || len(b.rows) != 3 {
			t.Errorf("after the pause: %+v %v", b.values, b.rows)
		}
	})
}

func TestDetail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{})
		id := &broker.Identity{ClientID: "probe-1", User: "anna", Remote: netip.MustParseAddrPort("192.168.1.7:5000")}
		send := func(value string, retain bool) {
			m := message("home/kitchen", value)
			m.QoS, m.Retain, m.Publisher = 1, retain, id
			f.OnPublish(m)
		}
		send("first", false)
		elapse(10 * time.Second)
		send(`{"t":21.5}`, true)
		b := look(t, f)
		b.watch(time.Second)
		b.view.Select(b.id("home/kitchen"))
		b.watch(time.Second)
		d := b.detail
		if d == nil || string(d.Topic.Bytes) != "home/kitchen" || string(d.Value.Bytes) != `{"t":21.5}` || d.Kind != "json" ||
			!d.Retained || d.QoS != 1 || d.Count != 2 || d.Bytes != 15 || d.Every != 10 ||
			d.ClientID != "probe-1" || d.User != "anna" || d.Remote != "192.168.1.7" {
			t.Fatalf("detail %+v", d)
		}
		if d.Previous == nil || string(d.Previous.Bytes) != "first" || d.PrevAge < 10_000 {
			t.Errorf("previous %+v age %d", d.Previous, d.PrevAge)
		}
		send("", true)
		b.watch(time.Second)
		if b.detail.Retained || b.detail.Kind != "empty" {
			t.Errorf("an empty retained message clears the badge: %+v", b.detail)
		}
		send("again", true)
		f.Cleared("home/kitchen")
		b.watch(time.Second)
		if b.detail.Retained || string(b.detail.Value.Bytes) != "again" {
			t.Errorf("cleared by an administrator: %+v", b.detail)
		}
		b.view.Select(b.id("home"))
		b.watch(time.Second)
		if b.detail.IsTopic || string(b.detail.Topic.Bytes) != "home" {
			t.Errorf("folder %+v", b.detail)
		}
	})
}

func TestRetainedExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{})
		m := retained("x", "1")
		m.Expires = time.Now().Add(time.Minute)
		f.OnPublish(m)
		b := look(t, f)
		b.watch(time.Second)
		b.view.Select(b.id("x"))
		b.watch(time.Second)
		if !b.detail.Retained {
			t.Fatal("is retained")
		}
		elapse(time.Minute)
		b.view.Select(b.id("x"))
		b.watch(time.Second)
		if b.detail.Retained {
			t.Error("its Message Expiry Interval has passed")
		}
	})
}

func TestFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{})
		for _, n := range []string{"zigbee/Kitchen", "zigbee/hall", "esp/kitchen/temp", "esp/cellar", "a+b"} {
			f.OnPublish(message(n, "v"))
		}
		f.OnPublish(message("esp/cellar", "Door OPEN"))
		b := look(t, f)
		b.watch(time.Second)
		for _, c := range []struct {
			filter string
			want   []string
		}{
			{"KITCHEN", []string{"esp/kitchen/temp", "zigbee/Kitchen"}},
			{"door open", []string{"esp/cellar"}},
			{"zigbee/+", []string{"zigbee/Kitchen", "zigbee/hall"}},
			{"+/cellar/#", []string{"esp/cellar"}},
			{"a+b", []string{"a+b"}}, // no valid Topic Filter: a piece of text
			{"nothing", nil},
		} {
			b.view.Filter(c.filter)
			b.done = false
			b.watch(2 * time.Second)
			var got []string
			for id := range b.match {
				got = append(got, b.path(id))
			}
			slices.Sort(got)
			if !b.done || !slices.Equal(got, c.want) {
				t.Errorf("%q: %q, want %q", c.filter, got, c.want)
			}
		}
		// What starts to match later comes as well.
		f.OnPublish(message("new/topic", "nothing special"))
		b.watch(3 * time.Second)
		if !b.match[b.id("new/topic")] {
			t.Error("a new topic's value matches")
		}
	})
}

func TestSearchForgetsEvictedTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{Topics: 100})
		b := look(t, f)
		b.view.Filter("#")
		for i := range 5000 {
			f.OnPublish(message(fmt.Sprint("t/", i), "v"))
			if i%50 == 0 {
				b.watch(2 * time.Second)
			}
		}
		b.watch(3 * time.Second)
		for id := range b.rows {
			if b.rows[id].Topic && !b.match[id] {
				t.Errorf("%q was never found", b.path(id))
			}
		}
	})
}

func TestHostileTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{})
		names := []string{
			strings.Repeat("\x01", 65_535),
			strings.Repeat("x/", 127) + "y",
			"\u202egpj.exe", "<script>alert(1)</script>", "😀/\"quotes\"\\", strings.Repeat("ü", 30_000),
		}
		for _, n := range names {
			f.OnPublish(message(n, strings.Repeat("\x02", 70_000)))
		}
		b := look(t, f)
		b.watch(time.Second)
		if b.more {
			t.Error("the tree never came to its end")
		}
		for id, r := range b.rows {
			if !r.Topic {
				continue
			}
			b.detail = nil
			b.view.Show([]uint32{id})
			b.view.Select(id)
			b.watch(3 * time.Second)
			if b.detail == nil || !slices.Contains(names, string(b.detail.Topic.Bytes)) || b.detail.Size != 70_000 || b.detail.Kept != 64<<10 {
				t.Fatalf("detail of %q: %+v", r.Name, b.detail)
			}
		}
	})
}

func TestSlowBrowserGetsTheTreeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{})
		b := look(t, f)
		f.OnPublish(message("x", "1"))
		b.watch(time.Second)
		for i := range 60_000 {
			f.OnPublish(message(fmt.Sprint("many/", i), "1"))
		}
		b.watch(time.Second)
		if got := len(b.topics()); got != 60_001 || b.more {
			t.Errorf("%d topics, more %v", got, b.more)
		}
	})
}
