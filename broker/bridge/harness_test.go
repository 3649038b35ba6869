package bridge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// site is a broker of a bubble, with what arrives there.
type site struct {
	*broker.Broker
	mu   sync.Mutex
	got  []string // topic payload
	kept map[string]bool
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{kept: map[string]bool{}}
	b, err := broker.New(broker.DefaultConfig(), broker.Deps{
		Controller:    s,
		Authenticator: brokertest.Everything{}, Authorizer: brokertest.Everything{}, Log: slog.New(slog.DiscardHandler), Store: broker.NewMemoryStore(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Shutdown(context.Background()) })
	s.Broker = b
	c := b.Attach(nil, broker.LocalOptions{OnMessage: func(m *broker.Message) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got = append(s.got, m.Topic+" "+string(m.Payload))
		s.kept[m.Topic] = m.Retain
	}})
	if err := c.Subscribe("#"); err != nil {
		t.Fatal(err)
	}
	return s
}

// Control implements broker.Controller: whoever asks is heard.
func (s *site) Control(_ context.Context, _ *broker.Identity, topic string, _ []byte) (response []byte, allowed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, "asked "+topic)
	return nil, true
}

// say publishes on the site.
func (s *site) say(t *testing.T, topic, payload string, qos byte, retain bool) {
	t.Helper()
	if err := s.Publish(t.Context(), broker.NewMessage(topic, []byte(payload), qos, retain)); err != nil {
		t.Fatal(err)
	}
}

// take returns what has arrived since, in the order of arrival.
func (s *site) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

// network is what lies between the sites.
type network struct {
	mu    sync.Mutex
	sites map[string]func(net.Conn) // by address
	conns []net.Conn
	dials []string
}

var errUnreachable = errors.New("unreachable")

func (n *network) dial(_ context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials = append(n.dials, address)
	serve := n.sites[address]
	if serve == nil {
		return nil, errUnreachable
	}
	client, server := brokertest.Pipe()
	n.conns = append(n.conns, client, server)
	go serve(server)
	return client, nil
}

// put places a site at an address.
func (n *network) put(address string, s *site) {
	n.serve(address, func(nc net.Conn) { s.ServeConn(context.Background(), nc, broker.ListenerInfo{Name: "mqtt"}) })
}

func (n *network) serve(address string, f func(net.Conn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sites == nil {
		n.sites = map[string]func(net.Conn){}
	}
	n.sites[address] = f
}

// cut ends all connections.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.Close()
	}
	n.conns = nil
}

func manager(t *testing.T, id string, s *site, n *network) *Manager {
	t.Helper()
	m := &Manager{Local: s, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), ID: id, dial: n.dial}
	t.Cleanup(m.Close)
	return m
}

func settings(name string, change func(*Settings), topics ...Topic) Settings {
	s := Defaults()
	s.Name, s.ClientID, s.Addresses, s.Topics = name, name+"-id", []string{"far:1883"}, topics
	s.RestartMin, s.RestartMax = time.Second, 4*time.Second
	if change != nil {
		change(&s)
	}
	return s
}

func set(t *testing.T, m *Manager, list ...Settings) {
	t.Helper()
	if err := m.Set(list); err != nil {
		t.Fatal(err)
	}
	pass(2 * time.Second)
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's time
	synctest.Wait()
}

func want(t *testing.T, s *site, messages ...string) {
	t.Helper()
	got := slices.DeleteFunc(s.take(), func(m string) bool { return m[0] == '$' })
	if !slices.Equal(got, messages) {
		t.Errorf("arrived: %q, want %q", got, messages)
	}
}

func state(t *testing.T, m *Manager, state State) Status {
	t.Helper()
	list := m.Statuses()
	if len(list) != 1 || list[0].State != state {
		t.Fatalf("%+v, want %s", list, state)
	}
	return list[0]
}

var versions = []packet.Version{packet.V31, packet.V311, packet.V50}

func eachVersion(t *testing.T, f func(t *testing.T, v packet.Version)) {
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, v) })
		})
	}
}
