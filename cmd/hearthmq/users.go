package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"hearthmq/broker/access"
)

// Passwords come from standard input or are made: never from an argument, which
// every process of the machine can read.
type passwordFlags struct {
	PasswordStdin bool `name:"password-stdin" xor:"password" help:"Read the password from standard input, one line."`
	Generate      bool `xor:"password" help:"Make a password and print it alone on the last line."`
}

// maxPassword bounds what is read from standard input, in bytes.
const maxPassword = 64 << 10

func (f passwordFlags) read(app *application) (password string, err error) {
	if f.Generate {
		return "", nil
	}
	if !f.PasswordStdin {
		return "", errors.New("say where the password comes from: --generate makes one, --password-stdin reads a line")
	}
	line, err := bufio.NewReader(io.LimitReader(app.stdin, maxPassword)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	password = strings.TrimRight(line, "\r\n")
	if password == "" {
		return "", errors.New("standard input holds no password")
	}
	return password, nil
}

type userAdd struct {
	Name string `arg:"" help:"User name."`
	passwordFlags
	Template string            `xor:"rights" placeholder:"NAME" help:"Rights of a product, and how to set it up; hearthmq template list names them. Makes a password unless --password-stdin is given."`
	Set      map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"What the template asks for, such as topic=lamp; repeat it for several."`
	Host     string            `placeholder:"NAME" help:"Under which name the product finds this machine; in what is printed for a template."`
	Role     []string          `placeholder:"ROLE" sep:"none" help:"Role of the user; repeat it for several."`
	Rule     []string          `placeholder:"RULE" sep:"none" help:"Rule of the user's own, such as \"allow both sensors/%u/#\"; repeat it for several."`
	Limits   string            `placeholder:"LIMITS" help:"Limits of the user, such as \"connections=2 messages=10\"."`
	Network  []string          `placeholder:"NETWORK" help:"Network from which alone the user may connect, such as 192.168.1.0/24; repeat it for several."`
	Admin    bool              `help:"The user may use the admin."`
	Note     string            `help:"What the user is for."`
}

// Run adds a user.
func (c *userAdd) Run(ctx context.Context, app *application) error {
	if c.Template != "" && !c.PasswordStdin {
		c.Generate = true
	}
	password, err := c.read(app)
	if err != nil {
		return err
	}
	n := access.NewUser{Name: c.Name, Password: password, Generate: c.Generate, Admin: c.Admin, Note: c.Note, Roles: c.Role}
	if n.Rules, err = parseRules(c.Rule); err != nil {
		return err
	}
	if n.Limits, err = access.ParseLimits(c.Limits); err != nil {
		return err
	}
	if n.Networks, err = access.ParseNetworks(strings.Join(c.Network, " ")); err != nil {
		return err
	}
	explainTo, err := c.template(app, &n)
	if err != nil {
		return err
	}
	return app.change(ctx, c.Name, func(ctx context.Context, a *access.Accounts) error {
		_, generated, err := a.CreateUser(ctx, n)
		if err != nil {
			return err
		}
		app.say("User %s added.", c.Name)
		if len(n.Roles) == 0 && len(n.Rules) == 0 {
			if c.Admin {
				app.say("It may use the admin.")
			}
			app.say("It has no role and no rule, so as a device it may connect and nothing else.")
		}
		explainTo(generated)
		return app.printPassword(generated)
	})
}

type userPasswd struct {
	Name string `arg:"" help:"User name."`
	passwordFlags
}

// Run gives a user a new password.
func (c *userPasswd) Run(ctx context.Context, app *application) error {
	password, err := c.read(app)
	if err != nil {
		return err
	}
	return app.change(ctx, c.Name, func(ctx context.Context, a *access.Accounts) error {
		generated, err := a.SetPassword(ctx, c.Name, password, c.Generate)
		if err != nil {
			return err
		}
		app.say("User %s has a new password.", c.Name)
		return app.printPassword(generated)
	})
}

type userEnable struct {
	Name string `arg:"" help:"User name."`
}

// Run lets a user in again.
func (c *userEnable) Run(ctx context.Context, app *application) error {
	return app.setDisabled(ctx, c.Name, false)
}

type userDisable struct {
	Name string `arg:"" help:"User name."`
}

// Run keeps a user out.
func (c *userDisable) Run(ctx context.Context, app *application) error {
	return app.setDisabled(ctx, c.Name, true)
}

func (a *application) setDisabled(ctx context.Context, name string, disabled bool) error {
	db, directory, accounts, err := a.accounts(ctx)
	if err != nil {
		return err
	}
	u, ok := directory.User(name)
	if !ok {
		err = access.ErrNotFound
	} else {
		err = accounts.ChangeUser(a.actor(ctx), name, access.UserChange{Revision: u.Revision, Disabled: &disabled})
	}
	if err = errors.Join(explain(name, err), db.Close()); err == nil {
		word := "enabled"
		if disabled {
			word = "disabled"
		}
		a.say("User %s is %s.", name, word)
	}
	return err
}

type userDelete struct {
	Name string `arg:"" help:"User name."`
}

// Run deletes a user.
func (c *userDelete) Run(ctx context.Context, app *application) error {
	return app.change(ctx, c.Name, func(ctx context.Context, a *access.Accounts) error {
		if err := a.DeleteUser(ctx, c.Name); err != nil {
			return err
		}
		app.say("User %s is deleted.", c.Name)
		return nil
	})
}

type userList struct{}

// Run lists the users.
func (userList) Run(ctx context.Context, app *application) error {
	db, directory, _, err := app.accounts(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(app.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLES\tRULES\tKIND\tNOTE")
	for _, u := range directory.Users() {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", u.Name, orDash(strings.Join(u.Roles, ", ")), len(u.Rules), kindOf(u), orDash(visibly(u.Note)))
	}
	return errors.Join(w.Flush(), db.Close())
}

func kindOf(u access.User) string {
	var words []string
	if u.Disabled {
		words = append(words, "disabled")
	}
	if u.Admin {
		words = append(words, "admin")
	}
	if u.System {
		words = append(words, "system")
	}
	if u.FromSettings {
		words = append(words, "from the settings")
	}
	return orDash(strings.Join(words, ", "))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// change opens the database, calls do for the user as the person at this terminal,
// and closes it.
func (a *application) change(ctx context.Context, user string, do func(context.Context, *access.Accounts) error) error {
	db, _, accounts, err := a.accounts(ctx)
	if err != nil {
		return err
	}
	return errors.Join(explain(user, do(a.actor(ctx), accounts)), db.Close())
}

// actor names in the audit who types here.
func (a *application) actor(ctx context.Context) context.Context {
	name := ""
	for _, e := range a.environ {
		if user, ok := strings.CutPrefix(e, "USER="); ok {
			name = user
		}
	}
	return access.WithActor(ctx, access.ViaCommandLine, name)
}

// explain says what is wrong in lines of text.
func explain(user string, err error) error {
	if errors.Is(err, access.ErrNotFound) {
		return fmt.Errorf("there is no user named %s", user)
	}
	p, ok := errors.AsType[access.Problems](err)
	if !ok {
		return err
	}
	var lines []error
	for _, field := range slices.Sorted(maps.Keys(p)) {
		if field == "name" {
			lines = append(lines, fmt.Errorf("user %s: %s", user, p[field]))
			continue
		}
		lines = append(lines, errors.New(p[field]))
	}
	return errors.Join(lines...)
}

// say prints for a person; what a script wants goes to standard output.
func (a *application) say(format string, args ...any) {
	fmt.Fprintf(a.stderr, format+"\n", args...)
}

func (a *application) printPassword(generated string) error {
	if generated == "" {
		return nil
	}
	_, err := fmt.Fprintln(a.stdout, generated)
	return err
}
