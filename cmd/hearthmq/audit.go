package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hearthmq/broker/access"
)

type auditCommand struct {
	About string        `placeholder:"TEXT" help:"Only changes with this in who made them, in what was changed, or in what it was or is."`
	Via   string        `placeholder:"WAY" default:"" enum:",admin,home assistant,token,command line,set-up,$CONTROL,HearthMQ" help:"Only changes that came by this way: admin, \"home assistant\", token, \"command line\", set-up, '$CONTROL', HearthMQ (nobody asked in particular)."`
	Since time.Duration `placeholder:"SPAN" help:"Only changes since so long ago, such as 24h."`
	Limit int           `default:"50" help:"How many at most; 0: all that are kept, a year or 10,000."`
}

// Run prints who changed what, the latest first.
func (c *auditCommand) Run(ctx context.Context, app *application) error {
	if c.Limit < 0 || c.Since < 0 {
		return errors.New("--limit and --since can't be negative")
	}
	q := access.AuditQuery{Text: c.About, Via: access.Via(c.Via)}
	if c.Since > 0 {
		q.Since = time.Now().Add(-c.Since)
	}
	db, _, accounts, err := app.accounts(ctx)
	if err != nil {
		return err
	}
	return errors.Join(c.print(ctx, app, accounts, q), db.Close())
}

func (c *auditCommand) print(ctx context.Context, app *application, accounts *access.Accounts, q access.AuditQuery) error {
	for left := c.Limit; ; left -= q.Limit {
		if q.Limit = access.MaxAuditPage; c.Limit > 0 {
			q.Limit = min(left, access.MaxAuditPage)
		}
		page, next, err := accounts.Audit(ctx, q)
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := app.printChange(e); err != nil {
				return err
			}
		}
		switch {
		case next == 0:
			return nil
		case left == q.Limit:
			app.say("There are older ones: --limit shows more.")
			return nil
		}
		q.Before = next
	}
}

// printChange prints an entry of the audit: when, what, by whom, and what it was and is.
func (a *application) printChange(e access.AuditEntry) error {
	object := ""
	if e.Object != "" {
		object = ": " + visibly(e.Object)
	}
	_, err := fmt.Fprintf(a.stdout, "%s  %s%s, by %s\n", e.At.Local().Format(time.DateTime), e.Action, object, visibly(e.Who().String()))
	for _, side := range []struct{ word, text string }{{"before:", e.Before}, {"after: ", e.After}} {
		if side.text != "" && err == nil {
			_, err = fmt.Fprintf(a.stdout, "  %s %s\n", side.word, visibly(side.text))
		}
	}
	return err
}
