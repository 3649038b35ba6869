package addon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"hearthmq/broker/access"
)

// How often the Supervisor is asked. All of it moves by up to a quarter either way,
// so that the apps of a house do not ask in step.
const (
	announceInterval = time.Minute     // while all is well
	retryFirst       = time.Second     // after a failure, doubled with each further one
	retryLast        = 2 * time.Minute // at most
	withdrawTimeout  = 2 * time.Second // of the 10 s that stopping may take
)

// AnnouncerConfig is what an Announcer works with.
type AnnouncerConfig struct {
	Supervisor *Supervisor // must not be nil
	// Port of plain MQTT in the container; 0: there is none, and nothing to announce.
	// Apps get no other: they share a network, and a certificate is for another name.
	Port int
	// Password returns the lasting password of a system user. Must not be nil.
	Password func(user string) (string, bool)
	// Ready returns nil once the broker answers on that port. nil: it does already.
	Ready func(ctx context.Context) error
	Log   *slog.Logger // must not be nil
}

// Provision says who provides MQTT to Home Assistant's apps.
type Provision string

const (
	ProvisionUnknown Provision = ""        // the Supervisor has not said yet
	ProvidedByUs     Provision = "us"      // our record stands
	ProvidedByOther  Provision = "other"   // another app's record stands; it is left alone
	NotProvided      Provision = "nothing" // no record, for there is no plain MQTT port
)

// Announcement is how the broker stands with Home Assistant, as of a moment.
type Announcement struct {
	Provision Provision
	Provider  string     // full slug of the app whose record stands
	Discovery string     // identifier of the message to Home Assistant, "" before it was sent
	Self      *SelfInfo  // nil before the Supervisor said; must not be changed
	Address   netip.Addr // to give to devices; not valid while not known
	At        time.Time  // of the last time that all was well
	Err       error      // what fails at the moment
}

// Announcer keeps Home Assistant and its apps told where MQTT is: the service record,
// from which apps take host and password, and the discovery message, by which Home
// Assistant offers its MQTT integration. The Supervisor forgets records when the
// machine starts, so both are looked after as long as Run runs. Another app's record
// is never touched but by TakeOver. Safe for concurrent use.
type Announcer struct {
	cfg AnnouncerConfig
	log *slog.Logger

	turn chan struct{} // holds one token: who talks to the Supervisor takes it

	mu    sync.Mutex
	state Announcement

	failing string // what was last warned of; of the one who has the turn
	ready   bool   // likewise
}

// NewAnnouncer returns an Announcer; Run starts it.
func NewAnnouncer(cfg AnnouncerConfig) *Announcer {
	return &Announcer{cfg: cfg, log: cfg.Log, turn: make(chan struct{}, 1)}
}

// Announcement returns how things stand.
func (a *Announcer) Announcement() Announcement {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

func (a *Announcer) update(change func(s *Announcement)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.state)
}

// Run announces until ctx ends and then takes back the service record, if it is
// ours. The discovery message stays: Home Assistant keeps its settings.
func (a *Announcer) Run(ctx context.Context) {
	failures := 0
	for {
		if err := a.round(ctx); ctx.Err() != nil {
			break
		} else if err == nil {
			failures = 0
		} else {
			failures++
		}
		timer := time.NewTimer(pause(failures))
		select {
		case <-timer.C:
			continue
		case <-ctx.Done():
			timer.Stop()
		}
		break
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTimeout)
	defer cancel()
	if err := a.withdraw(stop); err != nil {
		a.log.Warn("the service record could not be taken back, apps may look for HearthMQ in vain until it is here again", "err", err)
	}
}

// pause is how long to wait after so many failures in a row.
func pause(failures int) time.Duration {
	d := announceInterval
	if failures > 0 {
		d = min(retryFirst<<min(failures-1, 10), retryLast)
	}
	return d*3/4 + rand.N(d/2)
}

// take waits for the turn.
func (a *Announcer) take(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// round looks once whether all stands as it should, and mends it.
func (a *Announcer) round(ctx context.Context) error {
	if err := a.take(ctx); err != nil {
		return err
	}
	defer func() { <-a.turn }()
	err := a.announce(ctx)
	a.update(func(s *Announcement) {
		s.Err = err
		if err == nil {
			s.At = time.Now()
		}
	})
	if ctx.Err() == nil {
		a.report(err)
	}
	return err
}

// report logs a failure once, and that it is over.
func (a *Announcer) report(err error) {
	switch {
	case err == nil && a.failing != "":
		a.log.Info("Home Assistant's Supervisor answers again")
		a.failing = ""
	case err == nil:
	case err.Error() == a.failing:
		a.log.Debug("Home Assistant's Supervisor still can't be told where MQTT is", "err", err)
	default:
		a.failing = err.Error()
		text := "Home Assistant's Supervisor can't be told where MQTT is; devices are served all the same, and it is tried again"
		if hasStatus(err, http.StatusUnauthorized, http.StatusForbidden) {
			text = "Home Assistant's Supervisor does not accept this app; devices are served all the same, without Home Assistant's help"
		}
		a.log.Warn(text, "err", err)
	}
}

// announce does the work of one round. The turn is held.
func (a *Announcer) announce(ctx context.Context) error {
	if !a.ready && a.cfg.Ready != nil {
		if err := a.cfg.Ready(ctx); err != nil {
			return fmt.Errorf("MQTT does not answer yet: %w", err)
		}
	}
	a.ready = true
	self, err := a.cfg.Supervisor.Self(ctx)
	if err != nil {
		return err
	}
	a.update(func(s *Announcement) { s.Self = self })
	if address, err := a.cfg.Supervisor.HostAddress(ctx); err == nil { // else what was known stays
		a.update(func(s *Announcement) { s.Address = address })
	}
	if a.cfg.Port == 0 {
		a.provision(NotProvided, "")
		return nil
	}
	if err := a.provide(ctx, self); err != nil {
		return err
	}
	config, err := a.record(self, access.HomeAssistantUser)
	if err != nil {
		return err
	}
	uuid, err := a.cfg.Supervisor.PublishDiscovery(ctx, config)
	if err != nil {
		return err
	}
	a.update(func(s *Announcement) { s.Discovery = uuid })
	return nil
}

// provide sees to the service record. The turn is held.
func (a *Announcer) provide(ctx context.Context, self *SelfInfo) error {
	want, err := a.record(self, access.AddonsUser)
	if err != nil {
		return err
	}
	got, err := a.cfg.Supervisor.MQTTService(ctx)
	owner := got.Addon
	got.Addon = ""
	switch {
	case errors.Is(err, ErrNoService):
	case err != nil:
		return err
	case owner != self.Slug:
		a.provision(ProvidedByOther, owner)
		return nil
	case got.Host != self.Hostname: // put there by PutBack
		a.provision(ProvidedByOther, slugOf(got.Host))
		return nil
	case got == want:
		a.provision(ProvidedByUs, owner)
		return nil
	default: // ours from another life, with another password or port (case D1)
		if err := a.cfg.Supervisor.DeleteService(ctx); err != nil {
			return err
		}
	}
	err = a.cfg.Supervisor.PublishService(ctx, want)
	if taken, ok := errors.AsType[*TakenError](err); ok && taken.App != "" && taken.App != self.Slug {
		a.provision(ProvidedByOther, taken.App) // it was quicker
		return nil
	}
	if err != nil {
		return err
	}
	a.provision(ProvidedByUs, self.Slug)
	return nil
}

// provision notes and logs who provides MQTT.
func (a *Announcer) provision(p Provision, provider string) {
	before := a.Announcement()
	a.update(func(s *Announcement) { s.Provision, s.Provider = p, provider })
	if before.Provision == p && before.Provider == provider {
		return
	}
	switch p {
	case ProvidedByUs:
		a.log.Info("Home Assistant's apps find MQTT here")
	case ProvidedByOther:
		a.log.Warn("another app provides MQTT to Home Assistant's apps, and HearthMQ leaves it so", "app", provider)
	case NotProvided:
		a.log.Warn("Home Assistant and its apps can't be told of MQTT: the port without encryption is closed (setting mqtt_address)")
	}
}

// record is what is announced, for one of the two system users.
func (a *Announcer) record(self *SelfInfo, user string) (Service, error) {
	password, ok := a.cfg.Password(user)
	if !ok {
		return Service{}, fmt.Errorf("there is no system user %q", user)
	}
	return Service{
		Host: self.Hostname, Port: a.cfg.Port, Username: user, Password: password, Protocol: "3.1.1",
	}, nil
}

// TakeOver puts our record in the place of another app's. Only the owner of the
// house may ask for that.
func (a *Announcer) TakeOver(ctx context.Context) error {
	if a.cfg.Port == 0 {
		return errors.New("the MQTT port without encryption is closed")
	}
	if err := a.take(ctx); err != nil {
		return err
	}
	defer func() { <-a.turn }()
	self, err := a.cfg.Supervisor.Self(ctx)
	if err != nil {
		return err
	}
	want, err := a.record(self, access.AddonsUser)
	if err != nil {
		return err
	}
	if err := a.cfg.Supervisor.DeleteService(ctx); err != nil {
		return err
	}
	if err := a.cfg.Supervisor.PublishService(ctx, want); err != nil {
		return err
	}
	a.provision(ProvidedByUs, self.Slug)
	return nil
}

// PutBack undoes TakeOver: it puts another broker's record in the place of ours. It is
// ours by name, since nobody else can make one on that broker's behalf, and is left
// alone from then on; the broker's app makes its own when it starts next.
func (a *Announcer) PutBack(ctx context.Context, theirs Service) error {
	if err := a.take(ctx); err != nil {
		return err
	}
	defer func() { <-a.turn }()
	if err := a.cfg.Supervisor.DeleteService(ctx); err != nil {
		return err
	}
	if err := a.cfg.Supervisor.PublishService(ctx, theirs); err != nil {
		return err
	}
	a.provision(ProvidedByOther, slugOf(theirs.Host))
	return nil
}

// slugOf is the full slug of the app with that host name.
func slugOf(host string) string { return strings.ReplaceAll(host, "-", "_") }

// withdraw deletes the service record if it is ours.
func (a *Announcer) withdraw(ctx context.Context) error {
	before := a.Announcement()
	if before.Provision != ProvidedByUs {
		return nil
	}
	if err := a.take(ctx); err != nil {
		return err
	}
	defer func() { <-a.turn }()
	got, err := a.cfg.Supervisor.MQTTService(ctx)
	if errors.Is(err, ErrNoService) {
		return nil
	}
	if err != nil {
		return err
	}
	if got.Addon != before.Self.Slug {
		return nil
	}
	return a.cfg.Supervisor.DeleteService(ctx)
}
