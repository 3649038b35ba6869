package addon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"hearthmq/broker"
)

// TakeOverPlan is how far a take-over from another broker has come: what HearthMQ has to
// remember of it. What can be looked up is not in there.
type TakeOverPlan struct {
	Slug   string  `json:"slug"`   // of the app to take over from, "" when none was begun
	Theirs Service `json:"theirs"` // its record, for the way back
	Copied *Copied `json:"copied"` // nil: not yet
}

// Copied is what came of copying retained messages.
type Copied struct {
	Found   int       `json:"found"`   // at the other broker
	Added   int       `json:"added"`   // new here
	Changed int       `json:"changed"` // copied before, and another value since
	Kept    int       `json:"kept"`    // here already, from a client of ours: left as it is
	At      time.Time `json:"at"`
}

// takeOverClient is the Client Identifier under which copied messages are published, by
// which they are known.
const takeOverClient = "hearthmq-take-over"

// errNoOther is why there is nothing to take over.
var errNoOther = errors.New("no other app provides MQTT")

// plan reads how far the take-over came.
func (h *Home) plan(ctx context.Context) (TakeOverPlan, error) {
	var p TakeOverPlan
	text, err := h.cfg.Load(ctx)
	if err != nil || len(text) == 0 {
		return p, err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return TakeOverPlan{}, fmt.Errorf("read the take-over: %w", err)
	}
	return p, nil
}

func (h *Home) remember(ctx context.Context, p TakeOverPlan) error {
	if p.Slug == "" {
		return h.cfg.Save(ctx, nil)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("note the take-over: %w", err)
	}
	return h.cfg.Save(ctx, text)
}

// begin returns the plan with the record of the broker to take over from, which it
// remembers: once the record is ours, nobody else knows it.
func (h *Home) begin(ctx context.Context) (TakeOverPlan, error) {
	p, err := h.plan(ctx)
	if err != nil {
		return p, err
	}
	self := h.cfg.Announcer.Announcement().Self
	if self == nil {
		return p, errors.New("the Supervisor has not answered yet")
	}
	got, err := h.cfg.Supervisor.MQTTService(ctx)
	switch {
	case errors.Is(err, ErrNoService) || err == nil && got.Host == self.Hostname:
		if p.Slug == "" {
			return p, errNoOther
		}
		return p, nil
	case err != nil:
		return p, err
	}
	slug := got.Addon
	if slug == self.Slug { // put back by us
		slug = slugOf(got.Host)
	}
	got.Addon = ""
	if p.Slug == slug && p.Theirs == got {
		return p, nil
	}
	if p.Slug != slug {
		p.Copied = nil
	}
	p.Slug, p.Theirs = slug, got
	return p, h.remember(ctx, p)
}

// CopyRetained copies the retained messages of the other broker. Done again it brings
// what changed there since; what clients of ours said meanwhile is newer and stays.
func (h *Home) CopyRetained(ctx context.Context) error {
	return h.act(ctx, func(ctx context.Context) error {
		p, err := h.begin(ctx)
		if err != nil {
			return err
		}
		list, err := h.cfg.Retained(ctx, p.Theirs)
		if err != nil {
			return err
		}
		client := h.cfg.Broker.Attach(&broker.Identity{ClientID: takeOverClient, System: true}, broker.LocalOptions{})
		defer client.Close()
		c := &Copied{Found: len(list)}
		for _, m := range list {
			if err := h.copyOne(ctx, client, m, c); err != nil {
				return fmt.Errorf("copy %s: %w", shorten(m.Topic), err)
			}
		}
		c.At = time.Now()
		p.Copied = c
		h.cfg.Log.Info("retained messages copied", "from", p.Slug, "found", c.Found, "added", c.Added, "changed", c.Changed, "kept", c.Kept)
		return h.remember(ctx, p)
	})
}

func (h *Home) copyOne(ctx context.Context, client *broker.LocalClient, m *broker.Message, c *Copied) error {
	for here := range h.cfg.Broker.Retained(m.Topic) {
		switch {
		case here.PublisherID != takeOverClient:
			c.Kept++
			return nil
		case bytes.Equal(here.Payload, m.Payload) && bytes.Equal(here.Properties, m.Properties):
			return nil
		}
		c.Changed++
		return client.Publish(ctx, m)
	}
	c.Added++
	return client.Publish(ctx, m)
}

// ForgetCopied deletes the copied messages that no client of ours has replaced. It is
// refused once Home Assistant or its apps look here: to them a deleted announcement
// means a deleted device.
func (h *Home) ForgetCopied(ctx context.Context) error {
	return h.act(ctx, func(ctx context.Context) error {
		p, err := h.plan(ctx)
		if err != nil {
			return err
		}
		if h.cfg.Announcer.Announcement().Provision == ProvidedByUs {
			return errors.New("put the service record back first: apps that come here would lose their devices")
		}
		client := h.cfg.Broker.Attach(&broker.Identity{ClientID: takeOverClient, System: true}, broker.LocalOptions{})
		defer client.Close()
		var topics []string
		for m := range h.cfg.Broker.Retained("#") {
			if m.PublisherID == takeOverClient {
				topics = append(topics, m.Topic)
			}
		}
		for _, name := range topics {
			if err := client.Publish(ctx, broker.NewMessage(name, nil, 1, true)); err != nil {
				return fmt.Errorf("delete %s: %w", shorten(name), err)
			}
		}
		p.Copied = nil
		return h.remember(ctx, p)
	})
}

// TakeRecord has Home Assistant's apps find MQTT here, from their next start on.
func (h *Home) TakeRecord(ctx context.Context) error {
	return h.act(ctx, func(ctx context.Context) error {
		if _, err := h.begin(ctx); err != nil { // keeps their record
			return err
		}
		return h.cfg.Announcer.TakeOver(ctx)
	})
}

// PutRecordBack undoes TakeRecord.
func (h *Home) PutRecordBack(ctx context.Context) error {
	return h.act(ctx, func(ctx context.Context) error {
		p, err := h.plan(ctx)
		if err != nil {
			return err
		}
		if p.Theirs.Host == "" {
			return errNoOther
		}
		return h.cfg.Announcer.PutBack(ctx, p.Theirs)
	})
}

// PointIntegrationBack undoes PointIntegration, with the credentials of the other
// broker's record: its own ones for Home Assistant nobody tells us.
func (h *Home) PointIntegrationBack(ctx context.Context) error {
	return h.act(ctx, func(ctx context.Context) error {
		p, err := h.plan(ctx)
		if err != nil {
			return err
		}
		if p.Theirs.Host == "" {
			return errNoOther
		}
		return h.point(ctx, p.Theirs)
	})
}

// errStillRuns is why the ports can't change hands yet.
var errStillRuns = errors.New("the other broker still runs and holds the ports: stop it first")

// TakePorts gives us the usual ports of MQTT on this machine, and restarts us for it.
// The other broker must not run: two can't have them, and we would not start.
func (h *Home) TakePorts(ctx context.Context) error {
	return h.act(ctx, func(ctx context.Context) error {
		p, err := h.plan(ctx)
		if err != nil {
			return err
		}
		if p.Slug != "" {
			info, err := h.cfg.Supervisor.App(ctx, p.Slug)
			if err != nil && !errors.Is(err, ErrNoApp) {
				return err
			}
			if err == nil && running(info.State) {
				return errStillRuns
			}
		}
		self, err := h.cfg.Supervisor.Self(ctx)
		if err != nil {
			return err
		}
		ports := make(map[string]*int, len(self.Network))
		for name := range self.Network {
			var port int
			if _, err := fmt.Sscanf(name, "%d/tcp", &port); err == nil {
				ports[name] = &port
			}
		}
		if err := h.cfg.Supervisor.SetPorts(ctx, ports); err != nil {
			return err
		}
		return h.cfg.Supervisor.Restart(ctx)
	})
}

// FinishTakeOver forgets the way back.
func (h *Home) FinishTakeOver(ctx context.Context) error {
	return h.act(ctx, func(ctx context.Context) error { return h.remember(ctx, TakeOverPlan{}) })
}
