package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
	mosq "hearthmq/broker/mosquitto"
	"hearthmq/broker/sqlite"
)

type importMosquitto struct {
	Conf      string `placeholder:"FILE" help:"mosquitto.conf; brings the files that it names."`
	Passwords string `placeholder:"FILE" help:"password_file."`
	ACL       string `name:"acl" placeholder:"FILE" help:"acl_file."`
	Dynsec    string `placeholder:"FILE" help:"dynamic-security.json."`
	DB        string `name:"db" placeholder:"FILE" help:"mosquitto.db or mosquitto.sqlite3."`
	Settings  string `name:"app-options" placeholder:"FILE" help:"Options of Home Assistant's Mosquitto app, JSON or YAML."`
	Backup    string `placeholder:"FILE" help:"Backup of Home Assistant with the Mosquitto app in it."`

	Live         string `placeholder:"URL" help:"Copy retained messages of a running broker, mqtt://host:1883 or mqtts://host:8883."`
	LiveUser     string `placeholder:"NAME" help:"User for --live."`
	LivePassword string `placeholder:"FILE" help:"File with the password for --live; - is standard input."`

	DryRun bool `help:"Say what would happen and do nothing."`
}

// Run reads what there is, prints the report and, unless it is a dry run, imports.
func (c *importMosquitto) Run(ctx context.Context, app *application) error {
	sources := mosq.Sources{
		Conf: c.Conf, Passwords: c.Passwords, ACL: c.ACL, Dynsec: c.Dynsec, Database: c.DB, Options: c.Settings, Backup: c.Backup,
	}
	if sources == (mosq.Sources{}) && c.Live == "" {
		return errors.New("say what to import: --conf, --passwords, --acl, --dynsec, --db, --app-options, --backup or --live")
	}
	live, err := c.live(app)
	if err != nil {
		return err
	}
	in := mosq.Reader{
		Files:  mosq.Disk{},
		SQLite: func(path string) (*mosq.Database, []mosq.Notice) { return sqlite.ReadMosquitto(ctx, path) },
	}.Read(sources)
	if c.Live != "" && mosq.Worst(in.Notices) != mosq.Broken {
		list, found, err := mosq.CopyRetained(ctx, live)
		if in.Notices = append(in.Notices, found...); err != nil {
			return err
		}
		if in.Live = list; list == nil {
			in.Live = []*broker.Message{}
		}
	}
	return c.importInto(ctx, app, in)
}

// live is the broker of --live. Its password comes from a file, never from an argument.
func (c *importMosquitto) live(app *application) (mosq.Live, error) {
	l := mosq.Live{URL: c.Live, User: c.LiveUser}
	if c.LivePassword == "" {
		return l, nil
	}
	r := app.stdin
	if c.LivePassword != "-" {
		f, err := os.Open(c.LivePassword)
		if err != nil {
			return l, fmt.Errorf("--live-password: %w", err)
		}
		defer f.Close() // only read
		r = f
	}
	line, err := bufio.NewReader(io.LimitReader(r, maxPassword)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return l, fmt.Errorf("--live-password: %w", err)
	}
	if l.Password = strings.TrimRight(line, "\r\n"); l.Password == "" {
		return l, errors.New("--live-password: there is no password in it")
	}
	return l, nil
}

func (c *importMosquitto) importInto(ctx context.Context, app *application, in *mosq.Input) error {
	o, _, err := app.settings()
	if err != nil {
		return err
	}
	plan := mosq.NewPlan(in, mosq.PlanOptions{Now: time.Now(), Anonymous: o.Access().Anonymous == access.AnonymousFull || o.Access().Anonymous == access.AnonymousRestricted})
	if !plan.Report.OK() {
		return errors.Join(app.report(plan), mosq.ErrBroken)
	}
	for _, m := range plan.State.Retained {
		m.Vouched = true // the owner brings it
	}
	target, done, err := c.open(ctx, app, plan)
	if err != nil {
		return err
	}
	return errors.Join(c.apply(ctx, app, plan, target), done())
}

// apply prints the report, imports, and says what came of it.
func (c *importMosquitto) apply(ctx context.Context, app *application, plan *mosq.Plan, target mosq.Target) error {
	if err := plan.Look(ctx, target); err != nil {
		return err
	}
	if err := app.report(plan); err != nil {
		return err
	}
	if c.DryRun {
		app.say("This was a dry run: nothing was imported.")
		return nil
	}
	done, err := plan.Apply(app.actor(ctx), target)
	if err != nil {
		return fmt.Errorf("%w; doing it again completes the import", err)
	}
	app.say("Imported: users %d, roles %d, retained messages %d, sessions %d with %d queued messages.",
		len(done.Accounts.Users), len(done.Accounts.Roles), done.Retained, done.Sessions, done.Queued)
	if done.Accounts.AnonymousKept {
		app.say("The role anonymous has rules of its own already, which stay.")
	}
	return nil
}

func (a *application) report(plan *mosq.Plan) error {
	_, err := plan.Report.WriteTo(a.stdout)
	return err
}

// errFolderInUse is the error of lockFolder while a server runs with the folder.
var errFolderInUse = errors.New("another HearthMQ runs with the data")

// errRunning is why stored messages can't be imported beside a running server.
var errRunning = errors.New("HearthMQ is running with this data folder: stop it to import a mosquitto.db, or copy the messages with --live from the running Mosquitto")

// open opens the database for the import: as the only one where messages go into the
// store, beside the server where they are published or there are none.
func (c *importMosquitto) open(ctx context.Context, app *application, plan *mosq.Plan) (mosq.Target, func() error, error) {
	dir, err := app.folder()
	if err != nil {
		return mosq.Target{}, nil, err
	}
	messages := len(plan.State.Retained)+len(plan.State.Sessions) > 0
	lock, err := lockFolder(dir)
	running := errors.Is(err, errFolderInUse)
	switch {
	case err != nil && !running:
		return mosq.Target{}, nil, err
	case running && messages && c.Live == "":
		if err := app.report(plan); err != nil {
			return mosq.Target{}, nil, err
		}
		return mosq.Target{}, nil, errRunning
	}
	db, directory, accounts, err := app.accounts(ctx)
	unlock := func() error {
		if lock != nil {
			return lock.Close()
		}
		return nil
	}
	if err != nil {
		return mosq.Target{}, nil, errors.Join(err, unlock())
	}
	target := mosq.Target{Accounts: accounts, Directory: directory}
	switch {
	case !messages:
	case running:
		if err := app.publishTo(accounts, &target); err != nil {
			return target, nil, errors.Join(err, db.Close(), unlock())
		}
	default:
		target.Store = db.Store()
	}
	return target, func() error {
		var err error
		if target.Store != nil {
			err = target.Store.Close()
		}
		return errors.Join(err, db.Close(), unlock())
	}, nil
}

// publishTo has the messages published to the server that runs on this machine, by the
// system user for apps, whose password the database holds.
func (a *application) publishTo(accounts *access.Accounts, t *mosq.Target) error {
	o, _, err := a.settings()
	if err != nil {
		return err
	}
	password, ok := accounts.SystemPassword(access.AddonsUser)
	if !ok {
		return errors.New("the system user addons has no password yet: start HearthMQ once")
	}
	address := ""
	for _, l := range o.Listeners() {
		if l.Network == "tcp" && l.TLS == nil && !l.WebSocket {
			address = l.Address
		}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return errors.New("the running HearthMQ has no plain MQTT port (mqtt_address) to publish to: stop it to import messages")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	own := mosq.Live{URL: "mqtt://" + net.JoinHostPort(host, port), User: access.AddonsUser, Password: password}
	t.Publish = func(ctx context.Context, list []*broker.Message) error {
		return mosq.PublishRetained(ctx, own, list)
	}
	t.Retained = func(ctx context.Context) (map[string]bool, error) { return mosq.RetainedTopics(ctx, own) }
	return nil
}
