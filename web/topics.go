package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker"
	"hearthmq/broker/topic"
	"hearthmq/ui"
)

// TopicBroker is what the topics page needs of the broker beyond Broker. A
// Broker without it can be looked at only.
type TopicBroker interface {
	// ClearRetained drops the retained message of a topic, or returns broker.ErrNotFound.
	ClearRetained(topicName string) error
	// Publish sends a message as the broker itself.
	Publish(ctx context.Context, m *broker.Message) error
}

// topicsPage is the live view of all topics. The page itself carries the top
// level only; the rest comes over the feed socket.
type topicsPage struct{ s *Server }

// topicsRoutes mounts the topics page, its actions and the live feed. Topics
// never stand in a URL: what an action is about comes in its JSON body.
func (s *Server) topicsRoutes(r chi.Router) {
	p := topicsPage{s}
	r.Get("/topics", s.handle(p.show))
	r.Post("/topics/clear", p.action(p.clear))
	r.Post("/topics/publish", p.action(p.publish))
	r.Get("/ws", s.feedSocket)
}

// firstTopics is how many names of the top level the page itself lists.
const firstTopics = 500

func (p topicsPage) show(w http.ResponseWriter, r *http.Request) error {
	v := p.s.view(r, "Topics", "topics", "topics-page")
	v.Full = true
	names, all := p.s.cfg.Feed.Top(firstTopics)
	_, changeable := p.s.cfg.Broker.(TopicBroker)
	return p.s.render(w, r, http.StatusOK, ui.TopicsPage(v, ui.TopicsView{
		Top: names, TopCount: all, Topics: p.s.cfg.Feed.Totals().Topics, Changeable: changeable,
	}))
}

// topicRequest is what the page's script sends.
type topicRequest struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
	QoS     byte   `json:"qos"`
	Retain  bool   `json:"retain"`
}

// topicProblem is an answer that the page shows beside its form.
type topicProblem struct {
	status int
	text   string
}

func (e *topicProblem) Error() string { return e.text }

func problemWith(status int, text string) error { return &topicProblem{status, text} }

// action answers a request of the page's script: 204, or {"error": "…"}.
func (p topicsPage) action(do func(context.Context, TopicBroker, topicRequest) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := p.run(r, do)
		if err == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		problem, ok := errors.AsType[*topicProblem](err)
		if !ok {
			p.s.log.Error("topic action failed", "path", r.URL.Path, "user", principalOf(r.Context()).name, "err", err)
			problem = &topicProblem{http.StatusInternalServerError, "That did not work; the log says why."}
		}
		body, err := json.Marshal(map[string]string{"error": problem.text})
		if err != nil {
			p.s.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(problem.status)
		_, _ = w.Write(body) // the browser is gone: nobody to tell
	}
}

func (p topicsPage) run(r *http.Request, do func(context.Context, TopicBroker, topicRequest) error) error {
	// A form of another site can't send this type without asking first.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return problemWith(http.StatusUnsupportedMediaType, "JSON is expected here.")
	}
	b, ok := p.s.cfg.Broker.(TopicBroker)
	if !ok {
		return problemWith(http.StatusNotImplemented, "This broker can't be changed from here.")
	}
	var req topicRequest
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return problemWith(http.StatusRequestEntityTooLarge, "The message is too large for this page: 1 MiB at most.")
		}
		return problemWith(http.StatusBadRequest, "The request was not understood.")
	}
	if _, err := d.Token(); err != io.EOF {
		return problemWith(http.StatusBadRequest, "The request was not understood.")
	}
	if err := topic.ValidName(req.Topic); err != nil {
		return problemWith(http.StatusUnprocessableEntity, "The topic "+err.Error()+".")
	}
	return do(r.Context(), b, req)
}

func (p topicsPage) clear(ctx context.Context, b TopicBroker, req topicRequest) error {
	if err := b.ClearRetained(req.Topic); errors.Is(err, broker.ErrNotFound) {
		p.s.cfg.Feed.Cleared(req.Topic) // whatever the page showed, there is none
		return problemWith(http.StatusNotFound, "There is no retained message any more.")
	} else if err != nil {
		return err
	}
	p.s.cfg.Feed.Cleared(req.Topic)
	p.s.log.Info("retained message cleared in the admin", "user", principalOf(ctx).name, "topic", req.Topic)
	return nil
}

func (p topicsPage) publish(ctx context.Context, b TopicBroker, req topicRequest) error {
	if req.QoS > 2 {
		return problemWith(http.StatusUnprocessableEntity, "QoS is 0, 1 or 2.")
	}
	if req.Topic[0] == '$' {
		return problemWith(http.StatusUnprocessableEntity, "Topics that begin with $ belong to the broker.")
	}
	m := broker.NewMessage(req.Topic, []byte(req.Payload), req.QoS, req.Retain)
	m.PublisherID, m.PublisherUser = "HearthMQ admin", principalOf(ctx).name
	m.Received = time.Now()
	if err := b.Publish(ctx, m); err != nil {
		return err
	}
	p.s.log.Info("message published in the admin", "user", principalOf(ctx).name, "topic", req.Topic)
	return nil
}
