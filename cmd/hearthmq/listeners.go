package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"hearthmq/broker"
	"hearthmq/broker/listen"
	"hearthmq/web"
)

// retryInterval is how often ports that could not be opened are tried again:
// another broker may have ended, a certificate may have come.
const retryInterval = time.Minute

// listeners are the ports for MQTT clients.
type listeners struct {
	log *slog.Logger
	// alarm is told once a minute how each certificate fares; nil: nobody is.
	alarm func(ctx context.Context, s listen.CertificateStatus)

	mu sync.Mutex
	// guarded by mu; what they point to does not change
	open   []*listen.Opened
	failed []listen.Opened // at the last try
}

// opened are the ports that are open by now.
func (l *listeners) opened() []*listen.Opened {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.open)
}

func openListeners(ctx context.Context, cfgs []listen.Config, b *broker.Broker, log *slog.Logger) *listeners {
	l := &listeners{log: log}
	for i := range cfgs {
		cfgs[i].Log, cfgs[i].Refused = log, turnedAway(b, cfgs[i].Name)
	}
	_, failed := l.try(ctx, cfgs)
	for _, f := range failed {
		l.report(f)
	}
	return l
}

// turnedAway tells the broker of a client that a listener refused before MQTT began.
func turnedAway(b *broker.Broker, listener string) func(net.Addr, error) {
	return func(remote net.Addr, err error) {
		reason, name := broker.CertificateInvalid, ""
		if e, ok := errors.AsType[*listen.ClientError](err); ok {
			switch name = e.Name; {
			case e.Missing:
				reason = broker.CertificateRequired
			case e.WrongDoor:
				reason = broker.WrongDoor
			case e.Stranger:
				reason = broker.OriginNotAllowed
			case e.Proxy:
				reason = broker.UnknownProxy
			case e.Doubts:
				reason = broker.ServerNotTrusted
			}
		}
		b.TurnedAway(name, remote.String(), listener, reason, err)
	}
}

// try opens ports and notes those that are open.
func (l *listeners) try(ctx context.Context, cfgs []listen.Config) (open []*listen.Opened, failed []listen.Opened) {
	for _, o := range listen.Open(ctx, cfgs) {
		if o.Err != nil {
			failed = append(failed, o)
		} else {
			open = append(open, &o)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open, l.failed = append(l.open, open...), failed
	return open, failed
}

// closed says in a sentence each why ports stay closed that were asked for. That of an
// encrypted one without a certificate is not among them.
func (l *listeners) closed() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var why []string
	for _, f := range l.failed {
		if !errors.Is(f.Err, listen.ErrNoCertificate) {
			why = append(why, f.Err.Error())
		}
	}
	return why
}

// report says in one sentence why a port stays closed. A home without a
// certificate is nothing to warn of.
func (l *listeners) report(f listen.Opened) {
	if errors.Is(f.Err, listen.ErrNoCertificate) {
		l.log.Info(f.Err.Error())
		return
	}
	l.log.Error(f.Err.Error())
}

// serve gives the open ports to the broker and tries the others again, until ctx ends.
func (l *listeners) serve(ctx context.Context, group *errgroup.Group, b *broker.Broker) {
	start := func(o *listen.Opened) {
		info := broker.ListenerInfo{Name: o.Config.Name, TLS: o.Config.TLS != nil, WebSocket: o.Config.WebSocket}
		group.Go(func() error { return b.Serve(ctx, o.Listener, info) })
		if o.Config.TLS != nil {
			group.Go(func() error { watchCertificate(ctx, o, l.alarm); return nil })
		}
	}
	for _, o := range l.opened() {
		start(o)
	}
	l.mu.Lock()
	failed := l.failed
	l.mu.Unlock()
	if len(failed) > 0 {
		group.Go(func() error { l.retry(ctx, failed, start); return nil })
	}
}

// retry opens what could not be opened, once a minute, and ends when all is open.
func (l *listeners) retry(ctx context.Context, failed []listen.Opened, start func(*listen.Opened)) {
	tick := time.NewTicker(retryInterval)
	defer tick.Stop()
	for len(failed) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		said := make(map[string]string)
		cfgs := make([]listen.Config, len(failed))
		for i, f := range failed {
			cfgs[i], said[f.Config.Setting] = f.Config, f.Err.Error()
		}
		var open []*listen.Opened
		open, failed = l.try(ctx, cfgs)
		for _, o := range open {
			l.log.Info("port opened", "listener", o.Config.Name, "address", o.Listener.Addr().String())
			start(o)
		}
		for _, f := range failed {
			if said[f.Config.Setting] != f.Err.Error() {
				l.report(f)
			}
		}
	}
}

// close closes what serve did not take over; closing twice does no harm.
func (l *listeners) close() {
	for _, o := range l.opened() {
		_ = o.Listener.Close() // nobody waits for it any more
	}
}

// described is a port in words.
type described struct{ label, where string }

func (l *listeners) describe() []described {
	var all []described
	for _, o := range l.opened() {
		d := described{label(o.Config), o.Config.Address}
		if port := portOf(o.Listener); port > 0 {
			d.where = "port " + strconv.Itoa(port)
		}
		all = append(all, d)
	}
	return all
}

// endpoints are the open ports as the admin shows them.
func (l *listeners) endpoints() []web.Endpoint {
	var all []web.Endpoint
	for _, o := range l.opened() {
		if port := portOf(o.Listener); port > 0 {
			all = append(all, web.Endpoint{Label: label(o.Config), Port: port, TLS: o.Config.TLS != nil, WebSocket: o.Config.WebSocket})
		}
	}
	return all
}

func label(c listen.Config) string {
	text := "MQTT"
	if c.WebSocket {
		text = "MQTT over WebSocket"
	}
	if c.TLS != nil {
		text += ", encrypted"
	}
	return text
}

func portOf(ln net.Listener) int {
	if a, ok := ln.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}
