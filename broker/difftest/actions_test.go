package difftest

import (
	"fmt"
	"slices"

	"hearthmq/broker/packet"
)

func (a *connect) run(c *client, n int) {
	nc, err := c.site.dial()
	if err != nil {
		c.see(event{note: "can't connect: " + err.Error() + ","})
		return
	}
	old := c.link
	c.link = link{nc: nc, rd: packet.NewReader(nc, 0), version: a.version, withhold: a.withhold, noID: a.noID, under: make(map[uint16]bool)}
	c.send(a.packet(c, n))
	p, err := c.read(patience)
	if err != nil {
		c.lost(err)
		c.link = old
		return
	}
	c.see(c.decode(p))
	ack, ok := p.(*packet.Connack)
	if ok && ack.Code.Failed() {
		c.drain("refused")
		c.link = old // nobody has taken it over
		return
	}
	if old.nc != nil {
		fresh := c.link
		c.link = old
		if a.noID || old.noID {
			c.hangUp() // another client took nothing over
		} else {
			c.drain("old connection")
		}
		c.link = fresh
	}
	c.most = 0
	if ok && (!ack.SessionPresent && a.version != packet.V31 || a.version == packet.V31 && a.clean) {
		c.forget()
	}
}

// forget drops what belongs to a session.
func (c *client) forget() {
	clear(c.sent)
	clear(c.received)
	c.held = nil
}

func (a *connect) packet(c *client, n int) *packet.Connect {
	p := &packet.Connect{Version: a.version, CleanStart: a.clean, KeepAlive: a.keep, ClientID: c.id}
	if a.noID {
		p.ClientID = ""
	}
	if a.version == packet.V50 {
		if a.expiry > 0 {
			p.Properties.SetSessionExpiry(a.expiry)
		}
		if a.window > 0 {
			p.Properties.SetReceiveMaximum(a.window)
		}
		if a.aliases > 0 {
			p.Properties.SetTopicAliasMaximum(a.aliases)
		}
	}
	if w := a.will; w != nil {
		p.Will = &packet.Will{QoS: w.qos, Retain: w.retain, Topic: w.topic, Payload: fmt.Appendf(nil, "%s.%d.will", c.who, n), Properties: w.props.properties()}
		if w.empty {
			p.Will.Payload = nil
		}
		if w.delay > 0 {
			p.Will.Properties.SetWillDelay(w.delay)
		}
	}
	return p
}

func (a *subscribe) run(c *client, n int) {
	if c.nc == nil {
		return
	}
	p := &packet.Subscribe{PacketID: c.packetID(fmt.Sprintf("%s.%d", c.who, n)), Subscriptions: a.subs}
	if a.id > 0 {
		p.Properties.SubscriptionIDs = []uint32{a.id}
	}
	c.waiting++
	c.send(p)
}

func (a *unsubscribe) run(c *client, n int) {
	if c.nc == nil {
		return
	}
	c.waiting++
	c.send(&packet.Unsubscribe{PacketID: c.packetID(fmt.Sprintf("%s.%d", c.who, n)), Filters: a.filters})
}

func (a *publish) run(c *client, n int) {
	if c.nc == nil {
		return
	}
	var batch []packet.Packet
	for i, topic := range a.topics {
		p := &packet.Publish{Topic: []byte(topic), QoS: a.qos, Retain: a.retain, Payload: fmt.Appendf(nil, "%s.%d.%d", c.who, n, i)}
		if a.empty {
			p.Payload = nil
		}
		if c.version == packet.V50 {
			x := a.props.properties()
			p.Properties = x.AppendForward(nil)
			p.HasExpiry, p.MessageExpiry = x.MessageExpiry > 0, x.MessageExpiry
			if a.alias > 0 {
				p.HasAlias, p.TopicAlias = true, a.alias
				if i > 0 && topic == a.topics[0] {
					p.Topic = nil
				} else if i > 0 {
					p.HasAlias = false
				}
			}
		}
		if a.qos > 0 {
			p.PacketID = c.packetID(fmt.Sprintf("%s.%d.%d", c.who, n, i))
			c.waiting++
			if a.hold && a.qos == 2 {
				p.Topic = []byte(topic) // as it will be sent again
				p.HasAlias = false
				c.held = append(c.held, p)
			}
		}
		batch = append(batch, p)
	}
	c.send(batch...)
}

func (*again) run(c *client, _ int) {
	if c.nc == nil {
		return
	}
	for _, h := range c.held {
		p := *h
		p.Dup = true
		if c.version != packet.V50 {
			p.Properties, p.HasExpiry = nil, false
		}
		c.waiting++
		c.send(&p)
	}
}

func (*release) run(c *client, _ int) {
	if c.nc == nil {
		return
	}
	held := c.held
	c.held = nil
	for _, h := range held {
		c.waiting++
		c.send(&packet.Ack{Type: packet.TypePubrel, PacketID: h.PacketID})
	}
}

func (a *acknowledge) run(c *client, _ int) {
	if c.nc == nil {
		return
	}
	n := len(c.pending)
	if a.n > 0 {
		n = min(n, a.n)
	} else {
		c.withhold = false
	}
	var batch []*packet.Ack
	if a.reverse {
		batch = slices.Clone(c.pending[len(c.pending)-n:])
		slices.Reverse(batch)
		c.pending = c.pending[:len(c.pending)-n]
	} else {
		batch, c.pending = c.pending[:n:n], c.pending[n:]
	}
	for _, ack := range batch {
		c.acked += fmt.Sprint(ack.Type, " ", c.received[ack.PacketID], ";")
		c.acknowledge(ack)
	}
}

func (a *disconnect) run(c *client, _ int) {
	if c.nc == nil {
		return
	}
	p := &packet.Disconnect{}
	if c.version == packet.V50 {
		if a.withWill {
			p.Code = packet.DisconnectWithWill
		}
		if a.expiry != nil {
			p.Properties.SetSessionExpiry(*a.expiry)
		}
	}
	c.send(p)
	c.drain("")
}

func (*drop) run(c *client, _ int) {
	if c.nc != nil {
		c.hangUp()
	}
}
