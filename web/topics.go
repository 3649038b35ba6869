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

// topicsPage is the live view of all topics. The page itself carries one level of
// them; the rest comes over the feed socket.
type topicsPage struct{ s *Server }

// topicsRoutes mounts the topics page, its actions and the live feed. Topics
// never stand in a URL: what an action is about comes in its JSON body.
func (s *Server) topicsRoutes(r chi.Router) {
	p := topicsPage{s}
	r.Get("/topics", s.handle(p.show))
	r.Post("/topics", s.handle(p.show))
	r.Post("/topics/clear", p.action(p.clear))
	r.Post("/topics/publish", p.action(p.publish))
	r.Post("/topics/sample", p.action(p.sample))
	r.Post("/topics/who", p.action(p.who))
	r.Post("/topics/pin", p.action(p.pin))
	r.Post("/topics/download", s.handle(p.download))
	// What the script asks again while it is shown.
	r.Post("/live/topics/history", p.action(p.history))
	r.Post("/live/topics/series", p.action(p.series))
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
type topicAction func(context.Context, topicRequest) (any, error)

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
	return do(r.Context(), req)
}

// clear deletes the retained message of a topic as the page of all of them does: it can be
// put back, and whoever is subscribed is told. Those of the broker itself stay.
func (p topicsPage) clear(ctx context.Context, req topicRequest) (any, error) {
	var list []*broker.Message
	if m := p.s.retainedOn(req.Topic); m != nil && !owned(m) {
		list = append(list, m)
	}
	dropped, _, err := p.s.remove(ctx, list, clipText(req.Topic, maxLogValue), true)
	if err != nil {
		return nil, err
	}
	if len(dropped) == 0 {
		p.s.cfg.Feed.Cleared(req.Topic) // whatever the page showed, there is none
		return nil, problemWith(http.StatusNotFound, "There is no retained message any more.")
	}
	return nil, nil
}
