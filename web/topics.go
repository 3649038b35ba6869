package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// TopicBroker is what the topics page needs of the broker beyond Broker. A
// Broker without it can be looked at only.
type TopicBroker interface {
	// ClearRetained drops the retained message of a topic, or returns broker.ErrNotFound.
	ClearRetained(topicName string) error
	// Publish sends a message as the broker itself.
	Publish(ctx context.Context, m *broker.Message) error
}

// topicsPage is the live view of all topics. The page itself carries one level of
// them; the rest comes over the feed socket.
type topicsPage struct{ s *Server }

// topicsRoutes mounts the topics page, its actions and the live feed. Topics
// never stand in a URL: what an action is about comes in its JSON body.
func (s *Server) topicsRoutes(r chi.Router) {
	p := topicsPage{s}
	r.Get("/topics", s.handle(p.show))
	r.Post("/topics", s.handle(p.show))
	r.Post("/topics/clear", p.action(changing(p.clear)))
	r.Post("/topics/publish", p.action(changing(p.publish)))
	r.Post("/topics/sample", p.action(reading(p.sample)))
	r.Post("/topics/who", p.action(reading(p.who)))
	r.Post("/topics/pin", p.action(reading(p.pin)))
	r.Post("/topics/download", s.handle(p.download))
	// What the script asks again while it is shown.
	r.Post("/live/topics/history", p.action(reading(p.history)))
	r.Post("/live/topics/series", p.action(reading(p.series)))
	r.Get("/ws", s.feedSocket)
}

// topicRequest is what the page's script sends; each action reads its part of it.
type topicRequest struct {
	Topic string `json:"topic"`

	Payload    string            `json:"payload"`
	Encoding   string            `json:"encoding"` // text, base64, hex
	QoS        byte              `json:"qos"`
	Retain     bool              `json:"retain"`
	Properties publishProperties `json:"properties"`

	Seq  uint64   `json:"seq"`  // of a message of the history
	Form string   `json:"form"` // how to decode it
	Path []string `json:"path"` // to a number in the payload
	On   bool     `json:"on"`   // pinned
}

// topicAction does something and returns what is answered as JSON, nil for nothing.
type topicAction func(context.Context, *topicsPage, topicRequest) (any, error)

// changing makes an action of one that needs a broker that can be changed.
func changing(do func(context.Context, TopicBroker, topicRequest) (any, error)) topicAction {
	return func(ctx context.Context, p *topicsPage, req topicRequest) (any, error) {
		b, ok := p.s.cfg.Broker.(TopicBroker)
		if !ok {
			return nil, problemWith(http.StatusNotImplemented, "This broker can't be changed from here.")
		}
		return do(ctx, b, req)
	}
}

func reading(do func(context.Context, topicRequest) (any, error)) topicAction {
	return func(ctx context.Context, _ *topicsPage, req topicRequest) (any, error) { return do(ctx, req) }
}

// topicProblem is an answer that the page shows beside its form.
type topicProblem struct {
	status int
	text   string
}

func (e *topicProblem) Error() string { return e.text }

func problemWith(status int, text string) error { return &topicProblem{status, text} }

// action answers a request of the page's script: 204, JSON, or {"error": "…"}.
func (p topicsPage) action(do topicAction) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := p.run(r, do)
		if err == nil && answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		status := http.StatusOK
		if err != nil {
			problem, ok := errors.AsType[*topicProblem](err)
			if !ok {
				p.s.log.Error("topic action failed", "path", r.URL.Path, "user", principalOf(r.Context()).name, "err", err)
				problem = &topicProblem{http.StatusInternalServerError, "That did not work; the log says why."}
			}
			answer, status = map[string]string{"error": problem.text}, problem.status
		}
		body, err := json.Marshal(answer)
		if err != nil {
			p.s.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = w.Write(body) // the browser is gone: nobody to tell
	}
}

func (p topicsPage) run(r *http.Request, do topicAction) (any, error) {
	// A form of another site can't send this type without asking first.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, problemWith(http.StatusUnsupportedMediaType, "JSON is expected here.")
	}
	var req topicRequest
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, problemWith(http.StatusRequestEntityTooLarge, "The message is too large for this page: 1 MiB at most.")
		}
		return nil, problemWith(http.StatusBadRequest, "The request was not understood.")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, problemWith(http.StatusBadRequest, "The request was not understood.")
	}
	if err := topic.ValidName(req.Topic); err != nil {
		return nil, problemWith(http.StatusUnprocessableEntity, "The topic "+err.Error()+".")
	}
	return do(r.Context(), &p, req)
}

func (p topicsPage) clear(ctx context.Context, b TopicBroker, req topicRequest) (any, error) {
	if err := b.ClearRetained(req.Topic); errors.Is(err, broker.ErrNotFound) {
		p.s.cfg.Feed.Cleared(req.Topic) // whatever the page showed, there is none
		return nil, problemWith(http.StatusNotFound, "There is no retained message any more.")
	} else if err != nil {
		return nil, err
	}
	p.s.cfg.Feed.Cleared(req.Topic)
	p.s.log.Info("retained message cleared in the admin", "user", principalOf(ctx).name, "topic", req.Topic)
	return nil, nil
}
