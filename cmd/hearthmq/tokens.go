package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"hearthmq/broker/access"
)

type tokenCreate struct {
	Label string `required:"" help:"What it is for; stands beside each change that is made with it."`
	Scope string `default:"read" enum:"read,admin" help:"read sees everything that holds no secret, admin may change it too."`
}

// Run makes a token. It stands alone on the last line.
func (c *tokenCreate) Run(ctx context.Context, app *application) error {
	return app.tokens(ctx, func(ctx context.Context, tokens *access.Tokens) error {
		made, secret, err := tokens.Create(ctx, c.Label, access.TokenScope(c.Scope))
		if err != nil {
			return explain(c.Label, err)
		}
		app.say("Token %s (%s) is made. It is not shown again:", made.Label, made.Scope)
		_, err = fmt.Fprintln(app.stdout, secret)
		return err
	})
}

type tokenList struct{}

// Run lists the tokens.
func (tokenList) Run(ctx context.Context, app *application) error {
	return app.tokens(ctx, func(ctx context.Context, tokens *access.Tokens) error {
		list, err := tokens.List(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(app.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "LABEL\tSCOPE\tMADE\tBY\tUSED")
		for _, t := range list {
			used := "never"
			if !t.Used.IsZero() {
				used = t.Used.Local().Format(time.DateOnly)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", visibly(t.Label), t.Scope, t.Created.Local().Format(time.DateOnly), orDash(visibly(t.CreatedBy)), used)
		}
		return w.Flush()
	})
}

type tokenRevoke struct {
	Label string `arg:"" help:"Label of the token."`
}

// Run makes a token worthless.
func (c *tokenRevoke) Run(ctx context.Context, app *application) error {
	return app.tokens(ctx, func(ctx context.Context, tokens *access.Tokens) error {
		list, err := tokens.List(ctx)
		if err != nil {
			return err
		}
		for _, t := range list {
			if t.Label != c.Label {
				continue
			}
			if err := tokens.Revoke(ctx, t.ID); err != nil {
				return err
			}
			app.say("Token %s is revoked.", t.Label)
			return nil
		}
		return fmt.Errorf("there is no token labelled %s", c.Label)
	})
}

// tokens opens the database, calls do as the person at this terminal, and closes it.
func (a *application) tokens(ctx context.Context, do func(context.Context, *access.Tokens) error) error {
	db, _, _, err := a.accounts(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(a.actor(ctx), access.NewTokens(db.Tokens())), db.Close())
}
