package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

type templateList struct{}

// Run lists the templates with what each asks for.
func (templateList) Run(app *application) error {
	w := tabwriter.NewWriter(app.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TEMPLATE\tPRODUCT\tASKS FOR")
	for _, t := range access.Templates() {
		_, values := t.Defaults("NAME")
		var keys []string
		for _, k := range t.Keys {
			keys = append(keys, k.Key+"="+values[k.Key])
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", t.ID, t.Name, orDash(strings.Join(keys, " ")))
	}
	return w.Flush()
}

// fillTemplate returns the rules of an instance of the product for a user.
func fillTemplate(id, user string, set map[string]string) (t *access.Template, rules []access.Rule, values map[string]string, err error) {
	if t, err = access.FindTemplate(id); err != nil {
		return nil, nil, nil, fmt.Errorf("there is no template %q; hearthmq template list names them", id)
	}
	rules, values, err = t.Fill(user, set)
	if p, ok := errors.AsType[access.Problems](err); ok {
		var lines []error
		for key, text := range p {
			lines = append(lines, fmt.Errorf("--set %s: %s", key, text))
		}
		err = errors.Join(lines...)
	}
	return t, rules, values, err
}

type templateApply struct {
	Template    string            `arg:"" help:"Template; hearthmq template list names them."`
	Name        string            `arg:"" help:"User name."`
	Set         map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"What the template asks for, such as topic=lamp; repeat it for several."`
	DryRun      bool              `help:"Print the rules and change nothing."`
	NewPassword bool              `help:"Make a new password, print it alone on the last line, and say how to set up the product."`
	Host        string            `placeholder:"NAME" help:"Under which name the product finds this machine; in what is printed with a new password."`
}

// Run prints the rules that the user lacks, and adds them.
func (c *templateApply) Run(ctx context.Context, app *application) error {
	t, rules, values, err := fillTemplate(c.Template, c.Name, c.Set)
	if err != nil {
		return err
	}
	at, err := app.place(c.Host)
	if err != nil {
		return err
	}
	db, directory, accounts, err := app.accounts(ctx)
	if err != nil {
		return err
	}
	return errors.Join(explain(c.Name, c.apply(app.actor(ctx), app, directory, accounts, t, rules, values, at)), db.Close())
}

func (c *templateApply) apply(ctx context.Context, app *application, d *access.Directory, a *access.Accounts,
	t *access.Template, rules []access.Rule, values map[string]string, at access.Place) error {
	u, ok := d.User(c.Name)
	if !ok {
		return access.ErrNotFound
	}
	missing := access.MissingRules(u.Rules, rules)
	if have := len(rules) - len(missing); have > 0 {
		app.say("User %s has %d of the %s of %s.", c.Name, have, ui.Plural(len(rules), "rule", "rules"), t.Name)
	}
	for _, r := range missing {
		if _, err := fmt.Fprintln(app.stdout, r); err != nil {
			return err
		}
	}
	if c.DryRun {
		return nil
	}
	if len(missing) > 0 {
		if err := a.AddRules(ctx, c.Name, missing); err != nil {
			return err
		}
		app.say("User %s has the rules of %s.", c.Name, t.Name)
	}
	if !c.NewPassword {
		return nil
	}
	password, err := a.SetPassword(ctx, c.Name, "", true)
	if err != nil {
		return err
	}
	app.sayInstructions(t.Instructions(c.Name, password, values, at))
	return app.printPassword(password)
}

// template gives n the rules of the template that was asked for. What it returns
// tells a person how to set up the product.
func (c *userAdd) template(app *application, n *access.NewUser) (explain func(password string), err error) {
	if c.Template == "" {
		if len(c.Set) > 0 {
			return nil, errors.New("--set goes with --template")
		}
		return func(string) {}, nil
	}
	t, rules, values, err := fillTemplate(c.Template, c.Name, c.Set)
	if err != nil {
		return nil, err
	}
	n.Rules = append(n.Rules, rules...)
	if n.Note == "" {
		n.Note = t.Name
	}
	at, err := app.place(c.Host)
	if err != nil {
		return nil, err
	}
	return func(password string) {
		if password == "" {
			password = "the password that you gave"
		}
		app.sayInstructions(t.Instructions(c.Name, password, values, at))
	}, nil
}

// place is where a product finds the broker with these settings: the first port
// for plain MQTT, else the first that is encrypted.
func (a *application) place(host string) (access.Place, error) {
	o, _, err := a.settings()
	if err != nil {
		return access.Place{}, err
	}
	if host == "" {
		if host, err = os.Hostname(); err != nil {
			host = "HOST"
		}
	}
	at := access.Place{Host: host, Port: 1883}
	found := false
	for _, l := range o.Listeners() {
		_, port, err := net.SplitHostPort(l.Address)
		number, err2 := strconv.Atoi(port)
		if l.Network != "tcp" || l.WebSocket || err != nil || err2 != nil || found && l.TLS != nil {
			continue
		}
		if at.Port, at.TLS = number, l.TLS != nil; !at.TLS {
			break
		}
		found = true
	}
	return at, nil
}

func (a *application) sayInstructions(in access.Instructions) {
	for _, b := range in.Blocks {
		a.say("\n%s", b.Title)
		for _, f := range b.Fields {
			a.say("  %s: %s", f[0], f[1])
		}
		for line := range strings.Lines(b.Text) {
			a.say("  %s", strings.TrimRight(line, "\n"))
		}
	}
	a.say("")
	for _, note := range in.Notes {
		a.say("%s", note)
	}
}
