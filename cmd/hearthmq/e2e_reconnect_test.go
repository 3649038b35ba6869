package main

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// cable is the network between a client and the broker, which can break.
type cable struct {
	address string

	mu    sync.Mutex
	conns []net.Conn
}

// newCable leads to the broker at address until the test ends.
func newCable(t *testing.T, address string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{address: l.Addr().String()}
	var parts sync.WaitGroup
	parts.Go(func() { // ends with the listener
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", address)
			if err != nil {
				near.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, near, far)
			c.mu.Unlock()
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				parts.Go(func() { // ends with the connection
					_, _ = io.Copy(pair[0], pair[1]) // how it broke does not matter
					pair[0].Close()
					pair[1].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.cut()
		parts.Wait()
	})
	return c
}

// cut breaks every connection that there is; new ones can be made at once.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, nc := range c.conns {
		nc.Close()
	}
	c.conns = nil
}

// The connection of paho.mqtt.golang breaks: its retained will is published, it comes
// back by itself and gets what it missed.
func TestPahoGoReconnects(t *testing.T) {
	s := startE2E(t, nil)
	for _, version := range []uint{3, 4} {
		t.Run(fmt.Sprintf("level %d", version), func(t *testing.T) {
			line, id := newCable(t, s.mqtt), fmt.Sprintf("paho-go-%d", version)
			got, connected := make(chan mqtt.Message, 10), make(chan bool, 10)
			c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://"+line.address).SetClientID(id).SetUsername(e2eUser).SetPassword(e2ePassword).
				SetProtocolVersion(version).SetCleanSession(false).SetConnectRetryInterval(time.Second).SetMaxReconnectInterval(time.Second).
				SetWill(id+"/state", "offline", 1, true).SetOnConnectHandler(func(mqtt.Client) { connected <- true }).
				SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { got <- m }))
			done(t, c.Connect())
			defer c.Disconnect(0)
			received(t, connected)
			done(t, c.Subscribe(id+"/set", 1, nil))
			done(t, c.Publish(id+"/state", 1, true, "online"))

			house := watch(t, s, "house-"+id, id+"/state")
			if m := house.until(id+"/state", "online"); !m.Retain {
				t.Error("the state was not retained")
			}
			line.cut()
			house.until(id+"/state", "offline")
			publish5(t, house.client, &paho.Publish{Topic: id + "/set", QoS: 1, Payload: []byte("while away")})
			received(t, connected)
			if m := received(t, got); string(m.Payload()) != "while away" {
				t.Errorf("received %q", m.Payload())
			}
		})
	}
}

// The same with paho.golang and MQTT 5.
func TestPahoGoV5Reconnects(t *testing.T) {
	s := startE2E(t, nil)
	line, connected := newCable(t, s.mqtt), make(chan bool, 10)
	c, got := v5(t, s, "v5-reconnects", func(cfg *autopaho.ClientConfig) {
		cfg.ServerUrls = []*url.URL{{Scheme: "mqtt", Host: line.address}}
		cfg.SessionExpiryInterval = 3600
		cfg.ReconnectBackoff = autopaho.NewConstantBackoff(100 * time.Millisecond)
		cfg.WillMessage = &paho.WillMessage{Topic: "v5r/state", Payload: []byte("offline"), QoS: 1, Retain: true}
		cfg.OnConnectionUp = func(_ *autopaho.ConnectionManager, ack *paho.Connack) { connected <- ack.SessionPresent }
	})
	if received(t, connected) {
		t.Error("a session at the first connection")
	}
	subscribe5(t, c, subscription("v5r/set"))
	publish5(t, c, retained("v5r/state", "online"))

	house := watch(t, s, "house-v5", "v5r/state")
	if m := house.until("v5r/state", "online"); !m.Retain {
		t.Error("the state was not retained")
	}
	line.cut()
	house.until("v5r/state", "offline")
	publish5(t, house.client, &paho.Publish{Topic: "v5r/set", QoS: 2, Payload: []byte("while away")})
	if !received(t, connected) {
		t.Error("no session after the break")
	}
	if m := received(t, got); string(m.Payload) != "while away" {
		t.Errorf("received %q", m.Payload)
	}
}

// mosquitto_sub comes back by itself, too.
func TestMosquittoReconnects(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	need(t, "mosquitto_sub", have("mosquitto_sub"))
	s := startE2E(t, nil)
	for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		t.Run(version, func(t *testing.T) {
			line := newCable(t, s.mqtt)
			host, port, err := net.SplitHostPort(line.address)
			if err != nil {
				t.Fatal(err)
			}
			state, set := version+"/state", version+"/set"
			args := []string{"-h", host, "-p", port, "-i", version, "-c", "-q", "1", "-t", set, "-F", "got %p", "--will-topic", state, "--will-payload", "offline", "--will-qos", "1"}
			if version == "mqttv5" {
				args = append(args, "-x", "3600")
			}
			house := watch(t, s, "house-"+version, state)
			p := mosquitto(t, s, version, "sub", args...)
			publish(t, s, version, "-r", "-q", "1", "-t", set, "-m", "first")
			p.expect("got first") // its subscription stands
			publish(t, s, version, "-r", "-n", "-q", "1", "-t", set)
			got := p.line()
			for got == "got first" { // it came while the subscription was made, and was retained, too
				got = p.line()
			}
			if got != "got " {
				t.Fatalf("%q, want the end of what was retained", got)
			}
			line.cut()
			house.until(state, "offline")
			publish(t, s, version, "-q", "1", "-t", set, "-m", "while away")
			p.expect("got while away")
		})
	}
}

// mosquitto_rr asks and gets its answer.
func TestMosquittoRequestResponse(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	need(t, "mosquitto_rr", have("mosquitto_rr"))
	s := startE2E(t, nil)
	answers := watch(t, s, "answers", "rr/question")
	for _, version := range []string{"mqttv311", "mqttv5"} {
		t.Run(version, func(t *testing.T) {
			args := []string{"-t", "rr/question", "-e", "rr/answer", "-q", "1", "-m", "how warm?", "-W", "120"}
			if version == "mqttv5" {
				args = append(args, "-D", "publish", "correlation-data", "17")
			}
			p := mosquitto(t, s, version, "rr", args...)
			m := answers.until("rr/question", "how warm?")
			answer := &paho.Publish{Topic: "rr/answer", QoS: 1, Payload: []byte("21.5")}
			if version == "mqttv5" {
				if m.Properties.ResponseTopic != "rr/answer" || string(m.Properties.CorrelationData) != "17" {
					t.Errorf("the question came with %+v", m.Properties)
				}
				answer.Topic, answer.Properties = m.Properties.ResponseTopic, &paho.PublishProperties{CorrelationData: m.Properties.CorrelationData}
			}
			publish5(t, answers.client, answer)
			if got := p.succeed(); strings.Join(got, "\n") != "21.5" {
				t.Errorf("answered %q", got)
			}
		})
	}
}
