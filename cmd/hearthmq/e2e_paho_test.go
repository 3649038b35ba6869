package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hearthmq/broker/brokertest"
)

// systemPython is Debian's, whose packages come from apt. A plain python3 may be another one.
const systemPython = "/usr/bin/python3"

func TestPahoPython(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	need(t, "python3-paho-mqtt", exec.CommandContext(t.Context(), systemPython, "-c", "import paho.mqtt.client").Run() == nil)
	s := startE2E(t, nil)
	host, port, err := net.SplitHostPort(s.mqtt)
	if err != nil {
		t.Fatal(err)
	}
	for _, level := range []string{"3", "4", "5"} {
		t.Run("level "+level, func(t *testing.T) {
			p := launch(t, nil, "testdata", systemPython, "paho_e2e.py", host, port, e2eUser, e2ePassword, level)
			out := p.drain()
			if len(out) != 1 || out[0] != "ok" {
				t.Errorf("%s\n%s", strings.Join(out, "\n"), p.err)
			}
		})
	}
}

// MQTT 3.1 and 3.1.1 over TCP and over WebSocket, by paho.mqtt.golang.
func TestPahoGo(t *testing.T) {
	s := startE2E(t, nil)
	for _, version := range []uint{3, 4} {
		for _, address := range []string{"tcp://" + s.mqtt, "ws://" + s.ws + "/mqtt"} {
			t.Run(fmt.Sprintf("level %d %s", version, address[:2]), func(t *testing.T) {
				got := make(chan mqtt.Message, 100)
				o := mqtt.NewClientOptions().AddBroker(address).SetClientID("paho-go").SetUsername(e2eUser).SetPassword(e2ePassword).
					SetProtocolVersion(version).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { got <- m })
				c := mqtt.NewClient(o)
				done(t, c.Connect())
				defer c.Disconnect(0)
				done(t, c.SubscribeMultiple(map[string]byte{"go/+": 2, "other/#": 0}, nil))
				for qos := range byte(3) {
					want := fmt.Sprintf("payload %d", qos)
					done(t, c.Publish(fmt.Sprintf("go/q%d", qos), qos, false, want))
					m := received(t, got)
					if string(m.Payload()) != want || m.Qos() != qos || m.Retained() {
						t.Errorf("QoS %d: %q, QoS %d", qos, m.Payload(), m.Qos())
					}
				}
				large := strings.Repeat("x", 300_000) // as large as Zigbee2MQTT's definitions
				done(t, c.Publish("go/large", 1, false, large))
				if m := received(t, got); string(m.Payload()) != large {
					t.Errorf("large: %d bytes", len(m.Payload()))
				}
				done(t, c.Unsubscribe("go/+"))
				done(t, c.Publish("go/q1", 1, false, "nobody"))
				done(t, c.Publish("other/x", 0, false, "somebody"))
				if m := received(t, got); m.Topic() != "other/x" {
					t.Errorf("%s after UNSUBSCRIBE", m.Topic())
				}
			})
		}
	}
}

func done(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(3 * time.Minute) {
		t.Fatal("no acknowledgement")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

func received[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case m := <-from:
		return m
	case <-time.After(3 * time.Minute):
		t.Fatal("nothing was received")
		panic("not reached")
	}
}

// v5 connects a client of paho.golang that stays connected until the test ends.
func v5(t *testing.T, s *testServer, clientID string, edit func(*autopaho.ClientConfig)) (*autopaho.ConnectionManager, chan *paho.Publish) {
	t.Helper()
	u, err := url.Parse("mqtt://" + s.mqtt)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *paho.Publish, 1000)
	cfg := autopaho.ClientConfig{
		ServerUrls: []*url.URL{u}, KeepAlive: 30, CleanStartOnInitialConnection: true,
		ConnectUsername: e2eUser, ConnectPassword: []byte(e2ePassword),
		ClientConfig: paho.ClientConfig{
			ClientID: clientID,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
				got <- p.Packet
				return true, nil
			}},
		},
	}
	if edit != nil {
		edit(&cfg)
	}
	c, err := autopaho.NewConnection(context.Background(), cfg) // ended below
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		_ = c.Disconnect(ctx) // it may be disconnected already
	})
	if err := c.AwaitConnection(within(t)); err != nil {
		t.Fatal(err)
	}
	return c, got
}

// within bounds one step of a test.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func subscribe5(t *testing.T, c *autopaho.ConnectionManager, s *paho.Subscribe) {
	t.Helper()
	if _, err := c.Subscribe(within(t), s); err != nil {
		t.Fatal(err)
	}
}

func publish5(t *testing.T, c *autopaho.ConnectionManager, p *paho.Publish) {
	t.Helper()
	if _, err := c.Publish(within(t), p); err != nil {
		t.Fatal(err)
	}
}

func TestPahoGoV5(t *testing.T) {
	s := startE2E(t, nil)

	t.Run("properties", func(t *testing.T) {
		c, got := v5(t, s, "v5-props", nil)
		id := 7
		subscribe5(t, c, &paho.Subscribe{
			Properties:    &paho.SubscribeProperties{SubscriptionIdentifier: &id},
			Subscriptions: []paho.SubscribeOptions{{Topic: "v5/props", QoS: 2}},
		})
		format, expiry := byte(1), uint32(100)
		publish5(t, c, &paho.Publish{Topic: "v5/props", QoS: 2, Payload: []byte("21.5"), Properties: &paho.PublishProperties{
			PayloadFormat: &format, MessageExpiry: &expiry, ContentType: "text/plain", ResponseTopic: "v5/answer",
			CorrelationData: []byte{1, 2}, User: paho.UserProperties{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
		}})
		m := received(t, got)
		p := m.Properties
		if m.QoS != 2 || string(m.Payload) != "21.5" || p.ContentType != "text/plain" || p.ResponseTopic != "v5/answer" ||
			string(p.CorrelationData) != "\x01\x02" || len(p.User) != 2 || *p.PayloadFormat != 1 || *p.MessageExpiry > 100 ||
			p.SubscriptionIdentifier == nil || *p.SubscriptionIdentifier != 7 {
			t.Errorf("received %+v with %+v", m, p)
		}
	})

	t.Run("no local, retain as published, retain handling", func(t *testing.T) {
		c, got := v5(t, s, "v5-options", nil)
		other, _ := v5(t, s, "v5-other", nil)
		publish5(t, c, &paho.Publish{Topic: "v5/o/ret", QoS: 1, Retain: true, Payload: []byte("kept")})
		subscribe5(t, c, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
			{Topic: "v5/o/#", QoS: 1, NoLocal: true, RetainAsPublished: true, RetainHandling: 2},
		}})
		publish5(t, c, &paho.Publish{Topic: "v5/o/x", QoS: 1, Payload: []byte("own")})
		publish5(t, other, &paho.Publish{Topic: "v5/o/x", QoS: 1, Retain: true, Payload: []byte("other's")})
		if m := received(t, got); string(m.Payload) != "other's" || !m.Retain {
			t.Errorf("received %q, retain %v", m.Payload, m.Retain)
		}
	})

	t.Run("shared subscription", func(t *testing.T) {
		first, got1 := v5(t, s, "v5-s1", nil)
		second, got2 := v5(t, s, "v5-s2", nil)
		for _, c := range []*autopaho.ConnectionManager{first, second} {
			subscribe5(t, c, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "$share/g/v5/work", QoS: 1}}})
		}
		const n = 40
		for i := range n {
			publish5(t, first, &paho.Publish{Topic: "v5/work", QoS: 1, Payload: fmt.Appendf(nil, "%d", i)})
		}
		seen := make(map[string]int)
		counts := [2]int{}
		for range n {
			select {
			case m := <-got1:
				seen[string(m.Payload)]++
				counts[0]++
			case m := <-got2:
				seen[string(m.Payload)]++
				counts[1]++
			case <-time.After(3 * time.Minute):
				t.Fatalf("received %d of %d", len(seen), n)
			}
		}
		if len(seen) != n || counts[0] == 0 || counts[1] == 0 {
			t.Errorf("%d different messages, shared %v", len(seen), counts)
		}
	})

	t.Run("nobody subscribed, and no right", func(t *testing.T) {
		c, _ := v5(t, s, "v5-codes", nil)
		r, err := c.Publish(within(t), &paho.Publish{Topic: "v5/nobody/here", QoS: 1, Payload: []byte("x")})
		if err != nil || r.ReasonCode != 0x10 {
			t.Errorf("PUBACK %+v, %v, want 0x10", r, err)
		}
		r, err = c.Publish(within(t), &paho.Publish{Topic: "$SYS/broker/version", QoS: 1, Payload: []byte("x")})
		if r == nil || r.ReasonCode != 0x87 {
			t.Errorf("PUBACK %+v, %v, want 0x87", r, err)
		}
	})

	t.Run("told of the shutdown", func(t *testing.T) {
		own := startE2E(t, nil)
		codes := make(chan byte, 1)
		v5(t, own, "v5-bye", func(cfg *autopaho.ClientConfig) {
			cfg.OnServerDisconnect = func(d *paho.Disconnect) { codes <- d.ReasonCode }
		})
		if code := own.stop(); code != 0 {
			t.Errorf("exit %d", code)
		}
		if code := received(t, codes); code != 0x8B {
			t.Errorf("DISCONNECT 0x%02X, want 0x8B", code)
		}
	})
}

// Home Assistant sends some 75 SUBSCRIBEs at its start, each after the answer to the
// one before. A broker that leaves Nagle's algorithm on takes 40 ms for each.
func TestSubscribeIsAnsweredAtOnce(t *testing.T) {
	s := startE2E(t, nil)
	c, _ := v5(t, s, "home-assistant", nil)
	machine, took := brokertest.WatchMachine(), make([]time.Duration, 75)
	for i := range took {
		began := time.Now()
		subscribe5(t, c, subscription(fmt.Sprintf("homeassistant/+/%d/config", i)))
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > 15*time.Millisecond {
		machine.Timing(t, "a SUBSCRIBE is answered after %v", median)
	}
	t.Logf("a SUBSCRIBE is answered after %v, the slowest after %v", took[len(took)/2], took[len(took)-1])
}

func subscription(filter string) *paho.Subscribe {
	return &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1}}}
}

func retained(name, payload string) *paho.Publish {
	return &paho.Publish{Topic: name, QoS: 1, Retain: true, Payload: []byte(payload)}
}
