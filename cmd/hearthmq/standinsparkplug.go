package main

import (
	"context"
	"log/slog"
	"slices"

	"golang.org/x/sync/errgroup"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// certificates keeps the birth certificates of Sparkplug's edge nodes and devices for who
// comes later, as the plugin sparkplug-aware does: each is retained under
// $sparkplug/certificates/. It implements broker.Observer. Safe for concurrent use.
type certificates struct {
	births chan *broker.Message
	done   chan struct{} // closed when nobody keeps them any more
}

func newCertificates() *certificates {
	return &certificates{births: make(chan *broker.Message), done: make(chan struct{})}
}

// OnPublish implements broker.Observer. A birth waits until the one before is on its way.
func (c *certificates) OnPublish(m *broker.Message) {
	if !topic.Match("spBv1.0/+/NBIRTH/+", m.Topic) && !topic.Match("spBv1.0/+/DBIRTH/+/+", m.Topic) {
		return
	}
	kept := broker.NewMessage("$sparkplug/certificates/"+m.Topic, slices.Clone(m.Payload), m.QoS, true)
	kept.Properties = slices.Clone(m.Properties)
	select {
	case c.births <- kept:
	case <-c.done:
	}
}

// OnEvent implements broker.Observer.
func (c *certificates) OnEvent(broker.Event) {}

// keep publishes them until ctx ends.
func (c *certificates) keep(ctx context.Context, group *errgroup.Group, b *broker.Broker, log *slog.Logger) {
	group.Go(func() error {
		defer close(c.done)
		for {
			select {
			case <-ctx.Done():
				return nil
			case m := <-c.births:
				if err := b.Publish(ctx, m); err != nil && ctx.Err() == nil {
					log.Warn("a birth certificate is not kept", "topic", m.Topic, "err", err)
				}
			}
		}
	})
}
