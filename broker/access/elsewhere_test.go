package access_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// doors lets clients come in by any listener, and as others' users with roles that may
// be other ones each time.
type doors struct {
	*access.Directory
	roles []string // nil: users of ours
}

func (d *doors) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if d.roles == nil {
		return d.Directory.Authenticate(ctx, c)
	}
	return &broker.Identity{ClientID: c.ClientID, User: c.User, Listener: c.Listener.Name, Remote: c.Remote, Roles: d.roles}, nil
}

// case A6, with conditions: what was queued for a client, or is under way to it, was
// allowed to it as it came then. When it comes back by another listener, from another
// network or with fewer roles, it gets what it may have now.
func TestComesBackElsewhere(t *testing.T) {
	const secret, fine = "home/lock/state", "home/light/state"
	for _, tt := range []struct {
		name  string
		rules []string
		roles [2][]string
		door  [2]string
	}{
		{name: "by another listener, which is denied", rules: []string{"allow both home/#", "deny subscribe home/lock/# listener=wss"}, door: [2]string{"mqtt", "wss"}},
		{name: "by another listener, which is not allowed", rules: []string{"allow both home/light/#", "allow both home/lock/# listener=mqtt"}, door: [2]string{"mqtt", "wss"}},
		{name: "from another network", rules: []string{"allow both home/#", "deny subscribe home/lock/# from=10.1.0.0/16"}, door: [2]string{"mqtt", "10.1.2.3"}},
		{name: "with fewer roles", roles: [2][]string{{"light", "lock"}, {"light"}}, door: [2]string{"mqtt", "mqtt"}},
	} {
		for _, how := range []string{"queued", "under way", "under way, not sent yet", "retained"} {
			for qos := byte(1); qos <= 2; qos++ {
				t.Run(fmt.Sprintf("%s/%s/QoS %d", tt.name, how, qos), func(t *testing.T) {
					var auth *doors
					inHouse(t, access.Policy{}, func(h *home) {
						auth = &doors{Directory: h.dir, roles: tt.roles[0]}
						h.deps.Authenticator = auth
						h.cfg.MaxInflight = 2
					}, func(h *home) {
						for name, rule := range map[string][]string{"light": {"allow both home/light/#", "allow both +/filler"}, "lock": {"allow both home/lock/#"}} {
							h.must(h.accounts.CreateRole(h.Context(), name, "", h.rules(rule...)))
						}
						if tt.roles[0] == nil {
							h.user("ann", append(tt.rules, "allow both +/filler")...)
						}
						publish := func(name string) {
							h.must(h.b.Publish(h.Context(), broker.NewMessage(name, []byte("1"), qos, how == "retained")))
						}
						come := func(i int) *brokertest.Client {
							if auth.roles != nil {
								auth.roles = tt.roles[i]
							}
							return h.enter(tt.door[i])
						}
						c := come(0)
						switch how {
						case "queued":
							c.Subscribe("home/#", qos)
							c.Close()
							publish(secret)
							publish(fine)
						case "under way":
							c.Subscribe("home/#", qos)
							publish(secret)
							publish(fine)
							h.want(c, secret, fine)
							c.Close()
						case "under way, not sent yet":
							c.Subscribe("+/filler", qos)
							c.Subscribe("home/#", qos)
							publish("a/filler")
							publish("b/filler")
							publish(secret) // the window is full
							publish(fine)
							h.want(c, "a/filler", "b/filler")
							c.Close()
						case "retained":
							for i := range 3 {
								publish(fmt.Sprintf("%d/filler", i))
							}
							publish(secret)
							publish(fine)
							c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "+/filler", QoS: qos}, {Filter: "home/#", QoS: qos}}})
							brokertest.Pass(100 * time.Millisecond) // the window is full of the former
							c.Close()
						}
						c = come(1)
						got := map[string]bool{}
						for range 10 {
							for _, p := range c.All() {
								switch p := p.(type) {
								case *packet.Publish:
									got[string(p.Topic)] = true
									c.Send(&packet.Ack{Type: map[byte]packet.Type{1: packet.TypePuback, 2: packet.TypePubrec}[p.QoS], PacketID: p.PacketID})
								case *packet.Ack:
									c.Send(&packet.Ack{Type: packet.TypePubcomp, PacketID: p.PacketID})
								}
							}
							brokertest.Pass(100 * time.Millisecond)
						}
						if got[secret] || !got[fine] {
							t.Errorf("got %v", got)
						}
					})
				})
			}
		}
	}
}

// enter has ann come in to a session that stays, by a listener or from an address.
func (h *home) enter(door string) *brokertest.Client {
	h.Helper()
	from, info := "127.0.0.1:40000", broker.ListenerInfo{Name: door}
	if at, err := netip.ParseAddr(door); err == nil {
		from, info.Name = netip.AddrPortFrom(at, 4000).String(), "mqtt"
	}
	client, server := brokertest.PipeFrom(from)
	go h.b.ServeConn(context.Background(), server, info)
	c := brokertest.NewClient(h.T, client, packet.V50)
	p := packet.Connect{ClientID: "c", Version: packet.V50, HasUserName: true, UserName: "ann", HasPassword: true, Password: []byte(password)}
	p.Properties.SetSessionExpiry(3600)
	c.Send(&p)
	if ack := brokertest.Get[*packet.Connack](c); ack.Code.Failed() {
		h.Fatalf("refused: %v", ack.Code)
	}
	return c
}
