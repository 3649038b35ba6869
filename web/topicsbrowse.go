package web

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"hearthmq/broker/feed"
	"hearthmq/broker/feed/payload"
	"hearthmq/broker/topic"
	"hearthmq/ui"
)

// Bounds of the topics page as it is without its script.
const (
	staticRows  = 300      // levels that are listed at once
	staticBytes = 50_000   // of their rows, about; a topic may have 64 kB
	staticName  = 200      // bytes of a name
	staticValue = 64 << 10 // bytes of the value (case W6)
	staticPath  = 6        // levels above that are named
)

// place is what the page is asked to show: the top, or a level of the tree.
type place struct {
	top  bool
	name string
	from int // the first row
}

// placeOf reads the place of a form or a query. A topic stands there in base64url only.
func placeOf(form url.Values) (place, error) {
	p := place{top: !form.Has("t")}
	if from, err := strconv.Atoi(form.Get("from")); err == nil && from > 0 {
		p.from = from
	}
	if p.top {
		return p, nil
	}
	name, err := base64.RawURLEncoding.DecodeString(form.Get("t"))
	// The beginning of topics may be empty, as that of /a is.
	if err != nil || len(name) > 0 && topic.ValidName(string(name)) != nil {
		return p, badRequest("no topic")
	}
	p.name = string(name)
	return p, nil
}

// browse fills in what the page shows until its script has started, or without one.
func (p topicsPage) browse(v *ui.TopicsView, at place, now time.Time) {
	levels, all, found := p.s.cfg.Feed.Browse(at.name, at.top, at.from, staticRows)
	v.Root, v.Found, v.From, v.All, v.Next = at.top, found, at.from, all, -1
	if !at.top {
		v.Above, v.Here, v.Code = above(at.name), ui.Clip(lastLevel(at.name), staticName), keyOf(at.name)
		v.Value = p.value(at.name, now)
		v.Found = found || v.Value != nil
		if found && all == 0 { // nothing lies below: what lies beside is of more use
			end := strings.LastIndexByte(at.name, '/')
			levels, v.All, _ = p.s.cfg.Feed.Browse(at.name[:max(end, 0)], end < 0, at.from, staticRows)
			all = v.All
		}
	}
	room := staticBytes
	for i, l := range levels {
		row := topicRow(l, now)
		row.Current = !at.top && l.Topic == at.name
		if room -= len(row.Name) + len(row.Code) + len(row.Value) + 300; room < 0 && i > 0 {
			break
		}
		v.Rows = append(v.Rows, row)
	}
	if shown := at.from + len(v.Rows); shown < all {
		v.Next = shown
	}
}

func topicRow(l feed.Level, now time.Time) ui.TopicRow {
	row := ui.TopicRow{Name: ui.Clip(l.Name, staticName), Code: keyOf(l.Topic), Linked: len(l.Topic) <= maxLink, Topics: l.Topics}
	if l.Known {
		row.Value, row.Retained, row.Age = l.Text, l.Retained, ui.Ago(l.At, now)
	}
	return row
}

func lastLevel(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// above are the levels that a level lies in, the nearest ones.
func above(name string) (list []ui.TopicRow) {
	for range staticPath {
		end := strings.LastIndexByte(name, '/')
		if end < 0 {
			return list
		}
		name = name[:end]
		if len(name) > maxLink {
			continue // it has no link
		}
		list = append([]ui.TopicRow{{Name: ui.Clip(lastLevel(name), staticName), Code: keyOf(name), Linked: true}}, list...)
	}
	return list
}

// value is the last one of a topic, nil where there is none.
func (p topicsPage) value(name string, now time.Time) *ui.TopicValue {
	if name == "" {
		return nil
	}
	s, err := p.message(name, 0)
	if err != nil {
		return nil
	}
	v := &ui.TopicValue{Topic: ui.Clip(name, 4*staticName), Code: keyOf(name), Size: ui.Bytes(uint64(s.Size)), Empty: s.Size == 0}
	v.Text, v.Hex = readableValue(name, s.Payload)
	if shown := min(len(s.Payload), staticValue); shown < s.Size {
		v.Cut = fmt.Sprintf("These are the first %s of %s.", ui.Bytes(uint64(shown)), ui.Bytes(uint64(s.Size)))
	}
	add := func(name, text string) {
		if text != "" {
			v.Facts = append(v.Facts, ui.PairView{Name: name, Value: text})
		}
	}
	add("Received", ui.Ago(s.At, now))
	add("Client", ui.Clip(s.ClientID, staticName))
	add("User", ui.Clip(s.User, staticName))
	add("QoS", fmt.Sprint(s.QoS))
	if s.Retain {
		add("Retained", "yes")
	}
	return v
}

// readableValue writes a value for people: JSON on lines, what is packed unpacked, other
// bytes in hexadecimal.
func readableValue(name string, b []byte) (text string, dump bool) {
	if len(b) > staticValue {
		if cut := b[:staticValue]; payload.KindOf(b) == payload.Binary {
			return hex.Dump(cut), true
		}
		return ui.VisibleLines(strings.ToValidUTF8(string(b[:staticValue]), "")), false
	}
	if payload.KindOf(b) == payload.Binary {
		unpacked := payload.Readable(name, b)
		if payload.KindOf(unpacked) == payload.Binary || len(unpacked) > staticValue {
			return hex.Dump(b), true
		}
		b = unpacked
	}
	if payload.KindOf(b) == payload.JSON {
		var lines bytes.Buffer
		if json.Indent(&lines, b, "", "  ") == nil && lines.Len() <= 4*staticValue {
			b = lines.Bytes()
		}
	}
	return ui.VisibleLines(string(b)), false
}

// show is the page. A POST asks for a level whose topic is too long for a link, and
// changes nothing.
func (p topicsPage) show(w http.ResponseWriter, r *http.Request) error {
	form := r.URL.Query()
	if r.Method == http.MethodPost {
		var err error
		if form, err = parseForm(r); err != nil {
			return err
		}
	}
	at, err := placeOf(form)
	if err != nil {
		return err
	}
	v := p.s.view(r, "Topics", "topics", "topics-page")
	v.Full = true
	t := ui.TopicsView{Topics: p.s.cfg.Feed.Totals().Topics}
	p.browse(&t, at, time.Now())
	status := http.StatusOK
	if !t.Found {
		status = http.StatusNotFound
	}
	return p.s.render(w, r, status, ui.TopicsPage(v, t))
}
