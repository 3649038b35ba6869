package addon_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"hearthmq/addon"
	"hearthmq/addon/addontest"
)

// logBuffer collects what was logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// house is an Announcer with the Supervisor that it talks to.
type house struct {
	*addon.Announcer
	fake *addontest.Supervisor
	log  logBuffer
	stop func() // ends Run and waits for it
}

var passwords = map[string]string{"homeassistant": "ha-password", "addons": "apps-password"}

func announce(t *testing.T, edit func(*addon.AnnouncerConfig), prepare func(*addontest.Supervisor), apps ...*addontest.App) *house {
	t.Helper()
	s, fake := supervise(t, append([]*addontest.App{addontest.HearthMQ()}, apps...)...)
	if prepare != nil {
		prepare(fake)
	}
	h := &house{fake: fake}
	cfg := addon.AnnouncerConfig{
		Supervisor: s, Port: 1883, Log: slog.New(slog.NewTextHandler(&h.log, nil)),
		Password: func(user string) (string, bool) { p, ok := passwords[user]; return p, ok },
	}
	if edit != nil {
		edit(&cfg)
	}
	h.Announcer = addon.NewAnnouncer(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	h.stop = func() { cancel(); <-done }
	t.Cleanup(h.stop)
	synctest.Wait()
	return h
}

// after lets time pass and everything due in it happen.
func after(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

var (
	wantService = map[string]any{
		"host": "014ce74a-hearthmq", "port": 1883.0, "username": "addons", "password": "apps-password", "ssl": false, "protocol": "3.1.1",
		"addon": "014ce74a_hearthmq",
	}
	wantDiscovery = map[string]any{
		"host": "014ce74a-hearthmq", "port": 1883.0, "username": "homeassistant", "password": "ha-password", "ssl": false, "protocol": "3.1.1",
	}
)

func (h *house) check(t *testing.T) {
	t.Helper()
	if d := cmp.Diff(wantService, h.fake.Service()); d != "" {
		t.Errorf("service (-want +got)\n%s", d)
	}
	all := h.fake.Discoveries()
	if len(all) != 1 {
		t.Fatalf("discoveries: %v", all)
	}
	if d := cmp.Diff(wantDiscovery, all[0].Config); d != "" {
		t.Errorf("discovery (-want +got)\n%s", d)
	}
	if got := h.Announcement(); got.Provision != addon.ProvidedByUs || got.Err != nil || got.Discovery != all[0].UUID || got.Address.String() != "192.168.1.20" {
		t.Errorf("%+v", got)
	}
}

func TestAnnounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := announce(t, nil, nil)
		h.check(t)
		calls := len(h.fake.Calls())
		after(t, 90*time.Second) // a round or two, in which nothing is to be done
		for _, c := range h.fake.Calls()[calls:] {
			if strings.HasPrefix(c, "DELETE") || c == "POST /services/mqtt" {
				t.Errorf("%s although all is as it should be", c)
			}
		}
		h.fake.Reboot()
		h.fake.ForgetDiscoveries()
		after(t, 90*time.Second)
		h.check(t)
		for _, secret := range passwords {
			if strings.Contains(h.log.String(), secret) {
				t.Errorf("a password is logged:\n%s", h.log.String())
			}
		}
		h.stop()
		if h.fake.Service() != nil || len(h.fake.Discoveries()) != 1 {
			t.Errorf("after the end: service %v, discoveries %v", h.fake.Service(), h.fake.Discoveries())
		}
	})
}

// Nothing is announced before the broker answers.
func TestAnnounceOnceReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		h := announce(t, func(c *addon.AnnouncerConfig) {
			c.Ready = func(context.Context) error {
				if time.Since(began) < 5*time.Second {
					return errors.New("not yet")
				}
				return nil
			}
		}, nil)
		if calls := h.fake.Calls(); len(calls) != 0 {
			t.Errorf("the Supervisor was asked: %v", calls)
		}
		after(t, 20*time.Second)
		h.check(t)
	})
}

// case D1: a Supervisor that does not answer is asked again, less and less often, and
// an old record of ours gives way to the right one.
func TestAnnounceWhenSupervisorIsInTrouble(t *testing.T) {
	for _, m := range []addontest.Mode{addontest.Hangs, addontest.Fails, addontest.NotReady, addontest.Gone, addontest.Garbled} {
		synctest.Test(t, func(t *testing.T) {
			stale := map[string]any{"host": "014ce74a-hearthmq", "port": 1883.0, "username": "addons", "password": "old", "ssl": false, "protocol": "3.1.1", "addon": "014ce74a_hearthmq"}
			h := announce(t, nil, func(f *addontest.Supervisor) { f.SetMode(m); f.SetService(stale) })
			after(t, 10*time.Minute)
			if n := len(h.fake.Calls()); n < 6 || n > 30 {
				t.Errorf("mode %d: %d calls in 10 minutes", m, n)
			}
			if n := strings.Count(h.log.String(), "level=WARN"); n != 1 {
				t.Errorf("mode %d: %d warnings\n%s", m, n, h.log.String())
			}
			if h.Announcement().Err == nil {
				t.Errorf("mode %d: no error", m)
			}
			h.fake.SetMode(addontest.Works)
			after(t, 3*time.Minute)
			h.check(t)
			if !strings.Contains(h.log.String(), "answers again") {
				t.Errorf("log:\n%s", h.log.String())
			}
			// The end does not wait for a Supervisor that hangs.
			h.fake.SetMode(m)
			began := time.Now()
			h.stop()
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("mode %d: the end took %v", m, took)
			}
			h.fake.SetMode(addontest.Works)
		})
	}
}

// case D3: a token that is not accepted.
func TestAnnounceWithExpiredToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := announce(t, nil, func(f *addontest.Supervisor) { f.SetToken("014ce74a_hearthmq", "another") })
		after(t, 10*time.Minute)
		if got := h.log.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "does not accept this app") {
			t.Errorf("log:\n%s", got)
		}
	})
}

// Another app's record is left alone, also at the end, until the owner says otherwise.
func TestAnnounceBesideMosquitto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		theirs := map[string]any{"host": "core-mosquitto", "port": 1883.0, "username": "addons", "password": "x", "ssl": false, "protocol": "3.1.1", "addon": "core_mosquitto"}
		h := announce(t, nil, func(f *addontest.Supervisor) { f.SetService(theirs) }, addontest.Mosquitto())
		after(t, 10*time.Minute)
		if d := cmp.Diff(theirs, h.fake.Service()); d != "" {
			t.Errorf("Mosquitto's record (-before +after)\n%s", d)
		}
		if got := h.Announcement(); got.Provision != addon.ProvidedByOther || got.Provider != "core_mosquitto" || got.Err != nil {
			t.Errorf("%+v", got)
		}
		if len(h.fake.Discoveries()) != 1 {
			t.Error("Home Assistant was not told")
		}
		if err := h.TakeOver(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.check(t)
		after(t, 10*time.Minute)
		h.check(t)

		h.fake.SetService(theirs) // Mosquitto was started again, and took it blindly
		after(t, 2*time.Minute)
		if got := h.Announcement(); got.Provision != addon.ProvidedByOther {
			t.Errorf("%+v", got)
		}
		h.stop()
		if d := cmp.Diff(theirs, h.fake.Service()); d != "" {
			t.Errorf("Mosquitto's record after the end (-before +after)\n%s", d)
		}
		if h.log.String() == "" || strings.Count(h.log.String(), "another app provides MQTT") != 2 {
			t.Errorf("log:\n%s", h.log.String())
		}
	})
}

// case D10: after a reinstallation the passwords are new, and everybody learns that.
func TestAnnounceNewPasswords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := map[string]string{"homeassistant": "before", "addons": "before"}
		h := announce(t, func(c *addon.AnnouncerConfig) {
			c.Password = func(user string) (string, bool) { return old[user], true }
		}, nil)
		before := h.fake.Discoveries()
		h.fake.SetMode(addontest.Gone) // no time to take anything back
		h.stop()
		h.fake.SetMode(addontest.Works)
		if h.fake.Service()["password"] != "before" {
			t.Fatalf("the record did not stay: %v", h.fake.Service())
		}
		s := addon.NewAnnouncer(addon.AnnouncerConfig{
			Supervisor: supervisorOf(t, h), Port: 1883, Log: slog.New(slog.DiscardHandler),
			Password: func(user string) (string, bool) { return passwords[user], true },
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		synctest.Wait()
		h.Announcer = s
		h.check(t)
		if now := h.fake.Discoveries(); now[0].UUID != before[0].UUID {
			t.Error("another message instead of a changed one")
		}
		if pushed := h.fake.Core.Pushed(); len(pushed) != 2 || pushed[1].Config["password"] != "ha-password" {
			t.Errorf("Core was told %v", pushed)
		}
		cancel()
		<-done
	})
}

// supervisorOf returns another client of the house's Supervisor.
func supervisorOf(t *testing.T, h *house) *addon.Supervisor {
	t.Helper()
	return addon.NewSupervisor(addon.SupervisorConfig{URL: h.fake.URL, Token: addontest.HearthMQ().Token, Client: h.fake.Client()})
}

func TestAnnounceWithoutPlainPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := announce(t, func(c *addon.AnnouncerConfig) { c.Port = 0 }, nil)
		after(t, 5*time.Minute)
		if h.fake.Service() != nil || len(h.fake.Discoveries()) != 0 {
			t.Errorf("announced: %v, %v", h.fake.Service(), h.fake.Discoveries())
		}
		if got := h.Announcement(); got.Provision != addon.NotProvided || got.Self == nil {
			t.Errorf("%+v", got)
		}
		if h.TakeOver(t.Context()) == nil {
			t.Error("took over without a port")
		}
	})
}
