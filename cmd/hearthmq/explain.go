package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

type whyCommand struct {
	About string `arg:"" help:"Client identifier, user name or address of the device; a part of it is enough."`
}

// Run tells why a device gets nothing.
func (c *whyCommand) Run(ctx context.Context, app *application) error {
	var e access.Explanation
	if err := app.ask(ctx, "/why", url.Values{"about": {c.About}}, &e); err != nil {
		return err
	}
	for _, f := range e.Findings {
		text := strconv.QuoteToGraphic(f.Text) // what clients say of themselves must not steer the terminal
		fmt.Fprintf(app.stdout, "%s: %s\n", f.Cause, unquoted(text))
		switch at := f.Last.Local().Format(time.DateTime); {
		case f.Last.IsZero():
		case f.Count > 1:
			fmt.Fprintf(app.stdout, "  last at %s, %d times\n", at, f.Count)
		default:
			fmt.Fprintf(app.stdout, "  at %s\n", at)
		}
		if f.Advice != "" {
			fmt.Fprintf(app.stdout, "  %s\n", unquoted(strconv.QuoteToGraphic(f.Advice)))
		}
		if f.Proposal != "" {
			fmt.Fprintf(app.stdout, "  %s\n", app.addRule(f.ProposalUser, f.Proposal))
		}
	}
	return nil
}

// unquoted takes the quotes off that strconv puts around a text, whose escapes stay.
func unquoted(s string) string {
	var b []byte
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && s[i+1] == '"' {
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

type deniedCommand struct{}

// Run lists what was denied, the latest first, each with the command that would allow it.
func (deniedCommand) Run(ctx context.Context, app *application) error {
	var list []deniedLine
	if err := app.ask(ctx, "/denied", nil, &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(app.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LAST\tTIMES\tUSER\tCLIENT\tACTION\tTOPIC\tWHY\tWOULD ALLOW IT")
	proposed := func(d deniedLine) string {
		switch {
		case d.Allowed:
			return "allowed by now"
		case d.Proposal == "":
			return ""
		}
		return app.addRule(d.User, d.Proposal)
	}
	show := func(s string) string { return orDash(unquoted(strconv.QuoteToGraphic(s))) }
	for _, d := range list {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Last.Local().Format(time.DateTime), d.Count, show(d.User), show(d.ClientID),
			d.Action, show(d.Topic), show(d.Reason), orDash(proposed(d)))
	}
	return w.Flush()
}

type learnStart struct {
	Name string        `arg:"" help:"User name."`
	For  time.Duration `default:"24h" help:"How long to watch, from 1m to 168h."`
	Open bool          `help:"Let the user do everything meanwhile that no rule denies."`
}

// Run begins to watch a user.
func (c *learnStart) Run(ctx context.Context, app *application) error {
	return app.change(ctx, c.Name, func(ctx context.Context, a *access.Accounts) error {
		if err := a.StartLearning(ctx, c.Name, c.For, c.Open); err != nil {
			return err
		}
		app.say("HearthMQ watches %s until %s.", c.Name, time.Now().Add(c.For).Format(time.DateTime))
		return nil
	})
}

type learnShow struct {
	Name string `arg:"" help:"User name."`
}

// Run prints the rules that are proposed, one a line.
func (c *learnShow) Run(ctx context.Context, app *application) error {
	app.settle(ctx)
	return app.change(ctx, c.Name, func(ctx context.Context, a *access.Accounts) error {
		l, err := a.Learned(ctx, c.Name)
		if err != nil {
			return learnError(c.Name, err)
		}
		state := "was watched until"
		if l.Running {
			state = "is watched until"
		}
		app.say("%s %s %s: it published to %s and subscribed to %s.", c.Name, state, l.Until.Local().Format(time.DateTime),
			ui.Plural(len(l.Publish), "topic", "topics"), ui.Plural(len(l.Subscribe), "filter", "filters"))
		if l.Cut {
			app.say("There was more than is kept.")
		}
		for _, r := range l.Rules {
			if _, err := fmt.Fprintln(app.stdout, r); err != nil {
				return err
			}
		}
		return nil
	})
}

type learnAccept struct {
	Name    string `arg:"" help:"User name."`
	Replace bool   `help:"In place of the user's own rules and roles, not beside them."`
}

// Run gives a user the rules that are proposed.
func (c *learnAccept) Run(ctx context.Context, app *application) error {
	app.settle(ctx)
	return app.change(ctx, c.Name, func(ctx context.Context, a *access.Accounts) error {
		if err := a.AcceptLearned(ctx, c.Name, c.Replace); err != nil {
			return learnError(c.Name, err)
		}
		app.say("User %s has the rules.", c.Name)
		return nil
	})
}

type learnDrop struct {
	Name string `arg:"" help:"User name."`
}

// Run forgets what was learnt.
func (c *learnDrop) Run(ctx context.Context, app *application) error {
	return app.change(ctx, c.Name, func(ctx context.Context, a *access.Accounts) error {
		return learnError(c.Name, a.DropLearning(ctx, c.Name))
	})
}

func learnError(user string, err error) error {
	if errors.Is(err, access.ErrNotFound) {
		return fmt.Errorf("user %s is not watched; hearthmq learn start %s begins", user, user)
	}
	return err
}
