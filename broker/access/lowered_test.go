package access_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/packet"
)

// arrivals takes what a client is sent, as "topic QoS", acknowledges all of it but what
// hold names, and goes on until nothing more comes.
func arrivals(c *brokertest.Client, hold string) (list []string) {
	for {
		synctest.Wait()
		packets := c.All()
		if len(packets) == 0 {
			return list
		}
		for _, p := range packets {
			switch p := p.(type) {
			case *packet.Publish:
				list = append(list, fmt.Sprint(string(p.Topic), " ", p.QoS))
				if string(p.Topic) == hold {
					continue
				}
				switch p.QoS {
				case 1:
					c.Send(&packet.Ack{Type: packet.TypePuback, PacketID: p.PacketID})
				case 2:
					c.Send(&packet.Ack{Type: packet.TypePubrec, PacketID: p.PacketID})
				}
			case *packet.Ack:
				if p.Type == packet.TypePubrel {
					c.Send(&packet.Ack{Type: packet.TypePubcomp, PacketID: p.PacketID})
				}
			}
		}
	}
}

// case A6: a rule's highest QoS holds for what waits when the rule comes, too: for a client
// that is away, before and after a restart, behind a full window, and for retained and
// shared messages. What was sent already is finished as it began [MQTT-4.4.0-1].
func TestHighestQoSOnItsWay(t *testing.T) {
	say := func(h *home, retain bool) {
		all := h.clean(packet.V50, "all", "all")
		for i, name := range []string{"home/1", "home/2"} {
			all.Publish(name, "1", byte(i+1), retain, uint16(i+1))
		}
		synctest.Wait()
	}
	narrow := func(h *home) {
		p := lasting()
		p.Properties.SetReceiveMaximum(1)
		h.connect(packet.V50, "c", "ann", p).Subscribe("home/#", 2)
		synctest.Wait()
	}
	away := func(filter string) func(h *home) {
		return func(h *home) {
			c := h.connect(packet.V311, "c", "ann", lasting())
			c.Subscribe(filter, 2)
			c.Close()
			synctest.Wait()
			say(h, false)
		}
	}
	restart := func(h *home) { h.stop(); h.start() }
	nothing := func(*home) {}
	for _, tt := range []struct {
		what          string
		before, later func(h *home)
		most          byte
		want          []string
	}{
		{"away", away("home/#"), nothing, 1, []string{"home/1 1", "home/2 1"}},
		{"away, at most once", away("home/#"), nothing, 0, []string{"home/1 0", "home/2 0"}},
		{"away, nothing changed", away("home/#"), nothing, 2, []string{"home/1 1", "home/2 2"}},
		{"a restart since", away("home/#"), restart, 1, []string{"home/1 1", "home/2 1"}},
		{"a restart since, at most once", away("home/#"), restart, 0, []string{"home/1 0", "home/2 0"}},
		{"shared", away("$share/g/home/#"), nothing, 1, []string{"home/1 1", "home/2 1"}},
		{"under way", func(h *home) { narrow(h); say(h, false) }, nothing, 0, []string{"home/1 1", "home/2 0"}},
		{"under way, and a restart", func(h *home) { narrow(h); say(h, false) }, restart, 0, []string{"home/1 1", "home/2 0"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			inHouse(t, access.Policy{}, nil, func(h *home) {
				h.user("ann", "allow both #")
				h.user("all", "allow both #")
				tt.before(h)
				h.become("ann", fmt.Sprintf("allow both # qos<=%d", tt.most))
				tt.later(h)
				if got := arrivals(h.connect(packet.V50, "c", "ann", lasting()), ""); !slices.Equal(got, tt.want) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				// It has them: nothing is left to come again, not even in the store.
				restart(h)
				info, _, err := h.b.Session("c")
				h.must(err)
				if got := arrivals(h.connect(packet.V50, "c", "ann", lasting()), ""); len(got) > 0 || info.Queued+info.Inflight > 0 {
					t.Errorf("then got %q, and %d waited", got, info.Queued+info.Inflight)
				}
			})
		})
	}
}

// The same without a new connection: what waits behind a full window follows at the QoS
// that the rule has now, live or retained.
func TestHighestQoSBehindAFullWindow(t *testing.T) {
	for _, retained := range []bool{false, true} {
		for most := range byte(3) {
			inHouse(t, access.Policy{}, nil, func(h *home) {
				h.user("ann", "allow both #")
				h.user("all", "allow both #")
				all := h.clean(packet.V50, "all", "all")
				p := lasting()
				p.Properties.SetReceiveMaximum(1)
				c := h.connect(packet.V50, "c", "ann", p)
				if !retained {
					c.Subscribe("home/#", 2)
				}
				for i, name := range []string{"home/1", "home/2", "home/3"} {
					all.Publish(name, "1", 2, retained, uint16(i+1))
				}
				synctest.Wait()
				if retained {
					c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "home/#", QoS: 2}}})
				}
				m := brokertest.Get[*packet.Publish](c)
				h.become("ann", fmt.Sprintf("allow both # qos<=%d", most))
				c.Send(&packet.Ack{Type: packet.TypePubrec, PacketID: m.PacketID})
				got := append(arrivals(c, ""), fmt.Sprint(string(m.Topic), " ", m.QoS))
				slices.Sort(got)
				want := []string{fmt.Sprint("home/1 ", most), fmt.Sprint("home/2 ", most), fmt.Sprint("home/3 ", most)}
				want[m.Topic[len(m.Topic)-1]-'1'] = string(m.Topic) + " 2" // it was sent before
				if !slices.Equal(got, want) {
					t.Errorf("retained %v, at most %d: got %q", retained, most, got)
				}
			})
		}
	}
}
