package web

import (
	"errors"
	"log/slog"

	"hearthmq/broker"
	"hearthmq/broker/feed"
	"hearthmq/broker/packet"
)

// Broker is what the admin needs of the running broker. *broker.Broker is one.
type Broker interface {
	Stats() broker.Stats
	Sessions() []broker.SessionInfo // sorted by Client Identifier
	// Session returns one session with its subscriptions, or broker.ErrNotFound.
	Session(clientID string) (broker.SessionInfo, []broker.SubscriptionInfo, error)
	// Disconnect ends a client's Network Connection with a Reason Code, or returns broker.ErrNotFound.
	Disconnect(clientID string, code packet.ReasonCode) error
}

// Config holds what a Server works with.
type Config struct {
	Broker Broker     // must not be nil
	Feed   *feed.Feed // must not be nil

	// Version is shown in the navigation, e.g. "HearthMQ 0.1.0".
	Version string
	Log     *slog.Logger // nil: slog.Default()
}

// Server is the admin. Its methods are safe for concurrent use.
type Server struct {
	cfg Config
	log *slog.Logger
}

// New returns the admin for cfg.
func New(cfg Config) (*Server, error) {
	if cfg.Broker == nil || cfg.Feed == nil {
		return nil, errors.New("web: Broker and Feed must not be nil")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Server{cfg: cfg, log: cfg.Log}, nil
}
