package mosquitto

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

// PublishRetained publishes messages with RETAIN to a running broker and returns once
// it has acknowledged all of them. A message that it refuses is an error; those before
// it stay.
func PublishRetained(ctx context.Context, l Live, list []*broker.Message) error {
	c, err := dialLive(ctx, l)
	if err != nil {
		return fmt.Errorf("%s: %w", l, err)
	}
	defer c.close()
	under := map[uint16]string{} // topics by Packet Identifier
	next := uint16(0)
	for _, m := range list {
		for len(under) >= c.window {
			if err := c.acknowledged(ctx, under); err != nil {
				return fmt.Errorf("%s: %w", l, err)
			}
		}
		for next++; next == 0 || under[next] != ""; next++ {
		}
		under[next] = m.Topic
		if err := c.send(publication(m, next, time.Now())); err != nil {
			return fmt.Errorf("%s: %w", l, err)
		}
	}
	for len(under) > 0 {
		if err := c.acknowledged(ctx, under); err != nil {
			return fmt.Errorf("%s: %w", l, err)
		}
	}
	return nil
}

// publication is m with QoS 1, so that the broker says when it has it. A message that
// was retained with QoS 0 is delivered with QoS 1 from then on to who asks for it.
func publication(m *broker.Message, id uint16, now time.Time) *packet.Publish {
	p := &packet.Publish{Retain: true, QoS: 1, PacketID: id, Topic: []byte(m.Topic), Payload: m.Payload, Properties: m.Properties}
	if !m.Expires.IsZero() {
		p.HasExpiry, p.MessageExpiry = true, uint32(max(m.Expires.Sub(now)/time.Second, 1))
	}
	return p
}

// acknowledged waits for one acknowledgement.
func (c *liveConn) acknowledged(ctx context.Context, under map[uint16]string) error {
	for {
		f, err := c.read(ctx, liveTimeout)
		if err != nil {
			return err
		}
		switch f.Type() {
		case packet.TypePuback:
			id, code, err := packet.DecodeAck(c.version, f)
			if err != nil {
				return err
			}
			name := under[id]
			delete(under, id)
			if code.Failed() {
				return fmt.Errorf("the message of topic %s is refused: %s", quote(name), code)
			}
			return nil
		case packet.TypeDisconnect:
			return errors.New("the broker ends the connection")
		}
	}
}
