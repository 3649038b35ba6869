package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"hearthmq/addon"
	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/bridge"
	"hearthmq/broker/control"
	"hearthmq/broker/feed"
	"hearthmq/broker/listen"
	mosq "hearthmq/broker/mosquitto"
	"hearthmq/broker/sqlite"
	"hearthmq/web"
)

type serveCommand struct {
	Conf    string `short:"c" placeholder:"FILE" help:"Run with a mosquitto.conf as it is, in place of Mosquitto."`
	Port    uint16 `short:"p" placeholder:"PORT" help:"With -c, or alone: the port of this machine where the file names none; who comes without a user is let in."`
	Verbose bool   `short:"v" help:"With -c or -p: log everything."`
	Test    bool   `name:"test-config" help:"With -c: only say whether the file is right."`
}

// Help lists the settings.
func (serveCommand) Help() string {
	return "Settings, with their defaults:\n" + addon.SettingsHelp()
}

// What stopping may take. All of it together stays within the 10 seconds that
// container engines wait.
const (
	webStop    = 2 * time.Second
	brokerStop = 5 * time.Second
)

// refreshInterval is how often the database is looked at for changes by other processes;
// who logs in has it looked at, too.
const refreshInterval = 500 * time.Millisecond

// Run runs the broker and its admin until ctx ends.
func (c serveCommand) Run(ctx context.Context, app *application) error {
	if c.Conf != "" || c.Port != 0 {
		return c.runStandIn(ctx, app)
	}
	guard := app.guard()
	o, warnings, err := guard.settings(app)
	if err != nil {
		return err
	}
	book := web.NewLogBook()
	quiet := calm(book.Handler(newLog(app.stderr, level(o.LogLevel)).Handler()), calmRate)
	defer quiet.close()
	log := slog.New(quiet)
	guard.tell(log)
	for _, w := range warnings {
		log.Warn(w)
	}
	memory := limitMemory(o.MemoryLimit, app.environ, log)
	dir, err := app.folder()
	if err != nil {
		return err
	}
	lock, err := claimFolder(ctx, dir, addon.InApp(app.environ), log)
	if err != nil {
		return err
	}
	err = againWithBackups(ctx, func(last restored) (*backups, error) {
		s := &server{
			options: o, log: log, memory: memory, book: book, out: app.stdout, home: newHomeAssistant(o, app.environ, log), guard: guard,
			backups: newBackups(dir, log), restored: last,
		}
		err := s.run(ctx, dir)
		if err == nil {
			guard.good(log)
		}
		return s.backups, err
	})
	return errors.Join(err, lock.Close())
}

// server is everything that runs, made from the bottom up.
type server struct {
	options *addon.Options
	log     *slog.Logger
	book    *web.LogBook // the last lines of log
	out     io.Writer    // for the person who started it
	memory  int64        // bytes that the process may use, 0: no bound

	db        *sqlite.DB
	unkept    error // why nothing that is stored outlives the process, nil: it does
	directory *access.Directory
	accounts  *access.Accounts
	bans      *access.Bans
	denials   *access.Denials
	feed      *feed.Feed
	broker    *broker.Broker
	bridges   *bridge.Book
	listeners *listeners
	web       *webServers
	home      *homeAssistant
	guard     *startGuard
	standIn   *standIn // nil: runs with its own settings
	backups   *backups // nil: can't be made and restored from the admin
	restored  restored // what this start has of a backup
}

// run starts everything, waits for ctx or a failure, and stops everything: first
// what brings new work, then the broker, then the database.
func (s *server) run(ctx context.Context, dir string) (err error) {
	if s.db, s.unkept, err = openDatabase(ctx, dir, s.standIn != nil && s.standIn.temp, s.log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.db.Close()) }()
	policy := s.options.Access()
	if s.standIn != nil {
		policy = s.standIn.policy()
	}
	s.directory = access.NewDirectory(policy)
	s.accounts = access.NewAccounts(s.db.Accounts(), s.directory, nil, s.log)
	if err := s.accounts.Open(ctx); err != nil {
		return err
	}
	s.bans = access.NewBans(s.db.Bans())
	if err := s.bans.Open(ctx); err != nil { // a home goes on with those known last
		s.log.Error("who is blocked can't be read from the database, those known last stay blocked", "known", len(s.bans.List()), "err", err)
	}
	if err := s.restored.note(ctx, s.accounts); err != nil {
		return err
	}
	if s.standIn != nil {
		if err := s.standIn.takeOver(ctx, s); err != nil {
			return err
		}
	}
	if err := s.startBroker(); err != nil {
		return err
	}
	s.startBridges(ctx)
	serving, end := context.WithCancel(ctx)
	defer end()
	if s.backups != nil {
		s.backups.end = end
	}
	err = s.serve(serving, dir)
	s.bridges.Manager.Close() // what waits stays in their sessions
	// ctx has ended: this is time of its own.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), brokerStop)
	defer cancel()
	if e := s.broker.Shutdown(stop); e != nil {
		err = errors.Join(err, fmt.Errorf("stop the broker: %w", e))
	}
	err = errors.Join(err, s.accounts.Finish(stop))
	s.log.Info("stopped")
	return err
}

// authenticator asks our own users first, then those whom tokens name, then Home Assistant.
func (s *server) authenticator() broker.Authenticator {
	next := s.home.authenticator(s.directory)
	cfg, on := s.options.WebTokens()
	if on {
		cfg.Log = s.log
		tokens, err := access.NewWebTokens(cfg)
		if err != nil {
			s.log.Error("no token is taken for now", "err", err)
		}
		next = access.WithWebTokens(s.directory, tokens, next)
	}
	next = s.accounts.Freshly(next)
	if on || s.home.login != nil {
		next = access.RefuseEvenly(next)
	}
	return next
}

func (s *server) startBroker() error {
	s.feed, s.denials = feed.New(feedLimits(s.memory)), access.NewDenials()
	deps := broker.Deps{
		Authenticator: s.authenticator(), Authorizer: s.directory,
		Store: s.db.Store(), Observer: append(broker.Observers{s.feed, s.denials, s.accounts.Learner()}, s.home.observers()...), Log: s.log, Unkept: s.unkept,
		Controller: &control.Handler{Accounts: s.accounts, Directory: s.directory},
	}
	cfg := s.options.Broker()
	if s.standIn != nil {
		cfg = s.standIn.deps(s, &deps)
	}
	cfg.Version = "HearthMQ " + version
	cfg.MemoryLimit = s.memory
	if most := spareFiles(); most > 0 && (cfg.MaxConnections == 0 || cfg.MaxConnections > most) {
		s.log.Warn("fewer connections are possible than the settings allow: the limit on open files is low", "connections", most)
		cfg.MaxConnections = most
	}
	if cfg.Durability == broker.Memory {
		deps.Store = broker.NewMemoryStore()
	}
	deps.Authenticator = s.bans.Guard(deps.Authenticator)
	var err error
	if s.broker, err = broker.New(cfg, deps); err != nil {
		return err
	}
	s.accounts.SetRevalidator(s.broker)
	s.accounts.SetSessions(s.broker)
	s.home.revoked = func(name string) {
		if _, ours := s.directory.User(name); !ours { // those come back by themselves who know the password
			s.broker.DisconnectUsers(func(user string) bool { return user == name })
		}
	}
	s.feed.Seed(s.broker.Retained("#"))
	s.loadHistories(cfg.Durability)
	return nil
}

// startBridges connects to other brokers. That a database in trouble does not tell of
// them keeps nobody from the broker itself.
func (s *server) startBridges(ctx context.Context) {
	fresh := strings.ToLower(rand.Text())
	id, err := s.db.Setting(ctx, "bridge id", func() string { return fresh })
	if err != nil {
		s.log.Warn("bridges go by another name until the next start", "err", err)
		id = fresh
	}
	m := &bridge.Manager{Local: s.broker, Log: s.log, ID: id}
	if s.standIn != nil { // who writes the file may go where he likes
		s.bridges = &bridge.Book{Manager: m}
		err = m.Set(s.standIn.bridges)
	} else {
		m.Guard = bridge.Outside(s.options.BridgeNetworks)
		s.bridges = &bridge.Book{Repository: s.db.Bridges(), Manager: m}
		err = s.bridges.Open(ctx)
	}
	if err != nil {
		s.log.Error("the bridges are not started", "err", err)
	}
}

// serve opens the ports and returns when ctx ends or something failed.
func (s *server) serve(ctx context.Context, dir string) error {
	group, ctx := errgroup.WithContext(ctx)
	s.listeners = &listeners{log: s.log}
	if s.standIn == nil {
		s.listeners = openListeners(ctx, s.options.Listeners(), s.broker, s.log)
		defer s.listeners.close()
		s.listeners.alarm = s.home.certificateAlarm()
		if len(s.listeners.opened()) == 0 {
			return errors.New("no port for MQTT could be opened")
		}
	} else if err := s.standIn.serve(ctx, group, s); err != nil {
		return err
	}
	s.home.open(s)
	token, explainer := s.setupToken(), s.explainer()
	var err error
	s.web, err = openWeb(s.options, web.Config{
		Broker: s.broker, Directory: s.directory, Accounts: s.accounts, Denials: s.denials, Explainer: explainer, Feed: s.feed,
		Sessions: s.db.Logins(), Endpoints: s.endpoints(), SetupToken: token,
		TrustedProxies: s.options.TrustedProxies,
		AdminOnly:      s.options.UIAdminOnly, IngressAdmin: s.home.ingressAdmin(), Healthy: s.healthy, Version: "HearthMQ " + version, Log: s.log,
		LogBook: s.book, Settings: s.settings(), Logins: s.db.Logins(), Tokens: access.NewTokens(s.db.Tokens()), Bans: s.bans, Trash: s.trash(),
		Bridges: s.bridges, FileUsers: s.fileUsers(),
		Home:         s.home.newHome(s.broker, s.db),
		Certificates: s.certificates, Backups: s.adminBackups(), NoBackups: s.noBackups(),
		DiskFree: s.db.Free, StoreBytes: func() (int64, bool) { return sizeOnDisk(s.db.Path()) },
	})
	if err != nil {
		return err
	}
	s.web.serve(ctx, group)
	s.listeners.serve(ctx, group, s.broker)
	s.home.serve(ctx, group, s)
	s.guard.serve(ctx, group, s.log)
	group.Go(func() error { s.tellCertificates(ctx); return nil })
	serveControl(ctx, group, dir, explainer, s.accounts, s.log)
	group.Go(func() error { s.refresh(ctx); return nil })
	s.keepHistories(ctx, group)
	if s.standIn != nil {
		s.log.Info("ready")
	}
	s.welcome(token())
	return group.Wait()
}

// fileUsers are the users of Mosquitto's files, nil where HearthMQ has its own alone.
func (s *server) fileUsers() func() []mosq.FileUser {
	if s.standIn == nil {
		return nil
	}
	return s.standIn.guard.Users
}

// endpoints are the open ports as the admin shows them.
func (s *server) endpoints() []web.Endpoint {
	if s.standIn != nil {
		return s.standIn.endpoints()
	}
	return s.listeners.endpoints()
}

// ports are those that are open for MQTT.
func (s *server) ports() []*listen.Opened {
	if s.standIn == nil {
		return s.listeners.opened()
	}
	var all []*listen.Opened
	for _, x := range s.standIn.ports.opened() {
		all = append(all, &x.Opened)
	}
	return all
}

// certificates are those of the open ports as the admin shows them.
func (s *server) certificates() []web.Certificate { return certificatesOf(s.ports()) }

// setupToken makes the token of the link for the first administrator. It is good
// until there is one, and never longer than this process.
func (s *server) setupToken() func() string {
	token := access.GeneratePassword()
	return func() string {
		if s.accounts.HasAdmin() {
			return ""
		}
		return token
	}
}

// adminBackups are the backups of the admin; nil where there is no database of its own
// to copy and to replace.
func (s *server) adminBackups() web.Backups {
	if s.noBackups() != "" {
		return nil
	}
	return s.backups
}

// noBackups says for people why there are none, "" where there are.
func (s *server) noBackups() string {
	switch {
	case s.unkept != nil:
		return "The data folder can't be written, so there is nothing to back up."
	case s.backups == nil:
		return "With this mosquitto.conf nothing is kept when HearthMQ stops (persistence is off), so there is nothing to back up."
	}
	return ""
}

// settings are the settings for the page that shows them.
func (s *server) settings() []web.Setting {
	var list []web.Setting
	for _, x := range s.options.Describe() {
		list = append(list, web.Setting(x))
	}
	return list
}

// refresh takes over what other processes change in the database, until ctx ends.
func (s *server) refresh(ctx context.Context) {
	failing, tried := false, time.Now()
	s.accounts.Follow(ctx, refreshInterval, func(changed bool, err error) {
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			s.log.Warn("can't look for changed users, the ones known stay", "err", err)
		case changed:
			s.log.Info("users or rules were changed by another process")
		}
		failing = err != nil
		if s.bans.Trouble() != nil && time.Since(tried) >= bansInterval {
			if tried = time.Now(); s.bans.Open(ctx) == nil {
				s.log.Info("who is blocked can be read again", "known", len(s.bans.List()))
			}
		}
	})
}

// bansInterval is how often bans that can't be read are tried again.
const bansInterval = 10 * time.Second

// welcome tells the person who started the broker where everything is.
func (s *server) welcome(token string) {
	if s.standIn != nil && s.web.url() == "" {
		return // the log tells of the ports
	}
	var b strings.Builder
	fmt.Fprintf(&b, "HearthMQ %s\n\n", version)
	for _, l := range s.listeners.describe() {
		fmt.Fprintf(&b, "  %-32s %s\n", l.label, l.where)
	}
	address := s.web.url()
	switch {
	case address != "":
		fmt.Fprintf(&b, "  %-32s %s\n", "Admin", address)
	case s.options.App():
		fmt.Fprintf(&b, "  %-32s %s\n", "Admin", "HearthMQ in Home Assistant's sidebar")
	}
	if address != "" && token != "" {
		fmt.Fprintf(&b, "\nThere is no administrator yet. Make the first one here, the link works once:\n\n  %s/setup?token=%s\n", address, token)
	}
	b.WriteByte('\n')
	if _, err := io.WriteString(s.out, b.String()); err != nil {
		s.log.Warn("can't print where everything is", "err", err)
	}
}
