package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"hearthmq/broker/access"
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

// template gives n the rules of the template that was asked for. What it returns
// tells a person how to set up the product.
func (c *userAdd) template(app *application, n *access.NewUser) (explain func(password string), err error) {
	if c.Template == "" {
		if len(c.Set) > 0 {
			return nil, errors.New("--set goes with --template")
		}
		return func(string) {}, nil
	}
	t, err := access.FindTemplate(c.Template)
	if err != nil {
		return nil, fmt.Errorf("there is no template %q; hearthmq template list names them", c.Template)
	}
	rules, values, err := t.Fill(c.Name, c.Set)
	if p, ok := errors.AsType[access.Problems](err); ok {
		var lines []error
		for key, text := range p {
			lines = append(lines, fmt.Errorf("--set %s: %s", key, text))
		}
		return nil, errors.Join(lines...)
	}
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
