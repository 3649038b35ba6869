package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"hearthmq/broker"
	"hearthmq/broker/listen"
	mosq "hearthmq/broker/mosquitto"
)

// standInPorts are the listeners of a mosquitto.conf. One goroutine at a time calls
// its methods: the one that starts, then the one that rereads.
type standInPorts struct {
	log    *slog.Logger
	broker *broker.Broker
	group  *errgroup.Group
	list   []*openPort
	open   atomic.Pointer[[]*openPort] // the same, for everybody
}

// opened are the ports that are open now. Any goroutine may ask.
func (s *standInPorts) opened() []*openPort {
	if list := s.open.Load(); list != nil {
		return *list
	}
	return nil
}

// set notes which ports are open.
func (s *standInPorts) set(list []*openPort) {
	s.list = list
	shown := slices.Clone(list)
	s.open.Store(&shown)
}

// openPort is a port with what holds for connections that come.
type openPort struct {
	mosq.Port
	listen.Opened
	info atomic.Pointer[broker.ListenerInfo]
	end  context.CancelFunc // nil until it serves
}

// errPort says that a port could not be opened.
var errPort = errors.New("port not opened")

// try opens a port; nil without an error for an optional one that can't be.
func (s *standInPorts) try(ctx context.Context, p mosq.Port) (*openPort, error) {
	cfg := listenConfig(&p, s.log)
	cfg.Refused = turnedAway(s.broker, cfg.Name)
	o := listen.Open(ctx, []listen.Config{cfg})[0]
	if o.Err != nil && p.Optional {
		s.log.Debug("the second address of a listener stays closed", "err", o.Err)
		return nil, nil
	}
	if o.Err != nil {
		return nil, fmt.Errorf("%w: %w", errPort, o.Err)
	}
	x := &openPort{Port: p, Opened: o}
	x.info.Store(&p.Info)
	return x, nil
}

// start opens all ports or none, and serves them.
func (s *standInPorts) start(ctx context.Context, ports []mosq.Port) error {
	var list []*openPort
	for _, p := range ports {
		x, err := s.try(ctx, p)
		if err != nil {
			closeAll(list)
			return err
		}
		if x != nil {
			list = append(list, x)
		}
	}
	for _, x := range list {
		s.serve(ctx, x)
	}
	s.set(list)
	return nil
}

func closeAll(list []*openPort) {
	for _, x := range list {
		_ = x.Listener.Close() // nobody has come in by it
	}
}

// serve gives an open port's connections to the broker until ctx ends.
func (s *standInPorts) serve(ctx context.Context, x *openPort) {
	ctx, x.end = context.WithCancel(ctx)
	s.log.Info("port opened", "listener", x.Info.Name, "address", x.Listener.Addr().String())
	if x.Config.TLS != nil {
		s.group.Go(func() error { watchCertificate(ctx, &x.Opened, nil); return nil })
	}
	s.group.Go(func() error {
		err := s.broker.ServeWith(ctx, x.Listener, x.info.Load)
		if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
			return nil
		}
		return err
	})
}

// close ends a port with its connections.
func (s *standInPorts) close(x *openPort, name string) {
	x.end()
	_ = x.Listener.Close() // the broker closes it, too
	if name != "" {
		s.broker.DisconnectListener(name)
	}
}

// change brings the ports to what a new configuration wants: what can stay open does,
// with its connections. When one can't be opened all is as it was before.
func (s *standInPorts) change(ctx context.Context, ports []mosq.Port) error {
	var kept, opened, moved []*openPort // moved: had to go for another at its address
	rules := map[*openPort]broker.ListenerInfo{}
	var list []*openPort
	back := func() {
		closeAll(opened)
		for _, x := range moved {
			again, err := s.try(ctx, x.Port)
			if err != nil {
				s.log.Error("a port that was open can't be opened again", "err", err)
				continue
			}
			s.serve(ctx, again)
			s.list[slices.Index(s.list, x)] = again
		}
		s.set(s.list)
	}
	for _, p := range ports {
		if i := slices.IndexFunc(s.list, func(x *openPort) bool { return x.Same(&p) }); i >= 0 {
			kept, list = append(kept, s.list[i]), append(list, s.list[i])
			rules[s.list[i]] = p.Info
			continue
		}
		if i := slices.IndexFunc(s.list, func(x *openPort) bool { return x.Address == p.Address }); i >= 0 && !slices.Contains(moved, s.list[i]) {
			moved = append(moved, s.list[i])
			s.close(s.list[i], "")
		}
		x, err := s.try(ctx, p)
		if err != nil {
			back()
			return err
		}
		if x != nil {
			opened, list = append(opened, x), append(list, x)
		}
	}
	for x, info := range rules {
		x.info.Store(&info)
	}
	names := map[string]bool{}
	for _, x := range kept {
		names[x.Info.Name] = true
	}
	for _, x := range s.list {
		if slices.Contains(kept, x) {
			continue
		}
		s.log.Info("port closed", "listener", x.Info.Name, "address", x.Listener.Addr().String())
		name := x.Info.Name
		if names[name] {
			name = "" // its other address stays
		}
		s.close(x, name)
	}
	for _, x := range opened {
		s.serve(ctx, x)
	}
	s.set(list)
	return nil
}
