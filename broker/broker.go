package broker

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Broker is the MQTT Server. Make one with New; it is safe for concurrent use.
type Broker struct {
	settings atomic.Pointer[Config] // see cfg
	deps     Deps
	log      *slog.Logger

	ctx     context.Context // ends with Shutdown
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	started time.Time

	sessions  sessions
	subs      subscriptions
	audiences audiences
	retained  retained
	journal   *journal
	warm      warmList
	stats     counters
	pressure  pressure
	traces    traces

	nextMessage atomic.Int64
	routesLent  atomic.Int64 // see routeCache
	unreleased  atomic.Int64 // Packet Identifiers of QoS 2 messages that clients have not released

	connsMu   sync.Mutex
	conns     map[*guest]struct{}
	admission admission
	stopping  bool // no new connections
}

// New makes a broker and brings back what the Store holds. Give it connections
// by Serve, and end it by Shutdown.
func New(cfg Config, deps Deps) (*Broker, error) {
	cfg = cfg.withDefaults()
	if err := errors.Join(cfg.validate(), deps.validate()); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	b := &Broker{deps: deps, log: deps.Log, started: time.Now(), conns: make(map[*guest]struct{})}
	b.pressure.limit = cfg.MemoryLimit
	b.admission.byListener, b.admission.byUser = make(map[string]*hall), make(map[string]*visitors)
	b.admission.mostClaims = mostClaims(cfg.MemoryLimit)
	b.settings.Store(&cfg)
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.sessions.b = b
	b.sessions.byID = make(map[string]*Session)
	b.retained.seed = maphash.MakeSeed()
	if cfg.Durability == Memory {
		deps.Store, b.deps.Store = nil, nil
	}
	b.journal = newJournal(deps.Store, cfg.Durability, b.storeFailed)
	if deps.Store != nil {
		st, err := deps.Store.Load(b.ctx)
		if err != nil {
			b.journal.shutdown()
			return nil, fmt.Errorf("load store: %w", err)
		}
		b.nextMessage.Store(st.NextMessage)
		b.restoreRetained(st.Retained)
		b.sessions.restore(st.Sessions)
	}
	b.wg.Go(b.runSys)
	if cfg.MemoryLimit > 0 {
		b.wg.Go(b.watchMemory)
	}
	return b, nil
}

// Serve takes connections from ln until ctx ends, the broker is shut down or the
// listener fails for good. It closes ln. A shortage of file descriptors makes it
// wait, not end (case R4).
func (b *Broker) Serve(ctx context.Context, ln net.Listener, info ListenerInfo) error {
	return b.ServeWith(ctx, ln, func() *ListenerInfo { return &info })
}

// ServeWith is Serve with an info that may be another for each connection.
func (b *Broker) ServeWith(ctx context.Context, ln net.Listener, info func() *ListenerInfo) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	stopToo := context.AfterFunc(b.ctx, cancel)
	defer stopToo()
	pause := time.Duration(0)
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			g := b.newGuest(b.ctx, nc, info())
			if b.cfg().LikeMosquitto {
				b.log.Info("connection opened", "remote", g.address(), "listener", g.info.Name)
				go b.welcome(g) // it may have to wait for a place
			} else {
				b.welcome(g)
			}
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			b.log.Warn("can't accept a connection", "listener", info().Name, "err", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// ServeConn serves one Network Connection and returns when it has ended. [MQTT-4.2-1]
func (b *Broker) ServeConn(ctx context.Context, nc net.Conn, info ListenerInfo) {
	g := b.newGuest(ctx, nc, &info)
	ended := make(chan struct{})
	g.done = func() { close(ended) }
	if b.welcome(g) == nil {
		<-ended
	}
}

// forget removes a connection that ended and keeps its figures.
func (b *Broker) forget(c *conn) {
	b.connsMu.Lock()
	b.leaveLocked(c.guest)
	b.connsMu.Unlock()
	if c.trace.Load() != nil {
		c.mu.Lock()
		end := c.ended
		c.mu.Unlock()
		c.traceEnd(end)
	}
	if c.id == nil || c.sess == nil {
		return
	}
	c.mu.Lock()
	end := c.ended
	c.mu.Unlock()
	b.event(Disconnected{At: time.Now(), Identity: c.id, Code: end.code, Reason: end.reason})
	attrs := []any{"client_id", c.id.ClientID, "user", c.id.User, "remote", c.address(), "reason", end.reason}
	if c.cfg.LikeMosquitto {
		attrs = append(attrs, "code", end.code)
	}
	b.log.Info("client disconnected", attrs...)
}

func (r *sessions) stopTimers() {
	for _, s := range r.all() {
		s.mu.Lock()
		s.epoch++
		stopTimer(&s.timer)
		stopTimer(&s.willTimer)
		s.mu.Unlock()
	}
}

// noteSent stores which QoS 1 messages are under way, so that they come again as they
// were after an orderly restart [MQTT-4.4.0-1]. While the broker runs nobody needs to
// know: a crash costs their Packet Identifiers, and an SD card a write for each message.
func (r *sessions) noteSent() {
	for _, s := range r.all() {
		s.mu.Lock()
		for f := s.flights.first; f != nil && s.persistent; f = f.next {
			if f.qos == 1 && f.stored && (f.dup || !f.unsent) {
				r.b.journal.append(Sent{s.clientID, f.seq, f.id, StateSent})
			}
		}
		s.mu.Unlock()
	}
}

// capExpiry applies the limit on Session Expiry Intervals.
func (b *Broker) capExpiry(v uint32) uint32 {
	if most := b.cfg().MaxSessionExpiry; most > 0 {
		return uint32(min(time.Duration(v), most/time.Second))
	}
	return v
}

func (b *Broker) storeFailed(err error) {
	if err != nil {
		b.log.Error("changes can't be stored; acknowledgements wait", "err", err)
	} else {
		b.log.Info("changes are stored again")
	}
	b.event(StoreFailed{At: time.Now(), Err: err})
}

// observe, event, denied and refused tell the Observer; no lock is held.
func (b *Broker) observe(m *Message) {
	if b.deps.Observer != nil {
		b.deps.Observer.OnPublish(m)
	}
}

func (b *Broker) event(e Event) {
	if b.deps.Observer != nil {
		b.deps.Observer.OnEvent(e)
	}
}

func (b *Broker) denied(id *Identity, act Action, name string, rule RuleRef) {
	b.stats.denied.Add(1)
	b.log.Debug("denied", "client_id", id.ClientID, "user", id.User, "action", act.String(), "topic", name, "rule", rule.Text)
	b.event(Denied{At: time.Now(), Identity: id, Action: act, Name: name, Rule: rule})
}

func (b *Broker) refused(g *guest, clientID, user string, r *Refusal) {
	b.turnedAway(clientID, user, g.address(), g.info.Name, r)
}

// TurnedAway notes a client that a listener refused before its connection could come
// here, or whose connection it ended, as TLS does with certificates that it does not
// trust. user is whom it claims to be, "" where it claims nothing.
func (b *Broker) TurnedAway(user, remote, listener string, reason Reason, err error) {
	b.turnedAway("", user, remote, listener, Refuse(reason, err))
}

func (b *Broker) turnedAway(clientID, user, remote, listener string, r *Refusal) {
	b.stats.refused.Add(1)
	detail := ""
	if r.Err != nil {
		detail = r.Err.Error()
	}
	b.log.Info("client refused", "client_id", clientID, "user", user, "remote", remote,
		"listener", listener, "reason", string(r.Reason), "detail", detail)
	b.event(Refused{At: time.Now(), ClientID: clientID, User: user, Remote: remote,
		Listener: listener, Reason: r.Reason, Detail: detail})
}
