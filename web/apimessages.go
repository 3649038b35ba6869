package web

import (
	"context"
	"encoding/base64"
	"iter"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/topic"
)

// MessageBroker is what the API and the pages about topics need of the broker for messages.
type MessageBroker interface {
	// DeleteSession ends a client's connection and forgets its session, or returns broker.ErrNotFound.
	DeleteSession(clientID string) error
	// Publish sends a message as the broker itself.
	Publish(ctx context.Context, m *broker.Message) error
	// Retained visits the retained messages that a filter matches, in no order.
	Retained(filter string) iter.Seq[*broker.Message]
	Authorize(id *broker.Identity, act broker.Action, name string) broker.Decision
	Withheld(m *broker.Message) (rule broker.RuleRef, withheld bool)
	// Subscribers lists who is subscribed to a topic.
	Subscribers(topicName string) []broker.SubscriberInfo
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
	if text := wholeText(b, size); utf8.Valid(text) {
		p.Payload = string(text)
	} else {
		p.Base64 = base64.StdEncoding.EncodeToString(b)
	}
	return p
}

// wholeText is the beginning b of size bytes without what may be half a character at its end.
func wholeText(b []byte, size int) []byte {
	if len(b) < size {
		for i := 0; i < utf8.UTFMax && len(b) > 0 && !utf8.Valid(b); i++ {
			b = b[:len(b)-1]
		}
	}
	return b
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
	Withheld string    `json:"withheld,omitempty" doc:"Why new subscribers do not get it: its sender may not publish it any more."`
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
		Data     string `json:"correlation_data,omitempty" maxLength:"65535"`
		IsText   bool   `json:"is_text,omitempty" doc:"Say that the payload is UTF-8 text."`
		User     []struct {
			Name  string `json:"name" maxLength:"1024"`
			Value string `json:"value" maxLength:"1024"`
		} `json:"user_properties,omitempty" maxItems:"32"`
	}
}

func (a *api) messageOperations() {
	tags := []string{"Messages"}
	operate(a, huma.Operation{OperationID: "query-topics", Method: http.MethodPost, Path: "/topics/query", Tags: tags, Summary: "Topics with their last values, sorted. Changes nothing.", Errors: []int{422}},
		access.ScopeRead, a.queryTopics)
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

// keyOf is a name as it stands in paths and forms: base64url.
func keyOf(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

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
	if len(p) > 0 {
		return nil, p
	}
	m := broker.NewMessage(b.Topic, payload, byte(b.QoS), b.Retain)
	m.PublisherID, m.Received = publisherAPI, time.Now()
	properties := publishProperties{
		ContentType: b.Content, ResponseTopic: b.Response, Correlation: b.Data, IsText: b.IsText, Expiry: b.Expiry,
	}
	for _, u := range b.User {
		properties.User = append(properties.User, [2]string{u.Name, u.Value})
	}
	if problem := properties.apply(m); problem != "" {
		return nil, access.Problems{"properties": problem}
	}
	retained := a.retainedOn(b.Topic)
	if err := a.cfg.Broker.Publish(ctx, m); err != nil {
		return nil, err
	}
	return nil, a.published(ctx, m, retained)
}
