package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

type aclCheck struct {
	User     string `arg:"" help:"User name; \"\" for clients without one."`
	Action   string `arg:"" enum:"publish,subscribe" help:"publish or subscribe."`
	Topic    string `arg:"" help:"Topic Name to publish to, or Topic Filter to subscribe to."`
	ClientID string `name:"client-id" placeholder:"ID" help:"Client Identifier, for rules with %c."`
	Listener string `placeholder:"NAME" default:"mqtt" help:"Listener the client comes in by: mqtt, ws, mqtts, wss, unix."`
	From     string `placeholder:"ADDRESS" default:"127.0.0.1" help:"Address the client comes from."`
}

// Run prints allow or deny with the rule that decides; deny exits with 1.
func (c *aclCheck) Run(ctx context.Context, app *application) error {
	remote, err := netip.ParseAddr(c.From)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	q := access.Question{User: c.User, ClientID: c.ClientID, Action: broker.Publish, Name: c.Topic, Listener: c.Listener, Remote: remote}
	if c.Action == "subscribe" {
		q.Action = broker.Subscribe
	}
	var elsewhere bool
	if err := app.ask(ctx, "/elsewhere", nil, &elsewhere); err == nil && elsewhere { // or no server runs: its own users are meant
		return access.ErrElsewhere
	}
	db, directory, _, err := app.accounts(ctx)
	if err != nil {
		return err
	}
	d := directory.Check(q)
	return errors.Join(app.printDecision(d), db.Close())
}

func (a *application) printDecision(d broker.Decision) error {
	word, more := "deny", ""
	if d.Allow {
		word = "allow"
		if d.Narrowed {
			more = ", narrowed: what else the filter matches is not delivered"
		}
		if d.MaxQoS < 2 {
			more += fmt.Sprintf(", up to QoS %d", d.MaxQoS)
		}
		if d.NoRetain {
			more += ", not retained"
		}
		if d.RetainLess > 0 {
			more += fmt.Sprintf(", retained up to QoS %d", d.Most(true))
		}
	}
	if _, err := fmt.Fprintf(a.stdout, "%s: %s%s\n", word, d.Rule.Text, more); err != nil {
		return err
	}
	if !d.Allow {
		return errDenied
	}
	return nil
}
