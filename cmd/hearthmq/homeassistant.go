package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"hearthmq/addon"
	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/listen"
)

// homeAssistant is the side of the broker that faces Home Assistant. Outside its app
// only the device remains, and that when the settings ask for it.
type homeAssistant struct {
	options    *addon.Options
	log        *slog.Logger
	supervisor *addon.Supervisor // nil outside the app, as are those below
	core       *addon.Core
	login      *addon.HomeAssistantLogin
	admins     *addon.CoreAdmins
	notices    *addon.Notices
	announcer  *addon.Announcer  // nil before open, too
	port       int               // of plain MQTT, 0: none
	revoked    func(name string) // set by startBroker, before a port is open
	comings    comings
}

// newHomeAssistant calls nobody yet: Home Assistant may be as slow as it likes, the
// broker starts (case D1).
func newHomeAssistant(o *addon.Options, environ []string, log *slog.Logger) *homeAssistant {
	h := &homeAssistant{options: o, log: log, comings: make(comings, 1)}
	cfg, inApp := addon.SupervisorFrom(environ)
	if !inApp { // case D3
		return h
	}
	h.supervisor = addon.NewSupervisor(cfg)
	h.core = addon.NewCore(cfg)
	h.admins = addon.NewCoreAdmins(h.core.Users)
	h.notices = addon.NewNotices(addon.NoticesConfig{
		Notify: h.core.Notify, Panel: h.panel, Unknown: o.NotifyUnknownDevice, Locks: o.NotifyLockOut, Log: log,
	})
	if role := o.HomeAssistantRole; role != addon.NoRole {
		h.login = addon.NewHomeAssistantLogin(addon.HomeAssistantLoginConfig{
			Check: h.supervisor.CheckLogin, Roles: []string{role}, Log: log, Revoked: func(name string) { h.revoked(name) },
		})
	}
	return h
}

// panel is the path of the admin in Home Assistant, "" while it is not known.
func (h *homeAssistant) panel() string {
	if h.announcer == nil {
		return ""
	}
	if self := h.announcer.Announcement().Self; self != nil {
		return "/app/" + self.Slug
	}
	return ""
}

// observers are told of what happens in the broker.
func (h *homeAssistant) observers() broker.Observers {
	all := broker.Observers{h.comings}
	if h.notices != nil {
		all = append(all, h.notices)
	}
	return all
}

// update says whether there is a newer version of the app; nil outside it.
func (h *homeAssistant) update() func() (available, known bool) {
	if h.announcer == nil {
		return nil
	}
	return func() (available, known bool) {
		self := h.announcer.Announcement().Self
		return self != nil && self.UpdateAvailable, self != nil
	}
}

// authenticator lets in our own users and, in the app, those of Home Assistant.
func (h *homeAssistant) authenticator(d *access.Directory) broker.Authenticator {
	if h.login == nil {
		return d
	}
	return access.Chain(d, h.login)
}

// ingressAdmin says who may use the admin in the sidebar; nil outside the app.
func (h *homeAssistant) ingressAdmin() func(ctx context.Context, haUserID string) (bool, error) {
	if h.admins == nil {
		return nil
	}
	return h.admins.IsAdmin
}

// open readies what serve runs. The ports are open.
func (h *homeAssistant) open(s *server) {
	if h.supervisor == nil {
		return
	}
	var ready func(ctx context.Context) error
	h.port, ready = h.plainPort(s.listeners)
	h.announcer = addon.NewAnnouncer(addon.AnnouncerConfig{
		Supervisor: h.supervisor, Port: h.port, Ready: ready, Password: s.accounts.SystemPassword, Log: h.log,
	})
}

// serve keeps Home Assistant informed until ctx ends. open was called.
func (h *homeAssistant) serve(ctx context.Context, group *errgroup.Group, s *server) {
	cfg := addon.DeviceConfig{
		Broker: s.broker, Version: version, Log: h.log,
		StoreBytes:     func() (int64, bool) { return sizeOnDisk(s.db.Path()) },
		CertificateEnd: s.certificateEnd, Update: h.update(), Changed: h.comings,
	}
	if h.options.HomeAssistantPresence {
		cfg.Presence = func() map[string]bool { return presence(s.directory, s.broker) }
	}
	device := addon.NewDevice(cfg)
	group.Go(func() error {
		if h.options.HomeAssistantDevice {
			device.Run(ctx)
		} else {
			device.Forget(ctx)
		}
		return nil
	})
	if h.supervisor == nil {
		return
	}
	if _, ok := s.directory.Role(h.options.HomeAssistantRole); !ok && h.login != nil {
		h.log.Warn(fmt.Sprintf("users of Home Assistant may do nothing: there is no role %q (setting home_assistant_role)", h.options.HomeAssistantRole))
	}
	group.Go(func() error { h.announcer.Run(ctx); return nil })
	group.Go(func() error { h.notices.Run(ctx); return nil })
}

// plainPort finds the port that Home Assistant and its apps can use. One that is
// taken for the moment counts: it is tried again.
func (h *homeAssistant) plainPort(l *listeners) (port int, ready func(ctx context.Context) error) {
	all := l.opened()
	for i := range l.failed {
		all = append(all, &l.failed[i])
	}
	for _, o := range all {
		c := o.Config
		if c.TLS != nil || c.WebSocket || c.Network != "tcp" {
			continue
		}
		if o.Listener != nil {
			c.Address = o.Listener.Addr().String()
		}
		if _, text, err := net.SplitHostPort(c.Address); err == nil {
			port, _ = strconv.Atoi(text) // was validated
		}
		return port, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, healthTimeout)
			defer cancel()
			return askMQTT(ctx, c)
		}
	}
	return 0, nil
}

// certificateAlarm shows notifications about certificates; nil outside the app.
func (h *homeAssistant) certificateAlarm() func(context.Context, listen.CertificateStatus) {
	if h.core == nil {
		return nil
	}
	n := &addon.CertificateNotices{Notify: h.core.Notify, Panel: h.panel, Log: h.log}
	return n.Tell
}

// certificateEnd is when the first of the certificates in use ends; false: there is none.
func (s *server) certificateEnd() (time.Time, bool) {
	first, _, ok := summary(s.ports(), time.Now())
	return first.Ends, ok
}

// sizeOnDisk is what the database takes with its log.
func sizeOnDisk(path string) (int64, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	size := info.Size()
	if wal, err := os.Stat(path + "-wal"); err == nil {
		size += wal.Size()
	}
	return size, true
}

// healthy is asked by /healthz: it takes the locks that every connection takes, and
// asks the database (case D6). A disk that is full does not count: a restart would
// not empty it, and cut off everybody.
func (s *server) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout*4/5)
	defer cancel()
	answer := make(chan error, 1)
	go func() { // ends when the broker answers, or with a process that is beyond help
		s.broker.Stats()
		_, err := s.db.Accounts().DataVersion(ctx)
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return errors.New("the broker does not answer in time")
	}
}
