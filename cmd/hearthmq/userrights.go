package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"hearthmq/broker/access"
)

// ruleFlags change a list of rules.
type ruleFlags struct {
	Add    []string `placeholder:"RULE" sep:"none" help:"Add a rule, such as \"allow both sensors/%u/#\"; repeat it for several."`
	Remove []string `placeholder:"RULE" sep:"none" help:"Take a rule away, as it is printed; repeat it for several."`
}

// parse returns the rules; change is false where there are none.
func (f ruleFlags) parse() (add, remove []access.Rule, change bool, err error) {
	if add, err = parseRules(f.Add); err == nil {
		remove, err = parseRules(f.Remove)
	}
	return add, remove, len(add)+len(remove) > 0, err
}

func parseRules(texts []string) (rules []access.Rule, err error) {
	for _, text := range texts {
		r, err := access.ParseRule(text)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", text, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

type userRules struct {
	Name string `arg:"" help:"User name."`
	ruleFlags
}

// Run changes a user's own rules, or prints them with those of its roles.
func (c *userRules) Run(ctx context.Context, app *application) error {
	add, remove, change, err := c.parse()
	if err != nil {
		return err
	}
	if !change {
		return app.look(ctx, func(d *access.Directory, a *access.Accounts) error {
			u, ok := d.User(c.Name)
			if !ok {
				return explain(c.Name, access.ErrNotFound)
			}
			if l, err := a.Learned(ctx, c.Name); err == nil && l.Running && l.Open {
				app.say("Until %s user %s may do everything that no rule denies, as it is watched.", l.Until.Local().Format(time.DateTime), c.Name)
			}
			return app.printRules(d, u)
		})
	}
	return app.change(ctx, c.Name, func(ctx context.Context, a *access.Accounts) error {
		if err := a.AmendRules(ctx, c.Name, add, remove); err != nil {
			return err
		}
		app.say("The rules of user %s are changed.", c.Name)
		return nil
	})
}

// printRules prints what a user may do, and which of it comes from a role.
func (a *application) printRules(d *access.Directory, u access.User) error {
	switch {
	case u.System:
		a.say("User %s is a system user and may do everything.", u.Name)
		return nil
	case len(u.Rules)+len(u.Roles) == 0:
		a.say("User %s has no role and no rule.", u.Name)
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tFROM")
	for _, r := range u.Rules {
		fmt.Fprintf(w, "%s\tuser %s\n", r, u.Name)
	}
	for _, name := range u.Roles {
		role, _ := d.Role(name)
		if len(role.Rules) == 0 {
			fmt.Fprintf(w, "-\trole %s\n", name)
		}
		for _, r := range role.Rules {
			fmt.Fprintf(w, "%s\trole %s\n", r, name)
		}
	}
	return w.Flush()
}

type userRoles struct {
	Name   string   `arg:"" help:"User name."`
	Add    []string `placeholder:"ROLE" sep:"none" help:"Give the user a role; repeat it for several. hearthmq role list names them."`
	Remove []string `placeholder:"ROLE" sep:"none" help:"Take a role away; repeat it for several."`
}

// Run changes a user's roles, or prints them one a line.
func (c *userRoles) Run(ctx context.Context, app *application) error {
	if len(c.Add)+len(c.Remove) == 0 {
		return app.look(ctx, func(d *access.Directory, _ *access.Accounts) error {
			u, ok := d.User(c.Name)
			if !ok {
				return explain(c.Name, access.ErrNotFound)
			}
			for _, role := range u.Roles {
				if _, err := fmt.Fprintln(app.stdout, role); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return app.change(ctx, c.Name, func(ctx context.Context, a *access.Accounts) error {
		if err := a.AmendRoles(ctx, c.Name, c.Add, c.Remove); err != nil {
			return err
		}
		app.say("The roles of user %s are changed.", c.Name)
		return nil
	})
}

type roleList struct{}

// Run lists the roles.
func (roleList) Run(ctx context.Context, app *application) error {
	return app.look(ctx, func(d *access.Directory, _ *access.Accounts) error {
		users := map[string]int{}
		for _, u := range d.Users() {
			for _, role := range u.Roles {
				users[role]++
			}
		}
		w := tabwriter.NewWriter(app.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ROLE\tRULES\tUSERS\tDESCRIPTION")
		for _, r := range d.Roles() {
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", r.Name, len(r.Rules), users[r.Name], orDash(visibly(r.Description)))
		}
		return w.Flush()
	})
}

type roleAdd struct {
	Name        string   `arg:"" help:"Role."`
	Rule        []string `placeholder:"RULE" sep:"none" help:"Rule of the role, such as \"allow both sensors/%u/#\"; repeat it for several."`
	Description string   `help:"What the role is for."`
}

// Run adds a role.
func (c *roleAdd) Run(ctx context.Context, app *application) error {
	rules, err := parseRules(c.Rule)
	if err != nil {
		return err
	}
	return app.changeRole(ctx, c.Name, "added", func(ctx context.Context, a *access.Accounts) error {
		return a.CreateRole(ctx, c.Name, c.Description, rules)
	})
}

type roleRules struct {
	Name string `arg:"" help:"Role."`
	ruleFlags
}

// Run changes the rules of a role, or prints them one a line.
func (c *roleRules) Run(ctx context.Context, app *application) error {
	add, remove, change, err := c.parse()
	if err != nil {
		return err
	}
	if !change {
		return app.look(ctx, func(d *access.Directory, _ *access.Accounts) error {
			role, ok := d.Role(c.Name)
			if !ok {
				return explainRole(c.Name, access.ErrNotFound)
			}
			for _, r := range role.Rules {
				if _, err := fmt.Fprintln(app.stdout, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return app.changeRole(ctx, c.Name, "changed", func(ctx context.Context, a *access.Accounts) error {
		return a.AmendRole(ctx, c.Name, add, remove)
	})
}

type roleDelete struct {
	Name string `arg:"" help:"Role."`
}

// Run deletes a role.
func (c *roleDelete) Run(ctx context.Context, app *application) error {
	return app.changeRole(ctx, c.Name, "deleted", func(ctx context.Context, a *access.Accounts) error {
		return a.DeleteRole(ctx, c.Name)
	})
}

// changeRole is change for a role, and tells what has become of it.
func (a *application) changeRole(ctx context.Context, role, word string, do func(context.Context, *access.Accounts) error) error {
	db, _, accounts, err := a.accounts(ctx)
	if err != nil {
		return err
	}
	if err = errors.Join(explainRole(role, do(a.actor(ctx), accounts)), db.Close()); err == nil {
		a.say("Role %s is %s.", role, word)
	}
	return err
}

func explainRole(role string, err error) error {
	if errors.Is(err, access.ErrNotFound) {
		return fmt.Errorf("there is no role named %s; hearthmq role list names them", role)
	}
	if p, ok := errors.AsType[access.Problems](err); ok && p["name"] != "" {
		return fmt.Errorf("role %s: %s", role, p["name"])
	}
	return explain(role, err)
}

// look opens the database, calls see with what is known, and closes it.
func (a *application) look(ctx context.Context, see func(*access.Directory, *access.Accounts) error) error {
	db, directory, accounts, err := a.accounts(ctx)
	if err != nil {
		return err
	}
	return errors.Join(see(directory, accounts), db.Close())
}

// addRule is the command line that adds a rule to a user's own, or to the role of clients
// without a user name, for a shell.
func (a *application) addRule(user, rule string) string {
	words := []string{"hearthmq"}
	if a.data != "" {
		words = append(words, "--data", quoteShell(a.data))
	}
	if a.options != "" {
		words = append(words, "--options", quoteShell(a.options))
	}
	kind := "user"
	if user == "" {
		kind, user = "role", access.RoleAnonymous
	}
	name, flag := quoteShell(user), []string{"--add", quoteShell(rule)}
	words = append(words, kind, "rules")
	if strings.HasPrefix(user, "-") { // it looks like a flag
		words = append(append(words, flag...), "--", name)
	} else {
		words = append(append(words, name), flag...)
	}
	return strings.Join(words, " ")
}

// quoteShell makes one word of a shell of s, which is shown as it is.
func quoteShell(s string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_-./:@", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
