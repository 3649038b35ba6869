package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"hearthmq/broker"
)

// setWait bounds how long Set waits for the local sessions of new bridges.
const setWait = 2 * time.Second

// Listener is the name of the listener that bridges come in by, for rules and logs.
const Listener = "bridge"

// Local is this broker. *broker.Broker is one.
type Local interface {
	ServeConn(ctx context.Context, nc net.Conn, info broker.ListenerInfo)
	Publish(ctx context.Context, m *broker.Message) error
	Session(clientID string) (broker.SessionInfo, []broker.SubscriptionInfo, error)
	DeleteSession(clientID string) error
	ForgetReceived(ctx context.Context, clientID string) error
	HoldQoS0(clientID string, hold bool)
	TakePacketID(clientID string) (uint16, error)
	RestartPacketIDs(clientID string)
}

// State is what a bridge is doing.
type State string

const (
	Off        State = "off"        // disabled by its owner
	Connecting State = "connecting" // to Status.Address
	Connected  State = "connected"
	Waiting    State = "waiting" // for the next try at Status.Next
	Resting    State = "resting" // a lazy one without work
	Ended      State = "ended"   // one that starts once and was lost
	Stopped    State = "stopped" // the program ends
)

// Status is what an owner sees of a bridge.
type Status struct {
	Name      string
	State     State
	Since     time.Time
	Address   string    // of the last try
	Next      time.Time // with Waiting
	LastError string    // for people, "" when the last connection was well
	ErrorAt   time.Time
	Refused   []string // filters that one of the sides did not grant

	In, Out, Dropped  uint64 // messages since the bridge was started or changed
	InBytes, OutBytes uint64
	InRate, OutRate   float64 // messages a second
	Backlog           int     // messages that wait for the other side
}

// Manager runs bridges. Its fields are set before Set is called first; it is safe for
// concurrent use. It ends with Close.
type Manager struct {
	Local Local        // must not be nil
	Log   *slog.Logger // must not be nil
	// ID names this broker among others, for loops: a random text without commas that
	// stays the same over restarts.
	ID string
	// Guard refuses addresses that bridges may not go to; nil: none. See Outside.
	Guard func(netip.Addr) error

	dial func(ctx context.Context, address string) (net.Conn, error) // instead of the network, for tests

	mu      sync.Mutex
	closed  bool
	running map[string]*process
	off     []string // names of disabled ones
	all     []Settings
}

// process is a runner with what ends it.
type process struct {
	*runner
	stop func() // ends it and waits
}

// reach connects to an address of the bridge.
func (m *Manager) reach(ctx context.Context, s *Settings, address string) (net.Conn, error) {
	if m.dial != nil {
		return m.dial(ctx, address)
	}
	return dial(ctx, s, address, m.Guard)
}

// Set makes the bridges those of the list: new ones are started, those that are gone
// end and their local sessions with them, changed ones are connected anew, the others
// run on. All settings must be valid. What is published after Set has returned waits for
// a new bridge's connection; Set waits setWait for that, at most.
func (m *Manager) Set(list []Settings) error {
	for i := range list {
		if err := list[i].Validate(); err != nil {
			return fmt.Errorf("bridge %s: %w", list[i].Name, err)
		}
	}
	started, err := m.set(list)
	enough := time.After(setWait)
	for _, r := range started {
		select {
		case <-r.begun:
		case <-enough:
			return err
		}
	}
	return err
}

// set is Set, and returns the bridges that were started.
func (m *Manager) set(list []Settings) (started []*runner, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errors.New("the bridges have ended")
	}
	if m.running == nil {
		m.running = make(map[string]*process)
	}
	wanted := make(map[string]*Settings, len(list))
	m.off, m.all = nil, slices.Clone(list)
	for i := range list {
		s := list[i]
		if s.Disabled {
			m.off = append(m.off, s.Name)
			continue
		}
		wanted[s.Name] = &s
	}
	stale := map[string][]string{}
	for name, p := range m.running {
		s := wanted[name]
		if s != nil && reflect.DeepEqual(s, p.set) {
			p.replaceLater(nil)
			continue
		}
		if s != nil && s.LazyReload && p.replaceLater(s) {
			continue
		}
		p.stop()
		delete(m.running, name)
		switch {
		case s == nil && slices.Contains(m.off, name): // its queue goes on
		case s == nil || s.localID() != p.set.localID():
			// ErrNotFound: one that keeps nothing.
			_ = m.Local.DeleteSession(p.set.localID())
		default:
			stale[name] = gone(p.set, s)
		}
	}
	for name, s := range wanted {
		if m.running[name] == nil {
			p := m.start(s, stale[name])
			m.running[name], started = p, append(started, p.runner)
		}
	}
	return started, nil
}

// succeed starts the changed version of a bridge whose connection has ended.
func (m *Manager) succeed(old *runner, s Settings) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.running[s.Name]
	if p == nil || p.runner != old {
		return // changed again, or at its end
	}
	p.stop()
	if old.set.localID() != s.localID() {
		_ = m.Local.DeleteSession(old.set.localID()) // ErrNotFound: one that keeps nothing
	}
	m.running[s.Name] = m.start(&s, gone(old.set, &s))
}

// gone lists what the earlier version of a bridge asked for on the other side and the
// new one does not.
func gone(before, after *Settings) []string {
	now := after.carried(true)
	var list []string
	for f := range before.carried(true) {
		if _, ok := now[f]; !ok {
			list = append(list, f)
		}
	}
	slices.Sort(list)
	return list
}

func (m *Manager) start(s *Settings, stale []string) *process {
	ctx, cancel := context.WithCancel(context.Background())
	r := newRunner(m, s, stale)
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		r.run(ctx)
	}()
	return &process{runner: r, stop: func() {
		cancel()
		<-done
	}}
}

// Settings returns all bridges, sorted by name, without their passwords.
func (m *Manager) Settings() []Settings {
	m.mu.Lock()
	list := slices.Clone(m.all)
	m.mu.Unlock()
	for i := range list {
		list[i].HasPassword, list[i].Password = list[i].Password != "", ""
	}
	slices.SortFunc(list, func(a, b Settings) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Statuses describes all bridges, sorted by name.
func (m *Manager) Statuses() []Status {
	m.mu.Lock()
	running := slices.Collect(maps.Values(m.running))
	off := slices.Clone(m.off)
	m.mu.Unlock()
	list := make([]Status, 0, len(running)+len(off))
	for _, p := range running {
		list = append(list, p.now())
	}
	for _, name := range off {
		list = append(list, Status{Name: name, State: Off})
	}
	slices.SortFunc(list, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Close ends all bridges and waits for them. Their sessions stay.
func (m *Manager) Close() {
	m.mu.Lock()
	m.closed = true
	running := m.running
	m.running = nil
	m.mu.Unlock()
	var wg sync.WaitGroup
	for _, p := range running {
		wg.Go(p.stop)
	}
	wg.Wait()
}

// Test connects once to each address of a bridge, without touching the sessions of one
// that may be running. It returns nil, or for people what is wrong (see Explain).
func (m *Manager) Test(ctx context.Context, s Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	var errs []error
	for _, address := range s.Addresses {
		if err := m.test(ctx, s, address); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s", address, Explain(err)))
		}
	}
	return errors.Join(errs...)
}

func (m *Manager) test(ctx context.Context, s Settings, address string) error {
	nc, err := m.reach(ctx, &s, address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	l := newLink(nc, s.Version, 64<<10)
	s.Clean = true
	p := connectPacket(&s)
	p.ClientID, p.CleanStart = s.ClientID+"-test", true
	if _, err := l.connect(p); err != nil {
		return errors.Join(err, nc.Close())
	}
	_ = l.leave() // it answered: that is all there was to know
	return nil
}
