package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// told collects why somebody was refused or denied.
type told struct {
	mu   sync.Mutex
	list []string
}

func (*told) OnPublish(*broker.Message) {}

func (o *told) OnEvent(e broker.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch e := e.(type) {
	case broker.Refused:
		o.list = append(o.list, e.Detail)
	case broker.Denied:
		o.list = append(o.list, e.Rule.Text)
	case broker.Disconnected:
		o.list = append(o.list, e.Reason)
	}
}

// says reports whether one of them has all of words.
func (o *told) says(words string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Contains(strings.Join(o.list, "\n"), words)
}

// come opens a connection of an address to a listener.
func (w *world) come(listener, address string, v packet.Version) *brokertest.Client {
	w.Helper()
	client, server := brokertest.PipeFrom(address)
	go w.b.ServeConn(context.Background(), server, broker.ListenerInfo{Name: listener})
	c := brokertest.NewClient(w.T, client, v)
	synctest.Wait()
	return c
}

// wss lets a client in by the listener wss.
func (w *world) wss(id, user string) *brokertest.Client {
	w.Helper()
	c := w.come("wss", "192.0.2.9:1", packet.V50)
	if code := w.connect(c, id, user); code != packet.Success {
		w.Fatalf("%s: %v", id, code)
	}
	return c
}

// onListener runs f with limits of the listener wss.
func onListener(t *testing.T, name string, l broker.Limits, f func(w *world, o *told)) {
	t.Run(name, func(t *testing.T) {
		o := new(told)
		inWorld(t, func(cfg *broker.Config, deps *broker.Deps) {
			cfg.ListenerLimits = map[string]broker.Limits{"wss": l}
			deps.Authenticator, deps.Observer = guests{}, o
		}, func(w *world) { f(w, o) })
	})
}

func (w *world) says(o *told, words string) {
	w.Helper()
	synctest.Wait()
	if !o.says(words) {
		w.Errorf("nobody says %q, but:\n%s", words, strings.Join(o.list, "\n"))
	}
}

// Each limit of a listener holds for who comes by it, for nobody else, and for no system
// user; the owner is told which it is.
func TestListenerLimits(t *testing.T) {
	elsewhere := func(w *world) *brokertest.Client {
		c := w.come("mqtt", "192.0.2.9:1", packet.V50)
		if code := w.connect(c, "elsewhere", "lamp"); code != packet.Success {
			w.Fatal(code)
		}
		return c
	}
	onListener(t, "connections", broker.Limits{Connections: 2}, func(w *world, o *told) {
		first := w.wss("a", "lamp")
		w.wss("b", "door")
		bystander := w.come("mqtt", "192.0.2.9:2", packet.V50)
		for range 30 { // who says nothing keeps nobody out
			w.come("wss", "192.0.2.9:2", packet.V50)
		}
		if bystander.Closed() {
			t.Error("one who waits at another listener had to make room")
		}
		if code := w.connect(w.come("wss", "192.0.2.9:3", packet.V50), "c", "oven"); code != packet.ServerUnavailable {
			t.Errorf("a third: %v", code)
		}
		w.says(o, "2 connections on this listener already (max_connections in listener_limits of wss)")
		elsewhere(w)
		w.wss("b", "door") // again
		first.Close()
		w.wss("c", "oven")
		w.wss("ha", "homeassistant")
	})
	onListener(t, "connects a second", broker.Limits{ConnectRate: 1}, func(w *world, o *told) {
		for i := range 10 {
			w.wss(fmt.Sprint("a", i), fmt.Sprint("user", i))
		}
		if code := w.connect(w.come("wss", "192.0.2.9:3", packet.V50), "b", "oven"); code != packet.ServerUnavailable {
			t.Errorf("beyond the burst: %v", code)
		}
		w.says(o, "more than 1 connection a second on this listener (max_connect_rate in listener_limits of wss)")
		elsewhere(w)
		w.wss("ha", "homeassistant")
		brokertest.Pass(time.Second)
		w.wss("b", "oven")
	})
	for _, x := range []struct {
		name string
		l    broker.Limits
		want string
	}{
		{"messages a second", broker.Limits{MessageRate: 10}, "more than 10 messages a second (max_message_rate in listener_limits of wss)"},
		{"bytes a second", broker.Limits{ByteRate: 1000}, "more than 1000 bytes a second (max_byte_rate in listener_limits of wss)"},
	} {
		onListener(t, x.name, x.l, func(w *world, _ *told) {
			flood := func(c *brokertest.Client) time.Duration {
				before, start := w.b.Stats().PublishReceived, time.Now()
				for range 100 {
					c.Publish("t", strings.Repeat("x", 95), 0, false, 0)
				}
				for w.b.Stats().PublishReceived < before+100 {
					brokertest.Pass(100 * time.Millisecond)
				}
				return time.Since(start)
			}
			if took := flood(w.wss("a", "lamp")); took < 8*time.Second || took > 12*time.Second {
				t.Errorf("took %v, want about 9 s", took)
			}
			in, _, err := w.b.Session("a")
			if err != nil || in.Slowed == 0 || in.SlowedBy != x.want {
				t.Errorf("slowed %d times by %q, %v", in.Slowed, in.SlowedBy, err)
			}
			if took := flood(elsewhere(w)) + flood(w.wss("ha", "homeassistant")); took > time.Second {
				t.Errorf("others took %v", took)
			}
		})
	}
	onListener(t, "packet size", broker.Limits{PacketSize: 100}, func(w *world, o *told) {
		big := strings.Repeat("x", 200)
		c := w.wss("a", "lamp")
		c.Publish("t", big[:50], 0, false, 0)
		c.Nothing()
		c.Publish("t", big, 0, false, 0)
		if d := brokertest.Get[*packet.Disconnect](c); d.Code != packet.PacketTooLarge {
			t.Errorf("code %v", d.Code)
		}
		w.says(o, "packet is larger than the limit, 100 bytes (max_packet_size in listener_limits of wss)")
		for _, c := range []*brokertest.Client{elsewhere(w), w.wss("ha", "homeassistant")} {
			c.Publish("t", big, 0, false, 0)
			c.Nothing()
		}
	})
	onListener(t, "inflight and queue", broker.Limits{Inflight: 1, QueuedMessages: 2}, func(w *world, _ *told) {
		c, other := w.wss("a", "lamp"), elsewhere(w)
		c.Subscribe("#", 1)
		other.Subscribe("#", 1)
		w.tell(0, 6)
		var list []string
		for range 3 { // 0 is under way, of the others the two newest wait
			p := brokertest.Get[*packet.Publish](c)
			list = append(list, string(p.Payload))
			c.Nothing()
			c.Send(ack(packet.TypePuback, p.PacketID))
		}
		if fmt.Sprint(list) != "[0 4 5]" {
			t.Errorf("got %v", list)
		}
		if in, _, err := w.b.Session("a"); err != nil || in.Dropped != 3 || in.DroppedBy != "max_queued_messages in listener_limits of wss" {
			t.Errorf("%d dropped by %q, %v", in.Dropped, in.DroppedBy, err)
		}
		if p, _ := got(other); len(p) != 6 {
			t.Errorf("the other got %v", p)
		}
	})
	onListener(t, "bytes that wait", broker.Limits{Inflight: 1, QueuedBytes: 100}, func(w *world, _ *told) {
		w.wss("a", "lamp").Subscribe("#", 1)
		for range 6 {
			if err := w.b.Publish(w.Context(), broker.NewMessage("t", make([]byte, 40), 1, false)); err != nil {
				t.Fatal(err)
			}
		}
		in, _, err := w.b.Session("a")
		if err != nil || in.Queued != 2 || in.Dropped != 3 || in.DroppedBy != "max_queued_bytes in listener_limits of wss" {
			t.Errorf("%d wait, %d dropped by %q, %v", in.Queued, in.Dropped, in.DroppedBy, err)
		}
	})
	onListener(t, "subscriptions", broker.Limits{Subscriptions: 1}, func(w *world, o *told) {
		c, ha := w.wss("a", "lamp"), w.wss("ha", "homeassistant")
		for _, x := range []struct {
			c    *brokertest.Client
			want packet.ReasonCode
		}{{c, packet.QuotaExceeded}, {ha, packet.Success}, {elsewhere(w), packet.Success}} {
			first := x.c.Subscribe("a", 0)
			if code := x.c.Subscribe("b", 0); first != packet.Success || code != x.want {
				t.Errorf("%v, %v, want %v", first, code, x.want)
			}
		}
		w.says(o, "1 subscription already (max_subscriptions in listener_limits of wss)")
	})
	// case R9
	onListener(t, "retained messages", broker.Limits{RetainedMessages: 2, RetainedBytes: 1000}, func(w *world, o *told) {
		big := strings.Repeat("x", 2000)
		a, b, other, ha := w.wss("a", "lamp"), w.wss("b", "door"), elsewhere(w), w.wss("ha", "homeassistant")
		for _, x := range []struct {
			c              *brokertest.Client
			topic, payload string
			refused        bool
		}{
			{a, "a1", "1", false}, {a, "a2", "1", false}, {a, "a3", "1", true}, {a, "a1", big, true}, {a, "a1", "", false}, {a, "a3", "1", false},
			{b, "b1", "1", false}, // another user has places of its own
			{other, "e1", "1", false}, {other, "e2", big, false}, {other, "e3", "1", false},
			{ha, "h1", "1", false}, {ha, "h2", big, false}, {ha, "h3", "1", false},
		} {
			x.c.Publish(x.topic, x.payload, 1, true, 1)
			if code := brokertest.Get[*packet.Ack](x.c).Code; (code == packet.QuotaExceeded) != x.refused {
				t.Errorf("%s %.5q: %v, want refused %v", x.topic, x.payload, code, x.refused)
			}
		}
		a.Publish("a4", "1", 0, true, 0) // can't be told
		w.says(o, "not retained: the user has as many retained messages as it may (retained_max_messages in listener_limits of wss)")
		a.Publish("a1", big, 0, true, 0)
		a.Publish("a3", big, 0, true, 0)
		w.says(o, "retained_max_bytes in listener_limits of wss")
	})
}

// Topic levels: of topics, filters and wills, whoever's limit it is.
func TestTopicLevels(t *testing.T) {
	const deep = "a/b/c/d"
	for _, x := range []struct {
		name, want string
		cfg        func(*broker.Config)
		user       broker.Limits
	}{
		{"all", "it has 4 levels, at most 3 may be (max_topic_levels)", func(c *broker.Config) { c.EachClient.TopicLevels = 3 }, broker.Limits{}},
		{"listener", "it has 4 levels, at most 3 may be (max_topic_levels in listener_limits of wss)",
			func(c *broker.Config) { c.ListenerLimits = map[string]broker.Limits{"wss": {TopicLevels: 3}} }, broker.Limits{}},
		{"user", `it has 4 levels, at most 3 may be (limit of user "lamp")`, func(*broker.Config) {}, broker.Limits{TopicLevels: 3}},
	} {
		t.Run(x.name, func(t *testing.T) {
			o := new(told)
			inWorld(t, func(cfg *broker.Config, deps *broker.Deps) {
				x.cfg(cfg)
				deps.Authenticator, deps.Observer = guests{x.user}, o
			}, func(w *world) {
				c := w.wss("a", "lamp")
				for topic, want := range map[string]packet.ReasonCode{"a/b/c": packet.NoMatchingSubscribers, deep: packet.QuotaExceeded} {
					for _, qos := range []byte{1, 2} {
						c.Publish(topic, "x", qos, false, 1)
						if a := brokertest.Get[*packet.Ack](c); a.Code != want {
							t.Errorf("QoS %d to %s: %v", qos, topic, a.Code)
						} else if qos == 2 && !a.Code.Failed() {
							c.Send(ack(packet.TypePubrel, 1))
							brokertest.Get[*packet.Ack](c)
						}
					}
				}
				for filter, want := range map[string]packet.ReasonCode{
					"a/b/+": 0, "$share/g/a/b/#": 0, "+/b/c/#": packet.QuotaExceeded, "$share/g/a/b/c/d": packet.QuotaExceeded, "a/b/#": 0,
				} {
					if code := c.Subscribe(filter, 0); code != want {
						t.Errorf("SUBSCRIBE %s: %v", filter, code)
					}
				}
				c.Publish(deep, "x", 0, false, 0) // can't be told: it goes nowhere
				c.Nothing()
				w.says(o, x.want)
				// The topic that an alias stands for counts, too.
				p := &packet.Publish{Topic: []byte(deep), HasAlias: true, TopicAlias: 1}
				c.Send(p)
				p.Topic = nil
				c.Send(p)
				c.Nothing()
				for topic, want := range map[string]packet.ReasonCode{"a/b/c": packet.Success, deep: packet.QuotaExceeded} {
					c := w.come("wss", "192.0.2.9:1", packet.V50)
					c.Send(&packet.Connect{Version: packet.V50, ClientID: "w", CleanStart: true, HasUserName: true, UserName: "lamp", Will: &packet.Will{Topic: topic}})
					if code := brokertest.Get[*packet.Connack](c).Code; code != want {
						t.Errorf("will %s: %v", topic, code)
					}
				}
				old := w.come("wss", "192.0.2.9:1", packet.V311)
				old.Send(&packet.Connect{Version: packet.V311, ClientID: "o", CleanStart: true, HasUserName: true, UserName: "lamp", Will: &packet.Will{Topic: deep}})
				if code := brokertest.Get[*packet.Connack](old).Code; code != packet.NotAuthorized {
					t.Errorf("will in MQTT 3.1.1: %v", code)
				}
				old = w.come("wss", "192.0.2.9:1", packet.V311)
				old.Send(&packet.Connect{Version: packet.V311, ClientID: "o", CleanStart: true, HasUserName: true, UserName: "lamp"})
				if code := brokertest.Get[*packet.Connack](old).Code; code != packet.Success {
					t.Fatal(code)
				}
				old.Publish(deep, "x", 1, false, 1) // acknowledged, and goes nowhere
				w.expectAck(old, packet.TypePuback, 1)
				if code := old.Subscribe("a/b/c/#", 0); code != packet.UnspecifiedError {
					t.Errorf("SUBSCRIBE in MQTT 3.1.1: %v", code)
				}
				c.Nothing()
				ha := w.wss("ha", "homeassistant")
				ha.Publish(deep, "x", 1, false, 1)
				if a := brokertest.Get[*packet.Ack](ha); a.Code.Failed() {
					t.Errorf("Home Assistant: %v", a.Code)
				}
			})
		})
	}
}

// The queue of a session that is away is bounded by the listener it came by, also after a
// restart; the strictest of listener and user counts.
func TestListenerLimitsWhileAway(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			inWorld(t, func(cfg *broker.Config, deps *broker.Deps) {
				cfg.ListenerLimits = map[string]broker.Limits{"wss": {QueuedMessages: 3}}
				deps.Authenticator = guests{broker.Limits{QueuedMessages: 5}}
			}, func(w *world) {
				for _, listener := range []string{"wss", "mqtt"} {
					c := w.come(listener, "192.0.2.9:1", packet.V50)
					p := &packet.Connect{Version: packet.V50, ClientID: listener, HasUserName: true, UserName: "lamp"}
					p.Properties.SetSessionExpiry(3600)
					c.Send(p)
					brokertest.Get[*packet.Connack](c)
					c.Subscribe("#", 1)
					c.Close()
				}
				if restart {
					w.restart()
				}
				w.tell(0, 10)
				for listener, want := range map[string]int{"wss": 3, "mqtt": 5} {
					if restart && listener == "mqtt" {
						want = 10 // its limits come with the login here
					}
					if in, _, err := w.b.Session(listener); err != nil || in.Queued != want {
						t.Errorf("%s: %d wait, want %d, %v", listener, in.Queued, want, err)
					}
				}
			})
		})
	}
}

// All connections of one address share its limits; others, this machine, exempt networks
// and system users have nothing to do with them.
func TestAddressRates(t *testing.T) {
	for _, x := range []struct {
		name, want string
		mod        func(*broker.Config)
	}{
		{"messages", "more than 10 messages a second of all from 192.0.2.9 (max_message_rate_per_address)", func(c *broker.Config) { c.MessageRatePerAddress = 10 }},
		{"bytes", "more than 1000 bytes a second of all from 192.0.2.9 (max_byte_rate_per_address)", func(c *broker.Config) { c.ByteRatePerAddress = 1000 }},
	} {
		for _, most := range []int{0, 100} { // whether or not connections are bounded, too
			t.Run(fmt.Sprint(x.name, " ", most), func(t *testing.T) {
				var log bytes.Buffer
				inWorld(t, func(cfg *broker.Config, deps *broker.Deps) {
					cfg.MaxConnectionsPerAddress = most
					x.mod(cfg)
					deps.Authenticator, deps.Log = guests{}, slog.New(slog.NewTextHandler(&log, nil))
				}, func(w *world) {
					flood := func(user string, remotes ...string) time.Duration {
						before, start := w.b.Stats().PublishReceived, time.Now()
						for i, remote := range remotes {
							c := w.from(remote, packet.V50)
							if code := w.connect(c, fmt.Sprint(user, i), user); code != packet.Success {
								t.Fatal(code)
							}
							for range 100 / len(remotes) {
								c.Publish("t", strings.Repeat("x", 95), 0, false, 0)
							}
						}
						for w.b.Stats().PublishReceived < before+100 {
							brokertest.Pass(100 * time.Millisecond)
						}
						return time.Since(start)
					}
					if took := flood("lamp", "192.0.2.9:1", "192.0.2.9:2", "192.0.2.9:3", "192.0.2.9:4"); took < 8*time.Second || took > 12*time.Second {
						t.Errorf("four connections of one address took %v, want about 9 s", took)
					}
					in, _, err := w.b.Session("lamp0")
					if err != nil || in.Slowed == 0 || in.SlowedBy != x.want {
						t.Errorf("slowed %d times by %q, %v", in.Slowed, in.SlowedBy, err)
					}
					// Who leaves in debt and comes back still owes.
					w.b.DisconnectUsers(func(string) bool { return true })
					brokertest.Pass(100 * time.Millisecond)
					if took := flood("door", "192.0.2.9:9"); took < 9*time.Second {
						t.Errorf("the same address again took %v", took)
					}
					if took := flood("ha", "192.0.2.10:1") + flood("hb", "[2001:db8::1]:1", "[2001:db8:0:1::1]:1"); took < 10*time.Second {
						t.Errorf("three other addresses took %v", took)
					}
					if took := flood("homeassistant", "192.0.2.9:20", "192.0.2.9:21") + flood("own", "127.0.0.1:5"); took > time.Second {
						t.Errorf("Home Assistant and this machine took %v", took)
					}
					synctest.Wait()
					if n := strings.Count(log.String(), "client slowed down"); n == 0 || n > 9 || !strings.Contains(log.String(), x.want) {
						t.Errorf("%d lines of the log tell of it:\n%s", n, log.String())
					}
				})
			})
		}
	}
}
