package main

import (
	"context"
	"reflect"
	"time"

	mosq "hearthmq/broker/mosquitto"
)

// reloads rereads the configuration at each SIGHUP, until ctx ends.
func (x *standIn) reloads(ctx context.Context, s *server) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-x.app.hangup:
			release := x.guard.Hold()
			x.reload(ctx, s)
			release()
		}
	}
}

// reload reads everything again and takes it over as a whole or not at all. Connections
// stay whose listener and user stay.
func (x *standIn) reload(ctx context.Context, s *server) {
	if err := x.log.reopen(); err != nil {
		s.log.Error("the log file can't be opened again", "err", err)
	}
	const stays = "the configuration stays as it was"
	setup, found := mosq.NewSetup(ctx, x.files, x.opt)
	if setup == nil {
		tellNotices(s.log, found)
		s.log.Error(stays + ": correct the lines above and reread it")
		return
	}
	bridges, err := bridgesOf(setup.Conf)
	if err != nil {
		s.log.Error(stays, "err", err)
		return
	}
	if err := x.log.check(setup.Conf.Log); err != nil {
		s.log.Error(stays, "err", err)
		return
	}
	if err := x.ports.change(ctx, setup.Ports); err != nil {
		s.log.Error(stays, "err", err)
		return
	}
	old := x.setup
	x.setup = setup
	x.guard.Use(setup)
	if err := s.broker.Reconfigure(setup.Broker); err != nil { // can't be: it was made of a file that was checked
		s.log.Error("settings", "err", err)
	}
	s.broker.Revalidate("")
	x.bridges = bridges
	if err := s.bridges.Manager.Set(bridges); err != nil { // can't be: they were checked
		s.log.Error("bridges", "err", err)
	}
	for _, p := range x.ports.list {
		if c, ok := p.Reread(time.Now()); ok && c.Problem != "" {
			s.log.Warn(c.Problem, "file", c.File, "listener", p.Info.Name)
		}
	}
	if err := x.log.use(setup.Conf.Log); err != nil {
		s.log.Error("the log stays as it was", "err", err)
	}
	changes := setup.Changes(old)
	for _, c := range changes {
		s.log.Info("configuration: " + c)
	}
	if !reflect.DeepEqual(old.Conf.Persistence, setup.Conf.Persistence) || old.Dynsec != setup.Dynsec {
		s.log.Warn("persistence and dynamic security follow at the next start")
	}
	s.log.Info("configuration reread", "changes", len(changes))
}
