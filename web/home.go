package web

import (
	"context"
	"net/http"
	"time"
)

// Home is Home Assistant with its apps, as the Connect page needs it.
type Home interface {
	// State returns how things stand. It takes some seconds at most.
	State(ctx context.Context) HomeState
	// Do does one thing that the owner asked for. Its error is for the owner to read.
	Do(ctx context.Context, step HomeStep) error
}

// HomeStep is something that a Home can do. Those of a take-over from another broker
// each have one that goes back, but for the last.
type HomeStep string

const (
	StepConnect    HomeStep = "connect"     // set up Home Assistant's integration with us
	StepCopy       HomeStep = "copy"        // copy the other broker's retained messages
	StepCopyBack   HomeStep = "copy-back"   // delete them again
	StepRecord     HomeStep = "record"      // have apps find MQTT here
	StepRecordBack HomeStep = "record-back" // and there again
	StepPoint      HomeStep = "point"       // give Home Assistant's integration us
	StepPointBack  HomeStep = "point-back"  // and the other broker again
	StepPorts      HomeStep = "ports"       // take the usual ports and restart
	StepFinish     HomeStep = "finish"      // forget the way back
)

// HomeState is how Home Assistant and its apps stand.
type HomeState struct {
	Known   bool   // the Supervisor has answered
	Problem string // why it does not at the moment, "" when it does

	Host     string      // name under which apps reach us
	Port     int         // and port; 0: there is no plain MQTT
	Address  string      // of the machine in the home's network, "" while not known
	HostPort map[int]int // ports of the machine by ours; one that is closed is missing

	Ours     bool   // apps find MQTT here
	Provider string // the app at which they find it, "" when nowhere or not known

	Integration HomeIntegration
	Other       *HomeBroker // nil: there is no other broker's app
	Begun       bool        // taking over from it was begun
	Copied      *HomeCopied // nil: not yet
	Apps        []HomeApp
}

// outside are the ports as devices in the home's network reach them: those of the machine
// where HearthMQ is an app and has others inside. The plain one comes first.
func (s *Server) outside(ctx context.Context) []Endpoint {
	if s.cfg.Home == nil {
		return s.cfg.Endpoints
	}
	home := s.cfg.Home.State(ctx)
	if !home.Known {
		return s.cfg.Endpoints
	}
	var list []Endpoint
	for _, e := range s.cfg.Endpoints {
		if port, open := home.HostPort[e.Port]; open {
			e.Port = port
			list = append(list, e)
		}
	}
	return list
}

// outsideHost is where they find them: what Home Assistant says, since the browser may
// have come from far away, else the name that the browser found us by.
func (s *Server) outsideHost(r *http.Request) string {
	if s.cfg.Home != nil {
		if address := s.cfg.Home.State(r.Context()).Address; address != "" {
			return address
		}
	}
	return hostOf(r)
}

// HomeIntegration is Home Assistant's MQTT integration.
type HomeIntegration struct {
	Problem string // why nothing is known of it, "" when something is
	SetUp   bool
	Title   string // when it was set up
	Host    string // of its broker, "" when not known
	Waiting bool   // it is not set up, and we were discovered
}

// HomeBroker is another app that can provide MQTT.
type HomeBroker struct {
	Slug, Name string
	Running    bool
}

// HomeCopied is what came of copying retained messages.
type HomeCopied struct {
	Found, Added, Changed, Kept int
	At                          time.Time
}

// HomeApp is an installed app that talks MQTT.
type HomeApp struct {
	Slug, Name string
	Running    bool
	Service    bool // takes host and password by itself
}
