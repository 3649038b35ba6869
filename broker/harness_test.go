package broker_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// world is a broker in a synctest bubble with its clients.
type world struct {
	*testing.T
	b     *broker.Broker
	cfg   broker.Config
	deps  broker.Deps
	store broker.Store
}

// inWorld runs f with a broker of its own under a fake clock. mod may change
// configuration and collaborators.
func inWorld(t *testing.T, mod func(*broker.Config, *broker.Deps), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, cfg: broker.DefaultConfig(), store: broker.NewMemoryStore()}
		w.deps = broker.Deps{
			Authenticator: brokertest.Everything{}, Authorizer: brokertest.Everything{}, Store: w.store,
			Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		}
		if mod != nil {
			mod(&w.cfg, &w.deps)
		}
		w.start()
		t.Cleanup(w.stop)
		f(w)
	})
}

func (w *world) start() {
	w.Helper()
	b, err := broker.New(w.cfg, w.deps)
	if err != nil {
		w.Fatal(err)
	}
	w.b = b
}

func (w *world) stop() {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.b.Shutdown(ctx); err != nil {
		w.Error(err)
	}
	synctest.Wait()
}

func (w *world) restart() { w.Helper(); w.stop(); w.start() }

func (w *world) dial(v packet.Version) *brokertest.Client {
	w.Helper()
	return brokertest.Dial(w.T, w.b, v)
}

func (w *world) login(v packet.Version, p packet.Connect) (*brokertest.Client, *packet.Connack) {
	w.Helper()
	return brokertest.Login(w.T, w.b, v, p)
}

// clean logs in with a session that ends with the connection.
func (w *world) clean(v packet.Version, id string) *brokertest.Client {
	w.Helper()
	c, _ := w.login(v, packet.Connect{ClientID: id, CleanStart: true})
	return c
}

// durable logs in to a session that stays.
func (w *world) durable(v packet.Version, id string) (*brokertest.Client, *packet.Connack) {
	w.Helper()
	p := packet.Connect{ClientID: id}
	if v == packet.V50 {
		p.Properties.SetSessionExpiry(3600)
	}
	return w.login(v, p)
}

// expectPublish takes the next packet, which must be this message.
func (w *world) expectPublish(c *brokertest.Client, topic, payload string, qos byte, retain bool) *packet.Publish {
	w.Helper()
	p := brokertest.Get[*packet.Publish](c)
	if string(p.Topic) != topic || string(p.Payload) != payload || p.QoS != qos || p.Retain != retain {
		w.Fatalf("got PUBLISH %q %q qos %d retain %v, want %q %q qos %d retain %v",
			p.Topic, p.Payload, p.QoS, p.Retain, topic, payload, qos, retain)
	}
	return p
}

func (w *world) expectAck(c *brokertest.Client, t packet.Type, id uint16) *packet.Ack {
	w.Helper()
	a := brokertest.Get[*packet.Ack](c)
	if a.Type != t || a.PacketID != id {
		w.Fatalf("got %s %d, want %s %d", a.Type, a.PacketID, t, id)
	}
	return a
}

func ack(t packet.Type, id uint16) *packet.Ack { return &packet.Ack{Type: t, PacketID: id} }

// versions runs f once for each protocol version.
func versions(t *testing.T, mod func(*broker.Config, *broker.Deps), f func(w *world, v packet.Version)) {
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V50} {
		t.Run(v.String(), func(t *testing.T) {
			inWorld(t, mod, func(w *world) { f(w, v) })
		})
	}
}
