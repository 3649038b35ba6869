package broker_test

import (
	"context"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// byPassword is Everything where who shows a password has an account.
type byPassword struct{ brokertest.Everything }

func (p byPassword) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	id, err := p.Everything.Authenticate(ctx, c)
	if c.HasPassword {
		id.Version = 1
	}
	return id, err
}

// A retained message that is published again with the same payload is stored again where
// anything else of it is different: who published it decides later whether it is handed out
// (case A8), and what it was sent with belongs to it [MQTT-3.3.1-5].
func TestRepublishedIsStored(t *testing.T) {
	hello := packet.Connect{ClientID: "c", CleanStart: true, HasUserName: true, UserName: "ann", HasPassword: true, Password: []byte("x")}
	value := func() packet.Publish {
		return packet.Publish{Topic: []byte("t"), Payload: []byte("21"), QoS: 1, Retain: true, PacketID: 1}
	}
	for _, tt := range []struct {
		name   string
		change func(c *packet.Connect, p *packet.Publish)
		stored func(m *broker.Message) bool
	}{
		{"payload", func(_ *packet.Connect, p *packet.Publish) { p.Payload = []byte("22") },
			func(m *broker.Message) bool { return string(m.Payload) == "22" }},
		{"QoS", func(_ *packet.Connect, p *packet.Publish) { p.QoS = 2 },
			func(m *broker.Message) bool { return m.QoS == 2 }},
		{"expiry", func(_ *packet.Connect, p *packet.Publish) { p.HasExpiry, p.MessageExpiry = true, 7200 },
			func(m *broker.Message) bool { return !m.Expires.IsZero() }},
		{"a property", func(_ *packet.Connect, p *packet.Publish) { p.Properties = []byte{1, 1} },
			func(m *broker.Message) bool { return len(m.Properties) > 0 }},
		{"user", func(c *packet.Connect, _ *packet.Publish) { c.UserName = "bob" },
			func(m *broker.Message) bool { return m.PublisherUser == "bob" }},
		{"user of the name without an account", func(c *packet.Connect, _ *packet.Publish) { c.HasPassword, c.Password = false, nil },
			func(m *broker.Message) bool { return m.PublisherUser == "ann" && !m.PublisherAccount }},
		{"client", func(c *packet.Connect, _ *packet.Publish) { c.ClientID = "d" },
			func(m *broker.Message) bool { return m.PublisherID == "d" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(_ *broker.Config, d *broker.Deps) { d.Authenticator = byPassword{} }, func(w *world) {
				send := func(h packet.Connect, p packet.Publish) {
					c, _ := w.login(packet.V50, h)
					c.Send(&p)
					brokertest.Pass(time.Second)
					c.Close()
				}
				h, p := hello, value()
				send(h, p)
				tt.change(&h, &p)
				send(h, p)
				w.restart()
				for m := range w.b.Retained("t") {
					if !tt.stored(m) {
						t.Errorf("stored is the one before: %+v", m)
					}
					return
				}
				t.Error("nothing is stored")
			})
		})
	}
}
