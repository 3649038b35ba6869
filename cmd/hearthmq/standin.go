package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"hearthmq/addon"
	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/bridge"
	"hearthmq/broker/dynsec"
	mosq "hearthmq/broker/mosquitto"
	"hearthmq/broker/sqlite"
	"hearthmq/web"
)

// standIn is what is different where HearthMQ runs with a mosquitto.conf as it is:
// ports, users, rights, limits and the log are the file's. What it says nothing of, such
// as the admin's address, comes from the environment or a file of HearthMQ's own settings.
type standIn struct {
	app    *application
	files  mosq.Files
	opt    mosq.SetupOptions
	setup  *mosq.Setup
	guard  *mosq.Guard
	dynsec *dynsec.Engine // nil without the plugin
	births *certificates  // nil without the plugin for Sparkplug
	// What $CONTROL/broker/v1 tells; it follows at the next start.
	controlAPI bool
	listeners  []listenerJSON
	ports      *standInPorts
	log        *standInLog
	bridges    []bridge.Settings // of setup
	data       string            // the folder
	fresh      bool              // data was made by this start
	temp       bool              // data goes with the process
}

// runStandIn is `serve -c FILE -p PORT -v`.
func (c serveCommand) runStandIn(ctx context.Context, app *application) error {
	o, warnings, err := app.standInSettings()
	if err != nil {
		return err
	}
	x := &standIn{app: app, files: mosq.Disk{}, opt: mosq.SetupOptions{File: c.Conf, Port: c.Port}}
	x.log = newStandInLog(app.stdout, app.stderr, c.Verbose)
	quiet := calm(x.log, standInRate)
	log := slog.New(quiet)
	var found []mosq.Notice
	if x.setup, found = mosq.NewSetup(ctx, x.files, x.opt); x.setup == nil {
		return refusedConf(found)
	}
	x.controlAPI, x.listeners = x.setup.Conf.ControlAPI, x.listListeners()
	if x.bridges, err = bridgesOf(x.setup.Conf); err != nil {
		return confProblems{{Text: err.Error()}}
	}
	if c.Test {
		tellNotices(log, found)
		if err := x.log.check(x.setup.Conf.Log); err != nil {
			return confProblems{{Text: err.Error()}}
		}
		log.Info("the configuration is right", "file", c.Conf)
		return nil
	}
	if err := x.log.use(x.setup.Conf.Log); err != nil {
		return addon.Problems{{Text: err.Error()}}
	}
	defer x.log.close()
	defer quiet.close()
	log.Info("HearthMQ " + version + " starts in place of Mosquitto")
	tellNotices(log, found)
	for _, w := range warnings {
		log.Warn(w)
	}
	removePID, err := x.writePID(log)
	if err != nil {
		return err
	}
	defer removePID()
	if err := x.becomeUser(log); err != nil {
		return err
	}
	if err := x.openDynsec(ctx, log); err != nil {
		return err
	}
	memory := limitMemory(addon.Size(x.setup.Conf.Limits.MemoryLimit), app.environ, log)
	if err := x.folder(log); err != nil {
		return err
	}
	lock, err := lockFolder(x.data)
	if err != nil {
		return err
	}
	defer x.removeTemp(log)
	err = againWithBackups(ctx, func(last restored) (*backups, error) {
		s := &server{options: o, log: log, out: app.stdout, home: newHomeAssistant(o, nil, log), standIn: x, memory: memory, restored: last}
		if !x.temp {
			s.backups = newBackups(x.data, log)
		}
		err := s.run(ctx, x.data)
		x.fresh = false // Mosquitto's data was taken over, or a backup is in its place
		return s.backups, err
	})
	return errors.Join(err, lock.Close())
}

// bridgesOf are the bridges of a configuration. The machine's name is part of those of
// their Client Identifiers that it does not prescribe.
func bridgesOf(conf *mosq.Conf) ([]bridge.Settings, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // as Mosquitto calls it
	}
	return conf.BridgeSettings(host)
}

// standInSettings are HearthMQ's own settings: no file is looked for, and the admin is
// off unless somebody asks for it.
func (a *application) standInSettings() (*addon.Options, []string, error) {
	environ := append([]string{"HEARTHMQ_WEB_ADDRESS="}, a.environ...)
	dir, err := a.folder()
	if err != nil {
		return nil, nil, err
	}
	return addon.Load(addon.Source{File: a.options, Environ: environ, Folder: dir})
}

// refusedConf is why HearthMQ does not start with a configuration, a line for each thing.
func refusedConf(found []mosq.Notice) error {
	var p confProblems
	for _, n := range found {
		if n.Level >= mosq.Unsafe {
			p = append(p, addon.Problem{Text: n.String()})
		}
	}
	return p
}

// confProblems are what is wrong with a mosquitto.conf and its files: scripts of Mosquitto
// know the exit code.
type confProblems addon.Problems

func (p confProblems) Error() string { return addon.Problems(p).Error() }

func tellNotices(log *slog.Logger, found []mosq.Notice) {
	for _, n := range found {
		switch n.Level {
		case mosq.Same:
		case mosq.Harmless:
			log.Info(n.String())
		case mosq.Broken, mosq.Unsafe:
			log.Error(n.String())
		default:
			log.Warn(n.String())
		}
	}
}

// becomeUser gives up the rights of root where the file names a user, before anything
// is opened: what Mosquitto could not read, HearthMQ need not either.
func (x *standIn) becomeUser(log *slog.Logger) error {
	name := x.setup.Conf.User
	if x.app.becomeUser == nil || !x.app.root || name == "root" {
		return nil
	}
	if name == "" {
		log.Warn("HearthMQ runs as root: name an account in a line user of the configuration, or have your system start it with one")
		return nil
	}
	if err := x.app.becomeUser(name); err != nil {
		return addon.Problems{{Text: fmt.Sprintf("user %s: %v", name, err)}}
	}
	return nil
}

// writePID keeps the number of the process in the file that the configuration names,
// until remove is called. As with Mosquitto, root writes it before it becomes another.
// Its folder is in /run for most, where nobody but Mosquitto's own service makes it: a
// home without its broker is worse than one without this file.
func (x *standIn) writePID(log *slog.Logger) (remove func(), err error) {
	name := x.setup.Conf.PIDFile
	if name == "" {
		return func() {}, nil
	}
	if name, err = filepath.Abs(name); err != nil {
		return nil, err
	}
	err = os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, strconv.AppendInt(nil, int64(os.Getpid()), 10), 0o644)
	}
	if err != nil {
		log.Warn("pid_file can't be written", "err", err)
		return func() {}, nil
	}
	return func() {
		if err := os.Remove(name); err != nil {
			log.Debug("the pid_file stays behind", "err", err) // the folder may be root's
		}
	}, nil
}

// folderSuffix makes the name of our data's folder of the name of Mosquitto's database.
const folderSuffix = ".hearthmq"

// folder finds the data's folder. Mosquitto's own database is only read, so that the way
// back stays open; who removes it wants to begin anew, with HearthMQ as well.
func (x *standIn) folder(log *slog.Logger) (err error) {
	conf := x.setup.Conf
	old := conf.StoredIn()
	switch {
	case x.app.data != "":
		x.data, err = x.app.folder()
		_, missing := os.Stat(filepath.Join(x.data, databaseName))
		_, theirs := os.Stat(old)
		x.fresh = errors.Is(missing, fs.ErrNotExist) && theirs == nil
		return err
	case conf.Persists():
		x.data = old + folderSuffix
	default:
		x.temp = true
		x.data, err = os.MkdirTemp("", "hearthmq-")
		return err
	}
	if x.data, err = filepath.Abs(x.data); err != nil {
		return err
	}
	_, err = os.Stat(x.data)
	x.fresh = errors.Is(err, fs.ErrNotExist)
	if !conf.Persists() {
		return nil
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		return nil // there, or a problem that opening it will tell of
	}
	if !x.fresh {
		aside := x.data + ".old"
		log.Warn("Mosquitto's database is gone: HearthMQ begins anew, as Mosquitto would. What was stored until now is kept", "file", old, "kept", aside)
		if err := errors.Join(os.RemoveAll(aside), os.Rename(x.data, aside)); err != nil {
			return fmt.Errorf("put the data aside: %w", err)
		}
	}
	x.fresh = false // there is nothing to take over
	if err := os.MkdirAll(x.data, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	empty := mosq.EmptyDatabase()
	if old != conf.Persistence.Path() {
		empty = nil // SQLite takes an empty file for a database that is
	}
	if err := os.WriteFile(old, empty, 0o600); err != nil {
		return fmt.Errorf("persistence: %w", err)
	}
	return nil
}

func (x *standIn) removeTemp(log *slog.Logger) {
	if !x.temp {
		return
	}
	if err := os.RemoveAll(x.data); err != nil {
		log.Warn("the folder for this run can't be removed", "file", x.data, "err", err)
	}
}

// takeOver brings what Mosquitto had stored into a database that is new: messages and
// sessions. It happens once.
func (x *standIn) takeOver(ctx context.Context, s *server) error {
	in := new(mosq.Input)
	r := mosq.Reader{
		Files:  x.files,
		SQLite: func(path string) (*mosq.Database, []mosq.Notice) { return sqlite.ReadMosquitto(ctx, path) },
	}
	conf := x.setup.Conf
	if x.fresh && conf.Persists() {
		in = r.Read(mosq.Sources{Database: conf.StoredIn()})
	}
	if in.Database == nil && mosq.Worst(in.Notices) < mosq.Broken {
		return nil
	}
	plan := mosq.NewPlan(in, mosq.PlanOptions{Now: time.Now(), Anonymous: true})
	tellNotices(s.log, in.Notices)
	if !plan.Report.OK() {
		return refusedConf(plan.Report.Broken)
	}
	tellNotices(s.log, plan.Report.Changed)
	tellNotices(s.log, plan.Report.Left)
	came, err := plan.Apply(access.WithActor(ctx, access.ViaSelf, "HearthMQ"), mosq.Target{Accounts: s.accounts, Directory: s.directory, Store: s.db.Store()})
	if err != nil {
		return err
	}
	s.log.Info("taken over from Mosquitto", "retained", came.Retained, "sessions", came.Sessions)
	return nil
}

// policy is that of HearthMQ's own users, who have no rights here: all is the Guard's.
func (x *standIn) policy() access.Policy {
	return access.Policy{Anonymous: access.AnonymousRestricted, Elsewhere: true}
}

// deps puts the files' users and rights in the place of our own.
func (x *standIn) deps(s *server, d *broker.Deps) broker.Config {
	x.guard = mosq.NewGuard(x.setup, nil)
	if x.dynsec != nil {
		x.guard = mosq.NewGuard(x.setup, x.dynsec)
	}
	d.Authenticator, d.Authorizer, d.Controller = x.guard, x.guard, x
	if x.setup.Conf.Sparkplug() {
		x.births = newCertificates()
		d.Observer = broker.Observers{d.Observer, x.births}
	}
	return x.setup.Broker
}

// serve opens the ports and serves until ctx ends.
func (x *standIn) serve(ctx context.Context, group *errgroup.Group, s *server) error {
	x.followDynsec(s.broker)
	if x.births != nil {
		x.births.keep(ctx, group, s.broker, s.log)
	}
	x.ports = &standInPorts{log: s.log, broker: s.broker, group: group}
	if err := x.ports.start(ctx, x.setup.Ports); err != nil {
		return err
	}
	x.log.publishTo(ctx, group, s.broker)
	group.Go(func() error { x.reloads(ctx, s); return nil })
	return nil
}

// endpoints are the open ports as the admin shows them.
func (x *standIn) endpoints() []web.Endpoint {
	var all []web.Endpoint
	for _, p := range x.ports.opened() {
		if port := portOf(p.Listener); port > 0 {
			all = append(all, web.Endpoint{Label: label(p.Config), Port: port, TLS: p.Info.TLS, WebSocket: p.WebSocket})
		}
	}
	return all
}
