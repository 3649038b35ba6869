package feed_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/feed"
)

// pinStore is a HistoryStore in memory.
type pinStore struct {
	mu   sync.Mutex
	pins map[string][]feed.Sample
	fail error
}

func (s *pinStore) Pinned(context.Context) ([]feed.Pinned, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []feed.Pinned
	for _, name := range slices.Sorted(maps.Keys(s.pins)) {
		list = append(list, feed.Pinned{Topic: name, Samples: s.pins[name]})
	}
	return list, s.fail
}

func (s *pinStore) Pin(_ context.Context, topicName string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins[topicName] = nil
	return s.fail
}

func (s *pinStore) stored(topicName string) string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return texts(s.pins[topicName])
}

func (s *pinStore) Unpin(_ context.Context, topicName string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pins, topicName)
	return s.fail
}

func (s *pinStore) AddSamples(_ context.Context, topicName string, first uint64, samples []feed.Sample) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	all := append(s.pins[topicName], samples...)
	s.pins[topicName] = slices.DeleteFunc(all, func(x feed.Sample) bool { return x.Seq < first })
	return nil
}

// until takes updates until done says so; the clock of a bubble makes it give up.
func (b *browser) until(done func() bool) {
	b.t.Helper()
	for range 1000 {
		if done() {
			return
		}
		b.watch(250 * time.Millisecond)
	}
	b.t.Fatal("it never came to that")
}

func texts(samples []feed.Sample) string {
	var list []string
	for _, s := range samples {
		list = append(list, string(s.Payload))
	}
	return strings.Join(list, " ")
}

func history(t *testing.T, f *feed.Feed, topicName string) feed.History {
	t.Helper()
	h, err := f.History(topicName)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHistoryBeginsWhenOpened(t *testing.T) {
	f := feed.New(feed.Limits{})
	f.OnPublish(message("a", "1"))
	f.OnPublish(message("a", "2"))
	if _, err := f.History("b"); !errors.Is(err, feed.ErrNoTopic) {
		t.Errorf("a topic that nobody knows: %v", err)
	}
	if got := texts(history(t, f, "a").Samples); got != "1 2" {
		t.Errorf("what was known already is %q", got)
	}
	m := message("a", "3")
	m.Publisher, m.QoS = &broker.Identity{ClientID: "c", User: "u"}, 1
	f.OnPublish(m)
	h := history(t, f, "a")
	last := h.Samples[2]
	if last.ClientID != "c" || last.User != "u" || last.QoS != 1 || last.Seq != 3 || last.Size != 1 || h.Pinned {
		t.Errorf("%+v", last)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	f := feed.New(feed.Limits{})
	f.OnPublish(message("many", "0"))
	history(t, f, "many")
	for i := range 2000 {
		f.OnPublish(message("many", fmt.Sprint(i)))
	}
	h := history(t, f, "many").Samples
	if len(h) != 500 || string(h[499].Payload) != "1999" || h[499].Seq != 2001 {
		t.Errorf("%d samples, the newest %q", len(h), h[len(h)-1].Payload)
	}
	// A large payload is kept whole, alone, and small ones find their place again.
	large := strings.Repeat("x", 3<<20)
	f.OnPublish(message("many", large))
	if h := history(t, f, "many").Samples; len(h) != 1 || len(h[0].Payload) != 3<<20 {
		t.Errorf("beside a large one there are %d samples", len(h))
	}
	f.OnPublish(message("many", "small"))
	if h := history(t, f, "many").Samples; texts(h) != "small" {
		t.Errorf("after it: %.40s", texts(h))
	}
	f.OnPublish(message("many", strings.Repeat("y", 5<<20)))
	if h := history(t, f, "many").Samples; len(h[0].Payload) != 4<<20 || h[0].Size != 5<<20 {
		t.Errorf("%d of %d bytes are kept", len(h[0].Payload), h[0].Size)
	}
	// Many opened topics: those that nobody looked at longest lose theirs.
	for i := range 100 {
		name := fmt.Sprint("t/", i)
		f.OnPublish(message(name, "v"))
		history(t, f, name)
		f.OnPublish(message(name, "w"))
		f.OnPublish(message(name, "w"))
		f.OnPublish(message(name, "w"))
	}
	if got := len(history(t, f, "t/99").Samples); got != 4 {
		t.Errorf("the last opened topic has %d samples", got)
	}
	if got := len(history(t, f, "t/0").Samples); got != 2 {
		t.Errorf("the first opened topic has %d samples, want those of a new history", got)
	}
}

func TestHistoriesShareABudget(t *testing.T) {
	f := feed.New(feed.Limits{})
	large := strings.Repeat("x", 4<<20)
	for i := range 20 {
		name := fmt.Sprint("camera/", i)
		f.OnPublish(message(name, "small"))
		if err := f.Pin(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		f.OnPublish(message(name, large))
	}
	total := 0
	for i := range 20 {
		for _, s := range history(t, f, fmt.Sprint("camera/", i)).Samples {
			total += len(s.Payload)
		}
	}
	if total > 33<<20 {
		t.Errorf("%d bytes are kept", total)
	}
}

func TestPinsSurvive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &pinStore{pins: map[string][]feed.Sample{}}
		f := feed.New(feed.Limits{})
		if err := f.LoadPins(t.Context(), store); err != nil {
			t.Fatal(err)
		}
		f.OnPublish(message("a", "1"))
		if err := f.Pin(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := f.Pin(t.Context(), "not/yet"); err != nil {
			t.Fatal(err)
		}
		if err := f.Pin(t.Context(), "a/#"); err == nil {
			t.Error("a filter can be pinned")
		}
		ctx, stop := context.WithCancel(t.Context())
		var failures int
		done := make(chan struct{})
		go func() { f.Keep(ctx, func(error) { failures++ }); close(done) }()
		f.OnPublish(message("a", "2"))
		elapse(31 * time.Second)
		if got := store.stored("a"); got != "1 2" {
			t.Errorf("stored after half a minute: %q", got)
		}
		store.mu.Lock()
		store.fail = errors.New("full")
		store.mu.Unlock()
		f.OnPublish(message("a", "3"))
		elapse(31 * time.Second)
		store.mu.Lock()
		store.fail = nil
		store.mu.Unlock()
		f.OnPublish(message("a", "4"))
		stop()
		<-done
		if got := store.stored("a"); got != "1 2 3 4" || failures != 1 {
			t.Errorf("stored at the end: %q after %d failures", got, failures)
		}

		g := feed.New(feed.Limits{})
		g.Seed(func(yield func(*broker.Message) bool) { yield(retained("a", "4")) })
		elapse(time.Second)
		if err := g.LoadPins(t.Context(), store); err != nil {
			t.Fatal(err)
		}
		g.OnPublish(message("a", "5"))
		if got := g.Pins(); !slices.Equal(got, []string{"a", "not/yet"}) {
			t.Errorf("pinned after the restart: %q", got)
		}
		h := history(t, g, "a")
		if got := texts(h.Samples); !strings.HasPrefix(got, "1 2 3 4") || !strings.HasSuffix(got, " 5") || !h.Pinned {
			t.Errorf("after the restart: %q", got)
		}
		if err := g.Unpin(t.Context(), "a"); err != nil || len(store.pins) != 1 || len(g.Pins()) != 1 {
			t.Errorf("unpinned: %v, %d, %q", err, len(store.pins), g.Pins())
		}
	})
}

func TestPinsAreLimited(t *testing.T) {
	f := feed.New(feed.Limits{})
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		err = f.Pin(t.Context(), fmt.Sprint("t/", n))
	}
	if !errors.Is(err, feed.ErrTooManyPins) || len(f.Pins()) != feed.MaxPins {
		t.Errorf("%d pins: %v", len(f.Pins()), err)
	}
}

func TestPinnedTopicsStay(t *testing.T) {
	f := feed.New(feed.Limits{Topics: 20})
	if err := f.Pin(t.Context(), "keep"); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		f.OnPublish(message(fmt.Sprint("t/", i), "v"))
	}
	if _, err := f.History("keep"); err != nil {
		t.Error("a pinned topic was forgotten to make room")
	}
}

func TestSeries(t *testing.T) {
	f := feed.New(feed.Limits{})
	start := time.Unix(1_700_000_000, 0)
	if err := f.Pin(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		m := message("s", fmt.Sprintf(`{"t":%d,"on":%t}`, i%10, i%2 == 0))
		m.Received = start.Add(time.Duration(i) * time.Minute)
		f.OnPublish(m)
	}
	m := message("s", "offline")
	m.Received = start.Add(1000 * time.Minute)
	f.OnPublish(m)
	s, err := f.Series("s", []string{"t"}, 100)
	if err != nil || s.Count != 1000 || s.Missed != 1 || len(s.Points) > 100 || len(s.Points) < 90 {
		t.Fatalf("%d points of %d numbers, %d missed, %v", len(s.Points), s.Count, s.Missed, err)
	}
	total := 0
	for _, p := range s.Points {
		total += p.Count
		if p.Min != 0 || p.Max != 9 {
			t.Errorf("a point of %d numbers from %v to %v", p.Count, p.Min, p.Max)
			break
		}
	}
	if total != 1000 {
		t.Errorf("the points count %d numbers", total)
	}
	if s, _ := f.Series("s", []string{"on"}, 2000); len(s.Points) != 1000 || s.Points[0].Last != 1 || s.Points[1].Last != 0 {
		t.Errorf("%d points of a switch", len(s.Points))
	}
	if _, err := f.Series("none", nil, 100); !errors.Is(err, feed.ErrNoTopic) {
		t.Errorf("no topic: %v", err)
	}
}

func TestDetailDecodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{})
		f.OnPublish(message("packed", "\xa1\x61t\x19\x03\xe8")) // CBOR: {"t": 1000}
		b := look(t, f)
		b.until(func() bool { return len(b.rows) == 1 })
		for _, r := range b.rows {
			b.view.Select(r.ID)
		}
		b.until(func() bool { return b.detail != nil })
		d := b.detail
		if d.DecodedForm != "cbor" || d.Decoded == nil || string(d.Decoded.Bytes) != `{"t": 1000}` || d.History != 1 || !d.Whole {
			t.Errorf("%+v", d)
		}
		b.detail = nil
		b.view.Form("hex")
		b.until(func() bool { return b.detail != nil })
		if b.detail.Decoded != nil {
			t.Error("bytes need no decoder")
		}
	})
}

func TestRegexpFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(feed.Limits{})
		f.OnPublish(message("home/Kitchen/temp1", "21"))
		f.OnPublish(message("home/hall/temp", "x"))
		f.OnPublish(message("other", `{"state":"OFF"}`))
		b := look(t, f)
		b.until(func() bool { return len(b.rows) > 5 })
		for re, want := range map[string]int{`temp\d$`: 1, `^home/(kitchen|hall)/`: 2, `"state":"(on|off)"`: 1, `nothing`: 0} {
			b.match = nil
			b.view.Regexp(re)
			b.until(func() bool { return b.match != nil })
			if b.match.Count != want {
				t.Errorf("%s matches %d topics, want %d", re, b.match.Count, want)
			}
		}
		b.view.Regexp(`(`)
		for {
			u, err := b.view.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b.take(u)
			if u.Match != nil && u.Match.Filter == "(" {
				if u.Match.Problem == "" {
					t.Error("an expression that is none is not refused")
				}
				return
			}
		}
	})
}
