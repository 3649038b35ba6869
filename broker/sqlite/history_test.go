package sqlite_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hearthmq/broker"
	"hearthmq/broker/feed"
)

func TestHistories(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearthmq.db")
	db := open(t, path)
	h := db.Histories()
	at := time.UnixMicro(1_700_000_000_123_456)
	samples := []feed.Sample{
		{Seq: 1, At: at, Payload: []byte{}, Properties: []byte{}},
		{Seq: 2, At: at.Add(time.Second), Payload: []byte("\x00\xff"), Size: 99, QoS: 2, Retain: true, ClientID: "c", User: "u", Properties: []byte{1, 1}},
		{Seq: 3, At: at.Add(2 * time.Second), Payload: []byte("3"), Size: 1, Properties: []byte{}},
	}
	long := strings.Repeat("x/", 30_000) + "😀"
	for _, name := range []string{"a", long, "a"} {
		if err := h.Pin(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for _, add := range []struct {
		topic   string
		first   uint64
		samples []feed.Sample
	}{{"a", 1, samples[:2]}, {"a", 2, samples[2:]}, {long, 1, samples[:1]}, {"not pinned", 1, samples}} {
		if err := h.AddSamples(t.Context(), add.topic, add.first, add.samples); err != nil {
			t.Fatal(err)
		}
	}
	closeAll(t, db)
	h = open(t, path).Histories()
	got, err := h.Pinned(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []feed.Pinned{{Topic: "a", Samples: samples[1:]}, {Topic: long, Samples: samples[:1]}}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if err := h.Unpin(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if n := query[int](t, raw(t, path), `SELECT count(*) FROM sample`); n != 1 {
		t.Errorf("%d samples are left of one", n)
	}
}

// TestTrash holds the database's trash and the one in memory to the same.
func TestTrash(t *testing.T) {
	for name, trash := range map[string]feed.Trash{
		"memory": new(feed.MemoryTrash), "sqlite": open(t, filepath.Join(t.TempDir(), "hearthmq.db")).Trash(),
	} {
		t.Run(name, func(t *testing.T) {
			at := time.UnixMilli(1_790_000_000_000)
			put := func(at time.Time, messages ...*broker.Message) int64 {
				t.Helper()
				id, err := trash.Put(t.Context(), feed.Removal{At: at, Actor: "anna", What: "all below a/#", Notified: true}, messages)
				if err != nil {
					t.Fatal(err)
				}
				return id
			}
			m := &broker.Message{Topic: "a/<b>", Payload: []byte("\x00x"), Properties: []byte{1, 1}, QoS: 1, Retain: true,
				Expires: at.Add(time.Hour), Received: at, PublisherID: "c", PublisherUser: "u", Vouched: true}
			id := put(at, m, &broker.Message{Topic: "b", Payload: []byte("1"), Properties: []byte{}, Retain: true})
			r, messages, err := trash.Removed(t.Context(), id)
			if err != nil || r.Topics != 2 || r.Bytes != int64(m.Size()+2) || !r.Notified || r.Actor != "anna" || len(messages) != 2 {
				t.Fatalf("%+v, %d messages, %v", r, len(messages), err)
			}
			got := messages[0]
			if got.Topic != m.Topic {
				got = messages[1]
			}
			if got.Topic != m.Topic || string(got.Payload) != "\x00x" || !got.Expires.Equal(m.Expires) || !got.Received.Equal(at) || got.QoS != 1 || !got.Retain || got.PublisherID != "c" || !got.Vouched {
				t.Errorf("came back as %+v", got)
			}
			if err := trash.Forget(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if _, _, err := trash.Removed(t.Context(), id); !errors.Is(err, feed.ErrNoRemoval) {
				t.Errorf("forgotten: %v", err)
			}
			var ids []int64
			for i := range feed.TrashRemovals + 5 {
				ids = append(ids, put(at.Add(time.Duration(i)*time.Minute), &broker.Message{Topic: fmt.Sprint(i), Payload: []byte("1"), Retain: true}))
			}
			list, err := trash.Removals(t.Context())
			if err != nil || len(list) != feed.TrashRemovals || list[0].ID != ids[len(ids)-1] {
				t.Errorf("%d removals are kept, %v", len(list), err)
			}
			large := strings.Repeat("x", feed.TrashBytes/3)
			for range 4 {
				put(at.Add(time.Hour), &broker.Message{Topic: "large", Payload: []byte(large), Retain: true})
			}
			if list, _ := trash.Removals(t.Context()); len(list) > 3 || len(list) < 2 {
				t.Errorf("%d removals are kept beside large ones", len(list))
			}
			for range 3 {
				put(at.Add(feed.TrashFor+2*time.Hour), &broker.Message{Topic: "late", Payload: []byte("1"), Retain: true})
			}
			if list, _ := trash.Removals(t.Context()); len(list) != 3 || list[2].At.Before(at.Add(feed.TrashFor)) {
				t.Errorf("%d removals are kept, some for longer than a month", len(list))
			}
		})
	}
}

// case R12: a deletion while the clock is ten years ahead costs one that could be undone, not
// all; what was deleted while it showed 1970 can be undone when it is right.
func TestTrashClock(t *testing.T) {
	trash := open(t, filepath.Join(t.TempDir(), "hearthmq.db")).Trash()
	right := time.Date(2027, 11, 21, 0, 0, 0, 0, time.UTC)
	put := func(at time.Time) {
		t.Helper()
		if _, err := trash.Put(t.Context(), feed.Removal{At: at}, []*broker.Message{{Topic: "a", Retain: true}}); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(want int) {
		t.Helper()
		if list, err := trash.Removals(t.Context()); err != nil || len(list) != want {
			t.Errorf("%d can be undone, want %d: %v", len(list), want, err)
		}
	}
	put(time.Unix(77, 0))
	for range 5 {
		put(right)
	}
	kept(6)
	put(right.AddDate(10, 0, 0))
	kept(6)
	put(right)
	kept(7)
	put(right.AddDate(0, 0, -1))
	kept(8)
}
