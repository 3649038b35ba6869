package web

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/alexedwards/scs/v2"
	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/feed"
	"hearthmq/broker/mosquitto"
	"hearthmq/broker/packet"
	"hearthmq/nodered"
)

// Broker is what the admin needs of the running broker. *broker.Broker is one.
type Broker interface {
	Stats() broker.Stats
	Sessions() []broker.SessionInfo            // sorted by Client Identifier
	AllSessions() iter.Seq[broker.SessionInfo] // in no order
	// Session returns one session with its subscriptions, or broker.ErrNotFound.
	Session(clientID string) (broker.SessionInfo, []broker.SubscriptionInfo, error)
	// Disconnect ends a client's Network Connection with a Reason Code, or returns broker.ErrNotFound.
	Disconnect(clientID string, code packet.ReasonCode) error
	MessageBroker
	ClientBroker
	// RestoreRetained puts retained messages where there are none, and returns those it put.
	RestoreRetained(ctx context.Context, messages []*broker.Message, tell bool) ([]*broker.Message, error)
	// AddSessions adds sessions for clients that have none; HasSession tells who has one.
	AddSessions(ctx context.Context, list []broker.StoredSession) (added, queued int, err error)
	HasSession(clientID string) bool
}

// Endpoint is a port that devices connect to.
type Endpoint struct {
	Label     string // "MQTT", "MQTT over WebSocket, encrypted"
	Port      int
	TLS       bool
	WebSocket bool
}

// Config holds what a Server works with.
type Config struct {
	Broker    Broker            // must not be nil
	Directory *access.Directory // must not be nil
	Accounts  *access.Accounts  // must not be nil
	Denials   *access.Denials   // must not be nil
	Explainer *access.Explainer // nil: made of the others
	Feed      *feed.Feed        // must not be nil
	Sessions  scs.Store         // logins of the direct port; must not be nil
	Logins    LoginList         // the same, to look at; nil: they can't be listed
	Tokens    *access.Tokens    // of the API; nil: there are none
	Bans      *access.Bans      // who is kept out; nil: nobody can be
	Backups   Backups           // nil: not possible
	NoBackups string            // why not, for people

	// Endpoints are the ports that are open, the plain MQTT one first.
	Endpoints []Endpoint
	// SetupToken returns the one-time token of the set-up link, at least 128
	// random bits as text, or "" when there is none. nil: there is none.
	SetupToken func() string
	// TrustedProxies are networks whose proxies are believed whom they speak for.
	TrustedProxies []netip.Prefix
	// AdminOnly lets only administrators of Home Assistant in by ingress (ui_admin_only).
	AdminOnly bool
	// IngressAdmin says whether the Home Assistant user with this ID is an
	// administrator there. It may be called once per request, so it caches.
	// nil: it can't be found out, which counts as no.
	IngressAdmin func(ctx context.Context, haUserID string) (bool, error)
	// Home is Home Assistant with its apps; nil: HearthMQ is not its app.
	Home Home
	// NodeRED puts a broker into a running Node-RED; nil: nodered.Deploy.
	NodeRED func(ctx context.Context, at nodered.Admin, b nodered.Broker) error
	// Healthy is asked by /healthz; nil: always.
	Healthy func(ctx context.Context) error

	// DiskFree is how many bytes are left where the data is; nil or false: not known.
	DiskFree func() (int64, bool)
	// StoreBytes is what the database takes; nil or false: not known.
	StoreBytes func() (int64, bool)
	// Trash keeps deleted retained messages; nil: as long as the process.
	Trash feed.Trash
	// Bridges are the connections to other brokers; nil: there are none.
	Bridges Bridges
	// FileUsers are those of Mosquitto's files, which are theirs to change; nil: there are none.
	FileUsers func() []mosquitto.FileUser
	// LogBook holds the last lines of the log; nil: an empty one.
	LogBook *LogBook
	// Certificates describes those of the encrypted ports; nil: there are none.
	Certificates func() []Certificate
	// Settings are those that hold from start to stop, in groups.
	Settings []Setting

	// Version is shown in the navigation, e.g. "HearthMQ 0.1.0".
	Version string
	Log     *slog.Logger // nil: slog.Default()
}

// Server is the admin. Its methods are safe for concurrent use.
type Server struct {
	cfg    Config
	log    *slog.Logger
	logins *logins
	claim  *claim
	meter  *meter

	record       record
	announced    announcements
	publishNotes publishNotes
	followers    atomic.Int32 // of traces
	attentions   attention

	clientMeter clientMeter
	names       *addressNames
	tracing     tracing
	pending     pendingImport

	apiDoc  *huma.OpenAPI          // set by apiRoutes, as is the next
	apiText func() ([]byte, error) // the same as JSON, made once
}

// New returns the admin for cfg.
func New(cfg Config) (*Server, error) {
	if cfg.Broker == nil || cfg.Directory == nil || cfg.Accounts == nil || cfg.Denials == nil ||
		cfg.Feed == nil || cfg.Sessions == nil {
		return nil, errors.New("web: Broker, Directory, Accounts, Denials, Feed and Sessions must not be nil")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Bridges == nil {
		cfg.Bridges = noBridges{}
	}
	if cfg.LogBook == nil {
		cfg.LogBook = NewLogBook()
	}
	if cfg.Trash == nil {
		cfg.Trash = new(feed.MemoryTrash)
	}
	if cfg.NodeRED == nil {
		cfg.NodeRED = nodered.Deploy
	}
	if cfg.SetupToken == nil {
		cfg.SetupToken = func() string { return "" }
	}
	return &Server{
		cfg:    cfg,
		log:    cfg.Log,
		logins: newLogins(cfg.Sessions, cfg.Directory),
		claim:  &claim{token: cfg.SetupToken},
		meter:  &meter{},
		names:  newAddressNames(),
	}, nil
}

// Direct returns the admin with its own login, for a port that anybody can
// reach. It trusts no header that a proxy might have set, but X-Forwarded-For of
// Config.TrustedProxies.
func (s *Server) Direct() http.Handler {
	r := chi.NewRouter()
	r.Use(requestID, headers("'none'", true), s.forwardedClient, s.accessLog, s.recoverer,
		withoutProxyHeaders, middleware.ClientIPFromRemoteAddr, s.directIdentity,
		bodyLimit, s.sameOrigin, s.unclaimed)
	s.public(r)
	s.apiRoutes(r)
	s.loginRoutes(r)
	r.Group(func(r chi.Router) {
		r.Use(s.requireAdmin)
		s.pages(r)
	})
	return r
}

// Ingress returns the admin as Home Assistant's Supervisor shows it: no login
// of its own, and nobody but the Supervisor may connect.
func (s *Server) Ingress() http.Handler {
	r := chi.NewRouter()
	r.Use(requestID, headers("'self'", false), s.accessLog, s.recoverer,
		s.peerGuard, middleware.ClientIPFromXFF("172.30.32.0/23"), s.ingressIdentity,
		bodyLimit, s.sameOrigin)
	s.public(r)
	s.apiRoutes(r)
	r.Group(func(r chi.Router) {
		r.Use(s.requireAdmin)
		s.pages(r)
	})
	return r
}
