package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"hearthmq/broker/feed"
)

// Bounds of a feed socket.
const (
	feedReadLimit    = 512 << 10        // bytes of a request: a topic may have 64 kB, and JSON blows up some
	feedWriteTimeout = 10 * time.Second // for one frame
	feedHeartbeat    = 20 * time.Second // an empty frame when there is no news
	feedSilence      = 90 * time.Second // without a word from the browser; background tabs wake once a minute
	feedRecheck      = time.Second      // how often the login behind the socket is looked at
)

// Reasons for the end that a browser is told in-band: close codes do not
// survive Home Assistant's proxies.
const (
	byeLogin   = "login"   // the login ended or was revoked
	byeRestart = "restart" // the server stops
	byeFull    = "full"    // too many browsers
	byeRequest = "request" // the browser sent nonsense
)

// feedRequest is what a browser says; parts that are missing are not meant.
type feedRequest struct {
	View   *[2]int   `json:"view"`   // first row and how many
	Sys    *bool     `json:"sys"`    // the broker's own topics are listed
	Open   *uint32   `json:"open"`   // id of a folder
	Close  *uint32   `json:"close"`  // id of a folder
	Fold   *bool     `json:"fold"`   // close all folders
	Reopen *[]string `json:"reopen"` // folders by their topics, after a connection was lost
	Go     *feedGoal `json:"go"`
	Seek   *feedSeek `json:"seek"`
	Reveal *bool     `json:"reveal"` // go to what is selected
	Select *uint32   `json:"select"` // id of the row whose detail is wanted
	Filter *string   `json:"filter"`
	Regexp *string   `json:"regexp"` // a filter that is a regular expression
	Form   *string   `json:"form"`   // how to decode what is selected
	Pause  *bool     `json:"pause"`
	Here   *bool     `json:"here"` // only a sign of life
}

// feedGoal is a topic to select, and maybe to go to.
type feedGoal struct {
	Topic  string `json:"topic"`
	Reveal bool   `json:"reveal"`
}

// feedSeek looks for a row whose name begins with a text.
type feedSeek struct {
	Text string `json:"text"`
	From int    `json:"from"`
}

// feedSocket serves GET /ws. The login was checked before it came here; it is
// checked again for as long as the socket lasts (case W11).
func (s *Server) feedSocket(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{
		HandshakeTimeout: feedWriteTimeout,
		ReadBufferSize:   1 << 10,
		WriteBufferSize:  16 << 10,
		CheckOrigin:      originIsOurs,
		Error: func(w http.ResponseWriter, _ *http.Request, status int, _ error) {
			http.Error(w, http.StatusText(status), status)
		},
	}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		s.log.Debug("feed socket refused", "remote", r.RemoteAddr, "err", err) // Upgrade has answered
		return
	}
	f := &feedConn{ws: ws}
	defer ws.Close()
	f.view, err = s.cfg.Feed.NewView(feed.ViewOptions{})
	if err != nil {
		f.bye(byeFull)
		return
	}
	defer f.view.Close()
	f.serve(r.Context(), s.cfg.Version, s.allowed)
}

// originIsOurs reports whether a page of ours asks. Requests without Origin come
// from programs, not from browsers, and are refused: there is an API for them.
func originIsOurs(r *http.Request) bool {
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && (origin.Scheme == "http" || origin.Scheme == "https") &&
		origin.Host != "" && strings.EqualFold(origin.Host, r.Host)
}

// feedConn is one browser's live feed. One goroutine reads, one looks after the
// login, serve itself writes.
type feedConn struct {
	ws   *websocket.Conn
	view *feed.View
	buf  []byte
}

// errBye ends a feed; its text is the reason for the browser.
type errBye string

func (e errBye) Error() string { return "feed ends: " + string(e) }

// serve returns when the browser is gone, the login ended or ctx did.
func (f *feedConn) serve(ctx context.Context, version string, allowed func(context.Context) bool) {
	base := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	var others sync.WaitGroup
	others.Go(func() { cancel(f.read()) }) // ends when the socket is closed below
	others.Go(func() { cancel(watchLogin(ctx, allowed)) })
	err := f.write(ctx, version)
	cancel(err)
	if bye, ok := errors.AsType[errBye](context.Cause(ctx)); ok {
		f.bye(string(bye))
	} else if base.Err() != nil {
		f.bye(byeRestart)
	}
	f.ws.Close()
	others.Wait()
}

// watchLogin returns when the login behind the socket ended, or ctx did.
func watchLogin(ctx context.Context, allowed func(context.Context) bool) error {
	tick := time.NewTicker(feedRecheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if !allowed(ctx) && ctx.Err() == nil {
				return errBye(byeLogin)
			}
		}
	}
}

// write sends what is new until ctx ends or the socket takes no more.
func (f *feedConn) write(ctx context.Context, version string) error {
	hello, err := json.Marshal(map[string]any{"hello": map[string]any{"version": version, "visible": feed.MaxVisible}})
	if err != nil {
		return err
	}
	if err := f.send(hello); err != nil {
		return err
	}
	for {
		u, err := f.next(ctx)
		if err != nil {
			return err
		}
		f.buf = u.AppendJSON(f.buf[:0])
		if err := f.send(f.buf); err != nil {
			return err
		}
	}
}

// next waits for news, at most until it is time for a heartbeat.
func (f *feedConn) next(ctx context.Context) (*feed.Update, error) {
	beat, cancel := context.WithTimeout(ctx, feedHeartbeat)
	defer cancel()
	u, err := f.view.Next(beat)
	if err != nil && ctx.Err() == nil && beat.Err() != nil {
		return &feed.Update{}, nil
	}
	return u, err
}

func (f *feedConn) send(frame []byte) error {
	if err := f.ws.SetWriteDeadline(time.Now().Add(feedWriteTimeout)); err != nil {
		return err
	}
	return f.ws.WriteMessage(websocket.TextMessage, frame)
}

// bye tells the browser why the feed ends. Nobody may be there to hear it.
func (f *feedConn) bye(reason string) {
	frame, err := json.Marshal(map[string]string{"bye": reason})
	if err != nil {
		return
	}
	if f.send(frame) == nil {
		_ = f.ws.WriteControl(websocket.CloseMessage,
			websocket.FormatCloseMessage(websocket.CloseNormalClosure, reason), time.Now().Add(time.Second))
	}
}

// read takes requests until the socket is closed or stays silent for too long.
func (f *feedConn) read() error {
	f.ws.SetReadLimit(feedReadLimit)
	for {
		if err := f.ws.SetReadDeadline(time.Now().Add(feedSilence)); err != nil {
			return err
		}
		kind, frame, err := f.ws.ReadMessage() // answers pings by itself
		if err != nil {
			return err
		}
		var req feedRequest
		if kind != websocket.TextMessage || json.Unmarshal(frame, &req) != nil {
			return errBye(byeRequest)
		}
		f.apply(req)
	}
}

func (f *feedConn) apply(req feedRequest) {
	if req.Sys != nil {
		f.view.ShowSys(*req.Sys)
	}
	if req.Reopen != nil {
		f.view.Reopen(*req.Reopen)
	}
	if req.Open != nil {
		f.view.Fold(*req.Open, true)
	}
	if req.Close != nil {
		f.view.Fold(*req.Close, false)
	}
	if req.Fold != nil {
		f.view.FoldAll()
	}
	if req.Filter != nil {
		f.view.Filter(*req.Filter)
	}
	if req.Regexp != nil {
		f.view.Regexp(*req.Regexp)
	}
	if req.View != nil {
		f.view.Show(req.View[0], req.View[1])
	}
	if req.Select != nil {
		f.view.Select(*req.Select)
	}
	if req.Go != nil {
		f.view.Go(req.Go.Topic, req.Go.Reveal)
	}
	if req.Reveal != nil {
		f.view.Reveal()
	}
	if req.Seek != nil {
		f.view.Seek(req.Seek.Text, req.Seek.From)
	}
	if req.Form != nil {
		f.view.Form(*req.Form)
	}
	if req.Pause != nil {
		f.view.Pause(*req.Pause)
	}
}
