package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/feed"
	"hearthmq/broker/packet"
	"hearthmq/ui"
)

// ingressBase is a path like the one Home Assistant puts in front.
const ingressBase = "/api/hassio_ingress/abcDEF_123"

// topicBroker remembers what the topics page asked of it.
type topicBroker struct {
	Broker // nil: what is not below is not asked for

	mu        sync.Mutex
	retained  map[string]bool
	published []*broker.Message
	feed      *feed.Feed
}

func (*topicBroker) Stats() broker.Stats            { return broker.Stats{} }
func (*topicBroker) Sessions() []broker.SessionInfo { return nil }
func (*topicBroker) Session(string) (broker.SessionInfo, []broker.SubscriptionInfo, error) {
	return broker.SessionInfo{}, nil, broker.ErrNotFound
}
func (b *topicBroker) Retained(name string) iter.Seq[*broker.Message] {
	return func(yield func(*broker.Message) bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.retained[name] {
			yield(broker.NewMessage(name, []byte("x"), 0, true))
		}
	}
}
func (*topicBroker) Subscribers(string) []broker.SubscriberInfo { return nil }
func (*topicBroker) Disconnect(string, packet.ReasonCode) error { return broker.ErrNotFound }

func (b *topicBroker) DropRetained(_ context.Context, names []string, tell bool) (dropped []*broker.Message, err error) {
	for _, name := range names {
		for m := range b.Retained(name) {
			dropped = append(dropped, m)
		}
		delete(b.retained, name)
	}
	if !tell {
		err = errors.New("nobody is told")
	}
	return dropped, err
}

func (b *topicBroker) Publish(_ context.Context, m *broker.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.published = append(b.published, m)
	b.feed.OnPublish(m)
	return nil
}

// topicsSite serves the topics page below ingressBase to an administrator. Its
// login ends when admin says so.
func topicsSite(t *testing.T, f *feed.Feed, b *topicBroker, admin func() bool) *httptest.Server {
	t.Helper()
	b.feed = f
	accounts := access.NewAccounts(access.NewMemoryRepository(), access.NewDirectory(access.Policy{}), nil, slog.New(slog.DiscardHandler))
	if err := accounts.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &Server{
		cfg: Config{
			Broker: b, Accounts: accounts, Directory: access.NewDirectory(access.Policy{}), Trash: new(feed.MemoryTrash), Feed: f, AdminOnly: true, Version: "HearthMQ test",
			IngressAdmin: func(context.Context, string) (bool, error) { return admin(), nil },
		},
		log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	r := chi.NewRouter()
	r.Use(headers("'self'", false), func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := withPrincipal(ui.WithBase(r.Context(), ingressBase), principal{
				name: "homeassistant:anna", display: "Anna", admin: true, embedded: true, haUser: "1",
			})
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}, s.recoverer, bodyLimit, s.sameOrigin)
	r.Method(http.MethodGet, "/static/*", ui.Assets())
	s.topicsRoutes(r)
	srv := httptest.NewServer(http.StripPrefix(ingressBase, r))
	t.Cleanup(srv.Close)
	return srv
}

func always() bool { return true }

func TestTopicsPageWithoutScript(t *testing.T) {
	f := feed.New(feed.Limits{})
	for _, name := range []string{"zigbee2mqtt/lamp", "<script>alert(1)</script>", "esp", "a\u202eb"} {
		f.OnPublish(&broker.Message{Topic: name, Payload: []byte("secret value")})
	}
	srv := topicsSite(t, f, &topicBroker{}, always)
	resp, err := srv.Client().Get(srv.URL + ingressBase + "/topics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page bytes.Buffer
	if _, err := page.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"zigbee2mqtt", "&lt;script&gt;alert(1)&lt;", "a\ufffdb", "<noscript>", "secret value"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page does not contain %q", want)
		}
	}
	for _, not := range []string{"<script>alert", "\u202e", " style=", " onclick="} {
		if strings.Contains(page.String(), not) {
			t.Errorf("the page contains %q", not)
		}
	}
}

func TestTopicActions(t *testing.T) {
	f := feed.New(feed.Limits{})
	b := &topicBroker{retained: map[string]bool{"a/b": true}}
	srv := topicsSite(t, f, b, always)
	for _, c := range []struct {
		name, path, kind, body string
		want                   int
	}{
		{"clear", "/topics/clear", "application/json", `{"topic":"a/b"}`, 204},
		{"clear again", "/topics/clear", "application/json", `{"topic":"a/b"}`, 404},
		{"clear a filter", "/topics/clear", "application/json", `{"topic":"a/#"}`, 422},
		{"clear nothing", "/topics/clear", "application/json", `{}`, 422},
		{"not JSON", "/topics/clear", "application/json", `topic=a/b`, 400},
		{"two values", "/topics/clear", "application/json", `{"topic":"a"}{}`, 400},
		{"a form", "/topics/clear", "text/plain", `{"topic":"a/b"}`, 415},
		{"unknown field", "/topics/clear", "application/json", `{"topic":"a","x":1}`, 400},
		{"publish", "/topics/publish", "application/json; charset=utf-8", `{"topic":"lamp/set","payload":"ON","qos":1,"retain":true}`, 204},
		{"publish QoS 3", "/topics/publish", "application/json", `{"topic":"x","payload":"","qos":3}`, 422},
		{"publish $SYS", "/topics/publish", "application/json", `{"topic":"$SYS/x","payload":""}`, 422},
		{"too large", "/topics/publish", "application/json", `{"topic":"x","payload":"` + strings.Repeat("x", 2<<20) + `"}`, 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+ingressBase+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", c.kind)
			req.Header.Set("Origin", srv.URL)
			resp, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != c.want {
				t.Errorf("status %d, want %d", resp.StatusCode, c.want)
			}
			if resp.StatusCode != http.StatusNoContent {
				var answer struct{ Error string }
				if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error == "" {
					t.Errorf("answer %+v, %v", answer, err)
				}
			}
		})
	}
	if len(b.published) != 1 || b.published[0].Topic != "lamp/set" || string(b.published[0].Payload) != "ON" ||
		b.published[0].QoS != 1 || !b.published[0].Retain || b.published[0].PublisherUser != "homeassistant:anna" {
		t.Errorf("published %+v", b.published)
	}
}

func TestTopicActionsFromElsewhere(t *testing.T) {
	b := &topicBroker{retained: map[string]bool{"a": true}}
	srv := topicsSite(t, feed.New(feed.Limits{}), b, always)
	for _, origin := range []string{"", "http://evil.example", "null"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+ingressBase+"/topics/clear", strings.NewReader(`{"topic":"a"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("origin %q: status %d", origin, resp.StatusCode)
		}
	}
	if !b.retained["a"] {
		t.Error("it was cleared all the same")
	}
}
