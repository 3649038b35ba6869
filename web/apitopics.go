package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker/access"
	"hearthmq/broker/feed"
	"hearthmq/broker/topic"
)

type topicInput struct {
	Topic string `path:"topic" maxLength:"87384" doc:"Topic as base64url without padding."`
}

// name returns the topic that is meant.
func (in *topicInput) name() (string, error) {
	name, err := nameOf(in.Topic)
	if err == nil && topic.ValidName(name) != nil {
		err = access.Problems{"topic": "must be a topic, without wildcards"}
	}
	return name, err
}

type messageInput struct {
	topicInput
	Seq uint64 `query:"seq" doc:"Of a message of its history; 0: the last one."`
}

type topicOutput struct{ Body apiTopic }

type historyInput struct {
	topicInput
	Before uint64 `query:"before" doc:"seq of the last message of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Most   int    `query:"max_payload" minimum:"0" maximum:"65536" default:"1024" doc:"Bytes of each value that are wanted at most."`
}

type apiMessage struct {
	Seq uint64 `json:"seq"`
	APIPayload
	QoS      int       `json:"qos"`
	Retained bool      `json:"retained"`
	At       time.Time `json:"at"`
	ClientID string    `json:"client_id"`
	User     string    `json:"user"`
}

type historyOutput struct {
	Body struct {
		Messages []apiMessage `json:"messages" doc:"The newest first."`
		Total    int          `json:"total" doc:"Messages that are kept."`
		Pinned   bool         `json:"pinned" doc:"They are kept over restarts."`
		More     bool         `json:"more"`
	}
}

type seriesInput struct {
	topicInput
	Path   string `query:"path" maxLength:"1024" doc:"JSON Pointer to a number in the value, such as /battery; empty: the value is the number."`
	Points int    `query:"points" minimum:"1" maximum:"1000" default:"300"`
}

type apiPoint struct {
	At    time.Time `json:"at"`
	Min   float64   `json:"min"`
	Max   float64   `json:"max"`
	Last  float64   `json:"last"`
	Count int       `json:"count"`
}

type seriesOutput struct {
	Body struct {
		Points []apiPoint `json:"points"`
		Count  int        `json:"count" doc:"Numbers that were found."`
		Missed int        `json:"missed" doc:"Messages that have no number there."`
		From   time.Time  `json:"from,omitzero" doc:"Of the oldest message that was looked at."`
	}
}

type whoOutput struct{ Body whoAnswer }

type pinInput struct {
	topicInput
	Body struct {
		On bool `json:"on"`
	}
}

func (a *api) topicOperations() {
	tags := []string{"Messages"}
	page := topicsPage{a.Server}
	operate(a, huma.Operation{OperationID: "get-topic", Method: http.MethodGet, Path: "/topics/{topic}", Tags: tags, Summary: "A value of a topic, whole as far as it is kept", Errors: []int{404}},
		access.ScopeRead, func(_ context.Context, in *messageInput) (*topicOutput, error) {
			name, err := in.name()
			if err != nil {
				return nil, err
			}
			s, err := page.message(name, in.Seq)
			if err != nil {
				return nil, err
			}
			return &topicOutput{apiTopic{
				Topic: name, Key: keyOf(name), APIPayload: payloadOf(s.Payload, s.Size), QoS: int(s.QoS), Retained: s.Retain,
				At: s.At, ClientID: s.ClientID, User: s.User,
			}}, nil
		})
	operate(a, huma.Operation{OperationID: "get-history", Method: http.MethodGet, Path: "/topics/{topic}/history", Tags: tags, Errors: []int{404},
		Summary: "What came on a topic; the first question begins to keep it"},
		access.ScopeRead, a.history)
	operate(a, huma.Operation{OperationID: "get-series", Method: http.MethodGet, Path: "/topics/{topic}/series", Tags: tags, Summary: "A number in the values of a topic over time", Errors: []int{404}},
		access.ScopeRead, a.series)
	operate(a, huma.Operation{OperationID: "who", Method: http.MethodGet, Path: "/topics/{topic}/who", Tags: tags, Summary: "Who publishes to a topic, who is subscribed to it, who may and why"},
		access.ScopeRead, func(_ context.Context, in *topicInput) (*whoOutput, error) {
			name, err := in.name()
			if err != nil {
				return nil, err
			}
			return &whoOutput{page.whoHas(name)}, nil
		})
	operate(a, huma.Operation{OperationID: "pin-topic", Method: http.MethodPut, Path: "/topics/{topic}/pin", Tags: tags, Summary: "Keep the history of a topic over restarts, or no more", Errors: []int{404, 409}},
		access.ScopeAdmin, func(ctx context.Context, in *pinInput) (*emptyOutput, error) {
			name, err := in.name()
			if err != nil {
				return nil, err
			}
			if err = a.pin(ctx, name, in.Body.On); errors.Is(err, feed.ErrTooManyPins) {
				return nil, huma.Error409Conflict(tooManyPins)
			}
			return nil, err
		})
}

func (a *api) history(_ context.Context, in *historyInput) (*historyOutput, error) {
	name, err := in.name()
	if err != nil {
		return nil, err
	}
	h, err := a.cfg.Feed.History(name)
	if err != nil {
		return nil, err
	}
	out := new(historyOutput)
	out.Body.Messages, out.Body.Total, out.Body.Pinned = []apiMessage{}, len(h.Samples), h.Pinned
	for _, s := range slices.Backward(h.Samples) {
		if in.Before > 0 && s.Seq >= in.Before {
			continue
		}
		if len(out.Body.Messages) == in.Limit {
			out.Body.More = true
			break
		}
		out.Body.Messages = append(out.Body.Messages, apiMessage{
			Seq: s.Seq, APIPayload: payloadOf(s.Payload[:min(len(s.Payload), in.Most)], s.Size), QoS: int(s.QoS), Retained: s.Retain,
			At: s.At, ClientID: s.ClientID, User: s.User,
		})
	}
	return out, nil
}

func (a *api) series(_ context.Context, in *seriesInput) (*seriesOutput, error) {
	name, err := in.name()
	if err != nil {
		return nil, err
	}
	path, err := pointer(in.Path)
	if err != nil {
		return nil, err
	}
	s, err := a.cfg.Feed.Series(name, path, in.Points)
	if err != nil {
		return nil, err
	}
	out := new(seriesOutput)
	out.Body.Points, out.Body.Count, out.Body.Missed, out.Body.From = []apiPoint{}, s.Count, s.Missed, s.From
	for _, x := range s.Points {
		out.Body.Points = append(out.Body.Points, apiPoint{At: x.At, Min: x.Min, Max: x.Max, Last: x.Last, Count: x.Count})
	}
	return out, nil
}

// pointer reads a JSON Pointer (RFC 6901).
func pointer(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	path := strings.Split(text, "/")
	if path[0] != "" || len(path) > maxPath {
		return nil, access.Problems{"path": "must be a JSON Pointer, such as /battery"}
	}
	for i, part := range path {
		path[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
	}
	return path[1:], nil
}
