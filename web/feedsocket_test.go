package web

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/feed"
)

// dialFeed opens the feed socket as a page of that origin; "" sends none.
func dialFeed(t *testing.T, url, origin string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	h := http.Header{}
	if origin != "" {
		h.Set("Origin", origin)
	}
	ws, resp, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(url, "http")+ingressBase+"/ws", h)
	if err == nil {
		t.Cleanup(func() { ws.Close() })
	}
	return ws, resp, err
}

// frames reads frames until want says that it has seen what it waits for.
func frames(t *testing.T, ws *websocket.Conn, want func(map[string]json.RawMessage) bool) {
	t.Helper()
	if err := ws.SetReadDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	for {
		_, b, err := ws.ReadMessage()
		if err != nil {
			t.Fatalf("the frame never came: %v", err)
		}
		var f map[string]json.RawMessage
		if err := json.Unmarshal(b, &f); err != nil {
			t.Fatalf("frame %q: %v", b, err)
		}
		if want(f) {
			return
		}
	}
}

func has(key string) func(map[string]json.RawMessage) bool {
	return func(f map[string]json.RawMessage) bool { _, ok := f[key]; return ok }
}

func TestFeedSocketOrigin(t *testing.T) { // case W11
	srv := topicsSite(t, feed.New(feed.Limits{}), &topicBroker{}, always)
	for _, c := range []struct {
		origin string
		ok     bool
	}{
		{srv.URL, true},
		{strings.Replace(srv.URL, "http:", "https:", 1), true}, // TLS ends in front of Home Assistant
		{strings.Replace(srv.URL, "127.0.0.1", "evil.example", 1), false},
		{"http://127.0.0.1:1", false},
		{"null", false},
		{"", false},
		{"file://" + strings.TrimPrefix(srv.URL, "http://"), false},
	} {
		ws, resp, err := dialFeed(t, srv.URL, c.origin)
		if (err == nil) != c.ok {
			t.Errorf("origin %q: %v", c.origin, err)
		}
		if !c.ok && (resp == nil || resp.StatusCode != http.StatusForbidden) {
			t.Errorf("origin %q: response %v", c.origin, resp)
		}
		if ws != nil {
			ws.Close()
		}
	}
}

func TestFeedSocketSpeaks(t *testing.T) {
	f := feed.New(feed.Limits{})
	f.OnPublish(&broker.Message{Topic: "a/b", Payload: []byte(`{"x":1}`), Received: time.Now()})
	srv := topicsSite(t, f, &topicBroker{}, always)
	ws, _, err := dialFeed(t, srv.URL, srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	frames(t, ws, has("hello"))
	frames(t, ws, func(m map[string]json.RawMessage) bool {
		if string(m["list"]) == "" {
			return false
		}
		if got := string(m["list"]); got != `{"from":0,"to":1,"all":1,"topics":1,"rows":[[0,1,1,-1,1,1,2,1,"a"]]}` {
			t.Errorf("list %s", got)
		}
		return true
	})
	for _, c := range []struct{ send, frame, part string }{
		{`{"open":1}`, "list", `[[0,1,1,-1,1,1,6,1,"a"],[1,2,2,0,1,1,1,0,"b"]]`},
		{`{"close":1}`, "list", `[[0,1,1,-1,1,1,2,1,"a"]]`},
		{`{"reopen":["a","b"]}`, "opened", `[[1,"a"]]`},
		{`{"view":[1,2]}`, "list", `{"from":1,"to":2,"all":2,`},
		{`{"view":[-5,99999]}`, "list", `{"from":0,"to":2,"all":2,`},
		{`{"go":{"topic":"a/b","reveal":true}}`, "at", `[1,2,1,1]`},
		{`{"seek":{"text":"B","from":0}}`, "at", `[1,2,0,1]`},
		{`{"go":{"topic":"a/c"}}`, "at", `[-1,0,1,0]`},
		{`{"select":2}`, "detail", `"value":"{\"x\":1}"`},
		{`{"select":1}`, "detail", `{"id":1,"topic":"a"}`},
		{`{"filter":"b"}`, "match", `{"filter":"b","count":1}`},
		{`{"filter":"zzz"}`, "match", `{"filter":"zzz","count":0}`},
	} {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(c.send)); err != nil {
			t.Fatal(err)
		}
		frames(t, ws, func(m map[string]json.RawMessage) bool {
			got, ok := m[c.frame]
			if ok && !strings.Contains(string(got), c.part) {
				t.Errorf("%s answered with %s", c.send, got)
			}
			return ok
		})
	}
}

func TestFeedSocketNonsense(t *testing.T) {
	srv := topicsSite(t, feed.New(feed.Limits{}), &topicBroker{}, always)
	ws, _, err := dialFeed(t, srv.URL, srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	frames(t, ws, has("hello"))
	if err := ws.WriteMessage(websocket.TextMessage, []byte("{")); err != nil {
		t.Fatal(err)
	}
	frames(t, ws, func(m map[string]json.RawMessage) bool { return string(m["bye"]) == `"request"` })
	// A request beyond the limit ends the connection without being read.
	ws, _, err = dialFeed(t, srv.URL, srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	frames(t, ws, has("hello"))
	_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"filter":"`+strings.Repeat("x", 1<<20)+`"}`))
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			break
		}
	}
}

func TestFeedSocketEndsWithTheLogin(t *testing.T) { // case W11
	var admin atomic.Bool
	admin.Store(true)
	srv := topicsSite(t, feed.New(feed.Limits{}), &topicBroker{}, admin.Load)
	ws, _, err := dialFeed(t, srv.URL, srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	frames(t, ws, has("hello"))
	admin.Store(false)
	machine, start := brokertest.WatchMachine(), time.Now()
	frames(t, ws, func(m map[string]json.RawMessage) bool { return string(m["bye"]) == `"login"` })
	if took := time.Since(start); took > 1500*time.Millisecond {
		machine.Timing(t, "the feed went on for %v", took)
	}
	if _, _, err := ws.ReadMessage(); err == nil {
		t.Error("the socket is still open")
	}
}

func TestFeedSocketFull(t *testing.T) {
	srv := topicsSite(t, feed.New(feed.Limits{Views: 1}), &topicBroker{}, always)
	first, _, err := dialFeed(t, srv.URL, srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	frames(t, first, has("hello"))
	second, _, err := dialFeed(t, srv.URL, srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	frames(t, second, func(m map[string]json.RawMessage) bool { return string(m["bye"]) == `"full"` })
}

func TestFeedSocketSaysThatTheServerStops(t *testing.T) {
	base, stop := context.WithCancel(t.Context())
	s := &Server{cfg: Config{Feed: feed.New(feed.Limits{})}, log: slog.New(slog.DiscardHandler)}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.feedSocket(w, r.WithContext(withPrincipal(r.Context(), principal{embedded: true})))
	}))
	srv.Config.BaseContext = func(net.Listener) context.Context { return base }
	srv.Start()
	t.Cleanup(srv.Close)
	ws, _, err := dialFeed(t, srv.URL, srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	frames(t, ws, has("hello"))
	stop()
	frames(t, ws, func(m map[string]json.RawMessage) bool { return string(m["bye"]) == `"restart"` })
}

func TestWatchLogin(t *testing.T) { // case W11: at most a second
	synctest.Test(t, func(t *testing.T) {
		var allowed atomic.Bool
		allowed.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- watchLogin(ctx, func(context.Context) bool { return allowed.Load() }) }()
		<-time.After(time.Hour)
		start := time.Now()
		allowed.Store(false)
		if err := <-ended; err != errBye(byeLogin) {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(start); took > feedRecheck {
			t.Errorf("after %v", took)
		}
	})
}
