package addon

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// How long is believed what was found out for the Connect page.
const (
	homeTTL      = 4 * time.Second
	homeSlowTTL  = time.Minute     // what costs Home Assistant more to answer
	homePatience = 4 * time.Second // for finding out; a person waits
)

// HomeBroker is what a Home needs of the broker. *broker.Broker is one.
type HomeBroker interface {
	Attach(id *broker.Identity, opt broker.LocalOptions) *broker.LocalClient
	Retained(filter string) iter.Seq[*broker.Message]
}

// HomeConfig is what a Home works with.
type HomeConfig struct {
	Supervisor *Supervisor // must not be nil
	Core       *Core       // must not be nil
	Announcer  *Announcer  // must not be nil
	Broker     HomeBroker  // must not be nil
	// Retained fetches the retained messages of another broker. Must not be nil.
	Retained func(ctx context.Context, from Service) ([]*broker.Message, error)
	// Load and Save keep what a take-over has to know over a restart; nothing: nil.
	// It holds a password. Must not be nil.
	Load func(ctx context.Context) ([]byte, error)
	Save func(ctx context.Context, text []byte) error
	Log  *slog.Logger // must not be nil
}

// HomeState is how things stand, as of a moment.
type HomeState struct {
	Announcement
	Integration     Integration
	IntegrationErr  error  // why nobody knows
	IntegrationHost string // the broker that it has, "" while not known
	Apps            []InstalledApp
	Other           *OtherBroker // nil: no other broker's app is installed
	Plan            TakeOverPlan
}

// OtherBroker is another app that can provide MQTT.
type OtherBroker struct {
	Slug, Name string
	Running    bool
}

// Home connects a home: it knows how Home Assistant, its apps and another broker stand,
// and does what the owner asks for on the Connect page. Safe for concurrent use;
// one thing is done at a time.
type Home struct {
	cfg HomeConfig

	turn chan struct{} // one token: who may ask and act, and look at what follows
	slow struct {
		asked time.Time
		apps  []InstalledApp
		entry string // whose broker host is
		host  string
	}

	mu    sync.Mutex
	known HomeState
	asked time.Time
}

// NewHome returns a Home. It calls nobody yet.
func NewHome(cfg HomeConfig) *Home {
	return &Home{cfg: cfg, turn: make(chan struct{}, 1)}
}

// State returns how things stand. It waits for an answer for some seconds at most and
// then says what was known before.
func (h *Home) State(ctx context.Context) HomeState {
	if s, fresh := h.last(); fresh {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, homePatience)
	defer cancel()
	if h.take(ctx) == nil {
		defer h.release()
		if _, fresh := h.last(); !fresh { // else somebody asked while we waited
			h.refresh(ctx)
		}
	}
	s, _ := h.last()
	return s
}

// last returns what is known, and whether it can be believed.
func (h *Home) last() (HomeState, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.known
	s.Announcement = h.cfg.Announcer.Announcement() // costs nothing
	return s, !h.asked.IsZero() && time.Since(h.asked) < homeTTL
}

func (h *Home) take(ctx context.Context) error {
	select {
	case h.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *Home) release() { <-h.turn }

// refresh finds out. The turn is held.
func (h *Home) refresh(ctx context.Context) {
	var s HomeState
	s.Announcement = h.cfg.Announcer.Announcement()
	plan, err := h.plan(ctx)
	if err != nil {
		h.cfg.Log.Warn("can't read how far the take-over came", "err", err)
	}
	s.Plan = plan
	s.Integration, s.IntegrationErr = h.cfg.Core.MQTTIntegration(ctx)
	s.Other = h.other(ctx, s)
	if time.Since(h.slow.asked) >= homeSlowTTL || h.slow.entry != s.Integration.EntryID {
		h.lookCloser(ctx, s)
	}
	s.Apps, s.IntegrationHost = h.slow.apps, h.slow.host
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known, h.asked = s, time.Now()
}

// lookCloser asks what is asked rarely.
func (h *Home) lookCloser(ctx context.Context, s HomeState) {
	apps, err := h.cfg.Supervisor.installedApps(ctx)
	if err != nil {
		h.cfg.Log.Debug("can't find out which apps are installed", "err", err)
		apps = h.slow.apps
	}
	host := ""
	if s.Integration.EntryID != "" && s.Other != nil {
		if host, err = h.cfg.Core.MQTTBroker(ctx, s.Integration.EntryID); err != nil {
			h.cfg.Log.Debug("can't find out which broker Home Assistant has", "err", err)
		}
	}
	h.slow.apps, h.slow.entry, h.slow.host, h.slow.asked = apps, s.Integration.EntryID, host, time.Now()
}

// other finds another broker: the one whose record stands or stood, else one that runs.
func (h *Home) other(ctx context.Context, s HomeState) *OtherBroker {
	if s.Self == nil {
		return nil
	}
	slug := s.Plan.Slug
	if s.Provision == ProvidedByOther {
		slug = s.Provider
	}
	slugs := []string{slug}
	if slug == "" {
		providers, err := h.cfg.Supervisor.Providers(ctx)
		if err != nil {
			h.cfg.Log.Debug("can't find out which other brokers are installed", "err", err)
		}
		slugs = slices.DeleteFunc(providers, func(p string) bool { return p == s.Self.Slug })
	}
	for _, slug := range slugs {
		info, err := h.cfg.Supervisor.App(ctx, slug)
		if err == nil && (running(info.State) || slug == s.Plan.Slug || slug == s.Provider) {
			return &OtherBroker{Slug: slug, Name: shorten(info.Name), Running: running(info.State)}
		}
	}
	return nil
}

// act does something that the owner asks for and has all found out anew after it.
func (h *Home) act(ctx context.Context, do func(ctx context.Context) error) error {
	if err := h.take(ctx); err != nil {
		return err
	}
	defer h.release()
	err := do(ctx)
	h.slow.asked = time.Time{}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = time.Time{}
	return err
}

// ConnectIntegration has Home Assistant set up its MQTT integration with us.
func (h *Home) ConnectIntegration(ctx context.Context) error {
	return h.act(ctx, func(ctx context.Context) error {
		self := h.cfg.Announcer.Announcement().Self
		if self == nil {
			return errors.New("the Supervisor has not answered yet")
		}
		return h.cfg.Core.ConfirmMQTT(ctx, self.Name)
	})
}

// ours is the record of a system user's.
func (h *Home) ours(user string) (Service, error) {
	self := h.cfg.Announcer.Announcement().Self
	if self == nil {
		return Service{}, errors.New("the Supervisor has not answered yet")
	}
	return h.cfg.Announcer.record(self, user)
}

// PointIntegration gives Home Assistant's integration us as its broker.
func (h *Home) PointIntegration(ctx context.Context) error {
	return h.act(ctx, func(ctx context.Context) error {
		to, err := h.ours(access.HomeAssistantUser)
		if err != nil {
			return err
		}
		return h.point(ctx, to)
	})
}

// point is held in turn.
func (h *Home) point(ctx context.Context, to Service) error {
	in, err := h.cfg.Core.MQTTIntegration(ctx)
	if err != nil {
		return err
	}
	if in.EntryID == "" {
		return errors.New("Home Assistant's MQTT integration is not set up") //nolint:staticcheck // a name
	}
	return h.cfg.Core.PointMQTT(ctx, in.EntryID, to)
}
