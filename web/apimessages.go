package web

import (
	"context"
	"encoding/base64"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/feed"
	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// MessageBroker is what the API needs of the broker for messages.
type MessageBroker interface {
	// DeleteSession ends a client's connection and forgets its session, or returns broker.ErrNotFound.
	DeleteSession(clientID string) error
	// Publish sends a message as the broker itself.
	Publish(ctx context.Context, m *broker.Message) error
	// Retained visits the retained messages that a filter matches, in no order.
	Retained(filter string) iter.Seq[*broker.Message]
	// DropRetained removes retained messages and returns those that there were.
	DropRetained(ctx context.Context, names []string, tell bool) ([]*broker.Message, error)
}

// Bounds of what the API answers about messages.
const (
	maxListed     = 1000      // topics on a page
	maxAPIPayload = 512 << 10 // bytes that can be published by it, since JSON and base64 make them more
)

// APIPayload is a payload as text where it is text, else as base64. It is exported since
// huma describes embedded fields of no other type.
type APIPayload struct {
	Payload string `json:"payload,omitempty" doc:"The value where it is UTF-8 text."`
	Base64  string `json:"payload_base64,omitempty" doc:"The value where it is not."`
	Size    int    `json:"size" doc:"Bytes of the whole value; less than that is given when it is cut."`
}

func payloadOf(b []byte, size int) APIPayload {
	p := APIPayload{Size: size}
	text := b
	if len(b) < size { // cut, perhaps in the middle of a character
		for i := 0; i < utf8.UTFMax && len(text) > 0 && !utf8.Valid(text); i++ {
			text = text[:len(text)-1]
		}
	}
	if utf8.Valid(text) {
		p.Payload = string(text)
	} else {
		p.Base64 = base64.StdEncoding.EncodeToString(b)
	}
	return p
}

type apiTopic struct {
	Topic string `json:"topic"`
	Key   string `json:"key" doc:"The topic as base64url, for paths."`
	APIPayload
	QoS      int       `json:"qos"`
	Retained bool      `json:"retained"`
	Count    uint64    `json:"count,omitempty" doc:"Messages since the start."`
	At       time.Time `json:"at"`
	ClientID string    `json:"client_id" doc:"Who sent it, empty when that is not known."`
	User     string    `json:"user"`
}

type queryInput struct {
	Body struct {
		Filter string `json:"filter,omitempty" default:"#" maxLength:"65535" doc:"Topic filter with + and #. $SYS is not part of #."`
		After  string `json:"after,omitempty" doc:"Last topic of the page before."`
		Limit  int    `json:"limit,omitempty" minimum:"1" maximum:"1000" default:"100"`
		Most   int    `json:"max_payload,omitempty" minimum:"0" maximum:"65536" default:"1024" doc:"Bytes of each value that are wanted at most."`
	}
}

type topicsOutput struct {
	Body struct {
		Topics []apiTopic `json:"topics"`
		More   bool       `json:"more"`
	}
}

type topicInput struct {
	Topic string `path:"topic" maxLength:"87384" doc:"Topic as base64url without padding."`
}

type topicOutput struct{ Body apiTopic }

type publishInput struct {
	Body struct {
		Topic    string `json:"topic" maxLength:"65535"`
		Payload  string `json:"payload,omitempty"`
		Base64   string `json:"payload_base64,omitempty" doc:"Instead of payload, for what is not text."`
		QoS      int    `json:"qos,omitempty" minimum:"0" maximum:"2"`
		Retain   bool   `json:"retain,omitempty"`
		Expiry   uint32 `json:"message_expiry,omitempty" doc:"Seconds; 0: never."`
		Content  string `json:"content_type,omitempty" maxLength:"1024"`
		Response string `json:"response_topic,omitempty" maxLength:"65535"`
		User     []struct {
			Name  string `json:"name" maxLength:"1024"`
			Value string `json:"value" maxLength:"1024"`
		} `json:"user_properties,omitempty" maxItems:"32"`
	}
}

type dropInput struct {
	Body struct {
		Filter string   `json:"filter,omitempty" maxLength:"65535" doc:"Topic filter with + and #."`
		Topics []string `json:"topics,omitempty" maxItems:"10000" doc:"Instead of filter."`
		Tell   bool     `json:"tell,omitempty" doc:"Deliver empty messages to those who are subscribed: so Home Assistant removes discovered devices."`
		DryRun bool     `json:"dry_run,omitempty" doc:"Only say what would be removed."`
	}
}

type dropOutput struct {
	Body struct {
		Count  int      `json:"count"`
		Topics []string `json:"topics" doc:"The first 1000 of them."`
	}
}

func (a *api) messageOperations() {
	tags := []string{"Messages"}
	operate(a, huma.Operation{OperationID: "query-topics", Method: http.MethodPost, Path: "/topics/query", Tags: tags, Summary: "Topics with their last values, sorted. Changes nothing.", Errors: []int{422}},
		access.ScopeRead, a.queryTopics)
	operate(a, huma.Operation{OperationID: "get-topic", Method: http.MethodGet, Path: "/topics/{topic}", Tags: tags, Summary: "The last value of a topic, whole as far as it is kept", Errors: []int{404, 422}},
		access.ScopeRead, a.getTopic)
	operate(a, huma.Operation{OperationID: "query-retained", Method: http.MethodPost, Path: "/retained/query", Tags: tags, Summary: "Retained messages, sorted by topic. Changes nothing.", Errors: []int{422}},
		access.ScopeRead, a.queryRetained)
	operate(a, huma.Operation{OperationID: "delete-retained", Method: http.MethodPost, Path: "/retained/delete", Tags: tags, Summary: "Remove retained messages", Errors: []int{422}},
		access.ScopeAdmin, a.deleteRetained)
	operate(a, huma.Operation{OperationID: "publish", Method: http.MethodPost, Path: "/publish", Tags: tags, Summary: "Send a message, as HearthMQ itself", Errors: []int{422}},
		access.ScopeAdmin, a.publishMessage)
}

func checkFilter(filter string) error {
	if err := topic.ValidFilter(filter); err != nil {
		return access.Problems{"filter": err.Error()}
	}
	if _, _, shared, _ := topic.ParseShare(filter); shared {
		return access.Problems{"filter": "shared subscriptions are for clients"}
	}
	return nil
}

func (a *api) queryTopics(_ context.Context, in *queryInput) (*topicsOutput, error) {
	if err := checkFilter(in.Body.Filter); err != nil {
		return nil, err
	}
	out := new(topicsOutput)
	out.Body.Topics = []apiTopic{}
	list, more := a.cfg.Feed.Topics(in.Body.Filter, in.Body.After, in.Body.Limit, in.Body.Most)
	for _, t := range list {
		out.Body.Topics = append(out.Body.Topics, apiTopic{
			Topic: t.Topic, Key: keyOf(t.Topic), APIPayload: payloadOf(t.Payload, t.Size), QoS: int(t.QoS), Retained: t.Retained,
			Count: t.Count, At: t.At, ClientID: t.ClientID, User: t.User,
		})
	}
	out.Body.More = more
	return out, nil
}

func keyOf(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

func (a *api) getTopic(_ context.Context, in *topicInput) (*topicOutput, error) {
	name, err := nameOf(in.Topic)
	if err != nil {
		return nil, err
	}
	s, err := a.cfg.Feed.Last(name)
	if err != nil {
		return nil, err
	}
	return &topicOutput{apiTopic{
		Topic: name, Key: keyOf(name), APIPayload: payloadOf(s.Payload, s.Size), QoS: int(s.QoS), Retained: s.Retain,
		At: s.At, ClientID: s.ClientID, User: s.User,
	}}, nil
}

func (a *api) queryRetained(_ context.Context, in *queryInput) (*topicsOutput, error) {
	if err := checkFilter(in.Body.Filter); err != nil {
		return nil, err
	}
	found := slices.SortedFunc(a.cfg.Broker.Retained(in.Body.Filter), func(x, y *broker.Message) int { return strings.Compare(x.Topic, y.Topic) })
	out := new(topicsOutput)
	out.Body.Topics = []apiTopic{}
	for _, m := range found {
		if m.Topic <= in.Body.After {
			continue
		}
		if len(out.Body.Topics) == min(in.Body.Limit, maxListed) {
			out.Body.More = true
			break
		}
		out.Body.Topics = append(out.Body.Topics, apiTopic{
			Topic: m.Topic, Key: keyOf(m.Topic), APIPayload: payloadOf(m.Payload[:min(len(m.Payload), in.Body.Most)], len(m.Payload)),
			QoS: int(m.QoS), Retained: true, At: m.Received, ClientID: m.PublisherID, User: m.PublisherUser,
		})
	}
	return out, nil
}

func (a *api) deleteRetained(ctx context.Context, in *dropInput) (*dropOutput, error) {
	names := in.Body.Topics
	switch {
	case in.Body.Filter != "" && len(names) > 0, in.Body.Filter == "" && len(names) == 0:
		return nil, access.Problems{"filter": "give either a filter or topics"}
	case in.Body.Filter != "":
		if err := checkFilter(in.Body.Filter); err != nil {
			return nil, err
		}
		for m := range a.cfg.Broker.Retained(in.Body.Filter) {
			names = append(names, m.Topic)
		}
		slices.Sort(names)
	}
	out := new(dropOutput)
	out.Body.Topics = []string{}
	if in.Body.DryRun {
		out.Body.Count, out.Body.Topics = len(names), append(out.Body.Topics, names[:min(len(names), maxListed)]...)
		return out, nil
	}
	dropped, err := a.cfg.Broker.DropRetained(ctx, names, in.Body.Tell)
	for _, m := range dropped {
		a.cfg.Feed.Cleared(m.Topic)
		if len(out.Body.Topics) < maxListed {
			out.Body.Topics = append(out.Body.Topics, m.Topic)
		}
	}
	if out.Body.Count = len(dropped); out.Body.Count > 0 {
		about := clipText(firstOf(in.Body.Filter, strings.Join(out.Body.Topics, ", ")), maxLogValue)
		removal := feed.Removal{At: time.Now(), Actor: access.Actor(ctx).String(), What: about, Notified: in.Body.Tell}
		if _, e := a.cfg.Trash.Put(context.WithoutCancel(ctx), removal, dropped); err == nil {
			err = e
		}
		if e := a.cfg.Accounts.Note(context.WithoutCancel(ctx), "retained messages removed", about, "", ""); err == nil {
			err = e
		}
	}
	return out, err
}

func (a *api) publishMessage(ctx context.Context, in *publishInput) (*emptyOutput, error) {
	b := in.Body
	p := access.Problems{}
	if err := topic.ValidName(b.Topic); err != nil {
		p["topic"] = err.Error()
	} else if strings.HasPrefix(b.Topic, "$SYS/") {
		p["topic"] = "$SYS is HearthMQ's own"
	}
	payload := []byte(b.Payload)
	if b.Base64 != "" {
		var err error
		if payload, err = base64.StdEncoding.DecodeString(b.Base64); err != nil || b.Payload != "" {
			p["payload_base64"] = "must be base64, and stand alone"
		}
	}
	if len(payload) > maxAPIPayload {
		p["payload"] = "must be smaller than 512 kB"
	}
	if b.Response != "" && topic.ValidName(b.Response) != nil {
		p["response_topic"] = "must be a topic without wildcards"
	}
	if len(p) > 0 {
		return nil, p
	}
	m := broker.NewMessage(b.Topic, payload, byte(b.QoS), b.Retain)
	if b.Expiry > 0 {
		m.Expires = time.Now().Add(time.Duration(b.Expiry) * time.Second)
	}
	var properties packet.Properties
	if b.Content != "" {
		properties.SetContentType(b.Content)
	}
	if b.Response != "" {
		properties.SetResponseTopic(b.Response)
	}
	for _, u := range b.User {
		properties.AddUser(u.Name, u.Value)
	}
	m.Properties = properties.AppendForward(nil)
	return nil, a.cfg.Broker.Publish(ctx, m)
}
