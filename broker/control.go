package broker

import (
	"context"
	"slices"

	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// Controller answers what clients ask for by messages to topics under $CONTROL.
type Controller interface {
	// Control carries out a request. It may block; ctx ends with the connection. The
	// response goes to the client alone; allowed is false when it has no right to ask.
	Control(ctx context.Context, id *Identity, topic string, request []byte) (response []byte, allowed bool)
}

// isControl reports whether a PUBLISH is a request to a Controller.
func (c *conn) isControl(name []byte) bool {
	const prefix = "$CONTROL/"
	return c.b.deps.Controller != nil && len(name) > len(prefix) && string(name[:len(prefix)]) == prefix
}

// control has a request carried out. Requests and responses go past rules and routes:
// nobody but the client ever sees them. A bridge that may do everything here says what
// another broker says, which rules nobody (case W21).
func (c *conn) control(p *packet.Publish) error {
	name := string(p.Topic)
	if topic.ValidName(name) != nil {
		return errTopicName(topic.ValidName(name))
	}
	if c.info.Trusted != nil && c.id.System {
		return c.deny(p, &route{name: name, decision: Decision{Rule: RuleRef{Text: "another broker does not control this one by a bridge"}}})
	}
	response, allowed := c.b.deps.Controller.Control(c.lifetime(), c.id, name, slices.Clone(p.Payload))
	if !allowed {
		return c.deny(p, &route{name: name, decision: Decision{Rule: RuleRef{Text: "only users who may use the admin control the broker"}}})
	}
	c.refuseMessage(p, packet.Success, "") // only acknowledges it
	name += "/response"
	s := c.sess
	s.mu.Lock()
	var to *subscription
	for _, n := range s.subs {
		if n.Share == "" && topic.Match(n.Filter, name) && (to == nil || n.QoS > to.QoS) {
			to = n
		}
	}
	s.mu.Unlock()
	if to == nil {
		return nil
	}
	qos := byte(1)
	if c.cfg.LikeMosquitto {
		qos = 0
	}
	pub := &publication{msg: NewMessage(name, response, qos, false), route: &route{name: name, audience: new(audience)}}
	t := to.target(nil)
	t.rules = c.b.deps.Authorizer.Generation()
	c.b.journal.open()
	defer c.b.journal.close()
	c.b.deliverTo(&c.bt, pub, &t)
	return nil
}
