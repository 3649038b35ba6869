package web

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Bounds of following a trace.
const (
	maxFollowers   = 32               // at the same time
	followBeat     = 15 * time.Second // an empty line when there is no packet: proxies end what is silent
	followWrite    = 10 * time.Second // for what is ready
	followPatience = time.Second      // how often the token is looked at
)

type followInput struct {
	traceInput
	After uint64 `query:"after" doc:"seq of the last packet that is known."`
}

// packetStream describes an answer of lines of JSON.
func (a *api) packetStream() map[string]*huma.Response {
	packet := a.doc.Components.Schemas.Schema(reflect.TypeFor[apiPacket](), true, "")
	return map[string]*huma.Response{"200": {
		Description: "Lines of JSON, one for each packet, until the trace ends", Content: map[string]*huma.MediaType{"application/x-ndjson": {Schema: packet}},
	}}
}

// follow answers with the packets of a trace as they come.
func (a *api) follow(ctx context.Context, in *followInput) (*download, error) {
	if _, _, err := a.tracing.get(in.ID); err != nil {
		return nil, err
	}
	return &download{func(w http.ResponseWriter) {
		if a.followers.Add(1) > maxFollowers {
			a.followers.Add(-1)
			writeProblem(w, http.StatusTooManyRequests, "too many follow traces already")
			return
		}
		defer a.followers.Add(-1)
		a.stream(ctx, w, in.ID, in.After)
	}}, nil
}

// stream writes packets until the trace ends, the reader is gone, or the token no longer
// stands (case W11).
func (a *api) stream(ctx context.Context, w http.ResponseWriter, id string, after uint64) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	tick := time.NewTicker(packetStep)
	defer tick.Stop()
	said, checked := time.Time{}, time.Now()
	defer func() { _ = out.SetWriteDeadline(time.Time{}) }() // the connection's next answer has none
	for ctx.Err() == nil {
		x, stopped, err := a.tracing.get(id)
		if err != nil {
			return
		}
		list := x.trace.After(after, tracePage)
		if len(list) > 0 || time.Since(said) >= followBeat {
			said = time.Now()
			_ = out.SetWriteDeadline(said.Add(followWrite)) // not every writer knows deadlines; a connection's does
			for _, p := range list {
				after = p.Seq
				if lines.Encode(packetOf(p)) != nil {
					return
				}
			}
			if len(list) == 0 {
				if _, err := w.Write([]byte("\n")); err != nil {
					return
				}
			}
			if out.Flush() != nil {
				return
			}
		}
		if stopped && len(list) < tracePage {
			return
		}
		if time.Since(checked) >= followPatience {
			checked = time.Now()
			if !a.allowed(ctx) {
				return
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
