package web

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// board is a broker with nothing but retained messages.
type board map[string]*broker.Message

func (s board) Retained(filter string) iter.Seq[*broker.Message] {
	return func(yield func(*broker.Message) bool) {
		for name, m := range s {
			if topic.Match(filter, name) && !yield(m) {
				return
			}
		}
	}
}

func (board) Withheld(*broker.Message) (broker.RuleRef, bool) { return broker.RuleRef{}, false }

func (s board) put(m *broker.Message) { s[m.Topic] = m }

func (board) DropRetained(context.Context, []string, bool) ([]*broker.Message, error) {
	return nil, nil
}

func (board) RestoreRetained(context.Context, []*broker.Message, bool) ([]*broker.Message, error) {
	return nil, nil
}

// words are all that a judgement says.
func (all *discovery) words() string {
	var lines []string
	for _, d := range all.devices {
		for _, e := range d.sorted() {
			line := fmt.Sprintf("%s/%s %p", d.key, e.name, e.msg)
			for _, r := range e.reasons {
				line += "; " + r.text
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return fmt.Sprintf("%d of %d, %+v\n%s", all.entities, len(all.devices), all.tally, strings.Join(lines, "\n"))
}

// TestJudgementIsKept: what was judged is kept while all that it rests on is the same,
// and judged anew as soon as any of it is not.
func TestJudgementIsKept(t *testing.T) {
	now, up := time.Now(), 5*time.Hour
	values := map[string]string{"kitchen": "21", "there": "online"}
	last := func(name string, most int) ([]byte, bool) {
		v, ok := values[name]
		return []byte(v[:min(len(v), most)]), ok
	}
	sessions := []broker.SessionInfo{{ClientID: "here", Connected: true}}
	b := board{}
	config := func(id, state string) *broker.Message {
		return configOf("homeassistant/sensor/"+id+"/config", `{"unique_id":"`+id+`","state_topic":"`+state+`","availability_topic":"there"}`)
	}
	b.put(config("kitchen", "kitchen"))
	b.put(config("attic", "attic")) // silent
	brief := config("brief", "kitchen")
	brief.Expires = now.Add(time.Hour)
	b.put(brief)

	var a announcements
	look := func(with *announcements) *discovery {
		return with.judge(b, presenceOf(slices.Values(sessions)), last, up, now)
	}
	verdict := look(&a)
	for _, change := range []struct {
		name string
		do   func()
		same bool
	}{
		{"nothing", func() {}, true},
		{"a value that says the same", func() { values["kitchen"], values["there"] = "22", " Online" }, true},
		{"other topics", func() { values["elsewhere"] = "1"; b.put(configOf("elsewhere", "1")) }, true},
		{"a minute that nobody sees", func() { now = now.Add(time.Minute) }, true},
		{"goes offline", func() { values["there"] = "offline" }, false},
		{"comes back", func() { values["there"] = "online" }, false},
		{"the availability is cleared", func() { delete(values, "there") }, true},
		{"is heard of", func() { values["attic"] = "19" }, false},
		{"is heard no more", func() { delete(values, "attic") }, false},
		{"time that the page names", func() { up += time.Minute }, false},
		{"announced anew as it was", func() { b.put(config("attic", "attic")) }, false},
		{"announced otherwise", func() { b.put(config("attic", "kitchen")) }, false},
		{"time that nobody names", func() { up += time.Minute }, true},
		{"one more", func() { b.put(config("cellar", "cellar")) }, false},
		{"one less", func() { delete(b, "homeassistant/sensor/cellar/config") }, false},
		{"one for another", func() {
			delete(b, "homeassistant/sensor/attic/config")
			b.put(config("garden", "kitchen"))
		}, false},
		{"the sender leaves", func() { sessions[0] = broker.SessionInfo{ClientID: "here", Since: now} }, true},
		{"it is gone for a day", func() { now = now.Add(24 * time.Hour) }, false}, // and brief has expired
		{"it is gone for two", func() { now = now.Add(24 * time.Hour) }, false},
		{"it is back", func() { sessions[0].Connected = true }, false},
		{"the broker has just started", func() { up = time.Minute }, false},
	} {
		change.do()
		is := look(&a)
		if (is == verdict) != change.same {
			t.Errorf("%s: judged anew %v", change.name, is != verdict)
		}
		if fresh := look(new(announcements)); is.words() != fresh.words() {
			t.Errorf("%s: what was kept says\n%s\nanew it is\n%s", change.name, is.words(), fresh.words())
		}
		verdict = is
	}
	if len(a.known) != 2 {
		t.Errorf("%d are remembered", len(a.known))
	}
}

// TestAnnouncementsAreReadOnce: a page reads anew what changed, nothing else, and
// what was read is not changed by judging it.
func TestAnnouncementsAreReadOnce(t *testing.T) {
	var a announcements
	b := board{}
	look := func(m *broker.Message) *entity {
		b.put(m)
		offline := func(string, int) ([]byte, bool) { return []byte("offline"), true }
		return a.judge(b, presenceOf(slices.Values([]broker.SessionInfo{})), offline, 0, time.Now()).devices[0].entities[0]
	}
	m := configOf("homeassistant/sensor/x/config", `{"state_topic":"a","avty_t":"b"}`)
	first := look(m)
	read := a.known[m.Topic].list[0]
	same := configOf(m.Topic, string(m.Payload)) // announced again, as it was
	if e := look(same); len(first.reasons) != 2 || len(e.reasons) != 2 || e.msg != same || a.known[m.Topic].list[0] != read || len(read.reasons) != 1 {
		t.Errorf("the second look sees %v", e.reasons)
	}
	if e := look(configOf(m.Topic, `{"state_topic":"b"}`)); e.states[0] != "b" {
		t.Error("a change is not seen")
	}
}
