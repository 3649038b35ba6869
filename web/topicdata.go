package web

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/feed"
	"hearthmq/broker/feed/payload"
	"hearthmq/broker/topic"
	"hearthmq/ui"
)

// Bounds of what is told of one topic.
const (
	historyRows  = 100 // messages listed at once
	historyText  = 160 // characters of each
	seriesPoints = 300
	maxPath      = 32
	maxWho       = 200
)

// message finds a message of a topic's history; seq 0 is the newest, as whole as
// anybody has it.
func (p topicsPage) message(topicName string, seq uint64) (feed.Sample, error) {
	if seq > 0 {
		h, err := p.s.cfg.Feed.History(topicName)
		if err != nil {
			return feed.Sample{}, err
		}
		i, ok := slices.BinarySearchFunc(h.Samples, seq, func(s feed.Sample, seq uint64) int { return cmp.Compare(s.Seq, seq) })
		if !ok {
			return feed.Sample{}, feed.ErrNoTopic
		}
		return h.Samples[i], nil
	}
	s, err := p.s.cfg.Feed.Last(topicName)
	if err != nil || len(s.Payload) < s.Size {
		for m := range p.s.cfg.Broker.Retained(topicName) {
			if err != nil || len(m.Payload) == s.Size {
				return feed.Sample{At: m.Received, Payload: m.Payload, Size: len(m.Payload), QoS: m.QoS, Retain: true,
					ClientID: m.PublisherID, User: m.PublisherUser, Properties: m.Properties}, nil
			}
		}
	}
	return s, err
}

var errForgotten = problemWith(http.StatusNotFound, "This message is not kept any more.")

// sample answers with one message, whole.
func (p topicsPage) sample(_ context.Context, req topicRequest) (any, error) {
	s, err := p.message(req.Topic, req.Seq)
	if err != nil {
		return nil, errForgotten
	}
	return json.RawMessage(s.Describe(req.Topic, req.Form, time.Now()).AppendJSON(nil)), nil
}

// historyAnswer lists messages, the newest first.
type historyAnswer struct {
	Total   int          `json:"total"`
	Pinned  bool         `json:"pinned"`
	Samples []sampleLine `json:"samples"`
}

type sampleLine struct {
	Seq    uint64 `json:"seq"`
	Age    int64  `json:"age"`
	Size   int    `json:"size"`
	QoS    byte   `json:"qos"`
	Retain bool   `json:"retain"`
	Client string `json:"client"`
	User   string `json:"user"`
	Text   string `json:"text"`
}

func (p topicsPage) history(_ context.Context, req topicRequest) (any, error) {
	h, err := p.s.cfg.Feed.History(req.Topic)
	if err != nil {
		return nil, errForgotten
	}
	now := time.Now()
	a := historyAnswer{Total: len(h.Samples), Pinned: h.Pinned, Samples: []sampleLine{}}
	for _, s := range slices.Backward(h.Samples) {
		if req.Seq > 0 && s.Seq >= req.Seq {
			continue // before this one is asked for
		}
		if len(a.Samples) == historyRows {
			break
		}
		a.Samples = append(a.Samples, sampleLine{Seq: s.Seq, Age: max(0, now.Sub(s.At).Milliseconds()), Size: s.Size, QoS: s.QoS,
			Retain: s.Retain, Client: s.ClientID, User: s.User, Text: payload.Preview(s.Payload, historyText)})
	}
	return a, nil
}

// seriesAnswer is a number over time: [age, min, max, last, count] for each point.
type seriesAnswer struct {
	Points [][5]float64 `json:"points"`
	Count  int          `json:"count"`
	Missed int          `json:"missed"`
	Span   int64        `json:"span"` // age of the oldest message that was looked at
}

func (p topicsPage) series(_ context.Context, req topicRequest) (any, error) {
	if len(req.Path) > maxPath {
		return nil, problemWith(http.StatusUnprocessableEntity, "The path is too long.")
	}
	s, err := p.s.cfg.Feed.Series(req.Topic, req.Path, seriesPoints)
	if err != nil {
		return nil, errForgotten
	}
	now := time.Now()
	a := seriesAnswer{Points: make([][5]float64, 0, len(s.Points)), Count: s.Count, Missed: s.Missed}
	if !s.From.IsZero() {
		a.Span = now.Sub(s.From).Milliseconds()
	}
	for _, x := range s.Points {
		a.Points = append(a.Points, [5]float64{float64(max(0, now.Sub(x.At).Milliseconds())), x.Min, x.Max, x.Last, float64(x.Count)})
	}
	return a, nil
}

func (p topicsPage) pin(ctx context.Context, req topicRequest) (any, error) {
	switch err := p.s.pin(ctx, req.Topic, req.On); {
	case errors.Is(err, feed.ErrTooManyPins):
		return nil, problemWith(http.StatusConflict, tooManyPins)
	case errors.Is(err, feed.ErrNoTopic):
		return nil, problemWith(http.StatusConflict, "There is no room for more topics.")
	case err != nil:
		return nil, err
	}
	return nil, nil
}

var tooManyPins = fmt.Sprintf("%d topics are kept already. Stop keeping another one first.", feed.MaxPins)

// pin begins or ends keeping a topic's history in the name of ctx's person, and notes
// it. It fails with feed.ErrTooManyPins and feed.ErrNoTopic.
func (s *Server) pin(ctx context.Context, name string, on bool) error {
	change, action := s.cfg.Feed.Unpin, "history no longer kept"
	if on {
		change, action = s.cfg.Feed.Pin, "history kept"
	}
	if err := change(ctx, name); err != nil {
		return err
	}
	s.log.Info("keeping a topic's history changed in the admin", "user", principalOf(ctx).name, "topic", name, "on", on)
	return s.cfg.Accounts.Note(context.WithoutCancel(ctx), action, clipText(name, maxLogValue), "", "")
}

// whoAnswer says who has to do with a topic.
type whoAnswer struct {
	Publishers  []publisherLine  `json:"publishers" doc:"Who sent what is kept of it, the latest first."`
	Subscribers []subscriberLine `json:"subscribers"`
	Rights      []rightsLine     `json:"rights" doc:"Which user may receive it and publish to it."`
	// More subscribers and users than are listed.
	MoreSubscribers int `json:"more_subscribers" doc:"Beyond those that are listed."`
	MoreRights      int `json:"more_rights" doc:"Beyond those that are listed."`
}

type publisherLine struct {
	Client string `json:"client"`
	User   string `json:"user"`
	Count  int    `json:"count"`
	Age    int64  `json:"age" doc:"Milliseconds."`
	Here   bool   `json:"here"` // connected now
}

type subscriberLine struct {
	Client   string `json:"client"`
	User     string `json:"user"`
	Here     bool   `json:"here"`
	Filter   string `json:"filter"`
	QoS      byte   `json:"qos"`
	Receives bool   `json:"receives"`
	Why      string `json:"why"`
}

type rightsLine struct {
	User  string  `json:"user"`
	Read  verdict `json:"read"`
	Write verdict `json:"write"`
}

type verdict struct {
	OK  bool   `json:"ok"`
	Why string `json:"why"`
}

func (p topicsPage) who(_ context.Context, req topicRequest) (any, error) {
	return p.whoHas(req.Topic), nil
}

// whoHas says who has to do with a topic.
func (p topicsPage) whoHas(name string) whoAnswer {
	a := whoAnswer{Publishers: []publisherLine{}, Subscribers: []subscriberLine{}, Rights: []rightsLine{}}
	a.Publishers = p.publishers(name)
	for _, s := range p.s.cfg.Broker.Subscribers(name) {
		if len(a.Subscribers) == maxWho {
			a.MoreSubscribers++
			continue
		}
		a.Subscribers = append(a.Subscribers, subscriberLine{s.ClientID, s.User, s.Connected, s.Filter, s.QoS, s.Receives, s.Rule.Text})
	}
	names := []string{}
	for _, u := range p.s.cfg.Directory.Users() {
		if !u.System && !p.s.cfg.Directory.Elsewhere() {
			names = append(names, u.Name)
		}
	}
	for _, user := range names {
		if len(a.Rights) == maxWho {
			a.MoreRights = len(names) - maxWho
			break
		}
		a.Rights = append(a.Rights, rightsLine{user, p.verdict(user, broker.Receive, name), p.verdict(user, broker.Publish, name)})
	}
	return a
}

func (p topicsPage) verdict(user string, act broker.Action, topicName string) verdict {
	d := p.s.cfg.Directory.Check(access.Question{User: user, Action: act, Name: topicName})
	v := verdict{d.Allow, d.Rule.Text}
	switch {
	case d.Allow && d.NoRetain:
		v.Why += " (not retained)"
	case d.Allow && d.MaxQoS < 2:
		v.Why += " (up to QoS " + strconv.Itoa(int(d.MaxQoS)) + ")"
	case d.Allow && d.RetainLess > 0:
		v.Why += " (retained up to QoS " + strconv.Itoa(int(d.Most(true))) + ")"
	}
	return v
}

// publishers are those who sent what is kept of a topic, the latest first.
func (p topicsPage) publishers(topicName string) []publisherLine {
	list := []publisherLine{}
	h, err := p.s.cfg.Feed.History(topicName)
	if err != nil {
		return list
	}
	now := time.Now()
	for _, s := range slices.Backward(h.Samples) {
		if s.ClientID == "" && s.User == "" && !strings.HasPrefix(topicName, "$SYS/") {
			continue // of the value before the topic was opened nobody remembers who sent it
		}
		i := slices.IndexFunc(list, func(l publisherLine) bool { return l.Client == s.ClientID && l.User == s.User })
		if i >= 0 {
			list[i].Count++
			continue
		}
		if len(list) == maxWho {
			break
		}
		here := false
		if s.ClientID != "" {
			info, _, err := p.s.cfg.Broker.Session(s.ClientID)
			here = err == nil && info.Connected
		}
		list = append(list, publisherLine{Client: s.ClientID, User: s.User, Count: 1, Age: max(0, now.Sub(s.At).Milliseconds()), Here: here})
	}
	return list
}

// download answers with a payload as a file that no browser opens by itself
// (case W6). Its topic comes in the body, in base64url: a form would change line
// breaks in it.
func (p topicsPage) download(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	name, err := base64.RawURLEncoding.DecodeString(form.Get("t"))
	if err != nil || topic.ValidName(string(name)) != nil {
		return badRequest("no topic")
	}
	seq, err := strconv.ParseUint(cmp.Or(form.Get("seq"), "0"), 10, 64)
	if err != nil {
		return badRequest("no message")
	}
	s, err := p.message(string(name), seq)
	if err != nil {
		return broker.ErrNotFound
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fileName(string(name), s)}))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(s.Payload)))
	_, _ = w.Write(s.Payload) // the browser is gone: nobody to tell
	return nil
}

// fileName makes a name for a file of the end of a topic and of what the payload is.
func fileName(topicName string, s feed.Sample) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, ui.LastLevels(topicName, 40))
	name = cmp.Or(strings.Trim(name, "-"), "message")
	if len(s.Payload) < s.Size {
		name += fmt.Sprintf("-first-%d-of-%d-bytes", len(s.Payload), s.Size)
	}
	if kind := payload.ImageType(s.Payload); kind != "" {
		return name + "." + strings.TrimPrefix(kind, "image/")
	}
	switch payload.KindOf(s.Payload) {
	case payload.JSON:
		return name + ".json"
	case payload.Text, payload.Empty:
		return name + ".txt"
	}
	return name + ".bin"
}
