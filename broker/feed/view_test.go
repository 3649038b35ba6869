package feed_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
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

// browser is what a browser knows after the updates it got. It opens every folder
// that it sees, unless closed says not to.
type browser struct {
	t      *testing.T
	view   *feed.View
	list   feed.List
	rows   map[int]feed.Row // by index
	values map[uint32]feed.Value
	opened map[uint32]string
	detail *feed.Detail
	match  *feed.Match
	at     *feed.At
	gone   bool
	closed bool
	totals feed.Totals
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
	v.ShowSys(true)
	v.Show(0, feed.MaxVisible)
	return &browser{t: t, view: v, rows: map[int]feed.Row{}, values: map[uint32]feed.Value{}, opened: map[uint32]string{}}
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
	if l := u.List; l != nil {
		b.list = *l
		for _, r := range l.Rows {
			if r.Index < l.From || r.Index >= l.To {
				b.t.Errorf("row %+v is not in %d to %d", r, l.From, l.To)
			}
			b.rows[r.Index] = r
		}
		here := map[uint32]bool{}
		for i, r := range b.rows {
			if i < l.From || i >= l.To {
				delete(b.rows, i)
				continue
			}
			here[r.ID] = true
			if r.Folder && !r.Open && !b.closed {
				b.view.Fold(r.ID, true)
			}
		}
		for id := range b.values {
			if !here[id] {
				delete(b.values, id)
			}
		}
	}
	for _, v := range u.Values {
		b.values[v.ID] = v
	}
	for _, o := range u.Opened {
		b.opened[o.ID] = o.Topic
	}
	if u.Detail != nil {
		b.detail = u.Detail
	}
	if u.Match != nil {
		b.match = u.Match
	}
	if u.At != nil {
		b.at = u.At
	}
	if u.Totals != nil {
		b.totals = *u.Totals
	}
	b.gone = b.gone || u.Gone
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

func (b *browser) path(index int) string {
	var levels []string
	for index >= 0 {
		r, ok := b.rows[index]
		if !ok {
			b.t.Fatalf("no row %d", index)
		}
		levels = append(levels, r.Name)
		index = r.Up
	}
	slices.Reverse(levels)
	return strings.Join(levels, "/")
}

func (b *browser) row(path string) feed.Row {
	b.t.Helper()
	for i := range b.rows {
		if b.path(i) == path {
			return b.rows[i]
		}
	}
	b.t.Fatalf("no row %q among %d", path, len(b.rows))
	return feed.Row{}
}

func (b *browser) id(path string) uint32 {
	b.t.Helper()
	return b.row(path).ID
}

func (b *browser) topics() []string {
	var names []string
	for i, r := range b.rows {
		if r.Topic {
			names = append(names, b.path(i))
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
		if b.row("a/b").Topic {
			t.Error("a/b is a folder only")
		}
		id := b.id("a/b/c")
		if len(b.values) != 4 || b.values[id].Text != "1" || b.values[id].Count != 1 {
			t.Fatalf("values %+v", b.values)
		}
		f.OnPublish(message("a/b/c", "2"))
		f.OnPublish(message("a/b", "folder and topic"))
		b.watch(time.Second)
		if b.values[id].Text != "2" || b.values[id].Count != 2 || b.values[b.id("a/b")].Text != "folder and topic" {
			t.Errorf("values %+v", b.values)
		}
		if !b.row("a/b").Topic {
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
		b.view.Show(0, 1)
		b.watch(time.Second)
		b.view.Pause(true)
		f.OnPublish(message("x", "2"))
		f.OnPublish(message("z", "new"))
		b.watch(time.Second)
		if b.values[x].Text != "1" || b.list.All != 2 {
			t.Errorf("changed while paused: %+v %v", b.values, b.rows)
		}
		b.view.Show(0, 9)
		b.watch(time.Second)
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
			b.match = nil
			b.watch(2 * time.Second)
			if got := b.topics(); b.match == nil || b.match.Count != len(c.want) || !slices.Equal(got, c.want) {
				t.Errorf("%q: %q (%+v), want %q", c.filter, got, b.match, c.want)
			}
		}
		// What starts to match later comes as well.
		f.OnPublish(message("new/topic", "nothing special"))
		b.watch(3 * time.Second)
		if got := b.topics(); !slices.Equal(got, []string{"new/topic"}) || b.match.Count != 1 {
			t.Errorf("a new topic's value matches: %q", got)
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
		if got := b.topics(); len(got) != 100 || b.match.Count != 100 {
			t.Errorf("%d topics, %+v", len(got), b.match)
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
		b.watch(10 * time.Second) // the deep one is opened level by level
		if got := len(b.topics()); got != len(names) {
			t.Errorf("%d topics", got)
		}
		for _, r := range b.rows {
			if !r.Topic {
				continue
			}
			b.detail = nil
			b.view.Select(r.ID)
			b.watch(3 * time.Second)
			if b.detail == nil || !slices.Contains(names, string(b.detail.Topic.Bytes)) || b.detail.Size != 70_000 || b.detail.Kept != 64<<10 {
				t.Fatalf("detail of %q: %+v", r.Name, b.detail)
			}
		}
	})
}

// TestWindow: whatever there is, a browser gets the rows that it shows.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{})
		for i := range 20_000 {
			f.OnPublish(message(fmt.Sprintf("many/%d/state", i), "1"))
		}
		f.OnPublish(message("$SYS/broker/uptime", "1"))
		f.OnPublish(message("z", "1"))
		b := look(t, f)
		b.closed = true
		b.view.ShowSys(false)
		b.watch(time.Second)
		if b.list.All != 2 || b.list.Topics != 20_001 || b.bytes > 1000 || b.row("many").Count != 20_000 {
			t.Fatalf("%+v in %d bytes", b.list, b.bytes)
		}
		b.view.Fold(b.id("many"), true)
		b.watch(time.Second)
		if b.list.All != 20_002 || len(b.rows) != feed.MaxVisible || b.bytes > 30_000 || b.opened[b.id("many")] != "many" {
			t.Fatalf("%+v, %d rows, %d bytes", b.list, len(b.rows), b.bytes)
		}
		if r := b.rows[10]; r.Name != "9" || b.rows[11].Name != "10" || r.Up != 0 || r.Pos != 10 || r.Size != 20_000 || r.Level != 2 || !r.Folder || r.Topic {
			t.Errorf("order: %+v", r)
		}
		// To the other end: what is known already does not come again.
		b.bytes = 0
		b.view.Show(19_902, 100)
		b.watch(time.Second)
		b.view.Show(19_912, 100)
		b.watch(time.Second)
		if last := b.rows[20_001]; last.Name != "z" || len(b.rows) != 90 || b.bytes > 6500 {
			t.Errorf("%+v, %d rows, %d bytes", last, len(b.rows), b.bytes)
		}
		// A topic that is linked to: the screen goes there, with the folders open.
		b.view.Go("many/777/state", true)
		b.watch(time.Second)
		if b.at == nil || b.rows[b.at.Index].Name != "state" || b.rows[b.at.Index].ID != b.at.ID || !b.at.Chosen || string(b.detail.Topic.Bytes) != "many/777/state" {
			t.Errorf("at %+v", b.at)
		}
		b.view.Seek("Z", 0)
		b.watch(time.Second)
		if b.at.Index != 20_002 || b.at.Chosen {
			t.Errorf("at %+v", b.at)
		}
		for _, name := range []string{"many/nothing", "", "/", "many/777/state/"} {
			b.view.Go(name, true)
			b.watch(time.Second)
			if b.at.Index != -1 || b.at.ID != 0 {
				t.Errorf("%q is at %+v", name, b.at)
			}
		}
		// Another connection opens what was open.
		again := look(t, f)
		again.closed = true
		again.view.Reopen([]string{"many", "many/777", "gone"})
		again.watch(time.Second)
		if again.list.All != 20_004 || len(again.opened) != 2 { // with $SYS
			t.Errorf("%+v, opened %v", again.list, again.opened)
		}
		again.view.FoldAll()
		again.watch(time.Second)
		if again.list.All != 3 {
			t.Errorf("%+v", again.list)
		}
	})
}

// TestWindowFollowsChanges compares the window with one that was opened later, and
// with what a filter for everything lists, while topics come and go.
func TestWindowFollowsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{Topics: 60})
		b := look(t, f)
		r := rand.New(rand.NewPCG(1, 2))
		for round := range 50 {
			for range r.IntN(20) {
				f.OnPublish(message(fmt.Sprintf("t%d/%d/x", r.IntN(9), r.IntN(40)), "v"))
			}
			b.watch(2 * time.Second)
			fresh, filtered := look(t, f), look(t, f)
			filtered.view.Filter("#")
			fresh.watch(3 * time.Second)
			filtered.watch(3 * time.Second)
			for _, other := range []*browser{fresh, filtered} {
				if !maps.Equal(b.rows, other.rows) {
					t.Fatalf("round %d: %v, want %v", round, b.rows, other.rows)
				}
				other.view.Close()
			}
			for _, row := range b.rows {
				below := 0
				for i := row.Index + 1; b.rows[i].Level > row.Level; i++ {
					below += map[bool]int{true: 1}[b.rows[i].Topic]
				}
				if row.Count != below {
					t.Fatalf("%+v holds %d topics", row, below)
				}
			}
		}
	})
}

// TestNamesInOrder: what the list is sorted by orders all names.
func TestNamesInOrder(t *testing.T) {
	f := feed.New(feed.Limits{})
	want := []string{"", "$SYS", "01", "1", "2", "9", "10", "A", "a", "a1b", "a2", "a10", "a10b2", "a10b10", "B", "\u00e9"}
	for _, i := range rand.Perm(len(want)) {
		f.OnPublish(message(want[i], "x"))
	}
	if got, _ := f.Top(100); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
