package access_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/feed"
	"hearthmq/broker/packet"
)

// home is a broker with the real Directory, under a fake clock.
type home struct {
	*testing.T
	b        *broker.Broker
	dir      *access.Directory
	accounts *access.Accounts
	denials  *access.Denials
	explain  *access.Explainer
	feed     *feed.Feed
	cfg      broker.Config
	deps     broker.Deps
	repo     access.Repository
}

// inHouse runs f with a broker. change may alter what it is made of.
func inHouse(t *testing.T, p access.Policy, change func(h *home), f func(h *home)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p.Hashing.Cost = access.Cost{Time: 1, MemoryKiB: 8, Threads: 1}
		h := &home{T: t, cfg: broker.DefaultConfig(), dir: access.NewDirectory(p), denials: access.NewDenials(), feed: feed.New(feed.Limits{})}
		log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		h.repo = access.NewMemoryRepository()
		h.accounts = access.NewAccounts(h.repo, h.dir, nil, log)
		h.must(h.accounts.Open(t.Context()))
		h.deps = broker.Deps{Authenticator: h.dir, Authorizer: h.dir, Store: broker.NewMemoryStore(), Observer: broker.Observers{h.feed, h.denials}, Log: log}
		if change != nil {
			change(h)
		}
		h.start()
		t.Cleanup(h.stop)
		f(h)
	})
}

func (h *home) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *home) start() {
	h.Helper()
	var err error
	h.b, err = broker.New(h.cfg, h.deps)
	h.must(err)
	h.accounts.SetRevalidator(h.b)
	h.accounts.SetSessions(h.b)
	h.explain = &access.Explainer{Directory: h.dir, Denials: h.denials, Sessions: h.b, Topics: h.feed, Ports: func() string { return "1883 (MQTT)" }}
}

func (h *home) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.b.Shutdown(ctx); err != nil {
		h.Error(err)
	}
	synctest.Wait()
}

const password = "correct horse"

// user adds a user with rules of its own.
func (h *home) user(name string, rules ...string) {
	h.Helper()
	_, _, err := h.accounts.CreateUser(h.Context(), access.NewUser{Name: name, Password: password, Rules: h.rules(rules...)})
	h.must(err)
}

func (h *home) rules(texts ...string) []access.Rule {
	h.Helper()
	list := make([]access.Rule, 0, len(texts))
	for _, text := range texts {
		r, err := access.ParseRule(text)
		h.must(err)
		list = append(list, r)
	}
	return list
}

// become gives a user other rules.
func (h *home) become(name string, rules ...string) {
	h.Helper()
	list := h.rules(rules...)
	h.must(h.accounts.ChangeUser(h.Context(), name, access.UserChange{Rules: &list}))
	synctest.Wait()
}

// connect logs in with that user's password; p may hold more.
func (h *home) connect(v packet.Version, clientID, user string, p packet.Connect) *brokertest.Client {
	h.Helper()
	c, ack := h.try(v, clientID, user, password, p)
	if ack == nil || ack.Code >= 0x80 || ack.ReturnCode != 0 {
		h.Fatalf("%s is refused: %+v", clientID, ack)
	}
	return c
}

// clean is connect with a session that ends with the connection.
func (h *home) clean(v packet.Version, clientID, user string) *brokertest.Client {
	h.Helper()
	return h.connect(v, clientID, user, packet.Connect{CleanStart: true})
}

// try logs in; the answer is nil where the broker hung up without one.
func (h *home) try(v packet.Version, clientID, user, password string, p packet.Connect) (*brokertest.Client, *packet.Connack) {
	h.Helper()
	p.ClientID = clientID
	if user != "" {
		p.HasUserName, p.UserName, p.HasPassword, p.Password = true, user, true, []byte(password)
	}
	p.Version = v
	c := brokertest.Dial(h.T, h.b, v)
	c.Send(&p)
	var ack *packet.Connack
	c.Take(func(p packet.Packet) (ok bool) { ack, ok = p.(*packet.Connack); return ok })
	return c, ack
}

// got takes the messages that a client has been sent.
func got(c *brokertest.Client) (topics []string) {
	for _, p := range c.All() {
		if m, ok := p.(*packet.Publish); ok {
			topics = append(topics, string(m.Topic))
		}
	}
	return topics
}

func (h *home) want(c *brokertest.Client, topics ...string) {
	h.Helper()
	if list := got(c); strings.Join(list, " ") != strings.Join(topics, " ") {
		h.Errorf("got %q, want %q", list, topics)
	}
}
