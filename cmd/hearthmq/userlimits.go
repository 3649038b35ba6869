package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

type userLimits struct {
	Name   string   `arg:"" help:"User name."`
	Limits []string `arg:"" optional:"" placeholder:"LIMIT=NUMBER" help:"Such as connections=2; connections, connects (a second), messages (a second), bytes (a second), packet, inflight, queued, queued_bytes, subscriptions, retained, retained_bytes, levels. They take the place of all that the user has; without any, those are printed."`
	Clear  bool     `help:"Take all limits of the user away."`
}

// Run prints the limits of a user or sets them.
func (c *userLimits) Run(ctx context.Context, app *application) error {
	if c.Clear && len(c.Limits) > 0 {
		return errors.New("either --clear or limits")
	}
	if !c.Clear && len(c.Limits) == 0 {
		return app.printOf(ctx, c.Name, func(u access.User) string { return access.FormatLimits(u.Limits) })
	}
	limits, err := access.ParseLimits(strings.Join(c.Limits, " "))
	if err != nil {
		return err
	}
	return app.change(ctx, c.Name, func(ctx context.Context, a *access.Accounts) error {
		if err := a.ChangeUser(ctx, c.Name, access.UserChange{Limits: &limits}); err != nil {
			return err
		}
		if limits == (broker.Limits{}) {
			app.say("User %s has no limits of its own.", c.Name)
		} else {
			app.say("User %s has the limits %s. They hold at once; connections and subscriptions above them stay until they end.", c.Name, access.FormatLimits(limits))
		}
		return nil
	})
}

type userNetworks struct {
	Name     string   `arg:"" help:"User name."`
	Networks []string `arg:"" optional:"" placeholder:"NETWORK" help:"From which alone the user may connect, such as 192.168.1.0/24 or 10.0.0.7; without any, those are printed."`
	Any      bool     `help:"Let the user connect from everywhere."`
}

// Run prints the networks that a user may connect from or sets them.
func (c *userNetworks) Run(ctx context.Context, app *application) error {
	if c.Any && len(c.Networks) > 0 {
		return errors.New("either --any or networks")
	}
	if !c.Any && len(c.Networks) == 0 {
		return app.printOf(ctx, c.Name, func(u access.User) string { return access.FormatNetworks(u.Networks) })
	}
	networks, err := access.ParseNetworks(strings.Join(c.Networks, " "))
	if err != nil {
		return err
	}
	return app.change(ctx, c.Name, func(ctx context.Context, a *access.Accounts) error {
		if err := a.ChangeUser(ctx, c.Name, access.UserChange{Networks: &networks}); err != nil {
			return err
		}
		app.say("%s", sayNetworks(c.Name, networks))
		return nil
	})
}

func sayNetworks(user string, networks []netip.Prefix) string {
	if len(networks) == 0 {
		return fmt.Sprintf("User %s may connect from everywhere.", user)
	}
	return fmt.Sprintf("User %s may connect from %s only. Clients from elsewhere are disconnected.", user, access.FormatNetworks(networks))
}

// printOf prints something of a user, one word a line.
func (a *application) printOf(ctx context.Context, name string, what func(access.User) string) error {
	db, directory, _, err := a.accounts(ctx)
	if err != nil {
		return err
	}
	u, ok := directory.User(name)
	if !ok {
		err = explain(name, access.ErrNotFound)
	}
	for _, word := range strings.Fields(what(u)) {
		if _, e := fmt.Fprintln(a.stdout, word); e != nil {
			err = errors.Join(err, e)
		}
	}
	return errors.Join(err, db.Close())
}
